"""Numbers with the error that other members, or other images, would give them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from emojax.evaluation import intervals

YES, NO, UNCLEAR = 'yes', 'no', 'unclear'
CONFIDENCE = 0.95


class Estimate(NamedTuple):
  """A number with its error.

  Attributes:
    value: The number, or None where it is undefined.
    error: Standard error; 0 for an exact number, None where it is unknown.
    freedom: Degrees of freedom of the error.
  """

  value: float | None
  error: float | None = 0.0
  freedom: float = math.inf

  @property
  def margin(self) -> float | None:
    """Half the width of the 95 % confidence interval (Student's t)."""
    if self.error is None:
      return None
    quantile = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, self.freedom)
    return float(quantile) * self.error

  def __str__(self) -> str:
    return '–' if self.value is None else f'{self.value:.3f}'

  def signed(self) -> str:
    """The number with its sign and margin."""
    if self.value is None:
      return '–'
    margin = '' if self.margin is None else f' ± {self.margin:.3f}'
    return f'{self.value:+.3f}{margin}'


def of_members(rows: Mapping[str, Any], key: str, count: int) -> Estimate:
  """Mean over members.

  Args:
    rows: {'mean': {key: ...}, 'std': {key: ...}}.
    key: The metric.
    count: Number of members; with one the error is unknown.
  """
  mean, std = rows['mean'].get(key), rows['std'].get(key)
  if mean is None or std is None or count < 2:
    return Estimate(mean, None)
  return Estimate(mean, std / math.sqrt(count), count - 1)


def difference(a: Estimate, b: Estimate) -> Estimate:
  """a - b with Welch's degrees of freedom."""
  if a.value is None or b.value is None:
    return Estimate(None, None)
  value = a.value - b.value
  if a.error is None or b.error is None:
    return Estimate(value, None)
  error = math.hypot(a.error, b.error)
  if error == 0:
    return Estimate(value)
  parts = a.error**4 / a.freedom + b.error**4 / b.freedom
  return Estimate(value, error, error**4 / parts if parts else math.inf)


def of_ensemble(
  value: float | None, without: Sequence[float | None] | None
) -> Estimate:
  """A statistic of all members together, with its error over members.

  Another ensemble would have another score: it is no exact number, and it shares
  its members with their mean. Tukey's jackknife (`intervals.jackknife_error`) of
  a difference takes account of both.

  Args:
    value: Of all M members.
    without: Without each member in turn, [M]; None where a run does not have
      them, whose error is then unknown, as it is of fewer than three.
  """
  without = without or ()
  few = len(without) < intervals.FEWEST
  if value is None or few or None in without:
    return Estimate(value, None)
  error = float(intervals.jackknife_error(np.array(without)))
  return Estimate(value, error, len(without) - 1)


def of_json(found: Mapping[str, Any], sign: int = 1) -> Estimate:
  """A difference in results.json; that of an older run has no error.

  Args:
    found: `value` or `difference`, `error` and `freedom`.
    sign: 1, or -1 for what is better when it is lower.
  """
  value = found.get('value', found.get('difference'))
  freedom = found.get('freedom')
  return Estimate(
    None if value is None else sign * value,
    found.get('error'),
    math.inf if freedom is None else freedom,
  )
