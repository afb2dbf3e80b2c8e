"""Tests of emojax/metrics/selective.py."""

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.metrics import selective

samples = st.lists(
  st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=8
)


@given(samples)
@settings(deadline=None, max_examples=50)
def test_equals_the_mean_over_random_orders_of_ties(pairs):
  correct, uncertainty = np.array(pairs).T
  curve = selective.rejection_curve(correct, uncertainty)
  rng, runs = np.random.default_rng(0), []
  for _ in range(600):
    order = np.lexsort([rng.uniform(size=len(correct)), uncertainty])
    hits = correct[order].cumsum() / np.arange(1, len(correct) + 1)
    runs.append(hits[::-1])
  np.testing.assert_allclose(curve.accuracy, np.mean(runs, 0), atol=0.12)


def test_without_ties_it_is_the_accuracy_of_the_kept():
  rng = np.random.default_rng(0)
  correct, uncertainty = rng.uniform(size=50) < 0.7, rng.permutation(50)
  curve = selective.rejection_curve(correct, uncertainty)
  for k in range(50):
    kept = uncertainty < 50 - k
    assert curve.accuracy[k] == pytest.approx(correct[kept].mean())
    assert curve.at(k / 50) == curve.accuracy[k]
  assert curve.area == pytest.approx(np.mean(curve.accuracy))


def test_perfect_useless_and_inverted_uncertainty():
  correct = np.repeat([1, 0], [80, 20])
  area = {
    name: selective.rejection_curve(correct, uncertainty).area
    for name, uncertainty in [
      ('perfect', 1 - correct),
      ('useless', np.zeros(100)),
      ('inverted', correct),
    ]
  }
  assert area['perfect'] > area['useless'] > area['inverted']
  assert area['useless'] == pytest.approx(0.8)
  perfect = selective.rejection_curve(correct, 1 - correct)
  assert perfect.at(0.2) == 1
  assert perfect.at(0.0) == pytest.approx(0.8)
  assert perfect.at(1.0) == 1  # one sample is always kept


@given(samples, st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_the_order_and_the_type_of_samples_do_not_matter(pairs, seed):
  correct, uncertainty = np.array(pairs).T
  order = np.random.default_rng(seed).permutation(len(correct))
  curve = selective.rejection_curve(correct, uncertainty / 7)
  again = selective.rejection_curve(
    np.float32(correct[order]), np.float32(uncertainty[order] / 7)
  )
  np.testing.assert_allclose(again.accuracy, curve.accuracy, rtol=1e-12)


def test_bad_input_is_named():
  with pytest.raises(ValueError, match='must be equal'):
    selective.rejection_curve([1, 0], [1])
  with pytest.raises(ValueError, match='at least one'):
    selective.rejection_curve([], [])
  for junk in (np.nan, np.inf):
    with pytest.raises(ValueError, match='NaN or infinite'):
      selective.rejection_curve([1], [junk])
    with pytest.raises(ValueError, match='NaN or infinite'):
      selective.rejection_curve([junk], [1])
  with pytest.raises(ValueError, match='not within'):
    selective.rejection_curve([1], [0]).at(1.2)


def orders(loss, uncertainty):
  """Every order that the uncertainties allow."""
  n = range(len(loss))
  for order in itertools.permutations(n):
    ordered = uncertainty[list(order)]
    if (np.diff(ordered) >= 0).all():
      yield np.array(loss, float)[list(order)]


small = st.lists(
  st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=6
)


@given(small)
@settings(deadline=None, max_examples=40)
def test_risk_and_area_are_means_over_all_orders_of_ties(pairs):
  loss, uncertainty = np.array(pairs).T
  found = selective.risk_coverage(loss, uncertainty)
  k = np.arange(1, len(loss) + 1)
  risks = [x.cumsum() / k for x in orders(loss, uncertainty)]
  np.testing.assert_allclose(found.risk, np.mean(risks, 0), atol=1e-12)
  assert found.aurc == pytest.approx(np.mean(risks))
  best = min(
    np.mean(np.float64(x).cumsum() / k) for x in itertools.permutations(loss)
  )
  assert found.e_aurc == pytest.approx(found.aurc - best)


def test_the_best_area_is_the_closed_form_of_many_samples():
  loss = np.repeat([0, 1], [70_000, 30_000])
  found = selective.risk_coverage(loss, loss)
  assert found.e_aurc == 0
  assert found.aurc == pytest.approx(0.3 + 0.7 * math.log(0.7), abs=1e-4)
  useless = selective.risk_coverage(loss, np.zeros(100_000))
  assert useless.aurc == pytest.approx(0.3)


@given(samples, st.sampled_from([0.0, 0.05, 0.25, 1 / 3, 0.5, 1.0]))
@settings(deadline=None, max_examples=60)
def test_coverage_at_a_risk_is_the_largest_of_all_thresholds(pairs, risk):
  loss, uncertainty = np.array(pairs).T
  found = selective.risk_coverage(loss, uncertainty)
  kept = [uncertainty <= t for t in np.unique(uncertainty)]
  right = [k.mean() for k in kept if loss[k].mean() <= risk + 1e-12]
  assert found.coverage_at(risk) == pytest.approx(max(right, default=0))


def test_no_threshold_parts_what_is_equally_uncertain():
  # Two of three could be kept without an error, but by no threshold.
  found = selective.risk_coverage([0, 0, 1], [1, 1, 1])
  assert found.coverage_at(0.05) == 0
  assert found.coverage_at(1 / 3) == 1


@given(samples)
@settings(deadline=None, max_examples=40)
def test_the_auroc_of_errors_is_scikit_learns(pairs):
  wrong, uncertainty = np.array(pairs).T
  found = selective.error_auroc(wrong, uncertainty)
  if len(set(wrong)) < 2:
    assert found is None
  else:
    right = sklearn.metrics.roc_auc_score(wrong, uncertainty)
    assert found == pytest.approx(right)


def test_no_errors_are_told_from_wrong_input():
  with pytest.raises(ValueError, match='0 or 1'):
    selective.error_auroc([0, 2], [1, 2])
  with pytest.raises(ValueError, match='0 or 1'):
    selective.error_auroc([0, 1], [1])
  with pytest.raises(ValueError, match='NaN'):
    selective.error_auroc([0, 1], [1, np.nan])
