"""Two thresholds: every frame has one route, by a budget that is kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.uncertainty import routing

values = st.lists(
  st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40
)


def by_hand(aleatoric, epistemic, limits):
  if not epistemic <= limits.epistemic or np.isnan(aleatoric):
    return 'reject'
  return 'set' if aleatoric > limits.aleatoric else 'answer'


@given(values, st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None)
def test_routes_are_those_of_one_frame_at_a_time(pairs, first, second):
  aleatoric, epistemic = np.float32(pairs).T
  limits = routing.Thresholds(first, second)
  found = routing.route(aleatoric, epistemic, limits)
  expected = [by_hand(a, e, limits) for a, e in pairs]
  assert found.tolist() == expected
  grid = routing.route(aleatoric[None], epistemic[None], limits)
  assert grid.tolist() == [expected]


@given(values, st.floats(0, 0.99), st.floats(0, 0.99))
@settings(deadline=None)
def test_the_budget_is_kept(pairs, reject, sets):
  aleatoric, epistemic = np.float32(pairs).T
  limits = routing.fit(aleatoric, epistemic, reject, sets)
  found = routing.route(aleatoric, epistemic, limits)
  assert (found == 'reject').mean() <= reject + 1e-9
  assert (found == 'set').mean() <= sets + 1e-9


def test_the_budget_is_used_where_values_differ():
  rng = np.random.default_rng(0)
  aleatoric, epistemic = rng.permutation(1000), rng.permutation(1000)
  limits = routing.fit(aleatoric, epistemic, 0.1, 0.3)
  found = routing.route(aleatoric, epistemic, limits)
  assert (found == 'reject').sum() == 100
  assert (found == 'set').sum() == pytest.approx(270, abs=15)
  assert (routing.fit(aleatoric, epistemic, 0, 0)) == (999, 999)


def test_what_is_no_number_is_rejected():
  limits = routing.Thresholds(0.5, 0.5)
  nan = np.nan
  found = routing.route([nan, 0.1, nan], [0.1, nan, nan], limits)
  assert set(found) == {'reject'}


def test_bad_input_is_named():
  limits = routing.Thresholds(0.5, 0.5)
  with pytest.raises(ValueError, match='must be equal'):
    routing.route([1, 2], [1], limits)
  for shares in ((-0.1, 0.2), (0.1, 1.0)):
    with pytest.raises(ValueError, match='expected a share'):
      routing.fit([0.1], [0.1], *shares)
  for bad in ([], [np.nan]):
    with pytest.raises(ValueError, match='finite'):
      routing.fit(bad, [0.1])
