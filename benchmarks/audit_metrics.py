"""Every metric that labels allow, and what only known posteriors tell.

A task's labels are *heads*: an action unit of two classes, the expressions, valence
or arousal of 20 bins. Metrics of confidences pool the heads of a task, as the
reports' ECE does; the others are means over the heads. A confidence is that of
'present' for an action unit and of the most probable class otherwise.
"""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.audit_methods import Frames
from emojax import tasks
from emojax.evaluation import coverage, coverage_labels
from emojax.metrics import (
  calibration,
  calibration_errors,
  divergence,
  selective,
)
from emojax.uncertainty import conformal_sets
from emojax.uncertainty.conformal_examples import DEFAULTS

COVERAGES = (0.8, 0.9, 0.95)
SIZE = 'size of 90 % sets'


def _mean(metric) -> Callable:
  """Of the heads' distributions: mean over them."""
  return lambda heads, pairs: np.mean([metric(*head) for head in heads])


def _pooled(metric, **options) -> Callable:
  """Of confidences and outcomes of all heads together."""
  return lambda heads, pairs: metric(*pairs, **options)


def _nll(probs, labels) -> float:
  return calibration.categorical_nll(probs, labels, np.ones(len(probs)))


def _brier(probs, labels) -> float:
  return calibration.brier_categorical(probs, labels, np.ones(len(probs)))


def _wrong(probs, labels):
  """Mass of the label that is not of the most probable class, [F]."""
  best = probs.argmax(-1)[:, None]
  return 1 - np.take_along_axis(labels, best, -1)[:, 0]


def _aurc(probs, labels) -> float:
  return selective.risk_coverage(_wrong(probs, labels), -probs.max(-1)).aurc


def _error(probs, labels) -> float:
  return float(_wrong(probs, labels).mean())


def _ace(probs, labels) -> float:
  return calibration_errors.classwise_error(probs, labels, binning='mass')


_ECE = calibration_errors.binned_error
METRICS: dict[str, Callable] = {
  'NLL': _mean(_nll),
  'Brier': _mean(_brier),
  'ECE, equal width': _pooled(_ECE),
  'ECE, equal mass': _pooled(_ECE, binning='mass'),
  'ECE², debiased': _pooled(calibration_errors.debiased_error),
  'MCE': _pooled(_ECE, worst=True),
  'classwise ECE': _mean(calibration_errors.classwise_error),
  'ACE': _mean(_ace),
  'KS': _pooled(calibration_errors.ks_error),
  'MMCE': _pooled(calibration_errors.mmce),
  'SKCE': _mean(calibration_errors.skce),
  'AURC': _mean(_aurc),
  'error rate': _mean(_error),
}


def heads(task: tasks.Task, values: np.ndarray) -> list[np.ndarray]:
  """Probabilities or soft labels [F, ...] by head, [F, C] each."""
  values = np.float64(values)
  if task.kind == 'categorical':
    return [values]
  if task.kind == 'binned':
    return list(np.moveaxis(values, 1, 0))
  return [np.stack([1 - x, x], -1) for x in values.T]


def hard(task: tasks.Task, target: tasks.Target, bin_values) -> np.ndarray:
  """Labels as distributions, of the shape of the posteriors."""
  if task.kind != 'binned':
    return np.asarray(target.value)
  return np.eye(task.bins)[calibration.bin_index(target.value, bin_values)]


def measure(task: tasks.Task, probs, labels) -> dict[str, float]:
  """All `METRICS` of probabilities [F, ...] against labels of the same shape.

  Args:
    task: The task.
    probs: Of one method.
    labels: Hard ones, or the posteriors in their place.
  """
  pairs = list(zip(heads(task, probs), heads(task, labels), strict=True))
  if task.kind == 'binary':
    both = [(p[:, 1], y[:, 1]) for p, y in pairs]
  else:
    both = [(p.max(-1), 1 - _wrong(p, y)) for p, y in pairs]
  pooled = [np.concatenate(part) for part in zip(*both, strict=True)]
  return {
    name: float(metric(pairs, pooled)) for name, metric in METRICS.items()
  }


def distance(task: tasks.Task, probs, frames: Frames) -> float:
  """Mean KL(p* || p) in nats: the expected excess of the NLL."""
  return divergence.excess_nll(task, frames.truth, probs)


def coverages(
  task: tasks.Task, val, test, fit: Frames, frames: Frames, bin_values
) -> Mapping[str, tuple[float, float, float]]:
  """Prediction sets by the task's usual method, calibrated on validation people.

  Args:
    task: The task.
    val: Probabilities of the validation frames, [M, F, ...].
    test: Of the test frames.
    fit: The validation frames.
    frames: The test frames.
    bin_values: [K].

  Returns:
    Asked coverage as text -> (probability under the posteriors that the set holds
    the label, share of the labels that it held, mean size), means over frames,
    then subjects. Of action units the mean over the units, whatever their state.
  """
  method, values = DEFAULTS[task.kind], bin_values
  fitted = conformal_sets.fit(
    task, method, val, fit.target, fit.groups, COVERAGES, values
  )
  labels = hard(task, frames.target, values)
  found = {}
  for asked in COVERAGES:
    made = conformal_sets.sets(task, method, test, fitted, asked, values)
    held = [holds(task, made, p, values) for p in (frames.truth, labels)]
    size = coverage.sizes(task, made)
    found[str(asked)] = tuple(
      coverage_labels.mean(x, frames.groups) for x in (*held, size)
    )
  return found


def holds(task: tasks.Task, made, probs, bin_values) -> np.ndarray:
  """Probability that sets hold a label drawn from `probs` [F, ...], [F]."""
  if task.kind == 'categorical':
    return (made * probs).sum(-1)
  if task.kind == 'binary':
    decided = np.where(made == 1, probs, 1 - probs)
    return np.where(made == -1, 1, decided).mean(-1)
  inside = (made[..., :1] <= bin_values) & (bin_values <= made[..., 1:])
  return (inside * probs).sum(-1).mean(-1)
