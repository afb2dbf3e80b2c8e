"""Confidence intervals of differences, against SciPy."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from emojax.report import verdicts
from emojax.report.estimates import (
  Estimate,
  difference,
  of_ensemble,
  of_json,
  of_members,
)


def estimate(values):
  rows = {'mean': {'x': np.mean(values)}, 'std': {'x': np.std(values, ddof=1)}}
  return of_members(rows, 'x', len(values))


numbers = st.lists(
  st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=6
).filter(lambda x: np.std(x) > 1e-2)


@given(numbers, numbers)
def test_difference_is_welchs_t_test(a, b):
  wanted = scipy.stats.ttest_ind(a, b, equal_var=False)
  found = difference(estimate(a), estimate(b))
  interval = wanted.confidence_interval(0.95)
  assert found.value - found.margin == pytest.approx(interval.low, abs=1e-6)
  assert found.value + found.margin == pytest.approx(interval.high, abs=1e-6)
  above, below = verdicts.one_sided(found)
  p_value = min(1, 2 * min(above, below))
  assert p_value == pytest.approx(wanted.pvalue, abs=1e-9)
  if abs(found.value) > 1e-6:
    assert (above < below) == (wanted.statistic > 0)


def test_exact_number_against_a_mean_is_a_one_sample_test():
  values = [1.0, 1.2, 0.9, 1.05]
  found = difference(Estimate(1.5), estimate(values))
  interval = scipy.stats.ttest_1samp(values, 1.5).confidence_interval(0.95)
  assert 1.5 - found.value + found.margin == pytest.approx(interval.high)


def test_unknown_errors_decide_nothing():
  one = of_members({'mean': {'x': 5.0}, 'std': {'x': None}}, 'x', 1)
  assert one.margin is None
  for unknown in (one, Estimate(0.0)), (Estimate(None), one):
    assert verdicts.one_sided(difference(*unknown)) == (1, 1)
  missing = of_members({'mean': {}, 'std': {}}, 'x', 5)
  assert str(missing) == missing.signed() == '–'


def test_text():
  assert Estimate(1.23456).signed() == '+1.235 ± 0.000'
  assert str(Estimate(-0.5)) == '-0.500'
  assert Estimate(0.5, None).signed() == '+0.500'


def test_ensembles_have_the_jackknifes_error():
  x = np.array([1.0, 1.5, 0.7, 2.2])
  means = [np.delete(x, i).mean() for i in range(4)]
  found = of_ensemble(x.mean(), means)
  assert found.error == pytest.approx(scipy.stats.sem(x))
  assert found.freedom == 3
  for unknown in (None, [], [1.0], [1.0, 2.0], [1.0, None, 2.0]):
    assert of_ensemble(1.0, unknown).error is None
  assert of_ensemble(None, means).value is None


def test_differences_of_older_runs_have_no_error():
  assert of_json({'difference': 0.5, 'interval': [0, 1]}).error is None
  found = of_json({'difference': 0.5, 'error': 0.1, 'freedom': None}, -1)
  assert found == Estimate(-0.5, 0.1)
