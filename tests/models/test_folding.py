"""Folded networks that see blocks of frames answer as they did."""

import functools
import pathlib
import runpy

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import models
from emojax.host import caches
from emojax.models import folding
from emojax.models.layers import ConvNorm, in_blocks
from tests.models import made

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
FOLDED = {  # networks with a ConvNorm
  'emenet_v', 'emenet_va', 'multitask_cnn_torchvision', 'multitask_cnn', 'cnn_rnn',
  'uncertainty_net', 'hydra', 'dirichlet',
}  # fmt: skip
KEEP_THEIR_FRAMES = set(made.KINDS) - {
  'emenet_v', 'emenet_va', 'hydra', 'dirichlet',
}  # fmt: skip


def parts(variables):
  state = {k: v for k, v in variables.items() if k != 'params'}
  return variables['params'], state


def layers(network, variables):
  return folding.layers(network, variables, models.example_inputs(network))


def folded(network, variables):
  found = layers(network, variables)
  params, state = folding.fold(found, *parts(variables))
  return {'params': params, **state}


def said(network, variables, inputs):
  """Logits of all tasks."""

  @jax.jit
  def apply(variables, inputs):
    return network.apply(variables, inputs, train=False)

  found = apply(variables, inputs)
  names = {task.name for task in made.SCHEMA}
  return jax.device_get({k: v for k, v in found.items() if k in names})


def check_equal(found, expected):
  assert found.keys() == expected.keys()
  for name, logits in expected.items():
    for probs in (jax.nn.sigmoid, jax.nn.softmax):
      np.testing.assert_allclose(
        probs(found[name]), probs(logits), rtol=0, atol=1e-5
      )


@pytest.mark.parametrize(
  'kind',
  [
    kind if kind == 'alexnet' else pytest.param(kind, marks=pytest.mark.slow)
    for kind in made.KINDS
  ],
)
def test_every_network_answers_as_before(kind):
  network = made.network(kind)
  variables, inputs = made.variables(network), made.inputs(network, 2, 3)
  expected = said(network, variables, inputs)
  assert any(np.ptp(x) > 0.01 for x in expected.values())  # it sees the images
  small = folded(network, variables)
  check_equal(said(network, small, inputs), expected)
  blocked = folding.with_block(network, 4)
  assert (blocked is network) == (kind in KEEP_THEIR_FRAMES)
  if blocked is not network:
    check_equal(said(blocked, small, inputs), expected)


@pytest.mark.slow
@pytest.mark.parametrize('kind', made.KINDS)
def test_networks_without_such_layers_stay_as_they_are(kind):
  network = made.network(kind)
  shapes = models.shapes(network)
  found = layers(network, shapes)
  assert bool(found) == (kind in FOLDED)
  if not found:
    variables = made.variables(network)
    params, state = folding.fold(found, *parts(variables))
    same = jax.tree.map(lambda a, b: a is b, (params, state), parts(variables))
    assert all(jax.tree.leaves(same))


@functools.cache
def emenet(**options):
  network = made.network('emenet_v', **options)
  return network, made.variables(network)


def test_nothing_is_normalised_any_more():
  network, variables = emenet()

  def text(variables):
    program = jax.jit(lambda v, x: network.apply(v, x, train=False))
    return program.lower(variables, made.inputs(network, 1, 2)).as_text()

  assert 'rsqrt' in text(variables)
  small = folded(network, variables)
  assert not jax.tree.leaves(small['batch_stats'])
  assert 'rsqrt' not in text(small)


def test_stacks_are_folded_as_their_members():
  network, first = emenet()
  second = made.variables(network, seed=1)
  stacked = jax.tree.map(lambda *x: np.stack(x), first, second)
  found = layers(network, first)
  together = folding.fold(found, *parts(stacked))
  for i, one in enumerate((first, second)):
    alone = folding.fold(found, *parts(one))
    jax.tree.map(
      np.testing.assert_array_equal,
      jax.tree.map(lambda x, i=i: x[i], together),
      alone,
    )


def test_the_weights_given_are_left_alone():
  network, variables = emenet()
  before = jax.tree.map(np.copy, variables)
  folded(network, variables)
  jax.tree.map(np.testing.assert_array_equal, before, variables)


def test_large_means_keep_their_digits():
  """A channel whose values lie close together, far from 0, is not folded."""
  network, variables = emenet()
  variables = jax.tree.map(np.copy, variables)
  where = variables['batch_stats']['trunk']['conv1']
  where['mean'][3], where['var'][3] = 900.0, 0.04
  small = folded(network, variables)
  assert 'shift' not in small['params']['trunk']['conv1']
  assert 'shift' in small['params']['trunk']['conv2_dw']


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_not_finite_is_not_folded(value):
  network, variables = emenet()
  variables = jax.tree.map(np.copy, variables)
  variables['batch_stats']['trunk']['conv1']['mean'][0] = value
  assert 'scale' in folded(network, variables)['params']['trunk']['conv1']


def test_bfloat16_keeps_its_kernels():
  network, variables = emenet(dtype='bfloat16')
  small = folded(network, variables)
  jax.tree.map(np.testing.assert_array_equal, small, dict(variables))


class Encoder(nn.Module):
  """Small, so that many numbers of frames are tried."""

  block: int = 0

  @nn.compact
  def __call__(self, x):
    one = ConvNorm(4, (3, 3), padding=1, prelu=True, name='layer')
    if self.block:
      return in_blocks(one, x, self.block, jnp.float32)
    return one(x, False)


@pytest.mark.parametrize('frames', [1, 7, 8, 13])
@pytest.mark.parametrize('block', [1, 3, 8])
def test_any_number_of_frames_fills_blocks(frames, block):
  rng = np.random.default_rng(0)
  x = np.float32(rng.uniform(size=(frames, 6, 6, 3)))
  shapes = jax.eval_shape(Encoder().init, jax.random.key(0), x)
  variables = jax.tree.map(
    lambda v: np.float32(rng.uniform(0.5, 1, v.shape)), shapes
  )
  found = Encoder(block).apply(variables, x)
  expected = Encoder().apply(variables, x)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_blocks_do_not_know_clips():
  """A clip's memory goes on from block to block, and ends with the clip."""
  network, variables = emenet()
  inputs = made.inputs(network, 3, 5)
  blocked = network.clone(block=4)
  together = said(blocked, variables, inputs)
  check_equal(together, said(network, variables, inputs))
  alone = {k: v[1:2] for k, v in inputs.items()}
  one = {k: v[1:2] for k, v in together.items()}
  check_equal(said(blocked, variables, alone), one)


@pytest.mark.slow
def test_training_sees_all_frames_at_once():
  network, variables = emenet()
  inputs = made.inputs(network, 1, 4)

  def train(network):
    return network.apply(
      variables, inputs, train=True, dropout=False, mutable=['batch_stats']
    )

  found, expected = train(network.clone(block=2)), train(network)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.slow
def test_blocks_need_less_memory():
  network, variables = emenet()
  inputs = made.inputs(network, 1, 64)

  def memory(network):
    program = jax.jit(lambda v, x: network.apply(v, x, train=False))
    compiled = program.lower(variables, inputs).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert memory(network.clone(block=2)) < 0.5 * memory(network)


def test_blocks_fit_the_cache():
  network = models.build('emenet_v', made.SCHEMA, 112)
  shapes = models.shapes(network)
  found = layers(network, shapes)
  # The widest layer reads 56 x 56 x 64 numbers and writes 56 x 56 x 128.
  assert max(layer.size for layer in found) == 56 * 56 * (64 + 128) * 4
  assert network.largest_layer() == 56 * 56 * (64 + 128) * 4
  assert folding.block(found, 0) == 1
  assert folding.block(found, 5 << 20) == 2
  assert folding.block(found, 1 << 40) == 3
  assert folding.block([], 1 << 20) >= 1


def test_networks_of_runs_see_what_fits_the_caches(monkeypatch):
  config = runpy.run_path(str(CONFIGS / 'gen.py'))['get_config']('tiny')
  network = models.from_config(config, made.SCHEMA)
  found = layers(network, models.shapes(network))
  assert network.largest_layer() == max(layer.size for layer in found)
  monkeypatch.setattr(caches, 'per_core', lambda: 7 * network.largest_layer())
  for lowering, block in (('auto', 7), ('matmul', 7), ('lax', 0)):
    config.runtime.lowering = lowering
    assert models.from_config(config, made.SCHEMA).block == block


@pytest.mark.parametrize('kind', ['emenet_v', 'hydra'])
def test_the_network_of_a_distribution_sees_blocks_in_its_trunk(kind):
  blocked = folding.with_block(made.network(kind), 5)
  assert getattr(blocked, 'trunk', blocked).block == 5
