"""Data balancing: indices and sampling weights that even out label counts.

Papers 001 (section III-A, figure 2) and 002 merge data sets, thin out the
large one and resample the rest. Everything here is NumPy on the host: functions
take label arrays and return indices or weights, never copies of images.

An item whose label is missing (`mask` 0) has weight 0 and is never drawn.
"""

from collections.abc import Mapping

import numpy as np

from emojax import tasks

LIMITS = ('unit', 'data')


def imbalance_ratio(labels: np.ndarray) -> np.ndarray:
  """IRLbl: positives of the most frequent label over those of each label.

  Args:
    labels: Binary, [N, A]; missing entries as 0.

  Returns:
    float64 [A], at least 1; infinite for a label without positives.
  """
  positives = np.sum(labels > 0.5, axis=0).astype(np.float64)
  with np.errstate(divide='ignore', invalid='ignore'):
    return np.where(positives > 0, positives.max() / positives, np.inf)


def mean_imbalance_ratio(labels: np.ndarray) -> float:
  """MeanIR: mean of `imbalance_ratio` over the labels that have positives.

  Raises:
    ValueError: If no label has a positive.
  """
  ratio = imbalance_ratio(labels)
  if not np.isfinite(ratio).any():
    raise ValueError('no label has a positive: there is nothing to balance')
  return float(ratio[np.isfinite(ratio)].mean())


def ml_ros(
  labels: np.ndarray, percent: float = 25.0, seed: int = 0
) -> np.ndarray:
  """ML-ROS, multi-label random oversampling.

  The minority labels are those whose imbalance ratio is above the mean of the
  original data. In turn, each of them clones one random item that has it, and
  leaves once its ratio (clones counted) is not above that mean, until the data
  set has grown by `percent` or no label is left. Charte et al.,
  "Addressing imbalance in multilabel classification", Neurocomputing 163, 2015,
  Algorithm 3, except that the last round stops at the budget instead of
  running over it.

  Args:
    labels: Binary, [N, A]; missing entries as 0.
    percent: Largest growth in percent of N.
    seed: Seed of the draws.

  Returns:
    int64 [N + clones]: 0..N-1, then the clones.
  """
  labels = labels > 0.5
  rng = np.random.default_rng(seed)
  limit = mean_imbalance_ratio(labels)
  ratio = imbalance_ratio(labels)
  minority = [a for a in range(labels.shape[1]) if limit < ratio[a] < np.inf]
  bags = {a: np.flatnonzero(labels[:, a]) for a in minority}
  counts = labels.sum(axis=0)
  budget = int(len(labels) * percent / 100)
  clones = []
  while minority and len(clones) < budget:
    for a in tuple(minority):
      if len(clones) == budget:
        break
      clones.append(rng.choice(bags[a]))
      counts = counts + labels[clones[-1]]
      if counts.max() <= limit * counts[a]:
        minority.remove(a)
  return np.concatenate([np.arange(len(labels)), clones]).astype(np.int64)


def ml_ros_published(
  labels: np.ndarray,
  seed: int = 0,
  threshold: float = 2.0,
  percent: float = 50.0,
  draw: int = 32,
) -> np.ndarray:
  """Sampling weights of the ML-ROS variant in the published code of paper 001.

  It differs from `ml_ros` in four ways: a fixed threshold takes the place of
  MeanIR, labels are treated one after the other in groups of `draw` clones,
  clones can be cloned again, and an item is weighted by its number of clones
  (so that one clone changes nothing) instead of by one more.

  Args:
    labels: Binary, [N, A]; missing entries as 0.
    seed: Seed of the draws.
    threshold: Imbalance ratio above which a label is a minority.
    percent: Clones at which everything stops, in percent of N.
    draw: Clones per draw.

  Returns:
    float64 [N], relative: 1 for an item without clones.
  """
  labels = labels > 0.5
  rng = np.random.default_rng(seed)
  ratio = imbalance_ratio(labels)
  counts = labels.sum(axis=0)
  clones = np.zeros(len(labels), np.int64)
  budget = len(labels) * percent / 100
  for a in np.flatnonzero((ratio > threshold) & np.isfinite(ratio)):
    bag = np.flatnonzero(labels[:, a])
    while clones.sum() < budget:
      picked = rng.choice(bag, draw)
      bag = np.concatenate([bag, picked])
      np.add.at(clones, picked, 1)
      counts = counts + labels[picked].sum(axis=0)
      if counts.max() <= threshold * counts[a]:
        break
  return np.maximum(clones, 1).astype(np.float64)


def class_weights(
  classes: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
  """Inverse class frequency, 1 / count of the item's class (papers 001, 002).

  Args:
    classes: Class numbers, integer [N].
    mask: [N], 0 where the label is missing.

  Returns:
    float64 [N]; every class that occurs has the same sum, 1.
  """
  valid = _valid(mask, len(classes))
  # Missing items may hold any number: give them a bin of their own.
  number = np.where(valid, classes, -1).astype(np.int64) + 1
  counts = np.bincount(number)
  return np.where(valid, 1.0 / counts[number], 0.0)


def va_weights(
  values: np.ndarray,
  bins: int = tasks.NUM_BINS,
  limits: str = 'unit',
  mask: np.ndarray | None = None,
) -> np.ndarray:
  """Inverse frequency of the item's cell of a valence-arousal histogram.

  Args:
    values: Valence and arousal in [-1, 1], [N, 2].
    bins: Bins per axis.
    limits: 'unit': equal bins over [-1, 1] (the texts of papers 001 and 002);
      'data': over the range of the data, as their code has it.
    mask: [N] or [N, 2], 0 where a label is missing.

  Returns:
    float64 [N]; every cell that is not empty has the same sum, 1.
  """
  if limits not in LIMITS:
    raise ValueError(f'limits {limits!r}: expected one of {", ".join(LIMITS)}')
  if mask is not None and np.ndim(mask) == 2:
    mask = np.min(mask, axis=1)
  valid = _valid(mask, len(values))
  if not valid.any():
    return np.zeros(len(values))
  used = values[valid]
  low = np.full(2, -1.0) if limits == 'unit' else used.min(axis=0)
  high = np.full(2, 1.0) if limits == 'unit' else used.max(axis=0)
  cell = np.zeros(len(values), np.int64)
  for axis in range(2):
    edges = np.linspace(low[axis], high[axis], bins + 1)
    number = np.digitize(values[:, axis], edges) - 1
    cell = cell * bins + np.clip(number, 0, bins - 1)
  return class_weights(cell, valid)


def expr_va_weights(
  classes: np.ndarray,
  values: np.ndarray,
  bins: int = tasks.NUM_BINS,
  limits: str = 'unit',
  mask: np.ndarray | None = None,
) -> np.ndarray:
  """Weights of the EXPR_VA subset: class and cell weights added (paper 002).

  Args:
    classes: Class numbers, integer [N].
    values: Valence and arousal in [-1, 1], [N, 2].
    bins: Bins per axis.
    limits: As in `va_weights`.
    mask: [N], 0 where one of the labels is missing.

  Returns:
    float64 [N], with a largest weight of 1.
  """
  valid = _valid(mask, len(classes))
  weights = class_weights(classes, valid)
  weights = weights + va_weights(values, bins, limits, valid)
  return weights / weights.max() if valid.any() else weights


def resample(weights: np.ndarray, size: int, seed: int = 0) -> np.ndarray:
  """Draws `size` indices with replacement in proportion to `weights`, int64.

  Draw anew every epoch: one draw leaves out about a third of the items even
  when all weights are equal.
  """
  total = np.sum(weights)
  if not np.isfinite(total) or total <= 0 or np.min(weights) < 0:
    raise ValueError(
      'sampling weights must be finite, not negative and not all zero: '
      f'got a sum of {total} and a minimum of {np.min(weights)}'
    )
  rng = np.random.default_rng(seed)
  return rng.choice(len(weights), size, p=weights / total).astype(np.int64)


def every(size: int, k: int, first: int = 0) -> np.ndarray:
  """Indices of every k-th item from `first`, int64 (paper 001 takes k = 5)."""
  if k < 1:
    raise ValueError(f'k must be at least 1, got {k}')
  return np.arange(first, size, k, dtype=np.int64)


def keep_one_in(classes: np.ndarray, factors: Mapping[int, int]) -> np.ndarray:
  """Thins classes out one after the other, keeping every k-th *position*.

  Each class in turn loses the items whose position among those still there is
  no multiple of k, so about one in k of them stays. Paper 001 makes Aff-Wild2
  as large as ExpW with `{neutral: 10, happiness: 2, sadness: 2}`.

  Args:
    classes: Class numbers, integer [N].
    factors: Class number to k, in the order of thinning.

  Returns:
    int64, increasing.
  """
  kept = np.arange(len(classes), dtype=np.int64)
  for number, k in factors.items():
    if k < 1:
      raise ValueError(f'class {number}: k must be at least 1, got {k}')
    position = np.arange(len(kept))
    kept = kept[(classes[kept] != number) | (position % k == 0)]
  return kept


def _valid(mask: np.ndarray | None, size: int) -> np.ndarray:
  if mask is None:
    return np.ones(size, bool)
  return np.asarray(mask) > 0
