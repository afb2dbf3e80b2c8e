"""Stacks: mapping, padding, meshes and the mean over members."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from emojax.engine import stack
from emojax.engine.member import isolated


def members(num: int):
  rng = np.random.default_rng(num)
  return {
    'x': rng.normal(size=(num, 3)).astype(np.float32),
    'k': np.arange(num, dtype=np.int32),
  }


def scale(member, shared):
  return {'y': member['x'] * shared['factor'] + member['k'], 'k': member['k']}


@pytest.mark.parametrize('chunk', [0, 1, 2, 3, 5, 9])
def test_three_ways_of_mapping_agree(chunk):
  stacked, shared = members(5), {'factor': np.float32(3)}
  mapped = jax.jit(stack.map_members(scale, chunk))
  found = mapped(stacked, shared)
  expected = [
    scale(jax.tree.map(lambda x, m=m: x[m], stacked), shared) for m in range(5)
  ]
  expected = jax.tree.map(lambda *x: np.stack(x), *expected)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-6), found, expected
  )


@pytest.mark.parametrize(
  ('chunk', 'loops'), [(0, False), (1, True), (2, True), (5, False), (9, False)]
)
def test_chunk_decides_what_is_vectorised(chunk, loops):
  mapped = stack.map_members(scale, chunk)
  text = str(jax.make_jaxpr(mapped)(members(5), {'factor': 3.0}))
  assert ('scan' in text) == loops


@pytest.mark.parametrize('chunk', [0, 2])
def test_what_is_isolated_is_one_branch_of_a_stack(chunk):
  """The predicate is a member's own, as the rate is that tells that it is true."""

  def one(member, shared):
    return isolated(jnp.sin, member['k'] >= 0, member['x'] * shared)

  mapped = jax.jit(stack.map_members(one, chunk))
  traced = mapped.trace(members(5), np.float32(2))
  text = traced.lower(lowering_platforms=('cuda',)).as_text()
  assert 'stablehlo.case' in text
  assert 'stablehlo.select' not in text
  found = mapped(members(5), np.float32(2))
  expected = np.sin(members(5)['x'] * 2)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_members_come_one_by_one_on_cpu():
  assert stack.default_chunk() == 1


@pytest.mark.parametrize(
  ('arguments', 'shape'),
  [
    ((), (4, 1)),
    ((0, 2), (2, 2)),
    ((0, 3), (1, 3)),
    ((3, 1), (3, 1)),
    ((2, 2), (2, 2)),
    ((0, 1, 3), (3, 1)),  # no more devices than members
    ((0, 1, 7), (4, 1)),
    ((0, 2, 1), (1, 2)),
    ((4, 1, 2), (4, 1)),  # what is asked for is done
  ],
)
def test_mesh(arguments, shape):
  mesh = stack.make_mesh(*arguments)
  assert mesh.axis_names == ('member', 'batch')
  assert tuple(mesh.shape.values()) == shape
  assert list(mesh.devices.flat) == jax.devices()[: shape[0] * shape[1]]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ((5, 1), '5 x 1 mesh needs 5 devices but there are 4'),
    ((2, 3), '2 x 3 mesh needs 6 devices'),
    ((0, 8), '1 x 8 mesh needs 8 devices'),
  ],
)
def test_mesh_without_enough_devices(arguments, message):
  with pytest.raises(ValueError, match=message) as error:
    stack.make_mesh(*arguments)
  assert 'lower runtime.member_devices or runtime.batch_devices' in str(
    error.value
  )


@pytest.mark.parametrize(
  ('num', 'devices', 'size'), [(5, 4, 8), (4, 4, 4), (1, 4, 4), (5, 1, 5)]
)
def test_padded_size(num, devices, size):
  assert stack.padded_size(num, stack.make_mesh(devices)) == size


def test_padding_repeats_the_last_member_and_comes_off():
  tree = members(3)
  padded = stack.pad_members(tree, 5)
  for key, value in tree.items():
    assert padded[key].dtype == value.dtype
    np.testing.assert_array_equal(padded[key][3:], value[[2, 2]])
  jax.tree.map(
    np.testing.assert_array_equal, stack.unpad_members(padded, 3), tree
  )


def test_nothing_to_pad():
  tree = members(4)
  assert stack.pad_members(tree, 4)['x'] is tree['x']


def test_put_splits_the_leading_axes():
  mesh = stack.make_mesh(2, 2)
  x = np.arange(48).reshape(4, 3, 4)
  split = stack.put(x, mesh, stack.MEMBER, None, stack.BATCH)
  assert {s.data.shape for s in split.addressable_shards} == {(2, 3, 2)}
  whole = stack.put(x, mesh)
  assert {s.data.shape for s in whole.addressable_shards} == {(4, 3, 4)}
  np.testing.assert_array_equal(split, x)


def test_ensemble_mean_ignores_the_padding():
  values = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
  padded = np.concatenate([values, np.full((3, 4, 2), 1e6, np.float32)])
  weight = (np.arange(8) < 5).astype(np.float32)
  found = stack.ensemble_mean(padded, weight)
  np.testing.assert_allclose(found, values.mean(0), rtol=1e-5, atol=1e-6)


def test_ensemble_mean_over_devices():
  # Five members on four devices: two a device, the last one has padding only.
  values = np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
  weight = (np.arange(8) < 5).astype(np.float32)
  mean = jax.shard_map(
    functools.partial(stack.ensemble_mean, axis=stack.MEMBER),
    mesh=stack.make_mesh(4),
    in_specs=(P(stack.MEMBER), P(stack.MEMBER)),
    out_specs=P(),
    check_vma=False,
  )
  found = jax.jit(mean)(jnp.asarray(values), jnp.asarray(weight))
  np.testing.assert_allclose(found, values[:5].mean(0), rtol=1e-5, atol=1e-6)
