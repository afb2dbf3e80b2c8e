"""Confidence intervals over members, and over members and images together.

What a run finds depends on which networks were trained (random seeds) and on
which images they are scored. Both are samples, of very different sizes: a few
members, thousands of images. Members are resampled by the jackknife, whose
error has a t distribution with members - 1 degrees of freedom; percentiles of a
bootstrap over so few are far too narrow (five members: 83 % instead of 95 %),
and its ensembles, which have the same member several times, are worse than the
ensemble itself. Images are resampled by the bootstrap (`resampling`), under
which ranks and bins are no difficulty.

Chains of teachers and students are paired by giving `statistic` one number per
chain: it leaves out the teacher and its student together.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
FEWEST = 3  # members whose ensembles without one are ensembles


class Interval(NamedTuple):
  """A statistic, or an array of them, with a confidence interval.

  Attributes:
    value: The statistic of all members and images.
    error: Its standard error; NaN where it is unknown.
    freedom: Degrees of freedom of the error (infinite if it is 0).
    low: Lower end of the interval, NaN where the error is.
    high: Upper end.
  """

  value: np.ndarray
  error: np.ndarray
  freedom: np.ndarray
  low: np.ndarray
  high: np.ndarray


def student(value, error, freedom, level: float = LEVEL) -> Interval:
  """Interval of a value whose error has Student's t distribution.

  Args:
    value: Any shape.
    error: Standard error, same shape.
    freedom: Degrees of freedom, broadcast to it.
    level: Coverage, in (0, 1).

  Raises:
    ValueError: if the level is not within (0, 1).
  """
  import scipy.stats  # slow to import: not for `emojax.load`

  if not 0 < level < 1:
    raise ValueError(f'level {level}: expected a coverage within (0, 1)')
  value, error, freedom = np.broadcast_arrays(
    np.float64(value), np.float64(error), np.float64(freedom)
  )
  margin = scipy.stats.t.ppf((1 + level) / 2, freedom) * error
  return Interval(value, error, freedom, value - margin, value + margin)


def left_out(
  statistic: Callable[[np.ndarray], np.ndarray], members: int
) -> np.ndarray:
  """A statistic without each member in turn.

  Args:
    statistic: Numbers of members, int [m] -> value, any shape.
    members: Number of members, M.

  Returns:
    float64 [M, ...]; [0] for one member.
  """
  every = np.arange(members)
  if members < 2:
    return np.empty(0)
  return np.stack([np.float64(statistic(every[every != m])) for m in every])


def jackknife_error(values: np.ndarray) -> np.ndarray:
  """Standard error of a statistic from its values without each member.

  Tukey's jackknife: (M - 1) / M times the sum of squared deviations. For a mean
  it is the usual standard error; of members that are drawn alike it is too large
  rather than too small for ensembles (Efron and Stein, 1981, Theorem 2). That is
  on average: where a few members are much worse than the others, most samples of
  three have none of these, and intervals of theirs are too narrow.

  Args:
    values: [M, ...], `left_out`.

  Returns:
    [...]; NaN for fewer than three members or where a value is not finite. Of
    two, what is left is no ensemble: its advantage over its members is 0,
    whatever they are, and so would the error be.
  """
  values = np.asarray(values, np.float64)
  if len(values) < FEWEST:
    return np.full(values.shape[1:], np.nan)
  squares = _where_finite(values, values.var(0))
  return np.sqrt((len(values) - 1) * squares)


def members_and_images(
  replicates: np.ndarray,
  without: np.ndarray,
  images: int,
  level: float = LEVEL,
) -> Interval:
  """Interval over members and images from values that are already there.

  The variances over members (jackknife) and over images (bootstrap) are added;
  what a member makes of an image is in both, so that the interval is too wide
  rather than too narrow (by 1 / (M F) of that variance, where resampling both
  at once counts it thrice: Owen, 2007). Degrees of freedom are Welch's.

  Args:
    replicates: Of all members: [1 + R, ...] over images, row 0 the images as
      they are (`resampling`).
    without: On all images: [M, ...], `left_out`. Of the difference of two
      generations, each value lacks a whole chain.
    images: Number of images, F.
    level: Coverage.

  Returns:
    Student's interval about `replicates[0]`. NaN ends where a value is not
    finite, for fewer than three members and without replicates: what is unknown
    is never left out.
  """
  replicates = np.asarray(replicates, np.float64)
  without = np.asarray(without, np.float64)
  of_members = np.broadcast_to(
    jackknife_error(without) ** 2, replicates.shape[1:]
  )
  of_images = np.full(replicates.shape[1:], np.nan)
  if len(replicates) > 2 and images > 1:
    drawn = replicates[1:]
    spread = _where_finite(drawn, drawn.var(0, ddof=1))
    of_images = spread * images / (images - 1)
  total = of_members + of_images
  parts = of_members**2 / max(len(without) - 1, 1)
  parts = parts + of_images**2 / max(images - 1, 1)
  freedom = np.where(
    parts > 0, total**2 / np.where(parts > 0, parts, 1), np.inf
  )
  return student(replicates[0], np.sqrt(total), freedom, level)


def _where_finite(values, result):
  """The result, NaN where one of the values [n, ...] is not finite."""
  return np.where(np.isfinite(values).all(0), result, np.nan)
