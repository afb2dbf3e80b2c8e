"""Temperature scaling and its test-time cross-validation (paper 000, 5.2).

Logits are divided by a temperature T > 0, one per action unit, one for the
expressions, and one each for valence and arousal, fitted to minimise the
negative log-likelihood of labelled frames. This runs on the host, on NumPy
arrays. For probabilities without logits (an ensemble's mean, say) pass log p,
or log(p / (1 - p)) for binary tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.special

from emojax import tasks, uncertainty
from emojax.metrics import calibration

if TYPE_CHECKING:  # which asks for JAX
  from emojax.losses.types import Array

# Separable labels would be fitted best by T -> 0, random ones by infinity.
BOUNDS = (1e-3, 1e3)
# Beyond these, few labels or an untrained network were fitted, and no certainty.
MEANINGFUL = (0.1, 10.0)


def _softmax_nll(beta, logits, labels):
  scaled = beta * logits
  log_total = scipy.special.logsumexp(scaled, axis=-1)
  return np.mean(log_total - np.sum(labels * scaled, axis=-1))


def _sigmoid_nll(beta, logits, labels):
  scaled = beta * logits
  return np.mean(np.logaddexp(0, scaled) - labels * scaled)


def minimise(nll: Callable[[float], float]) -> float:
  """T within `BOUNDS` at the minimum of an NLL over 1 / T.

  That of one network is convex in 1 / T: one minimum, which a bounded search finds. That
  of a mean of networks need not be; the search then ends in one of its minima.

  Args:
    nll: Of logits times a factor, as a function of the factor.
  """
  import scipy.optimize  # slow to import: not for `emojax.load`

  result = scipy.optimize.minimize_scalar(
    lambda log_t: nll(np.exp(-log_t)),
    bounds=np.log(BOUNDS),
    method='bounded',
    options={'xatol': 1e-5},
  )
  return float(np.exp(result.x))


def _check_rows(name, logits, labels):
  logits, labels = (np.asarray(x, np.float64) for x in (logits, labels))
  if logits.shape != labels.shape or not len(logits):
    raise ValueError(
      f'{name}: shapes {logits.shape} and {labels.shape} must be equal, with '
      'at least one labelled frame'
    )
  if not np.isfinite(logits).all():
    raise ValueError(f'{name}: logits must be finite; the model has diverged')
  if not np.isfinite(labels).all():
    raise ValueError(f'{name}: labels that count must be finite')
  return logits, labels


def fit_binary(logits: np.ndarray, labels: np.ndarray) -> float:
  """Fits the temperature of one binary label.

  Labels that are separable, constant or contradict the logits have no best
  temperature: the search ends at one of `BOUNDS`, or where the NLL is 0 up to
  rounding. Logits of 0 fit with any.

  Args:
    logits: [n], finite.
    labels: Hard or soft, [n].

  Returns:
    T within `BOUNDS`.

  Raises:
    ValueError: without labelled frames or with values that are not finite.
  """
  logits, labels = _check_rows('fit_binary', logits, labels)
  return minimise(lambda beta: _sigmoid_nll(beta, logits, labels))


def fit_categorical(logits: np.ndarray, labels: np.ndarray) -> float:
  """Fits the temperature of a softmax over classes.

  Args:
    logits: [n, C], finite.
    labels: One-hot or soft distributions [n, C].

  Returns:
    T within `BOUNDS`; errors as `fit_binary`.
  """
  logits, labels = _check_rows('fit_categorical', logits, labels)
  return minimise(lambda beta: _softmax_nll(beta, logits, labels))


def fit(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  bin_values: np.ndarray | None = None,
  partial: bool = False,
) -> np.ndarray:
  """Fits all temperatures of a task.

  Args:
    task: The task.
    logits: [..., num_outputs]; masked frames may hold anything.
    target: Hard or soft labels of the same leading shape.
    bin_values: [K], needed by binned tasks: the true class is the bin
      that holds the label (`calibration.bin_index`).
    partial: Leave out labels without a labelled frame: their temperature is 1,
      which changes nothing. The caller has to say so (see `unlabelled`).

  Returns:
    float64: 'binary' [A], 'categorical' [], 'binned' [D].

  Raises:
    ValueError: if a label of the task has no labelled frame; with `partial`, if
      none of them has; if a value that counts is not finite.
  """
  logits = np.asarray(tasks.split_logits(task, logits))
  value, keep = np.asarray(target.value), np.asarray(target.mask) > 0
  if task.kind == 'categorical':
    return np.asarray(fit_categorical(logits[keep], value[keep]))
  if task.kind == 'binned':
    value = _bin_labels(task, value, keep, bin_values)
  one = fit_binary if task.kind == 'binary' else fit_categorical
  if missing := unlabelled(task, target.mask):
    if not partial or len(missing) == len(task.labels):
      names = ', '.join(missing)
      raise ValueError(f'task {task.name!r}: {names} has no labelled frame')
  temperatures = []
  for i in range(len(task.labels)):
    rows = keep[..., i]
    if not rows.any():
      temperatures.append(1.0)
      continue
    # Labels are axis -1 of binary and axis -2 of binned tasks.
    axis = keep.ndim - 1
    x, y = (np.take(v, i, axis=axis)[rows] for v in (logits, value))
    temperatures.append(one(x, y))
  return np.array(temperatures)


def unlabelled(task: tasks.Task, mask: np.ndarray) -> tuple[str, ...]:
  """Names of the labels that no frame has, for notes.

  Args:
    task: The task.
    mask: The mask of its `Target`. Classes of a categorical task are labelled
      together: all or none.
  """
  mask = np.asarray(mask) > 0
  if task.kind == 'categorical':
    return () if mask.any() else task.labels
  found = mask.any(axis=tuple(range(mask.ndim - 1)))
  return tuple(
    name for name, any_ in zip(task.labels, np.atleast_1d(found)) if not any_
  )


def _bin_labels(task, value, keep, bin_values):
  if bin_values is None:
    raise ValueError(f'task {task.name!r} is binned: pass bin_values')
  index = calibration.bin_index(np.where(keep, value, 0), bin_values)
  return np.eye(task.bins)[index]


def apply(
  task: tasks.Task, logits: Array | np.floating, temperature: Array
) -> Any:
  """Divides logits [..., num_outputs] by the temperatures of `fit`.

  Returns:
    Logits of the same shape, a NumPy or JAX array as given.
  """
  split = tasks.split_logits(task, logits)
  if task.kind == 'binned':
    temperature = temperature[..., None]
  return (split / temperature).reshape(logits.shape)


def _nll(task, logits, target: tasks.Target, bin_values) -> np.ndarray:
  probs = uncertainty.probabilities(task, np.float64(logits))
  if task.kind == 'binary':
    return calibration.binary_nll(probs, *target)
  if task.kind == 'categorical':
    return np.asarray(calibration.categorical_nll(probs, *target))
  return calibration.binned_nll(probs, *target, bin_values)


class CrossValidation(NamedTuple):
  """Temperature scaling evaluated on frames that it was not fitted on.

  Attributes:
    nll: NLL after scaling; 'binary' [A], 'categorical' [], 'binned' [D]. NaN
      for labels that no frame has, which are left out.
    uncalibrated_nll: NLL of the same frames before scaling.
    temperatures: [directions, ...], one set per fit.
  """

  nll: np.ndarray
  uncalibrated_nll: np.ndarray
  temperatures: np.ndarray


def cross_validate(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  seed: int,
  bin_values: np.ndarray | None = None,
  directions: int = 1,
) -> CrossValidation:
  """Test-time cross-validation: fit on one half, evaluate on the other.

  The labelled frames of one model are split at random into two halves,
  regardless of the clips they come from.

  Args:
    task: The task.
    logits: [..., num_outputs].
    target: Labels of the same leading shape.
    seed: Seed of the split.
    bin_values: [K], needed by binned tasks.
    directions: 1 is the published protocol: one fit, one evaluation. 2 also
      exchanges the halves: the mean of both NLLs, each of a half's labels.

  Returns:
    Scaled and unscaled NLL and the temperatures.

  Raises:
    ValueError: if `directions` is neither 1 nor 2, or a half lacks labels that
      the other one has.
  """
  if directions not in (1, 2):
    raise ValueError(f'directions {directions}: expected 1 or 2')
  logits, value, mask = _labelled_frames(task, logits, target)
  order = np.random.default_rng(seed).permutation(len(logits))
  halves = np.array_split(order, 2)
  missing = {unlabelled(task, mask[half]) for half in halves}
  if missing != {unlabelled(task, mask)}:
    names = ', '.join(max(missing, key=len))
    raise ValueError(
      f'task {task.name!r}: {names} has no labelled frame in one of two halves'
    )
  results = []
  for fitted, scored in [halves, halves[::-1]][:directions]:
    part = tasks.Target(value[fitted], mask[fitted])
    t = fit(task, logits[fitted], part, bin_values, partial=True)
    part, x = tasks.Target(value[scored], mask[scored]), logits[scored]
    scaled = _nll(task, apply(task, x, t), part, bin_values)
    results.append((scaled, _nll(task, x, part, bin_values), t))
  nll, uncalibrated, temperatures = map(np.array, zip(*results, strict=True))
  return CrossValidation(nll.mean(0), uncalibrated.mean(0), temperatures)


def _labelled_frames(task, logits, target):
  """Flattens to [n, ...] and keeps the frames with any label."""
  width = len(task.labels)
  logits = np.asarray(logits).reshape(-1, task.num_outputs)
  value = np.asarray(target.value).reshape(-1, width)
  mask = np.asarray(target.mask)
  if task.kind == 'categorical':
    mask = mask.reshape(-1)
    keep = mask > 0
  else:
    mask = mask.reshape(-1, width)
    keep = (mask > 0).any(axis=-1)
  if keep.sum() < 2:
    raise ValueError(
      f'task {task.name!r}: {keep.sum()} labelled frames cannot be split into '
      'two halves'
    )
  return logits[keep], value[keep], mask[keep]
