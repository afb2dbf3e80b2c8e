"""Prediction sets against counting, and what calibrated ones do."""

import numpy as np
import pytest

from emojax.metrics import prediction_sets

RNG = np.random.default_rng(0)
LEVELS = (0.1, 0.5, 0.9, 1.0)


def by_hand(probs, index, level):
  """(mass, covered, size) of one row, class by class."""
  mass, chosen = 0.0, []
  for k in sorted(range(len(probs)), key=lambda k: -probs[k]):
    if mass >= level - 1e-9:
      break
    mass, chosen = mass + probs[k], [*chosen, k]
  return mass, index in chosen, len(chosen)


def test_sets_are_those_that_counting_gives():
  probs = RNG.dirichlet(np.full(6, 0.5), 50)
  index = RNG.integers(0, 6, 50)
  found = prediction_sets.set_coverage(probs, index, LEVELS)
  for i, level in enumerate(LEVELS):
    rows = [by_hand(p, k, level) for p, k in zip(probs, index)]
    expected = np.mean(np.float64(rows), axis=0)
    np.testing.assert_allclose([part[i] for part in found], expected)


def test_calibrated_sets_hold_what_they_claim_and_sure_ones_less():
  probs = RNG.dirichlet(np.full(20, 0.3), 20_000)
  index = (probs.cumsum(-1) > RNG.random((20_000, 1))).argmax(-1)
  found = prediction_sets.set_coverage(probs, index, LEVELS)
  np.testing.assert_allclose(found.covered, found.mass, atol=0.012)
  sure = probs**2 / (probs**2).sum(-1, keepdims=True)
  sure = prediction_sets.set_coverage(sure, index, LEVELS)
  assert (sure.covered[:2] < sure.mass[:2] - 0.05).all()


def test_nothing_and_what_is_no_number():
  empty = prediction_sets.set_coverage(
    np.zeros((0, 3)), np.zeros(0, int), (0.5,)
  )
  assert np.isnan(empty).all()
  with pytest.raises(ValueError, match='finite'):
    prediction_sets.set_coverage([[np.nan, 1]], [0], (0.5,))


def test_a_level_that_is_reached_but_for_rounding_is_reached():
  probs = np.array([[0.7, 0.1, 0.1, 0.1]])  # 0.7 + 0.1 < 0.8 in floating point
  found = prediction_sets.set_coverage(probs, [2], [0.8])
  assert found.size[0] == 2
  assert found.covered[0] == 0
