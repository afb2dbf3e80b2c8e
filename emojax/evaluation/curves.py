"""Curves for the report, thinned to what a figure can show."""

from typing import Any

import numpy as np

from emojax import tasks
from emojax.evaluation import scores
from emojax.metrics import calibration, ood, prediction_sets
from emojax.metrics import selective as rejecting

REJECTED = np.linspace(0, 0.95, 96)
ROC_POINTS = 201
LEVELS = np.linspace(0.1, 0.95, 18)  # of prediction sets
DENSITY_BINS = 40
RISK = 0.05  # at which coverage is reported
MEASURES = {
  'binary': 'error rate',
  'categorical': 'error rate',
  'binned': 'RMSE',
}


def _list(values) -> list[float | None]:
  values = (scores.finite(value) for value in np.ravel(values))
  return [None if value is None else round(value, 6) for value in values]


def reliability(
  task: tasks.Task, probs: np.ndarray, target: tasks.Target, bin_values
) -> dict[str, list]:
  """Reliability curve of one or more models, pooled.

  Of binned tasks the sets of the most probable bins are compared with how often
  they hold the label's (`prediction_sets.set_coverage`).

  Args:
    task: The task.
    probs: [S, F, ...]; the S samples are separate models here.
    target: Labels of the F frames.
    bin_values: [K], needed by binned tasks.

  Returns:
    `confidence`, `accuracy` (None in empty bins) and `count` by bin; of binned
    tasks `mass`, `covered` and `size` by level.
  """
  value, mask = target
  if task.kind == 'binned':
    return _coverage(probs, value, mask, bin_values)
  value, mask = (
    np.broadcast_to(x, (len(probs), *x.shape)) for x in (value, mask)
  )
  binary = task.kind == 'binary'
  curve = (
    calibration.binary_reliability
    if binary
    else calibration.categorical_reliability
  )(probs, value, mask)
  return {
    'confidence': _list(curve.confidence),
    'accuracy': _list(curve.accuracy),
    'count': [int(count) for count in curve.count],
  }


def _coverage(probs, value, mask, bin_values) -> dict[str, list]:
  """Sets of bins of several models, pooled; probs [S, F, labels, K]."""
  index = calibration.bin_index(value, bin_values)
  kept = np.asarray(mask) > 0
  labels = np.tile(index[kept], len(probs))
  found = prediction_sets.set_coverage(
    np.concatenate([one[kept] for one in probs]), labels, LEVELS
  )
  return {name: _list(values) for name, values in found._asdict().items()}


def frame_scores(
  task: tasks.Task, probs: np.ndarray, target: tasks.Target, bin_values
) -> np.ndarray:
  """Accuracy of every frame [F], or minus the squared error of binned tasks.

  NaN predictions that count give NaN: they are no answer, right or wrong.
  """
  if task.kind == 'categorical':
    right = np.float64(probs.argmax(-1) == target.value.argmax(-1))
    return np.where(np.isnan(probs).any(-1), np.nan, right)
  if task.kind == 'binary':
    values = np.float64((probs > 0.5) == (target.value > 0.5))
    values = np.where(np.isnan(probs), np.nan, values)
  else:
    values = -((probs @ np.float64(bin_values) - target.value) ** 2)
  values = np.where(target.mask > 0, values * target.mask, 0)
  return values.sum(-1) / target.mask.sum(-1)


def rejection(
  task: tasks.Task, quality: np.ndarray, uncertainty: np.ndarray
) -> dict[str, Any]:
  """Error of the frames that are kept, by the fraction rejected.

  Args:
    task: The task.
    quality: `frame_scores` [F].
    uncertainty: [F]; the most uncertain frames are rejected first.

  Returns:
    `rejected`, `value` and the name of the `measure`.
  """
  curve = rejecting.rejection_curve(quality, uncertainty)
  kept = np.array([curve.at(fraction) for fraction in REJECTED])
  value = np.sqrt(-kept) if task.kind == 'binned' else 1 - kept
  return {
    'rejected': _list(REJECTED),
    'value': _list(value),
    'measure': MEASURES[task.kind],
  }


def selective(
  task: tasks.Task, quality: np.ndarray, uncertainty: np.ndarray
) -> scores.Metrics:
  """Numbers of the risk-coverage curve (`metrics.selective`).

  The loss of a frame is 1 - accuracy, of action units the share of wrong ones; of
  binned tasks the squared error, for which there is no risk of 5 %.

  Args:
    task: The task.
    quality: `frame_scores` [F].
    uncertainty: [F].

  Returns:
    `aurc` and `e_aurc`; `coverage`, the largest one with a risk of `RISK`; and of
    'categorical' tasks `error_auroc`, None without errors.
  """
  loss = -quality if task.kind == 'binned' else 1 - quality
  curve = rejecting.risk_coverage(loss, uncertainty)
  found: scores.Metrics = {'aurc': curve.aurc, 'e_aurc': curve.e_aurc}
  if task.kind != 'binned':
    found['coverage'] = curve.coverage_at(RISK)
  if task.kind == 'categorical':
    found['error_auroc'] = rejecting.error_auroc(loss, uncertainty)
  return found


def mean_rejection(curves: list[dict[str, Any]]) -> dict[str, Any]:
  """Mean of the members' rejection curves."""
  values = np.mean([curve['value'] for curve in curves], axis=0)
  return curves[0] | {'value': _list(values)}


def roc(detection: ood.Detection) -> dict[str, Any]:
  """ROC curve, on a grid of false positive rates if it has many points."""
  fpr, tpr = detection.false_positive_rate, detection.true_positive_rate
  if len(fpr) > ROC_POINTS:
    # Denser near 0, where detectors are used.
    grid = np.linspace(0, 1, ROC_POINTS) ** 2
    # Duplicated rates are vertical steps: take their upper end.
    last = np.append(fpr[1:] > fpr[:-1], True)
    fpr, tpr = grid, np.interp(grid, fpr[last], tpr[last])
    fpr, tpr = np.append(0, fpr), np.append(0, tpr)
  return {'fpr': _list(fpr), 'tpr': _list(tpr), 'auc': detection.auroc}


def density(true: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
  """Joint histogram of true and predicted normalised entropy."""
  edges = np.linspace(0, 1, DENSITY_BINS + 1)
  counts, _, _ = np.histogram2d(
    np.clip(true, 0, 1), np.clip(predicted, 0, 1), bins=(edges, edges)
  )
  return {'edges': _list(edges), 'counts': counts.astype(int).tolist()}
