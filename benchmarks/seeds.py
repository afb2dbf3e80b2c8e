"""Means over seeds with their intervals, as pages print them."""

from collections.abc import Sequence

import numpy as np
import scipy.stats

from benchmarks import tables
from emojax.report import verdicts
from emojax.report.estimates import Estimate


def estimate(values: Sequence[float | None]) -> Estimate:
  """Mean over the seeds with its standard error; unknown if a seed has none.

  A single seed has a value without an error.
  """
  if None in values:
    return Estimate(None, None)
  if len(values) == 1:
    return Estimate(values[0], None)
  return Estimate(
    float(np.mean(values)), float(scipy.stats.sem(values)), len(values) - 1
  )


def cell(values: Sequence[float | None]) -> str:
  """Mean of the seeds and half the width of its 95 % interval."""
  found = estimate(values)
  return tables.MISSING if found.value is None else found.signed().lstrip('+')


def two_sided(one: Estimate) -> float:
  """p of no difference."""
  return min(1.0, 2 * min(verdicts.one_sided(one)))
