"""Initial values: PyTorch's distributions, one draw for each key."""

import math

import jax
import numpy as np
import pytest

from emojax import models, tasks
from emojax.models import initialisers


@pytest.fixture(scope='module')
def model():
  return models.build('emenet_va', tasks.ABAW2021, 32)


@pytest.fixture(scope='module')
def params(model):
  return models.init(model, jax.random.key(0))['params']


@pytest.mark.slow
def test_convolutions_are_kaiming_normal_over_the_outputs(params):
  kernel = np.asarray(params['trunk']['conv_45']['expand']['kernel'])
  assert kernel.std() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
  kernel = np.asarray(params['trunk']['conv_45']['depthwise']['kernel'])
  assert kernel.std() == pytest.approx(math.sqrt(2 / (9 * 512)), rel=0.05)
  # A normal, not a uniform, distribution.
  assert np.abs(kernel).max() > 2.5 * kernel.std()


@pytest.mark.parametrize(
  ('path', 'bound'),
  [
    (('head_au', 'gru', 'kernel_i'), 1 / math.sqrt(128)),
    (('head_au', 'gru', 'bias_h'), 1 / math.sqrt(128)),
    (('head_va', 'linear', 'kernel'), 1 / math.sqrt(128)),
    (('marblenet', 'block3_0', 'depthwise'), math.sqrt(6 / (15 * 65))),
    (('marblenet', 'block1', 'pointwise', 'kernel'), math.sqrt(6 / 192)),
  ],
)
def test_uniform_bounds(params, path, bound):
  for name in path:
    params = params[name]
  largest = np.abs(params).max()
  assert 0.95 * bound < largest < bound
  assert np.std(params) == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_norms_start_as_the_identity(params):
  layer = params['trunk']['conv1']
  np.testing.assert_array_equal(layer['scale'], 1)
  np.testing.assert_array_equal(layer['bias'], 0)
  np.testing.assert_array_equal(layer['slope'], 0.25)


def test_no_two_arrays_share_numbers(params):
  first = np.ravel(params['head_au']['gru']['kernel_h'])
  second = np.ravel(params['head_expr']['gru']['kernel_h'])
  assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


@pytest.mark.slow
def test_members_of_a_stack_equal_members_alone():
  model = models.build('emenet_v', tasks.ABAW2021, 32, width=0.125, hidden=8)
  keys = jax.random.split(jax.random.key(4), 2)

  @jax.jit
  def both(keys):
    stack = jax.vmap(lambda key: models.init(model, key))(keys)
    return stack, models.init(model, keys[1])

  stack, alone = both(keys)
  for a, b in zip(jax.tree.leaves(stack), jax.tree.leaves(alone)):
    np.testing.assert_allclose(a[1], b, rtol=1e-6)
  kernel = stack['params']['trunk']['conv1']['kernel']
  assert not np.allclose(kernel[0], kernel[1])


def test_without_a_stream_the_key_decides():
  key = jax.random.key(0)
  first = initialisers.kaiming_normal(key, (3, 3, 4, 16))
  again = initialisers.kaiming_normal(key, (3, 3, 4, 16))
  other = initialisers.kaiming_normal(jax.random.key(1), (3, 3, 4, 16))
  np.testing.assert_array_equal(first, again)
  assert not np.allclose(first, other)
