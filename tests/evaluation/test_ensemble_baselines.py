"""Temperature scaling and MC dropout of ensembles, against direct NumPy."""

import numpy as np
import pytest
import synthetic_run
from scipy.special import expit, softmax

from emojax.evaluation import baselines, evaluate
from emojax.evaluation.frames import labelled
from emojax.uncertainty import temperature


@pytest.fixture(scope='module')
def run():
  return synthetic_run.Run(clips=30, length=2)


@pytest.fixture(scope='module')
def prediction(run):
  return run.predictions(members=3, noise=0.4, scale=2.0, passes=4)


@pytest.fixture(scope='module')
def teachers(run, prediction):
  results, _ = evaluate(run.schema, [prediction], run.dataset)
  return results['generations']['Tea']


def frames_of(run, name):
  task = next(t for t in run.schema if t.name == name)
  return task, labelled(task, run.dataset.test)


def flat(array):
  return array.reshape(*array.shape[:-3], -1, array.shape[-1])


def test_held_out_ensemble_is_the_mean_of_scaled_members(
  run, prediction, teachers
):
  task, frames = frames_of(run, 'expr')
  fitted = labelled(task, run.dataset.val)
  probs = []
  for m in range(3):
    val = flat(prediction.logits['val']['expr'])[m, fitted.index]
    t = temperature.fit(task, val, fitted.target)
    test = flat(prediction.logits['test']['expr'])[m, frames.index]
    probs.append(softmax(test / t, axis=-1))
  true = frames.target.value.argmax(-1)
  mean = np.mean(probs, 0)[np.arange(len(true)), true]
  found = teachers['ts']['val']
  expected = -np.log(mean + 1e-8).mean()
  assert found['ensemble']['expr/nll'] == pytest.approx(expected, rel=1e-4)
  # Averaging can only help what is convex.
  assert found['ensemble']['expr/nll'] < found['mean']['expr/nll']


def test_dropout_ensemble_is_the_mean_of_all_passes(run, prediction, teachers):
  _, frames = frames_of(run, 'au')
  passes = flat(prediction.mc['test']['au'])[..., frames.index, :]
  mean = expit(np.float64(passes)).mean((0, 1))
  value, mask = frames.target
  nll = -np.log(np.where(value > 0.5, mean, 1 - mean) + 1e-8) * mask
  expected = (nll.sum(0) / mask.sum(0)).mean()
  found = teachers['mc']
  assert found['ensemble']['au/nll'] == pytest.approx(expected, rel=1e-4)
  assert found['passes'] == 4
  scores = [found['ensemble'][f'{t}/score'] for t in ('au', 'expr', 'va')]
  assert found['ensemble']['total'] == pytest.approx(sum(scores))


def test_cross_validated_ensemble_never_sees_the_half_it_is_scored_on(run):
  """Each half is scored with what was fitted on the other."""
  task, frames = frames_of(run, 'expr')
  rng = np.random.default_rng(0)
  logits = {'expr': rng.normal(size=(2, 30, 2, 7)).astype(np.float32)}
  value = frames.target.value.copy()
  order = np.random.default_rng(5).permutation(len(value))
  halves = np.array_split(order, 2)
  seen = []

  def fit(task, logits, target, partial):
    seen.append(target.value)
    return 1.0

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(temperature, 'fit', fit)
    found = baselines._scaled_ensemble(
      (task,), logits, {'expr': frames}, seed=5
    )
  for rows, half in zip(seen, np.repeat([0, 1], 2), strict=True):
    np.testing.assert_array_equal(rows, value[halves[half]])
  chosen = flat(logits['expr'])[:, frames.index]
  mean = softmax(np.float64(chosen), axis=-1).mean(0)
  true = value.argmax(-1)
  nll = -np.log(mean[np.arange(len(true)), true] + 1e-8)
  expected = np.mean([nll[half].mean() for half in halves])
  assert found['expr/nll'] == pytest.approx(expected, rel=1e-6)


def test_without_temperatures(run, prediction):
  results, _ = evaluate(
    run.schema, [prediction], run.dataset, temperature=False
  )
  found = results['generations']['Tea']
  assert found['ts'] is None
  assert found['notes'] == []
  assert found['mc'] is not None
