"""Weighted statistics against the plain ones on replicates built in full."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.evaluation import resampling
from emojax.metrics import calibration, correlation, selective


@pytest.fixture(params=[40, 41])
def sample(request):
  rng = np.random.default_rng(request.param)
  x = np.round(rng.normal(size=request.param), 1)  # with ties
  y = np.round(x + rng.normal(size=request.param), 1)
  counts = resampling.draws(3, request.param, 20)
  return counts, x, y


def built(counts, *arrays):
  """Every replicate's arrays, element by element."""
  for row in counts.astype(int):
    yield [np.repeat(array, row) for array in arrays]


def test_draws_are_a_bootstrap():
  counts = resampling.draws(0, 50, 4000)
  assert (counts[0] == 1).all()
  assert (counts.sum(1) == 50).all()
  np.testing.assert_array_equal(counts, resampling.draws(0, 50, 4000))
  assert (counts != resampling.draws(1, 50, 4000)).any()
  # The variance of a replicate's mean is that of the sample over n.
  x = np.random.default_rng(0).normal(size=50)
  means = resampling.mean(counts, x)[1:]
  np.testing.assert_allclose(means.mean(), x.mean(), atol=0.01)
  np.testing.assert_allclose(means.var(), x.var() / 50, rtol=0.08)


def test_interval_covers_the_truth_as_often_as_it_says():
  rng = np.random.default_rng(0)
  hits = 0
  for seed in range(200):
    x = rng.normal(size=60)
    low, high = resampling.interval(
      resampling.mean(resampling.draws(seed, 60, 200), x)
    )
    hits += low < 0 < high
  assert 0.88 <= hits / 200 <= 0.99
  assert np.isnan(resampling.interval(np.ones(1))).all()


def test_correlations(sample):
  counts, x, y = sample
  linear = resampling.pearson(counts, x, y)
  rank = resampling.spearman(counts, x, y)
  for row, (a, b) in enumerate(built(counts, x, y)):
    np.testing.assert_allclose(linear[row], scipy.stats.pearsonr(a, b)[0])
    np.testing.assert_allclose(rank[row], scipy.stats.spearmanr(a, b)[0])
  assert linear[0] == pytest.approx(correlation.pearson(x, y))


def test_a_constant_has_no_correlation(sample):
  counts, x, _ = sample
  constant = np.full_like(x, 0.1)
  assert np.isnan(resampling.pearson(counts, x, constant)).all()
  assert np.isnan(resampling.spearman(counts, constant, x)).all()


def test_midranks(sample):
  counts, x, _ = sample
  ranks = resampling.midranks(counts, x)
  for a, r in zip(counts.astype(int), ranks):
    copies = np.repeat(x, a)
    np.testing.assert_allclose(np.repeat(r, a), scipy.stats.rankdata(copies))


def test_auroc(sample):
  counts, x, y = sample
  others = resampling.draws(5, 30, 20)
  z = np.round(y[:30] + 0.5, 1)
  found = resampling.auroc(counts, x, others, z)
  rows = zip(built(counts, x), built(others, z))
  for row, ((a,), (b,)) in enumerate(rows):
    labels = np.repeat([0, 1], [len(a), len(b)])
    expected = sklearn.metrics.roc_auc_score(labels, np.concatenate([a, b]))
    np.testing.assert_allclose(found[row], expected)


def test_calibration_error(sample):
  counts, x, y = sample
  confidence, correct = scipy.stats.norm.cdf(x), np.float64(y > 0)
  found = resampling.calibration_error(counts, confidence, correct)
  for row, (a, b) in enumerate(built(counts, confidence, correct)):
    curve = calibration.reliability_curve(a, b)
    np.testing.assert_allclose(found[row], curve.error())


def test_rejection_without_ties():
  rng = np.random.default_rng(1)
  doubt = rng.permutation(50) / 50
  correct = np.float64(rng.random(50) > doubt / 2)
  ones = np.ones((1, 50))
  curve = selective.rejection_curve(correct, doubt)
  area = resampling.rejection_area(ones, correct, doubt)
  np.testing.assert_allclose(area, curve.area)
  for rejected in (0, 0.1, 0.2, 0.5):
    found = resampling.accuracy_at(ones, correct, doubt, rejected)
    np.testing.assert_allclose(found, curve.at(rejected))


def test_rejection_of_replicates(sample):
  counts, x, y = sample
  correct = np.float64(y > 0)
  found = resampling.accuracy_at(counts, correct, x, 0.2)
  for row, (a, b) in enumerate(built(counts, correct, x)):
    # Ties at the threshold stay together.
    threshold = np.sort(b)[int(np.ceil(0.8 * len(b) - 1e-9)) - 1]
    np.testing.assert_allclose(found[row], a[b <= threshold].mean())


@settings(max_examples=30, deadline=None)
@given(
  st.lists(st.integers(-3, 3), min_size=3, max_size=30),
  st.integers(0, 1000),
)
def test_order_of_the_sample_does_not_matter(values, seed):
  x = np.float64(values)
  rng = np.random.default_rng(seed)
  y, order = rng.normal(size=len(x)), rng.permutation(len(x))
  counts = resampling.draws(seed, len(x), 5)
  first = resampling.spearman(counts, x, y)
  second = resampling.spearman(counts[:, order], x[order], y[order])
  np.testing.assert_allclose(first, second, atol=1e-9)
