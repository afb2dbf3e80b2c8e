"""Packed trees: nothing is lost, with and without leading axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax.engine import packing


def tree():
  """Leaves of several types and shapes, among them a scalar and an empty one."""
  rng = np.random.default_rng(0)
  return {
    'dense': {'kernel': rng.normal(size=(3, 4)).astype(np.float32)},
    'labels': (rng.integers(0, 9, 5, np.int32), np.array([True, False])),
    'scale': np.float32(2),
    'none': np.zeros((0, 3), np.float32),
  }


def assert_same(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


def test_round_trip():
  packed = packing.pack(tree())
  sizes = {dtype: x.shape for dtype, x in packed.vectors.items()}
  assert sizes == {'bool': (2,), 'float32': (13,), 'int32': (5,)}
  assert_same(packed.tree(), tree())


def test_stacks_keep_their_leading_axes():
  members = [tree(), jax.tree.map(lambda x: x + x, tree())]
  stacked = jax.tree.map(lambda *x: np.stack(x), *members)
  packed = jax.vmap(packing.pack)(stacked)
  assert packed.vectors['float32'].shape == (2, 13)
  assert_same(packed.tree(), stacked)
  assert_same(jax.vmap(lambda p: p.tree())(packed), stacked)
  assert_same(jax.device_get(packed).tree(), stacked)


def test_it_is_a_pytree_of_its_vectors():
  packed = packing.pack(tree())
  doubled = jax.jit(lambda p: jax.tree.map(lambda x: x + x, p))(packed)
  assert_same(doubled.tree(), jax.tree.map(lambda x: x + x, tree()))
  paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(packed)]
  names = [jax.tree_util.keystr(path) for path in paths]
  assert names == ["['bool']", "['float32']", "['int32']"]


def test_gradients_of_a_tree_are_packed_like_it():
  packed = packing.pack({'a': jnp.arange(3.0), 'b': jnp.ones((2, 2))})
  loss = lambda t: (t['a'] ** 2).sum() + 3 * t['b'].sum()  # noqa: E731
  grads = packing.pack(jax.grad(loss)(packed.tree()))
  assert grads.layout == packed.layout
  np.testing.assert_array_equal(grads.vectors['float32'], [0, 2, 4, 3, 3, 3, 3])


def test_a_tree_without_leaves():
  packed = packing.pack({'batch_stats': {}})
  assert packed.vectors == {}
  assert packed.tree() == {'batch_stats': {}}


def test_unpack_finds_what_is_packed():
  found = packing.unpack({'params': packing.pack(tree()), 'epoch': 3})
  assert found['epoch'] == 3
  assert_same(found['params'], tree())


def test_two_layouts_do_not_mix():
  one, other = packing.pack({'a': np.ones(2)}), packing.pack({'b': np.ones(2)})
  with pytest.raises(ValueError, match='different pytree metadata'):
    jax.tree.map(jnp.add, one, other)
