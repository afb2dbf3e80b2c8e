"""Early stopping inside the compiled program."""

import dataclasses

import numpy as np
import pytest
from engine import toy

pytestmark = pytest.mark.slow
MEMBERS, EPOCHS, PATIENCE = 3, 8, 1


def stopping(axis_name):
  method = toy.method(axis_name, balance='off')
  return dataclasses.replace(method, patience=PATIENCE)


def never(axis_name):
  return toy.method(axis_name, balance='off')


def run(method, **settings):
  trainer = toy.trainer(MEMBERS, method=method, epochs=EPOCHS, **settings)
  # A rate at which scores go up and down.
  state, logs, _ = toy.train(trainer, toy.generation(MEMBERS, rate=0.1))
  return state, logs


@pytest.fixture(scope='module')
def free():
  return run(never)


@pytest.fixture(scope='module')
def stopped():
  return run(stopping)


def last_epochs(totals):
  """What a loop on the host would do: the last epoch that each member runs."""
  last = []
  for scores in totals:
    best, stale, ran = -np.inf, 0, 0
    while ran < len(scores) and stale < PATIENCE:
      score, ran = scores[ran], ran + 1
      best, stale = (score, 0) if score > best else (best, stale + 1)
    last.append(ran - 1)
  return np.array(last)


def test_members_stop_as_on_the_host(free, stopped):
  last = last_epochs(free[1]['val/total'])
  assert last.min() < EPOCHS - 1  # or the test shows nothing
  expected = np.arange(EPOCHS) > last[:, None]
  np.testing.assert_array_equal(stopped[1]['stopped'], expected)
  steps = toy.generation().steps
  np.testing.assert_array_equal(stopped[0].step, (last + 1) * steps)


def test_epochs_before_the_stop_are_the_same(free, stopped):
  ran = stopped[1]['stopped'] == 0
  for name, values in free[1].items():
    np.testing.assert_allclose(
      stopped[1][name][ran], values[ran], rtol=1e-5, atol=1e-6, err_msg=name
    )


def test_the_best_epoch_is_one_before_the_stop(free, stopped):
  last = last_epochs(free[1]['val/total'])
  expected = [
    np.argmax(scores[: end + 1])
    for scores, end in zip(free[1]['val/total'], last)
  ]
  np.testing.assert_array_equal(stopped[0].best.epoch, expected)


@pytest.mark.parametrize('settings', [{'epochs_per_call': 3}, {'chunk': 0}])
def test_segments_and_vectors_stop_alike(stopped, settings):
  state, logs = run(stopping, **settings)
  np.testing.assert_array_equal(logs['stopped'], stopped[1]['stopped'])
  toy.assert_close(state.params, stopped[0].params, 2e-3)
