"""Predictions and stochastic passes of a stack, block by block."""

import jax
import numpy as np
import pytest
import toy

from emojax.engine import sources

SAMPLES = 3


@pytest.fixture(scope='module', autouse=True)
def small_blocks():
  """Blocks of four clips: seven clips are two, the second one padded."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sources, 'BLOCK_BYTES', 1)
    yield


@pytest.fixture(scope='module')
def stack():
  """A trainer of two members, and their weights."""
  trainer = toy.trainer(2, chunk=2)
  state = trainer.init(0)
  return trainer, (state.params, state.model_state)


@pytest.fixture(scope='module')
def found(stack):
  trainer, weights = stack
  return trainer.predict_and_sample(
    *weights, trainer.val, jax.random.key(5), SAMPLES
  )


def test_both_are_those_of_two_programs(stack, found):
  trainer, weights = stack
  outputs, samples = found
  toy.assert_close(outputs, trainer.predict(*weights, trainer.val), 1e-5)
  alone = trainer.sample(*weights, trainer.val, jax.random.key(5), SAMPLES)
  toy.assert_close(samples, alone, 1e-5)


def test_shapes(found):
  outputs, samples = found
  clips, frames = 7, toy.LENGTH
  for task in toy.SCHEMA:
    last = (clips, frames, task.num_outputs)
    assert outputs[task.name].shape == (2, *last)
    assert samples[task.name].shape == (2, SAMPLES, *last)


def test_every_pass_draws_its_own_masks(found):
  outputs, samples = found
  drawn = samples['expr']  # [M, S, N, ...]
  for a, b in (
    (drawn[0], drawn[1]),
    (drawn[:, 0], drawn[:, 1]),
    (drawn[:, 0], outputs['expr']),
  ):
    assert np.abs(a - b).max() > 1e-3


def test_every_block_draws_its_own_masks(stack):
  trainer, weights = stack
  twice = trainer.val.take(np.tile(np.arange(4), 2))
  _, samples = trainer.predict_and_sample(
    *weights, twice, jax.random.key(5), SAMPLES
  )
  drawn = samples['expr']
  assert np.abs(drawn[:, :, :4] - drawn[:, :, 4:]).max() > 1e-3


def test_what_is_not_wanted_is_not_kept(stack, found):
  trainer, weights = stack
  outputs, samples = trainer.predict_and_sample(
    *weights, trainer.val, jax.random.key(5), SAMPLES, keep=False
  )
  assert samples == ()
  toy.assert_same(outputs, found[0])
