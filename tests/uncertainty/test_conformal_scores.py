"""Scores and the sets that they make: brute force, equalities, properties."""

import itertools

import numpy as np
import pytest
import sklearn.base
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emojax import tasks
from emojax.uncertainty import conformal, conformal_votes
from emojax.uncertainty import conformal_scores as scoring

BINS = tasks.bin_values()
# Few different numbers, so that there are ties.
RAW = arrays.arrays(np.float64, (3, 5), elements=st.integers(0, 4).map(float))


def distribution(raw):
  return (raw + 1e-3) / (raw + 1e-3).sum(-1, keepdims=True)


@settings(deadline=None)
@given(RAW)
def test_aps_is_the_mass_down_to_a_class(raw):
  probs = distribution(raw)
  for p, found, half in zip(
    probs, scoring.aps(probs), scoring.aps(probs, np.full(3, 0.5))
  ):
    for c in range(5):
      above = p[p > p[c] + 1e-12].sum()
      assert found[c] == pytest.approx(above + p[c])
      assert half[c] == pytest.approx(above + p[c] / 2)


@settings(deadline=None)
@given(RAW)
def test_raps_punishes_ranks(raw):
  probs = distribution(raw)
  rank = 1 + (probs[:, None] > probs[..., None] + 1e-12).sum(-1)
  expected = scoring.aps(probs) + 0.3 * np.maximum(0, rank - 2)
  np.testing.assert_allclose(scoring.raps(probs, None, 0.3, 2), expected)
  np.testing.assert_allclose(
    scoring.raps(probs, None, 0, 2), scoring.aps(probs)
  )


@settings(deadline=None)
@given(RAW, st.permutations(range(5)))
def test_the_order_of_the_classes_does_not_matter(raw, order):
  probs = distribution(raw)
  for score in (scoring.lac, scoring.aps, scoring.raps):
    np.testing.assert_allclose(
      score(probs)[:, order], score(probs[:, order]), atol=1e-12
    )


@settings(deadline=None)
@given(RAW)
def test_sets_are_nested_in_the_threshold(raw):
  probs = distribution(raw)
  for score in (scoring.lac, scoring.aps, scoring.raps, scoring.grown):
    found = score(probs)
    sizes = [(found <= t).sum() for t in np.linspace(-0.1, 2, 12)]
    assert sizes == sorted(sizes)
    assert (found <= np.inf).all()


def one_peak(centre, width):
  p = np.exp(-0.5 * ((BINS - centre) / width) ** 2) + 1e-9
  return p / p.sum()


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(0.05, 1), st.floats(0, 0.999))
def test_intervals_of_one_peak_are_the_shortest_by_mass(centre, width, mass):
  p = one_peak(centre, width)
  inside = scoring.grown(p) <= mass
  total = p[inside].sum()
  assert total > mass - 1e-9
  size = inside.sum()
  for start, n in itertools.product(range(20), range(1, size)):
    assert p[start : start + n].sum() <= total + 1e-9
    assert p[start : start + n].sum() <= mass + 1e-9 or n >= size


@settings(deadline=None)
@given(arrays.arrays(np.float64, (2, 6), elements=st.floats(0.01, 1)))
def test_an_interval_has_no_holes_and_its_peak(raw):
  probs = raw / raw.sum(-1, keepdims=True)
  scores = scoring.grown(probs)
  for row, p in zip(scores, probs):
    for limit in row:
      places = np.flatnonzero(row <= limit)
      assert len(places) == np.ptp(places) + 1
    assert row[p.argmax()] == 0 == row.min()


def test_ends_of_intervals_are_those_of_the_bins():
  scores = np.full(20, 1.0)
  scores[[3, 4]] = 0
  low, high = scoring.span(scores, 0.5, BINS)
  assert low == pytest.approx((BINS[2] + BINS[3]) / 2)
  assert high == pytest.approx((BINS[4] + BINS[5]) / 2)
  np.testing.assert_array_equal(scoring.span(scores, np.inf, BINS), [-1, 1])


def test_action_units_are_decided_by_the_state_that_is_left():
  p = np.array([0.05, 0.5, 0.95])
  found = scoring.three_way(scoring.units(p), 0.2)
  np.testing.assert_array_equal(found, [0, -1, 1])
  both = scoring.three_way(scoring.units(p), np.inf)
  np.testing.assert_array_equal(both, [-1, -1, -1])
  # Label-conditional: presence is believed from 0.4 on, absence up to 0.1.
  limits = np.array([0.1, 0.6])
  found = scoring.three_way(scoring.units(np.array([0.05, 0.3, 0.45])), limits)
  np.testing.assert_array_equal(found, [0, -1, 1])


def closed_testing(p, level):
  """Rejected by every Bonferroni test of a set of hypotheses with it."""
  names = range(len(p))
  subsets = [
    s for n in range(1, len(p) + 1) for s in itertools.combinations(names, n)
  ]
  refused = {s for s in subsets if min(p[i] for i in s) <= level / len(s)}
  return [all(s in refused for s in subsets if i in s) for i in names]


@settings(max_examples=60, deadline=None)
@given(
  st.lists(
    st.sampled_from((0.001, 0.01, 0.02, 0.03, 0.2)), min_size=4, max_size=4
  )
)
def test_holm_is_closed_testing(p):
  p = np.array(p)
  found = scoring.holm(p, np.ones(4), 0.1)
  np.testing.assert_array_equal(found == 1, closed_testing(p, 0.05))
  found = scoring.holm(np.ones(4), p, 0.1)
  np.testing.assert_array_equal(found == 0, closed_testing(p, 0.05))
  both = scoring.holm(p, p, 0.1)
  assert (both == -1).all()  # neither state conforms: nobody knows


def detections(rng, count, units=6):
  """(probabilities, truth) of units that depend on each other."""
  common = rng.normal(size=(count, 1))
  logits = common + rng.normal(size=(count, units)) - 0.5
  present = rng.random(logits.shape) < 1 / (1 + np.exp(-2 * logits))
  return 1 / (1 + np.exp(-2 * logits)), present


@pytest.mark.parametrize('way', ['joint', 'holm'])
def test_no_unit_is_decided_wrongly(way):
  rng, level, wrong, decided = np.random.default_rng(0), 0.1, [], []
  for _ in range(60):
    (p, y), (q, z) = detections(rng, 300), detections(rng, 300)
    a, b = scoring.units(p), scoring.units(q)
    if way == 'joint':
      worst = scoring.joint(a, y, np.ones_like(y))
      found = scoring.three_way(b, conformal.threshold(worst, 1 - level))
    else:
      absent, present = (
        np.stack(
          [
            conformal.p_values(b[:, i, s], a[y[:, i] == bool(s), i, s])
            for i in range(6)
          ],
          -1,
        )
        for s in (0, 1)
      )
      found = scoring.holm(absent, present, level)
    wrong.append(((found >= 0) & (found != z)).any(1).mean())
    decided.append((found >= 0).mean())
  assert np.mean(wrong) <= level + 0.01
  assert np.mean(decided) > 0.05
  if way == 'joint':  # exact but for frames that have both states excluded
    assert np.mean(wrong) > level - 0.03


def test_units_one_by_one_are_wrong_somewhere_more_often():
  rng, wrong = np.random.default_rng(0), []
  for _ in range(20):
    (p, y), (q, z) = detections(rng, 300), detections(rng, 300)
    a, b = scoring.units(p), scoring.units(q)
    limits = [
      [conformal.threshold(a[y[:, i] == bool(s), i, s], 0.9) for s in (0, 1)]
      for i in range(6)
    ]
    found = scoring.three_way(b, np.array(limits))
    wrong.append(((found >= 0) & (found != z)).any(1).mean())
  assert np.mean(wrong) > 0.2


def test_masked_units_do_not_count():
  scores = scoring.units(np.array([[0.9, 0.2], [0.9, 0.2]]))
  present = np.array([[False, False], [False, True]])
  mask = np.array([[0, 1], [0, 0]])
  np.testing.assert_allclose(
    scoring.joint(scores, present, mask), [0.2, -np.inf]
  )


def test_every_class_with_a_fifth_of_the_votes():
  scores = np.array([[0.1, 0.5, 0.9]])
  for votes, expected in (
    ([8, 2, 0], 0.5),
    ([81, 19, 0], 0.1),
    ([2, 0, 8], 0.9),
  ):
    share = np.array([votes]) / np.sum(votes)
    assert conformal_votes.every_class(scores, share) == expected
  assert conformal_votes.every_class(scores, np.full((1, 3), 0.1)) == -np.inf


def test_quantiles_are_those_of_samples():
  rng = np.random.default_rng(0)
  probs = rng.dirichlet(np.full(20, 0.5), (2, 1))
  ends = scoring.edges(BINS)
  bins = [rng.choice(20, 200_000, p=p[0] / p[0].sum()) for p in probs]
  drawn = [rng.uniform(ends[b], ends[b + 1]) for b in bins]
  for level in (0.05, 0.3, 0.9):
    expected = np.mean([np.quantile(d, level) for d in drawn])
    found = conformal_votes.quantiles(probs, level, BINS)
    assert found[0] == pytest.approx(expected, abs=0.01)
  assert conformal_votes.quantiles(probs, 0, BINS)[0] >= -1
  assert conformal_votes.quantiles(probs, 1, BINS)[0] <= 1


def test_widened_intervals_hold_what_scores_at_most_the_limit():
  rng = np.random.default_rng(0)
  pair = np.sort(rng.uniform(-1, 1, (500, 2)))
  values = rng.uniform(-1, 1, 500)
  score = conformal_votes.cqr(pair, values)
  for limit in (-0.2, 0.0, 0.1, 0.5):
    low, high = conformal_votes.widened(pair, limit).T
    assert (low <= high).all()
    hit = (low <= values) & (values <= high)
    assert (hit >= (score <= limit)).all()
    wide = np.ptp(pair, axis=1) > -2 * limit
    np.testing.assert_array_equal(hit[wide], (score <= limit)[wide])
  np.testing.assert_array_equal(
    conformal_votes.widened(pair, np.inf), np.tile([-1.0, 1.0], (500, 1))
  )


class Given(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
  """A classifier whose inputs are its probabilities."""

  def fit(self, probs, y=None):
    self.classes_ = np.arange(probs.shape[1])
    return self

  def predict_proba(self, probs):
    return probs

  def predict(self, probs):
    return probs.argmax(1)


def test_sets_are_those_of_mapie():
  mapie = pytest.importorskip(
    'mapie.classification', reason='MAPIE is not installed (.[parity])'
  )
  rng, levels = np.random.default_rng(1), (0.8, 0.9, 0.95)
  probs, new = (rng.dirichlet(np.full(6, 0.6), n) for n in (203, 500))
  label = np.array([rng.choice(6, p=p) for p in probs])
  found = mapie.SplitConformalClassifier(
    Given().fit(probs),
    confidence_level=list(levels),
    conformity_score='lac',
    prefit=True,
  )
  found.conformalize(probs, label)
  _, expected = found.predict_set(new)
  true = scoring.lac(probs)[np.arange(203), label]
  for i, level in enumerate(levels):
    made = scoring.lac(new) <= conformal.threshold(true, level)
    np.testing.assert_array_equal(made, expected[..., i])
