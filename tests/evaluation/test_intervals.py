"""Intervals against textbook formulas, and how often they cover the truth."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.evaluation import intervals, resampling

TRIALS = 1500


def covers(found, truth=0.0):
  return float(np.mean((found.low <= truth) & (truth <= found.high)))


def at_level(share, trials=TRIALS, level=0.95, excess=0.0):
  """Within 3.5 standard errors of the level, or above it by `excess`."""
  error = 3.5 * np.sqrt(level * (1 - level) / trials)
  return level - error <= share <= level + error + excess


def jackknife(statistic, members, level=intervals.LEVEL):
  """Interval over members of `statistic(numbers of members)`."""
  without = intervals.left_out(statistic, members)
  error = intervals.jackknife_error(without) if len(without) else np.nan
  value = np.float64(statistic(np.arange(members)))
  return intervals.student(value, error, max(members - 1, 1), level)


def resample(statistic, members, counts):
  """Interval over members and images of `statistic(numbers, counts)`."""
  return intervals.members_and_images(
    statistic(np.arange(members), counts),
    intervals.left_out(lambda i: statistic(i, counts[:1])[0], members),
    counts.shape[1],
  )


@pytest.fixture(autouse=True)
def no_warnings_of_infinite_values():
  with np.errstate(all='raise', under='ignore'):
    yield


def test_jackknife_of_a_mean_is_the_t_interval():
  x = np.random.default_rng(0).normal(size=(7, 3))
  found = jackknife(lambda index: x[index].mean(0), 7)
  expected = scipy.stats.ttest_1samp(x, 0).confidence_interval()
  np.testing.assert_allclose(found.low, expected.low)
  np.testing.assert_allclose(found.high, expected.high)
  np.testing.assert_allclose(found.error, scipy.stats.sem(x))
  np.testing.assert_array_equal(found.freedom, 6)


def test_jackknife_matches_scipy_for_a_curved_statistic():
  x = np.random.default_rng(1).normal(2, 1, 9)
  found = jackknife(lambda index: np.log(x[index].mean() ** 2), 9)
  pseudo = [np.log(np.delete(x, i).mean() ** 2) for i in range(9)]
  pseudo = 9 * found.value - 8 * np.array(pseudo)
  np.testing.assert_allclose(found.error, scipy.stats.sem(pseudo))


@pytest.mark.parametrize('members', [4, 8])
def test_jackknife_covers_means_at_its_level(members):
  drawn = np.random.default_rng(2).normal(size=(members, TRIALS))
  found = jackknife(lambda index: drawn[index].mean(0), members)
  assert at_level(covers(found))
  loose = jackknife(lambda index: drawn[index].mean(0), members, 0.5)
  assert at_level(covers(loose), level=0.5)


def test_jackknife_of_an_ensembles_advantage_covers():
  """Squared error of a mean of members less the members' mean squared error.

  Members N(3, 1) share most of their error, which the difference is free of:
  taking the ensemble as an exact number gives intervals four times too wide.
  """
  members = 20
  drawn = np.random.default_rng(0).normal(3, 1, size=(members, TRIALS))

  def advantage(index):
    return drawn[index].mean(0) ** 2 - (drawn[index] ** 2).mean(0)

  found = jackknife(advantage, members)
  # Not exact: the statistic is a chi-squared, which is skewed.
  assert 0.88 < covers(found, 1 / members - 1) <= 0.97
  true = found.value.std()
  np.testing.assert_allclose(np.mean(found.error**2), true**2, rtol=0.2)
  exact_ensemble = scipy.stats.sem(drawn**2)
  assert np.median(exact_ensemble) > 3 * true


def crossed(rng, members, images, of_member, of_image, noise):
  """Values of members on images with known variances; the mean is 0."""
  return (
    of_member * rng.normal(size=(members, 1))
    + of_image * rng.normal(size=(1, images))
    + noise * rng.normal(size=(members, images))
  )


def mean_of(values):
  return lambda index, counts: resampling.mean(counts, values[index].mean(0))


@pytest.mark.parametrize(
  ('of_member', 'of_image', 'noise'),
  [(0.1, 1, 0.1), (0.3, 0.1, 0.1), (0.3, 2, 0.5), (0, 1, 0)],
)
def test_members_and_images_cover_at_their_level(of_member, of_image, noise):
  trials, rng = 500, np.random.default_rng(3)
  counts = resampling.draws(1, 40, 200)
  hits = 0
  for _ in range(trials):
    values = crossed(rng, 5, 40, of_member, of_image, noise)
    hits += covers(resample(mean_of(values), 5, counts))
  # Two variances are estimated: Welch's t is somewhat wide where both matter.
  assert at_level(hits / trials, trials, excess=0.02)


def test_images_or_members_alone_are_too_narrow():
  """What the product of both is for."""
  trials, rng = 300, np.random.default_rng(4)
  counts = resampling.draws(1, 40, 200)
  alone, both = np.zeros(2), 0
  for _ in range(trials):
    values = crossed(rng, 5, 40, 0.4, 2, 0.5)
    mean = mean_of(values)
    low, high = resampling.interval(mean(np.arange(5), counts))
    few = jackknife(lambda i, m=mean: m(i, counts[:1])[0], 5)
    alone += [low <= 0 <= high, covers(few)]
    both += covers(resample(mean, 5, counts))
  assert (alone / trials < 0.9).all()
  assert both / trials > 0.92


def test_chains_are_paired():
  """What teachers and their students share is no error of their difference."""
  rng = np.random.default_rng(5)
  teachers = crossed(rng, 6, 50, 3, 3, 0.1)
  students = teachers + 0.2 + 0.1 * rng.normal(size=(6, 50))
  counts = resampling.draws(0, 50, 300)

  def difference(index, counts):
    gap = students[index].mean(0) - teachers[index].mean(0)
    return resampling.mean(counts, gap)

  found = resample(difference, 6, counts)
  assert 0 < found.low < 0.2 < found.high
  assert found.error < 0.02
  assert resample(mean_of(students), 6, counts).error > 0.3


def test_one_member_one_image_or_no_replicates_are_unknown():
  values = np.ones((1, 30))
  counts = resampling.draws(0, 30, 10)
  for found in (
    resample(mean_of(values), 1, counts),
    resample(mean_of(np.ones((3, 30))), 3, counts[:1]),
    jackknife(lambda index: np.float64(len(index)), 1),
  ):
    assert found.value == 1
    assert np.isnan([found.error, found.low, found.high]).all()


def test_the_advantage_of_two_members_has_no_error():
  # Alone, each is as good as the mean of itself: the advantage without one is 0.
  scores = np.random.default_rng(4).normal(size=(2, 50))

  def advantage(index):
    return (scores[index].mean(0) ** 2).mean() - (scores[index] ** 2).mean()

  found = jackknife(advantage, 2)
  assert found.value < 0
  assert np.isnan([found.error, found.low, found.high]).all()


def test_identical_members_and_images_have_no_error():
  counts = resampling.draws(0, 30, 10)
  found = resample(mean_of(np.full((4, 30), 0.5)), 4, counts)
  np.testing.assert_allclose([found.low, found.value, found.high], 0.5)


@pytest.mark.parametrize('junk', [np.nan, np.inf])
def test_an_undefined_replicate_is_never_left_out(junk):
  replicates = np.random.default_rng(0).normal(size=(20, 2))
  without = np.random.default_rng(1).normal(size=(5, 2))
  for broken in (replicates, without):
    broken = broken.copy()
    broken[3, 0] = junk
    pair = [
      broken if len(x) == len(broken) else x for x in (replicates, without)
    ]
    with np.errstate(invalid='ignore'):
      found = intervals.members_and_images(*pair, images=100)
    np.testing.assert_array_equal(np.isnan(found.low), [True, False])
    np.testing.assert_array_equal(np.isnan(found.high), [True, False])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(0, 1000))
def test_the_order_of_members_does_not_matter(members, seed):
  rng = np.random.default_rng(seed)
  values, counts = rng.normal(size=(members, 20)), resampling.draws(0, 20, 15)
  order = rng.permutation(members)
  first = resample(mean_of(values), members, counts)
  second = resample(mean_of(values[order]), members, counts)
  np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


def test_level_is_checked():
  with pytest.raises(ValueError, match=r'level 95: expected a coverage'):
    intervals.student(0.0, 1.0, 3, level=95)
