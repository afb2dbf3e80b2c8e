"""Tests of emojax/metrics/selective.py."""

import numpy as np
import pytest
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
