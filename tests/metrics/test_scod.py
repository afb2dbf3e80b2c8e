"""Tests of emojax/metrics/scod.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.metrics import scod, selective

samples = st.lists(
  st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=8
)


def scod_by_steps(wrong, inside, foreign, share, cost, steps=4000):
  """(recalls, risks, area), every threshold by itself, ties in small parts."""
  wrong, inside = np.array(wrong), np.array(inside)
  recalls, risks, area = [0.0], [], 0.0
  for t in np.unique(np.append(inside, foreign)):
    part = (np.arange(steps) + 0.5) / steps

    def kept(values, mask=1, t=t, part=part):
      below = ((values < t) * mask).sum() / len(values)
      return below + part * ((values == t) * mask).sum() / len(values)

    bad, all_in, out = kept(inside, wrong), kept(inside), kept(foreign)
    risk = (1 - share) * (1 - cost) * bad + share * cost * out
    risk = risk / ((1 - share) * all_in + share * out)
    right = (1 - wrong).sum()
    recall = ((1 - wrong) * (inside <= t)).sum() / right
    area += risk.mean() * (recall - recalls[-1])
    recalls.append(recall)
  for t in np.unique(np.append(inside, foreign)):
    bad, all_in = (wrong * (inside <= t)).mean(), (inside <= t).mean()
    out = (foreign <= t).mean()
    risks.append(
      ((1 - share) * (1 - cost) * bad + share * cost * out)
      / ((1 - share) * all_in + share * out)
    )
  return recalls[1:], risks, area


@given(
  samples.filter(lambda pairs: any(not wrong for wrong, _ in pairs)),
  st.lists(st.integers(0, 5), min_size=1, max_size=8),
  st.floats(0.05, 0.95),
  st.floats(0, 1),
)
@settings(deadline=None, max_examples=60)
def test_scod_is_the_weighted_cost_of_what_every_threshold_keeps(
  pairs, foreign, share, cost
):
  wrong, inside = np.array(pairs).T
  foreign = np.array(foreign)
  found = scod.scod(wrong, inside, foreign, share, cost)
  recall, risk, area = scod_by_steps(wrong, inside, foreign, share, cost)
  np.testing.assert_allclose(found.recall, recall, atol=1e-9)
  np.testing.assert_allclose(found.risk, risk, atol=1e-9)
  assert found.area == pytest.approx(area, abs=2e-3)
  assert found.at(1) == pytest.approx(risk[recall.index(max(recall))])


def test_scod_of_a_perfect_and_of_an_inverted_order():
  wrong, foreign = np.repeat([0, 1], [60, 20]), np.full(40, 9.0)
  perfect = scod.scod(wrong, wrong, foreign)
  assert perfect.area == 0
  assert perfect.at(1) == 0
  inverted = scod.scod(wrong, 1.0 - wrong, -foreign)
  # All that is wrong or foreign is kept before the first right answer.
  assert inverted.at(0.01) > 0.25
  everything = scod.scod(wrong, np.zeros(80), np.zeros(40))
  assert everything.area == pytest.approx(0.5 * 0.5 * 0.25 + 0.5 * 0.5)
  assert inverted.area > everything.area


def test_without_foreign_cost_scod_sees_errors_alone():
  rng = np.random.default_rng(0)
  wrong, inside = rng.uniform(size=300) < 0.3, rng.uniform(size=300)
  near = scod.scod(wrong, inside, rng.uniform(size=50), 1e-9, 0)
  curve = selective.risk_coverage(wrong, inside)
  ordered = ~wrong[np.argsort(inside)]
  assert near.area == pytest.approx(curve.risk[ordered].mean(), abs=0.01)


def test_what_scod_cannot_score_is_named():
  for args, text in (
    (([1, 1], [1, 2], [3]), 'right answers'),
    (([0, 1], [1, 2], []), 'foreign samples'),
    (([0, 1], [1], [3]), 'must be equal'),
    (([0, 1], [1, np.nan], [3]), 'NaN'),
    (([0, 1], [1, 2], [np.inf]), 'NaN'),
    (([0, 1], [1, 2], [3], 1.0), 'share'),
    (([0, 1], [1, 2], [3], 0.5, 1.5), 'cost'),
  ):
    with pytest.raises(ValueError, match=text):
      scod.scod(*args)


@pytest.mark.parametrize('n', [3, 48_202, 100_000])
def test_all_right_answers_are_kept_by_the_last_threshold(n):
  """However many there are: shares of them do not add up to 1."""
  rng = np.random.default_rng(0)
  found = scod.scod(np.zeros(n), rng.random(n), rng.random(10))
  assert found.recall[-1] == 1
  assert found.at(1.0) == found.risk[np.argmax(found.recall == 1)]
