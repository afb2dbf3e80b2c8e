"""Statistics of a sample under many weightings at once: the bootstrap.

A bootstrap replicate counts how often every element of a sample was drawn.
`draws` has such counts by row, and every statistic here takes counts [R, n]
and returns [R]: no replicate is ever built, and all are computed together.
Row 0 counts every element once, so that the first result is the statistic of
the sample itself.
"""

import numpy as np

BINS = 10  # of the calibration error, as in metrics.calibration


def draws(seed: int, size: int, replicates: int) -> np.ndarray:
  """Counts of a sample and of its bootstrap replicates.

  Args:
    seed: Same seed and size, same counts.
    size: Elements of the sample, n.
    replicates: Replicates to draw.

  Returns:
    float64 [1 + replicates, n]; rows sum to n, and row 0 is all ones.
  """
  rng = np.random.default_rng(seed)
  drawn = rng.multinomial(size, np.full(size, 1 / size), replicates)
  return np.concatenate([np.ones((1, size)), drawn])


def interval(values: np.ndarray, level: float = 0.95) -> list[float]:
  """Percentile interval of a statistic's replicates.

  Args:
    values: [1 + replicates], a result of the functions below.
    level: Share of the replicates inside.

  Returns:
    [low, high], NaN if there are no replicates.
  """
  if len(values) < 2:
    return [float('nan')] * 2
  outside = 50 * (1 - level)
  return np.percentile(values[1:], [outside, 100 - outside]).tolist()


def mean(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Mean of `values` [n] under each row of counts [R, n]."""
  return counts @ np.float64(values) / counts.sum(1)


def pearson(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Linear correlation of x and y, each [n] or [R, n]; NaN if one is constant."""
  total = counts.sum(1, keepdims=True)
  x, y = (
    v - (counts * v).sum(1, keepdims=True) / total
    for v in (np.float64(x), np.float64(y))
  )
  weighted = counts * x
  norm = np.sqrt((weighted * x).sum(1) * (counts * y * y).sum(1))
  product = (weighted * y).sum(1)
  # Rounding leaves something of a constant; no sample's spread is as small.
  known = norm > 1e-12 * counts.shape[1]
  return np.where(known, product / np.where(known, norm, 1), np.nan)


def midranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Ranks of `values` [n] within each replicate, equal ones sharing a rank.

  Returns:
    [R, n]; the rank of an element that was drawn as a copy of it would have it.
  """
  weights, group = _by_value(counts, values)
  below = np.cumsum(weights, axis=1) - weights
  return (below + (weights + 1) / 2)[:, group]


def spearman(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Rank correlation of x [n] and y [n], ranked anew in each replicate."""
  return pearson(counts, midranks(counts, x), midranks(counts, y))


def auroc(
  in_counts: np.ndarray,
  in_scores: np.ndarray,
  out_counts: np.ndarray,
  out_scores: np.ndarray,
) -> np.ndarray:
  """Probability that an outside score is higher; ties count half.

  Both samples are drawn independently: in_counts [R, n], out_counts [R, m].
  """
  weights, _ = _by_value(in_counts, in_scores)
  values = np.unique(in_scores)
  place = np.searchsorted(values, out_scores)
  below = np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))[:, place]
  nearest = np.minimum(place, len(values) - 1)
  below += weights[:, nearest] * (values[nearest] == out_scores) / 2
  pairs = in_counts.sum(1) * out_counts.sum(1)
  return (out_counts * below).sum(1) / pairs


def calibration_error(
  counts: np.ndarray, confidence: np.ndarray, correct: np.ndarray
) -> np.ndarray:
  """Expected calibration error of confidences [n] against outcomes [n]."""
  index = np.minimum((np.float64(confidence) * BINS).astype(int), BINS - 1)
  gap = np.eye(BINS)[index] * (np.float64(confidence) - correct)[:, None]
  return np.abs(counts @ gap).sum(1) / counts.sum(1)


def kept_accuracy(
  counts: np.ndarray, correct: np.ndarray, uncertainty: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Accuracy of the most certain elements.

  Returns:
    (fraction kept, accuracy of those kept), each [R, steps] with a step for
    every value of the uncertainty; equal ones are kept or rejected together.
  """
  kept, _ = _by_value(counts, uncertainty)
  right, _ = _by_value(counts * correct, uncertainty)
  kept, right = np.cumsum(kept, axis=1), np.cumsum(right, axis=1)
  # Nothing is kept yet where a replicate lacks the most certain elements.
  accuracy = np.divide(right, kept, out=np.ones_like(right), where=kept > 0)
  return kept / kept[:, -1:], accuracy


def rejection_area(
  counts: np.ndarray, correct: np.ndarray, uncertainty: np.ndarray
) -> np.ndarray:
  """Area under the accuracy-rejection curve (metrics.selective.Rejection).

  Equally uncertain elements count as if they were kept together, which is what
  a random order of them gives up to terms of their share squared.
  """
  kept, accuracy = kept_accuracy(counts, correct, uncertainty)
  steps = np.diff(kept, axis=1, prepend=0)
  return (steps * accuracy).sum(1)


def accuracy_at(
  counts: np.ndarray,
  correct: np.ndarray,
  uncertainty: np.ndarray,
  rejected: float,
) -> np.ndarray:
  """Accuracy after a fraction of the most uncertain elements is rejected."""
  kept, accuracy = kept_accuracy(counts, correct, uncertainty)
  step = (kept < 1 - rejected - 1e-9).sum(1)
  return accuracy[np.arange(len(accuracy)), step]


def _by_value(counts, values):
  """Counts of every distinct value, ascending [R, k], and each one's place."""
  _, group = np.unique(values, return_inverse=True)
  order = np.argsort(group, kind='stable')
  first = np.flatnonzero(np.diff(group[order], prepend=-1))
  return np.add.reduceat(counts[:, order], first, axis=1), group
