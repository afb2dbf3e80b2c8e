"""Tests of emojax/metrics/ood.py and correlation.py."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.metrics import correlation, ood

scores = st.lists(st.integers(0, 6), min_size=1, max_size=15)


@given(scores, scores)
@settings(deadline=None, max_examples=40)
def test_auroc_is_the_probability_of_the_right_order(inside, outside):
  result = ood.detect(inside, outside)
  gaps = np.subtract.outer(outside, inside)
  expected = np.mean((gaps > 0) + 0.5 * (gaps == 0))
  np.testing.assert_allclose(result.auroc, expected, atol=1e-12)


@given(scores, scores, st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_the_order_and_the_type_of_scores_do_not_matter(inside, outside, seed):
  rng = np.random.default_rng(seed)
  expected = ood.detect(np.divide(inside, 7), np.divide(outside, 7)).auroc
  shuffled = [np.float32(rng.permutation(x)) / 7 for x in (inside, outside)]
  assert ood.detect(*shuffled).auroc == pytest.approx(expected)
  assert ood.detect(np.full(4, 0.3), np.full(3, 0.3)).auroc == 0.5


def test_curve_at_each_threshold():
  rng = np.random.default_rng(0)
  inside, outside = rng.normal(0, 1, (30, 4)), rng.normal(1, 1, 50)
  result = ood.detect(inside, outside)
  for fpr, tpr, threshold in zip(*result[1:]):
    assert fpr == pytest.approx(np.mean(inside >= threshold))
    assert tpr == pytest.approx(np.mean(outside >= threshold))
  assert 0.5 < result.auroc < 1
  assert ood.detect(outside, inside).auroc == pytest.approx(1 - result.auroc)


def test_scores_must_exist_and_be_finite():
  with pytest.raises(ValueError, match='out_scores'):
    ood.detect([1.0], [])
  with pytest.raises(ValueError, match='in_scores'):
    ood.detect([np.nan], [1.0])


pairs = st.lists(
  st.tuples(*[st.integers(-9, 9)] * 2), min_size=2, max_size=20
).filter(lambda p: min(len(set(v)) for v in zip(*p)) > 1)


@given(pairs)
@settings(deadline=None, max_examples=40)
def test_correlations_match_scipy(pairs):
  x, y = np.array(pairs).T
  expected = scipy.stats.spearmanr(x, y).statistic
  np.testing.assert_allclose(correlation.spearman(x, y), expected, atol=1e-9)
  expected = scipy.stats.pearsonr(x, y).statistic
  np.testing.assert_allclose(correlation.pearson(x, y), expected, atol=1e-9)


def test_rank_correlation_ignores_monotone_maps():
  x = np.random.default_rng(0).normal(size=30)
  assert correlation.spearman(x, np.exp(3 * x)) == pytest.approx(1)
  assert correlation.spearman(x, -(x**3)) == pytest.approx(-1)


def test_constant_or_bad_samples():
  assert np.isnan(correlation.spearman([1, 1, 1], [1, 2, 3]))
  with pytest.raises(ValueError, match='expected the same number'):
    correlation.spearman([1, 2], [1, 2, 3])
  with pytest.raises(ValueError, match='not finite'):
    correlation.pearson([1, np.inf], [1, 2])


@pytest.mark.parametrize('value', [0.1, 0.3, 1e8, 1e-30])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_constants_have_no_correlation(value, dtype):
  constant = np.full(1000, value, dtype)
  varying = np.random.default_rng(0).normal(size=1000)
  for correlate in (correlation.pearson, correlation.spearman):
    assert np.isnan(correlate(constant, varying))
    assert np.isnan(correlate(varying, constant))
    assert np.isnan(correlate(constant, constant))
    small = correlate(1e-20 * varying, 1e-20 * varying)
    assert small == pytest.approx(1)  # small is not constant


@given(pairs, st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_the_order_of_pairs_does_not_matter(pairs, seed):
  x, y = np.array(pairs).T
  order = np.random.default_rng(seed).permutation(len(x))
  for correlate in (correlation.pearson, correlation.spearman):
    again = correlate(x[order], y[order])
    assert again == pytest.approx(correlate(x, y), abs=1e-12)
