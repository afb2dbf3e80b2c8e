"""Statistics of a sample under many weightings at once: the bootstrap.

A bootstrap replicate counts how often every element of a sample was drawn.
`draws` has such counts by row, and every statistic here takes counts [R, n]
and returns [R]: no replicate is ever built, and all are computed together.
Row 0 counts every element once, so that the first result is the statistic of
the sample itself. Values that are sorted or binned must be finite: NaN has no
place in an order. Statistics are those of `metrics` on replicates built in full.
"""

import numpy as np

from emojax.metrics import calibration, correlation

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
    [low, high], NaN if there are no replicates or one is undefined.
  """
  if len(values) < 2:
    return [float('nan')] * 2
  outside = 50 * (1 - level)
  return np.percentile(values[1:], [outside, 100 - outside]).tolist()


def mean(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Mean of `values` [n] under each row of counts [R, n]; NaN if a value is."""
  return counts @ np.float64(values) / counts.sum(1)


def pearson(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Linear correlation of x and y, each [n] or [R, n].

  Returns:
    [R]; NaN in replicates in which one of them is constant, up to rounding.
  """
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  known = _varies(counts, x) & _varies(counts, y)
  total = counts.sum(1, keepdims=True)
  x, y = (v - (counts * v).sum(1, keepdims=True) / total for v in (x, y))
  weighted = counts * x
  norm = np.sqrt((weighted * x).sum(1) * (counts * y * y).sum(1))
  product = (weighted * y).sum(1)
  known &= norm > 0
  return np.where(known, product / np.where(known, norm, 1), np.nan)


def _varies(counts, values) -> np.ndarray:
  """Whether the drawn elements of each replicate differ by more than rounding."""
  drawn = counts > 0
  low = np.where(drawn, values, np.inf).min(1)
  high = np.where(drawn, values, -np.inf).max(1)
  size = np.maximum(np.abs(low), np.abs(high))
  return high - low > correlation.ROUNDING * size


def midranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Ranks of `values` [n] within each replicate, equal ones sharing a rank.

  Returns:
    [R, n]; the rank of an element that was drawn as a copy of it would have it.
  """
  weights, group = by_value(counts, values)
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

  Raises:
    ValueError: if a score is not finite.
  """
  if not np.isfinite(out_scores).all():
    raise ValueError('auroc: out_scores must be finite')
  weights, _ = by_value(in_counts, in_scores)
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
  """Expected calibration error of confidences [n] against outcomes [n].

  A mean of absolute values is too large by what chance adds to every bin, and a
  replicate, which is drawn from a sample, has that twice: uncorrected, an
  interval may lie above the sample's own error. So the replicates are moved to
  have the sample's as their mean: here, and nowhere else.

  Args:
    counts: [1 + R, n], row 0 the sample.
    confidence: In [0, 1].
    correct: 0 or 1 (or frequencies).

  Returns:
    [1 + R]; the sample's first, as `metrics.calibration.Reliability.error`.

  Raises:
    ValueError: if a confidence is NaN or outside [0, 1].
  """
  values = _calibration_error(counts, confidence, correct)
  values[1:] -= values[1:].mean() - values[0] if len(values) > 1 else 0
  return values


def _calibration_error(counts, confidence, correct):
  index = calibration.confidence_bins(confidence, BINS)
  gap = np.eye(BINS)[index] * (np.float64(confidence) - correct)[:, None]
  return np.abs(counts @ gap).sum(1) / counts.sum(1)


def rejection_area(
  counts: np.ndarray, correct: np.ndarray, uncertainty: np.ndarray
) -> np.ndarray:
  """Area under the accuracy-rejection curve (`metrics.selective.Rejection`).

  Args:
    counts: [R, n].
    correct: [n], 0 or 1, or any score whose mean is of interest.
    uncertainty: [n], finite.

  Returns:
    [R], the mean accuracy over all numbers of kept elements, ties averaged.
  """
  before, right, sizes, share = _groups(counts, correct, uncertainty)
  # With k kept, of them `before` surely, accuracy is (right + (k - before)
  # share) / k; its sum over the k of a group has the harmonic numbers.
  last = int(counts.sum(1).max())
  harmonic = np.append(0, np.cumsum(1 / np.arange(1, last + 1)))
  first = before.astype(int)
  steps = harmonic[first + sizes.astype(int)] - harmonic[first]
  total = sizes * share + (right - before * share) * steps
  return total.sum(1) / counts.sum(1)


def accuracy_at(
  counts: np.ndarray,
  correct: np.ndarray,
  uncertainty: np.ndarray,
  rejected: float,
) -> np.ndarray:
  """Accuracy after the most uncertain elements are rejected.

  Of N elements round(rejected * N) are, and at least one is kept; among equally
  uncertain ones the expected accuracy of a random order is taken. That is
  `metrics.selective.Rejection.at` of every replicate.

  Args:
    counts: [R, n].
    correct: [n], 0 or 1, or any score whose mean is of interest.
    uncertainty: [n], finite.
    rejected: Fraction in [0, 1].

  Returns:
    [R].
  """
  before, right, _, share = _groups(counts, correct, uncertainty)
  total = counts.sum(1)
  kept = total - np.minimum(np.rint(rejected * total), total - 1)
  # The last group that is kept in part or in whole.
  group = (before < kept[:, None]).sum(1) - 1
  before, right, share = (
    values[np.arange(len(values)), group] for values in (before, right, share)
  )
  return (right + (kept - before) * share) / kept


def _groups(counts, correct, uncertainty):
  """Groups of equally uncertain elements, the most certain first, each [R, k].

  Returns:
    Elements and correct ones in the groups before, elements in the group, and
    the share of them that is correct.
  """
  sizes, _ = by_value(counts, uncertainty)
  hits, _ = by_value(counts * np.float64(correct), uncertainty)
  share = np.divide(hits, sizes, out=np.zeros_like(hits), where=sizes > 0)
  before, right = (np.cumsum(x, axis=1) - x for x in (sizes, hits))
  return before, right, sizes, share


def by_value(counts, values):
  """Counts of every distinct value, ascending [R, k], and each one's place."""
  if not np.isfinite(values).all():
    raise ValueError('resampling: values that are ranked must be finite')
  _, group = np.unique(values, return_inverse=True)
  order = np.argsort(group, kind='stable')
  first = np.flatnonzero(np.diff(group[order], prepend=-1))
  return np.add.reduceat(counts[:, order], first, axis=1), group
