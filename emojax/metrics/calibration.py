"""Likelihood and calibration of predicted probabilities, on the host.

Probabilities and labels are NumPy arrays without a sample axis. Paper 000
reports the mean of these numbers over single models; apply them to a mean over
samples to score an ensemble instead. What has no label at all gives NaN, and
is left out of means and of the dictionary of `calibration_metrics`. Masked
entries may hold anything; NaN predictions of labelled frames give NaN, and an
error from whatever sorts or bins them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks

# Added to probabilities inside logarithms by paper 000's code.
EPSILON = 1e-8


def _mean(values, mask, axis=None):
  """Masked mean over the given axes; NaN where everything is masked."""
  mask = np.asarray(mask, np.float64)
  total = np.sum(np.where(mask > 0, values, 0) * mask, axis=axis)
  count = np.sum(mask, axis=axis)
  return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)


def _known(values, mask):
  """float64 values, 0 where they are masked: junk there may be infinite."""
  values, mask = np.float64(values), np.asarray(mask) > 0
  extra = (1,) * (values.ndim - mask.ndim)
  return np.where(mask.reshape(mask.shape + extra), values, 0)


def _leading(array) -> tuple[int, ...]:
  return tuple(range(np.ndim(array) - 1))


def _cross_entropy(labels, probs):
  return -np.sum(labels * np.log(probs + EPSILON), axis=-1)


def binary_nll(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray
) -> np.ndarray:
  """Negative log-likelihood of each binary label (paper 000, Table 3).

  Args:
    probs: [..., A].
    labels: Hard or soft labels [..., A].
    mask: [..., A].

  Returns:
    float64 [A], the mean over the labelled frames; NaN for a label without any.

  Examples:
    >>> probs = np.array([[0.9, 0.5], [0.9, 0.5]])
    >>> labels = np.array([[1, 1], [0, 1]])
    >>> mask = np.array([[1, 0], [1, 0]])  # nobody labelled the second one
    >>> [round(float(x), 3) for x in binary_nll(probs, labels, mask)]
    [1.204, nan]
  """
  p, y = _known(probs, mask), _known(labels, mask)
  values = _cross_entropy(np.stack([1 - y, y], -1), np.stack([1 - p, p], -1))
  return _mean(values, mask, _leading(mask))


def categorical_nll(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray
) -> float:
  """Negative log-likelihood of a categorical label (paper 000, Table 4).

  Args:
    probs: [..., E].
    labels: One-hot or soft labels [..., E].
    mask: [...].

  Returns:
    The mean over the labelled frames, NaN without any.
  """
  values = _cross_entropy(_known(labels, mask), _known(probs, mask))
  return float(_mean(values, mask))


def bernoulli_nll(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray
) -> float:
  """Sum over the classes of Bernoulli negative log-likelihoods.

  Not the categorical likelihood: the wrong classes are charged, too. The
  keras-uncertainty library computes this for one-hot labels, so that numbers
  of paper 004 may be on this scale. Arguments as `categorical_nll`.
  """
  p = np.clip(_known(probs, mask), 1e-7, 1 - 1e-7)
  y = _known(labels, mask)
  values = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p), axis=-1)
  return float(_mean(values, mask))


def bin_index(
  values: np.ndarray, bin_values: np.ndarray, rule: str = 'equal'
) -> np.ndarray:
  """Numbers of the bins that hold scalar values.

  Compared as float32, like the losses do: 0.7 is on the same side of an edge at
  0.7 whatever type it has been stored as.

  Args:
    values: [...].
    bin_values: Ascending [K].
    rule: 'equal' bins of [-1, 1], those that papers 001 and 002 train on
      (`losses.incomplete.one_hot_bins`): whatever the bins' values are, a
      likelihood is that of the bins that were trained. 'nearest' bin value, which
      for bin centres is the same; 'up' is the next bin value that is not smaller,
      as the published code of paper 000 has it.

  Returns:
    int [...], 0 to K - 1.
  """
  values, bins = np.asarray(values, np.float32), len(bin_values)
  if rule == 'equal':
    edges = np.linspace(-1, 1, bins + 1, dtype=np.float32)
    return np.searchsorted(edges[1:-1], values, side='right')
  if rule == 'nearest':
    edges = np.float32((np.float64(bin_values[1:]) + bin_values[:-1]) / 2)
    return np.searchsorted(edges, values, side='right')
  if rule == 'up':
    edges = np.float32(bin_values)
    return np.minimum(np.searchsorted(edges, values, side='left'), bins - 1)
  raise ValueError(
    f"bin_index: rule {rule!r}, expected 'equal', 'nearest' or 'up'"
  )


def binned_nll(
  probs: np.ndarray,
  values: np.ndarray,
  mask: np.ndarray,
  bin_values: np.ndarray,
  rule: str = 'equal',
) -> np.ndarray:
  """Negative log-likelihood of the bins that hold the true values.

  Args:
    probs: [..., D, K].
    values: Scalars [..., D].
    mask: [..., D].
    bin_values: [K].
    rule: See `bin_index`.

  Returns:
    float64 [D], NaN for a dimension without labels.
  """
  index = bin_index(_known(values, mask), bin_values, rule)
  p = np.take_along_axis(_known(probs, mask), index[..., None], -1)[..., 0]
  return _mean(-np.log(p + EPSILON), mask, _leading(mask))


def rmse(
  predicted: np.ndarray, actual: np.ndarray, mask: np.ndarray
) -> np.ndarray:
  """Root mean square error of each of D scalars [..., D].

  Returns:
    float64 [D], NaN for a dimension without labels.
  """
  error = _known(predicted, mask) - _known(actual, mask)
  return np.sqrt(_mean(error**2, mask, _leading(mask)))


def brier_binary(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray
) -> float:
  """Mean of (p - y)^2 over all labelled entries [..., A]; NaN without any."""
  squares = (_known(probs, mask) - _known(labels, mask)) ** 2
  return float(_mean(squares, mask))


def brier_categorical(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray
) -> float:
  """Mean of sum_c (p_c - y_c)^2 over the labelled frames, in [0, 2].

  NaN without labelled frames.
  """
  squares = (_known(probs, mask) - _known(labels, mask)) ** 2
  return float(_mean(np.sum(squares, axis=-1), mask))


class Reliability(NamedTuple):
  """Reliability curve; arrays [bins], NaN in empty bins.

  Attributes:
    edges: Edges of the bins, [bins + 1].
    confidence: Mean confidence of each bin.
    accuracy: Frequency of the event, or accuracy, of each bin.
    count: Number of entries.
  """

  edges: np.ndarray
  confidence: np.ndarray
  accuracy: np.ndarray
  count: np.ndarray

  def error(self, weighted: bool = True) -> float:
    """Calibration error: mean |accuracy - confidence| over the bins.

    Args:
      weighted: True weighs bins by their counts, the expected calibration
        error (ECE). False takes the plain mean over non-empty bins, the
        default of keras-uncertainty (paper 004).

    Returns:
      In [0, 1]; NaN without entries.
    """
    gap = np.abs(self.accuracy - self.confidence)
    weights = self.count if weighted else self.count > 0
    return float(_mean(gap, weights))


def confidence_bins(confidence: np.ndarray, bins: int = 10) -> np.ndarray:
  """Numbers of equal bins over [0, 1] that confidences fall into.

  A bin holds its lower edge, the last one 1 too. Compared as float32, so that a
  confidence of 0.7 is in one bin as float32 and as float64.

  Args:
    confidence: [...] in [0, 1].
    bins: Number of bins.

  Returns:
    int [...], 0 to bins - 1.

  Raises:
    ValueError: if a confidence is NaN or outside [0, 1].
  """
  confidence = np.asarray(confidence)
  if not np.all((confidence >= 0) & (confidence <= 1 + 1e-6)):
    raise ValueError('confidences must be within [0, 1]; are these logits?')
  edges = np.float32(np.arange(1, bins) / bins)
  confidence = np.asarray(confidence, np.float32)
  return np.searchsorted(edges, confidence, side='right')


def reliability_curve(
  confidence: np.ndarray, correct: np.ndarray, bins: int = 10
) -> Reliability:
  """Bins confidences [n] against outcomes [n] (see `confidence_bins`).

  Args:
    confidence: In [0, 1]; 1 falls into the last bin.
    correct: 0 or 1 (or frequencies).
    bins: Number of bins.

  Raises:
    ValueError: if a confidence is NaN or outside [0, 1], or an outcome is not
      finite.
  """
  index = confidence_bins(confidence, bins)
  confidence = np.asarray(confidence, np.float64)
  correct = np.asarray(correct, np.float64)
  if not np.isfinite(correct).all():
    raise ValueError('outcomes must be finite: NaN is neither right nor wrong')
  count = np.bincount(index, minlength=bins)
  sums = [np.bincount(index, v, minlength=bins) for v in (confidence, correct)]
  mean_confidence, accuracy = (
    np.where(count > 0, s / np.maximum(count, 1), np.nan) for s in sums
  )
  edges = np.linspace(0, 1, bins + 1)
  return Reliability(edges, mean_confidence, accuracy, count)


def binary_reliability(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray, bins: int = 10
) -> Reliability:
  """Predicted probability against frequency of the positive label.

  All labels [..., A] are pooled, as in the published code of paper 000.
  """
  keep = np.asarray(mask) > 0
  return reliability_curve(
    np.asarray(probs)[keep], np.asarray(labels)[keep], bins
  )


def categorical_reliability(
  probs: np.ndarray, labels: np.ndarray, mask: np.ndarray, bins: int = 10
) -> Reliability:
  """Largest probability [..., E] against the accuracy of its class.

  Of equal probabilities, and of equal shares of a soft label, the first class
  counts.
  """
  keep = np.asarray(mask) > 0
  probs, labels = np.asarray(probs)[keep], np.asarray(labels)[keep]
  correct = probs.argmax(-1) == labels.argmax(-1)
  return reliability_curve(probs.max(-1), correct, bins)


def _binary_metrics(task, probs, target: tasks.Target, bins, weighted):
  nll = binary_nll(probs, *target)
  metrics = {f'nll/{name}': x for name, x in zip(task.labels, nll)}
  if not np.isnan(nll).all():
    metrics['nll'] = np.nanmean(nll)
  metrics['ece'] = binary_reliability(probs, *target, bins).error(weighted)
  return metrics | {'brier': brier_binary(probs, *target)}


def _categorical_metrics(probs, target: tasks.Target, bins, weighted):
  curve = categorical_reliability(probs, *target, bins)
  metrics = {'nll': categorical_nll(probs, *target)}
  metrics |= {'ece': curve.error(weighted)}
  return metrics | {'brier': brier_categorical(probs, *target)}


def _binned_metrics(task, probs, target: tasks.Target, bin_values):
  if bin_values is None:
    raise ValueError(f'task {task.name!r} is binned: pass bin_values')
  expected = _known(probs, target.mask) @ np.float64(bin_values)
  error = rmse(expected, *target)
  nll = binned_nll(probs, *target, bin_values)
  metrics = {f'rmse/{name}': x for name, x in zip(task.labels, error)}
  return metrics | {f'nll/{name}': x for name, x in zip(task.labels, nll)}


def calibration_metrics(
  probs: Mapping[str, Any],
  targets: tasks.Targets,
  schema: tasks.Schema,
  bin_values: np.ndarray | None = None,
  frame_mask: np.ndarray | None = None,
  bins: int = 10,
  weighted: bool = True,
) -> dict[str, float]:
  """Likelihood, calibration error and squared errors as a flat dictionary.

  Args:
    probs: Task name -> probabilities [..., A], [..., E] or [..., D, K].
    targets: Task name -> `Target`.
    schema: The tasks.
    bin_values: [K], needed by binned tasks.
    frame_mask: [...], 0 for padding, or None.
    bins: Number of bins of the calibration error.
    weighted: See `Reliability.error`.

  Returns:
    `au/nll`, `au/nll/<label>`, `au/ece`, `au/brier`, `expr/nll`, `expr/ece`,
    `expr/brier`, `va/rmse/<label>`, `va/nll/<label>`, for the tasks of the
    schema; without entries for which there are no labels. `au/nll` is the mean
    over the units that have labels.

  Raises:
    ValueError: if a prediction of a labelled frame is not finite.
  """
  from emojax import losses  # asks JAX: not for models on ONNX Runtime

  metrics = {}
  for task in schema:
    target = losses.with_frame_mask(task, targets[task.name], frame_mask)
    p = np.asarray(probs[task.name])
    if not np.isfinite(_known(p, target.mask)).all():
      raise ValueError(
        f'task {task.name!r}: NaN among the predictions; the model has diverged'
      )
    if task.kind == 'binary':
      values = _binary_metrics(task, p, target, bins, weighted)
    elif task.kind == 'categorical':
      values = _categorical_metrics(p, target, bins, weighted)
    else:
      values = _binned_metrics(task, p, target, bin_values)
    metrics |= {f'{task.name}/{k}': float(v) for k, v in values.items()}
  return {name: v for name, v in metrics.items() if not np.isnan(v)}
