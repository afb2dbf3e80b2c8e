"""Do a metric and the true distance order methods alike? And whom does it pick?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from benchmarks.seeds import estimate
from emojax.report.estimates import Estimate

PERMUTATIONS = 999


class Ranks(NamedTuple):
  """A metric against the true distance, by seed.

  Attributes:
    kendall: Kendall's tau-b, [seeds]; NaN where the metric is constant.
    spearman: [seeds].
    regret: True distance of the method with the lowest metric, above that of the
      nearest method, [seeds].
    picked: Its position, [seeds].
    chance: What 95 % of the mean taus of metrics that know nothing do not exceed,
      up or down.
  """

  kendall: np.ndarray
  spearman: np.ndarray
  regret: np.ndarray
  picked: np.ndarray
  chance: float


def ranks(
  values: np.ndarray,
  distances: np.ndarray,
  permutations: int | None = None,
) -> Ranks:
  """Compares a metric with the distance over K methods.

  Args:
    values: The metric, lower is better, [seeds, K]; NaN for methods without, the
      same in all seeds, which it cannot pick.
    distances: True ones, [seeds, K].
    permutations: Of the methods, for `chance`; NaN with 0, `PERMUTATIONS` if None.

  Raises:
    ValueError: If fewer than two methods have the metric.
  """
  if permutations is None:
    permutations = PERMUTATIONS
  values, distances = np.float64(values), np.float64(distances)
  known = np.isfinite(values).all(0)
  if known.sum() < 2:
    raise ValueError('ranks: fewer than two methods have the metric')
  position = np.flatnonzero(known)
  picked = position[values[:, known].argmin(1)]
  regret = distances[np.arange(len(values)), picked] - distances.min(1)
  pairs = list(zip(values[:, known], distances[:, known], strict=True))
  spearman = [_finite(scipy.stats.spearmanr, *pair) for pair in pairs]
  signs = [[_signs(x) for x in pair] for pair in pairs]
  kendall = np.array([_tau(*pair) for pair in signs])
  return Ranks(
    kendall, np.array(spearman), regret, picked, _chance(signs, permutations)
  )


def _finite(function, x, y) -> float:
  if np.ptp(x) == 0 or np.ptp(y) == 0:
    return float('nan')
  return float(function(x, y).statistic)


def _signs(values) -> np.ndarray:
  return np.sign(values[:, None] - values)


def _tau(first, second) -> float:
  size = np.sqrt(np.sum(first**2) * np.sum(second**2))
  return float(np.sum(first * second) / size) if size else float('nan')


def _chance(signs, permutations: int) -> float:
  """Of mean taus of permuted methods.

  Methods are the same in all seeds, and so is each permutation: what is near by
  its kind is near everywhere, so that seeds are not independent.
  """
  if not permutations:
    return float('nan')
  rng = np.random.default_rng(0)
  found = []
  for _ in range(permutations):
    order = rng.permutation(len(signs[0][0]))
    taus = [_tau(one[np.ix_(order, order)], other) for one, other in signs]
    found.append(abs(np.mean(taus)))
  return float(np.quantile(found, 0.95))


def over_seeds(values: Sequence[float]) -> Estimate:
  """Mean with its error over the seeds; unknown where a seed has none."""
  return estimate([None if np.isnan(x) else float(x) for x in values])
