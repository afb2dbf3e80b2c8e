"""Means over members, their differences, and what these allow to be said."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import scipy.stats

YES, NO, UNCLEAR = 'yes', 'no', 'unclear'
CONFIDENCE = 0.95


class Estimate(NamedTuple):
  """A number with the error that different members give it.

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


def judge(estimate: Estimate) -> str:
  """Verdict on 'the number is positive': its interval must not contain 0."""
  if estimate.value is None or estimate.margin is None:
    return UNCLEAR
  if abs(estimate.value) <= estimate.margin:
    return UNCLEAR
  return YES if estimate.value > 0 else NO


def combine(verdicts: Sequence[str]) -> str:
  """'yes' if all are, 'no' if one is, else 'unclear'."""
  if all(verdict == YES for verdict in verdicts):
    return YES
  return NO if NO in verdicts else UNCLEAR
