"""Thresholds, bands and p-values: oracles, properties and simulated coverage."""

import functools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.uncertainty import conformal

LEVELS = (0.8, 0.9, 0.95)
SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@settings(deadline=None)
@given(SCORES, st.sampled_from((0.05, 0.5, *LEVELS)))
def test_threshold_is_the_kth_smallest_score(values, coverage):
  n = len(values)
  k = math.ceil(round(coverage * (n + 1), 6))
  expected = sorted(values)[k - 1] if k <= n else math.inf
  assert conformal.threshold(values, coverage) == expected
  assert conformal.rank(n, coverage) == k


@pytest.mark.parametrize(
  ('coverage', 'n'), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1)]
)
def test_too_few_groups_promise_nothing(coverage, n):
  assert conformal.fewest(coverage) == n
  scores = np.arange(n, dtype=float)
  assert conformal.threshold(scores, coverage) == n - 1
  assert conformal.threshold(scores[1:], coverage) == math.inf
  assert conformal.band(n - 1, coverage) == (1, 1)


def test_without_examples_everything_is_in_the_set():
  assert conformal.threshold([], 0.9) == math.inf
  assert conformal.threshold([1.0], 0.1, [0.0]) == math.inf


def test_rounding_does_not_cost_a_rank():
  # 0.95 * 20 and 0.9 * 110 are not whole numbers in binary.
  for coverage, n, k in ((0.95, 19, 19), (0.9, 109, 99), (0.8, 34, 28)):
    assert conformal.rank(n, coverage) == k
    scores = np.arange(1.0, n + 1)
    assert conformal.threshold(scores, coverage) == k
    thirds = np.repeat(scores, 3)
    weights = conformal.group_weights(np.repeat(np.arange(n), 3))
    assert conformal.threshold(thirds, coverage, weights) == k


@pytest.mark.parametrize('coverage', [0, 1, -0.1, 90, math.nan])
def test_a_coverage_is_a_share(coverage):
  with pytest.raises(ValueError, match='coverage'):
    conformal.threshold([1.0], coverage)


def test_scores_that_are_nan_are_refused():
  with pytest.raises(ValueError, match='NaN; the model has diverged'):
    conformal.threshold([0.1, np.nan], 0.5)
  assert conformal.threshold([0.1, np.nan], 0.5, [1, 0]) == 0.1
  with pytest.raises(ValueError, match='one weight a score'):
    conformal.threshold([0.1, 0.2], 0.5, [1])


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 9))
def test_one_of_each_group(groups, seed):
  index = conformal.one_each(groups, seed)
  assert sorted(np.array(groups)[index]) == sorted(set(groups))
  np.testing.assert_array_equal(index, conformal.one_each(groups, seed))


def test_every_frame_of_a_group_is_as_likely():
  groups = ['a', 'b', 'b', 'b']
  drawn = [conformal.one_each(groups, seed)[1] for seed in range(3000)]
  counts = np.bincount(drawn, minlength=4)[1:]
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1))
def test_groups_count_once(pairs):
  """As much as their frames have of the label on average, of those with some."""
  groups, mass = np.array(pairs).T
  weights = conformal.group_weights(groups, mass / 3)
  for group in set(groups):
    some = mass[(groups == group) & (mass > 0)] / 3
    found = weights[groups == group].sum()
    assert found == pytest.approx(some.mean() if len(some) else 0)
  hard = conformal.group_weights(groups, mass > 0)
  assert hard.sum() == pytest.approx(len(set(groups[mass > 0])))


def test_all_labels_of_a_frame_together_count_once():
  frames, groups = np.array([0, 0, 1, 1, 1, 2]), np.array(list('aabbbb'))
  mass = np.array([0.7, 0.3, 0.2, 0.3, 0.5, 1])
  weights = conformal.group_weights(groups, mass, frames)
  np.testing.assert_allclose(weights, mass / [1, 1, 2, 2, 2, 2])
  assert weights.sum() == pytest.approx(2)


@pytest.mark.parametrize(
  ('people', 'most'), [(9, 1.0), (40, 0.95), (150, 0.85)]
)
def test_soft_labels_promise_what_is_drawn_from_them(people, most):
  """P(score <= threshold | label), over labels, people and calibrations."""
  rng, level, inside, whole = np.random.default_rng(0), 0.8, 0.0, 0.0
  for _ in range(2500):
    groups = np.repeat(np.arange(people + 1), rng.integers(1, 4, people + 1))
    level_of = rng.random(people + 1)[groups]  # people are not alike
    share = rng.beta(0.5, 1.5, len(groups)) * level_of
    scores = rng.normal(size=len(groups)) - share  # labels are seen, if in part
    new = groups == people
    weights = conformal.group_weights(groups[~new], share[~new])
    limit = conformal.threshold(scores[~new], level, weights)
    weights = conformal.group_weights(groups[new], share[new])
    inside += weights @ (scores[new] <= limit)
    whole += weights.sum()
  assert level - 0.01 < inside / whole <= most


def test_single_frames_are_their_own_groups():
  scores = np.random.default_rng(0).normal(size=57)
  weights = conformal.group_weights(np.arange(57))
  for coverage in LEVELS:
    expected = conformal.threshold(scores, coverage)
    assert conformal.threshold(scores, coverage, weights) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.sampled_from(LEVELS), st.integers(1, 50))
def test_bands_are_those_of_simulated_uniform_scores(n, coverage, tested):
  rng = np.random.default_rng(n)
  k = conformal.rank(n, coverage)
  if k > n:
    assert conformal.observed_band(n, coverage, tested) == (1, 1)
    return
  true = np.sort(rng.random((4000, n)), 1)[:, k - 1]
  low, high = conformal.band(n, coverage)
  assert np.mean(true < low) == pytest.approx(0.025, abs=0.012)
  assert np.mean(true > high) == pytest.approx(0.025, abs=0.012)
  found = rng.binomial(tested, true) / tested
  low, high = conformal.observed_band(n, coverage, tested)
  assert np.mean(found < low - 1e-9) < 0.025 + 0.012
  assert np.mean(found > high + 1e-9) < 0.025 + 0.012


@settings(deadline=None)
@given(st.integers(20, 400), st.sampled_from(LEVELS), st.integers(1, 300))
def test_bands_are_those_of_scipy(n, coverage, tested):
  k = conformal.rank(n, coverage)
  law = scipy.stats.beta(k, n + 1 - k)
  found = conformal.band(n, coverage, 0.9)
  np.testing.assert_allclose(found, law.ppf([0.05, 0.95]))
  law = scipy.stats.betabinom(tested, k, n + 1 - k)
  found = conformal.observed_band(n, coverage, tested, 0.9)
  np.testing.assert_allclose(found, law.ppf([0.05, 0.95]) / tested)


def test_the_band_is_around_what_was_asked_for():
  for coverage in LEVELS:
    widths = []
    for n in (50, 500, 5000):
      low, high = conformal.band(n, coverage)
      assert low < coverage < high
      widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


@settings(deadline=None)
@given(SCORES, st.integers(0, 7))
def test_p_values_count_scores_as_large(values, score):
  values = np.array(values)
  expected = (1 + (values >= score).sum()) / (len(values) + 1)
  assert conformal.p_values(score, values) == pytest.approx(expected)


@settings(deadline=None)
@given(SCORES, st.integers(0, 7), st.sampled_from((0.5, *LEVELS)))
def test_p_values_and_thresholds_are_two_sides(values, score, coverage):
  """In the set if and only if p > 1 - coverage."""
  inside = score <= conformal.threshold(values, coverage)
  p = conformal.p_values(score, values)
  assert inside == bool(p > 1 - coverage + 1e-9)


def people(rng, count, effect=1.0):
  """(scores, groups): talkative people are easy, as frames of one are alike."""
  frames = rng.choice([2, 40], count)
  centre = np.where(frames == 2, 1.0, -1.0) + effect * rng.normal(size=count)
  groups = np.repeat(np.arange(count), frames)
  return centre[groups] + 0.3 * rng.normal(size=len(groups)), groups


@functools.cache
def population():
  """Sorted scores of 4000 people, and the share of people up to each."""
  scores, groups = people(np.random.default_rng(99), 4000)
  order = np.argsort(scores)
  shares = np.cumsum(conformal.group_weights(groups)[order]) / 4000
  return scores[order], np.append(0, shares)


def new_persons_coverage(threshold):
  scores, shares = population()
  return shares[np.searchsorted(scores, threshold, side='right')]


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('coverage', LEVELS)
def test_coverage_is_in_the_band_on_exchangeable_data(coverage, ties):
  rng, n, tested, repeats = np.random.default_rng(1), 60, 100, 2000
  scores = rng.normal(size=(repeats, n + tested))
  scores = np.round(scores) if ties else scores
  found = np.array(
    [
      np.mean(row[n:] <= conformal.threshold(row[:n], coverage))
      for row in scores
    ]
  )
  low, high = conformal.observed_band(n, coverage, tested)
  assert np.mean(found < low) < 0.035
  assert found.mean() > coverage - 0.005
  if not ties:  # which can only add to a set
    assert np.mean(found > high) < 0.035
    assert found.mean() < coverage + 1 / (n + 1) + 0.005


@pytest.mark.parametrize('way', ['weights', 'one each'])
@pytest.mark.parametrize('coverage', LEVELS)
def test_new_persons_are_covered_where_frame_wise_thresholds_fail(
  coverage, way
):
  n, found, wrong = 60, [], []
  for seed in range(150):
    rng = np.random.default_rng(seed)
    scores, groups = people(rng, n)
    if way == 'weights':
      weights = conformal.group_weights(groups)
      limit = conformal.threshold(scores, coverage, weights)
    else:
      limit = conformal.threshold(
        scores[conformal.one_each(groups, seed)], coverage
      )
    found.append(new_persons_coverage(limit))
    frame_wise = conformal.threshold(scores, coverage)
    wrong.append(new_persons_coverage(frame_wise))
  low, high = conformal.band(n, coverage)
  found, wrong = np.array(found), np.array(wrong)
  assert found.mean() > coverage - 0.01
  assert np.mean((found < low) | (found > high)) < 0.09
  assert wrong.mean() < coverage - 0.04
  frames = n * 21
  assert np.mean(wrong < conformal.band(frames, coverage)[0]) > 0.8


def test_thresholds_are_those_of_crepes():
  crepes = pytest.importorskip(
    'crepes', reason='crepes is not installed (.[parity])'
  )
  rng = np.random.default_rng(2)
  residuals = rng.normal(size=83)
  for coverage in LEVELS:
    regressor = crepes.ConformalRegressor().fit(residuals)
    interval = regressor.predict_int(np.zeros(1), confidence=coverage)
    expected = conformal.threshold(np.abs(residuals), coverage)
    assert interval[0, 1] == pytest.approx(expected)
