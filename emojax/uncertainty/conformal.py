"""Conformal thresholds: sets that hold the truth as often as they promise.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): with scores of n
calibration examples, high where the truth is a surprise, the threshold is the
k-th smallest, k = ceil(coverage (n + 1)). A new exchangeable example then scores
at most that with a probability of at least `coverage`, whatever the network.

Frames of one person are not exchangeable with those of another; people are. So
the n counts *groups* (subjects or videos), and the promise is about a random
frame of a new group. Two ways, both finite-sample correct:

- `one_each`: one random frame of a group (Dunn et al., JASA 2022, "subsampling
  once"). Coverage follows the exact Beta distribution of `band`.
- `group_weights`: all frames, those of a group with a weight of 1 in sum (Lee,
  Barber and Willett 2023, Eq. 5). Nothing is left to a draw.

Infinite thresholds are the answer where n is too small for a promise: everything
is then in the set. Arrays are NumPy's, on the host.
"""

import math

import numpy as np
import scipy.special

# Of (n + 1) coverage, which need not be a whole number as it should: 0.95 * 20.
ROUNDING = 1e-9


def check_coverage(coverage: float) -> float:
  """Returns a coverage; raises ValueError unless it is within (0, 1)."""
  if not 0 < coverage < 1:
    raise ValueError(f'coverage {coverage}: expected a number within (0, 1)')
  return coverage


def one_each(groups: np.ndarray, seed: int) -> np.ndarray:
  """Positions of one random example of every group.

  Args:
    groups: Names or numbers of the groups, [n].
    seed: Of the draw; positions of the same groups and seed are the same.

  Returns:
    int [G], ascending.
  """
  groups = np.asarray(groups)
  order = np.random.default_rng(seed).permutation(len(groups))
  _, first = np.unique(groups[order], return_index=True)
  return np.sort(order[first])


def group_weights(
  groups: np.ndarray,
  mass: np.ndarray | None = None,
  frames: np.ndarray | None = None,
) -> np.ndarray:
  """Weights by which every group counts once, or less by soft labels.

  A group weighs what its frames have of the label on average, of those that have
  some: 1 by hard labels, however many there are, and by all classes together; 0.1
  by one vote of ten. The promise is then about a label that is drawn from the
  shares, for any number of groups: by exchangeability the weight outside of the
  set is at most (1 - coverage) of all weight, that of a new group included, which
  is at most 1.

  Args:
    groups: Names or numbers of the groups, [n].
    mass: How much of its frame's label an example is, [n], in [0, 1]; all of it
      if None. Groups without mass count nothing.
    frames: Frames of the examples, [n], where one has several; each its own if
      None.

  Returns:
    float64 [n]; the sum is the number of groups that count if labels are hard.
  """
  names, number = np.unique(groups, return_inverse=True)
  if mass is None:
    mass = np.ones(len(number))
  mass = np.asarray(mass, np.float64)
  there = np.flatnonzero(mass > 0)
  if frames is not None:
    _, first = np.unique(np.asarray(frames)[there], return_index=True)
    there = there[first]
  count = np.bincount(number[there], minlength=len(names))
  return mass / np.maximum(count, 1)[number]


def rank(groups: float, coverage: float) -> int:
  """k of the threshold, ceil(coverage (n + 1)); n + 1 means infinity.

  Args:
    groups: Their number n.
    coverage: In (0, 1).
  """
  exact = check_coverage(coverage) * (groups + 1)
  return math.ceil(exact - ROUNDING * (groups + 1))


def fewest(coverage: float) -> int:
  """The least number of groups that a finite threshold needs."""
  n = max(1, math.floor(check_coverage(coverage) / (1 - coverage)) - 1)
  while rank(n, coverage) > n:
    n += 1
  return n


def threshold(
  scores: np.ndarray, coverage: float, weights: np.ndarray | None = None
) -> float:
  """The conformal threshold of a calibration set.

  The smallest t with a weight of scores <= t of at least coverage (n + 1), n the
  sum of the weights: the new example is taken to have the score infinity. With
  the shares of votes as `mass` of `group_weights` it is the threshold of
  conformal risk control (Angelopoulos et al. 2024, Eq. 4) for the share of votes
  outside the set.

  Args:
    scores: [n], infinity allowed.
    coverage: In (0, 1).
    weights: Of `group_weights`, [n]; 1 each if None: every example its own
      group.

  Returns:
    A score, or infinity where there are too few groups.

  Raises:
    ValueError: if a score that counts is NaN or the lengths differ.
  """
  scores = np.asarray(scores, np.float64)
  if weights is None:
    weights = np.ones(len(scores))
  weights = np.asarray(weights, np.float64)
  if scores.ndim != 1 or scores.shape != weights.shape:
    raise ValueError(
      f'threshold: scores {scores.shape} and weights {weights.shape}, expected '
      'one weight a score'
    )
  scores, weights = scores[weights > 0], weights[weights > 0]
  if np.isnan(scores).any():
    raise ValueError('threshold: scores are NaN; the model has diverged')
  order = np.argsort(scores, kind='stable')
  below = np.cumsum(weights[order])
  groups = below[-1] if len(below) else 0.0
  needed = check_coverage(coverage) * (groups + 1) - ROUNDING * (groups + 1)
  index = np.searchsorted(below, needed)
  return float(scores[order[index]]) if index < len(scores) else math.inf


def band(
  groups: int, coverage: float, confidence: float = 0.95
) -> tuple[float, float]:
  """Where the true coverage of one calibration lies.

  Of continuous scores, one example a group, it is distributed as Beta(k, n + 1 -
  k) over calibration sets (Vovk 2012, Proposition 2a). Ties raise it. With
  `group_weights` its variance is at most that, if n is large: means over the
  frames of a group vary no more than single frames.

  Args:
    groups: Their number n.
    coverage: What was asked for.
    confidence: Of the central interval.

  Returns:
    (low, high); (1, 1) if the threshold is infinite.
  """
  k, tail = rank(groups, coverage), (1 - confidence) / 2
  if k > groups:
    return 1.0, 1.0
  shape = k, groups + 1 - k
  low, high = scipy.special.betaincinv(*shape, [tail, 1 - tail])
  return float(low), float(high)


def observed_band(
  groups: int, coverage: float, tested: int, confidence: float = 0.95
) -> tuple[float, float]:
  """Where the share of covered test examples lies, one example a group.

  Beta-binomial: `band` and the draw of the test groups together.

  Args:
    groups: Groups of the calibration set, n.
    coverage: What was asked for.
    tested: Groups of the test set.
    confidence: Of the central interval, at least.

  Returns:
    (low, high) as shares; (1, 1) if the threshold is infinite.
  """
  k, tail = rank(groups, coverage), (1 - confidence) / 2
  if k > groups or not tested:
    return (1.0, 1.0) if k > groups else (0.0, 1.0)
  below = np.cumsum(_beta_binomial(tested, k, groups + 1 - k))
  # The smallest x with P(X <= x) >= q, so that less than q lies below it.
  low, high = np.searchsorted(below, [tail, 1 - tail])
  return float(low / tested), float(min(high, tested) / tested)


def _beta_binomial(n: int, a: float, b: float) -> np.ndarray:
  """P(X = 0), ..., P(X = n) for X ~ Binomial(n, p), p ~ Beta(a, b)."""
  x, ln = np.arange(n + 1), scipy.special.betaln
  choose = -np.log(n + 1) - ln(n - x + 1, x + 1)
  return np.exp(choose + ln(x + a, n - x + b) - ln(a, b))


def p_values(
  scores: np.ndarray, calibration: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
  """Conformal p-values: P(p <= a) <= a where the score is the truth's.

  Args:
    scores: Of the labels that are tested, [...].
    calibration: Scores of the true labels of the calibration set, [n].
    weights: Of `group_weights`, [n]; 1 each if None.

  Returns:
    float64 [...]: (1 + weight of calibration scores >= score) / (n + 1).

  Raises:
    ValueError: If a score is NaN.
  """
  calibration = np.asarray(calibration, np.float64)
  scores = np.asarray(scores, np.float64)
  if np.isnan(calibration).any() or np.isnan(scores).any():
    raise ValueError('a score is NaN: nothing is promised for it')
  if weights is None:
    weights = np.ones(len(calibration))
  order = np.argsort(calibration, kind='stable')
  above = np.append(
    np.cumsum(np.asarray(weights, np.float64)[order][::-1])[::-1], 0
  )
  index = np.searchsorted(calibration[order], scores, side='left')
  return (1 + above[index]) / (above[0] + 1)
