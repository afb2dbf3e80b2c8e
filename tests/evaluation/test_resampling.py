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
  scaled = resampling.pearson(counts, 1e-15 * x, 1e-15 * x)
  np.testing.assert_allclose(scaled, 1)  # small is not constant


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


def test_calibration_error_is_that_of_the_replicates_less_their_bias(sample):
  counts, x, y = sample
  confidence, correct = scipy.stats.norm.cdf(x), np.float64(y > 0)
  found = resampling.calibration_error(counts, confidence, correct)
  errors = np.array(
    [
      calibration.reliability_curve(a, b).error()
      for a, b in built(counts, confidence, correct)
    ]
  )
  assert found[0] == pytest.approx(errors[0])
  moved = errors[1:] - errors[1:].mean() + errors[0]
  np.testing.assert_allclose(found[1:], moved)


def test_intervals_of_calibration_errors_are_about_the_error():
  """Of calibrated predictions, whose replicates are nearly all above it."""
  rng = np.random.default_rng(0)
  confidence = rng.uniform(0.5, 1, 400)
  correct = np.float64(rng.uniform(size=400) < confidence)
  counts = resampling.draws(0, 400, 500)
  found = resampling.calibration_error(counts, confidence, correct)
  low, high = resampling.interval(found)
  assert low < found[0] < high
  raw = resampling._calibration_error(counts, confidence, correct)
  assert resampling.interval(raw)[0] > raw[0] - 0.002
  # Nothing but the sample: nothing to correct with.
  alone = resampling.calibration_error(counts[:1], confidence, correct)
  np.testing.assert_allclose(alone, raw[:1], rtol=1e-12)  # BLAS's order of sums


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


@pytest.mark.parametrize('rejected', [0, 0.1, 0.2, 0.5, 0.95, 1])
def test_rejection_of_replicates_is_that_of_metrics(sample, rejected):
  counts, x, y = sample
  correct = np.float64(y > 0)
  found = resampling.accuracy_at(counts, correct, x, rejected)
  areas = resampling.rejection_area(counts, correct, x)
  for row, pair in enumerate(built(counts, correct, x)):
    curve = selective.rejection_curve(*pair)
    np.testing.assert_allclose(found[row], curve.at(rejected))
    np.testing.assert_allclose(areas[row], curve.area)


def test_rejection_of_equally_uncertain_frames_is_their_accuracy():
  correct, doubt = np.array([1.0, 0, 0, 0, 0]), np.zeros(5)
  ones = np.ones((1, 5))
  assert selective.rejection_curve(correct, doubt).at(0.2) == 0.2
  assert resampling.accuracy_at(ones, correct, doubt, 0.2)[0] == 0.2
  assert resampling.rejection_area(ones, correct, doubt)[0] == 0.2
  assert resampling.accuracy_at(ones, correct, -correct, 0.8)[0] == 1


@settings(max_examples=40, deadline=None)
@given(
  st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1),
  st.floats(0, 1),
  st.integers(0, 99),
)
def test_rejection_has_one_definition(pairs, rejected, seed):
  correct, doubt = np.float64(pairs).T
  curve = selective.rejection_curve(correct, doubt)
  order = np.random.default_rng(seed).permutation(len(correct))
  sample = np.ones((1, len(correct))), correct[order], doubt[order]
  at = resampling.accuracy_at(*sample, rejected)
  np.testing.assert_allclose(at, curve.at(rejected))
  np.testing.assert_allclose(resampling.rejection_area(*sample), curve.area)


@pytest.mark.parametrize('junk', [np.nan, np.inf])
def test_what_is_not_finite_has_no_place_in_an_order(sample, junk):
  counts, x, y = sample
  bad = x.copy()
  bad[3] = junk
  right = np.float64(y > 0)
  for statistic in (
    lambda: resampling.spearman(counts, bad, y),
    lambda: resampling.accuracy_at(counts, right, bad, 0.2),
    lambda: resampling.rejection_area(counts, right, bad),
    lambda: resampling.auroc(counts, bad, counts, y),
    lambda: resampling.auroc(counts, x, counts, bad),
    lambda: resampling.calibration_error(counts, bad, right),
  ):
    with pytest.raises(ValueError, match='must be'):
      statistic()


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
