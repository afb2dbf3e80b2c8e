"""Tracks: who keeps a number, when it ends, and a state that goes on exactly."""

import itertools
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from emojax.faces import tracks


def box(x, y=0, side=10):
  return [x, y, side, side]


def test_faces_keep_their_numbers():
  tracker = tracks.Tracker()
  assert tracker.update(np.array([box(0), box(50)]), 0).tolist() == [0, 1]
  # Another order, both moved, and a third.
  now = np.array([box(52), box(90), box(3)])
  assert tracker.update(now, 0.04).tolist() == [1, 2, 0]
  assert tracker.update(np.zeros((0, 4)), 0.08).dtype == np.int32


def test_the_gap_is_in_seconds():
  tracker = tracks.Tracker(max_gap=0.5)
  tracker.update(np.array([box(0)]), 0)
  tracker.update(np.array([]), 0.25)
  assert tracker.update(np.array([box(0)]), 0.5).tolist() == [0]
  assert tracker.update(np.array([box(0)]), 1.001).tolist() == [1]


def test_too_little_overlap_is_another_face():
  tracker = tracks.Tracker(min_overlap=0.5)
  tracker.update(np.array([box(0)]), 0)
  assert tracker.update(np.array([box(4)]), 1).tolist() == [1]


def test_the_best_sum_and_not_the_first_come():
  # Greedily, the best single pair would leave the other face without a track.
  tracker = tracks.Tracker(min_overlap=0.1)
  tracker.update(np.array([box(0), box(6)]), 0)
  assert tracker.update(np.array([box(3.1), box(9)]), 1).tolist() == [0, 1]


@pytest.mark.parametrize('n', [2, 3])
@pytest.mark.parametrize('seed', range(20))
def test_matches_are_the_best_of_all(n, seed):
  random = np.random.default_rng(seed)
  before, after = random.uniform(0, 8, (2, n, 4)).astype(np.float32)
  before[:, 2:], after[:, 2:] = 10, 10
  tracker = tracks.Tracker(min_overlap=1e-6)
  tracker.update(before, 0)
  found = tracker.update(after, 1)
  shared = tracks.overlap(after, before)
  best = max(
    sum(shared[i, k] for i, k in enumerate(order))
    for order in itertools.permutations(range(n))
  )
  assert sum(shared[i, k] for i, k in enumerate(found)) == pytest.approx(best)


boxes = st.lists(
  st.tuples(
    *[st.floats(0, 50, width=32)] * 2, *[st.floats(1, 40, width=32)] * 2
  ),
  max_size=4,
)


@hypothesis.given(
  st.lists(boxes, min_size=2, max_size=8),
  st.floats(0.01, 0.7),
  st.integers(0, 6),
)
def test_a_state_goes_on_exactly(frames, step, killed):
  whole, part = tracks.Tracker(), tracks.Tracker()
  for i, found in enumerate(frames):
    found = np.array(found, np.float32).reshape(-1, 4)
    expected = whole.update(found, (i + 1) * step)
    assert part.update(found, (i + 1) * step).tolist() == expected.tolist()
    assert len({*expected.tolist()}) == len(found)
    if i == killed:
      part = tracks.Tracker.from_state(json.loads(json.dumps(part.state())))
  assert part.state() == whole.state()


def test_a_state_before_the_first_frame():
  new = tracks.Tracker.from_state(
    json.loads(json.dumps(tracks.Tracker().state()))
  )
  assert new.update(np.array([box(0)]), -5).tolist() == [0]


@pytest.mark.parametrize(
  'change',
  [
    {'next': 0},
    {'next': True},
    {'next': -1},
    {'next': 1.0},
    {'time': 'now'},
    {'max_gap': -1},
    {'max_gap': float('nan')},
    {'min_overlap': 0},
    {'min_overlap': '0.3'},
    {'tracks': None},
    {'tracks': [3]},
    {'tracks': [{'number': 0, 'box': [1, 2, 3], 'time': 0}]},
    {'tracks': [{'number': 0, 'box': [1, 2, 3, 4]}]},
    {'tracks': [{'number': 0, 'box': [1, 2, 3, None], 'time': 0}]},
    {'tracks': [{'number': 0, 'box': [1, 2, 3, 4], 'time': 0}] * 2},
    {'more': 0},
  ],
)
def test_what_is_no_state_is_refused(change):
  tracker = tracks.Tracker()
  tracker.update(np.array([box(0)]), 1)
  with pytest.raises(ValueError, match='no state of a tracker'):
    tracks.Tracker.from_state({**tracker.state(), **change})


@pytest.mark.parametrize('state', [None, [], 'x', 3, {}])
def test_what_is_no_state_at_all(state):
  with pytest.raises(ValueError, match='no state of a tracker'):
    tracks.Tracker.from_state(state)


def test_what_is_refused():
  tracker = tracks.Tracker()
  tracker.update(np.array([box(0)]), 1)
  for time in (1, 0.5, float('nan'), float('inf')):
    with pytest.raises(ValueError, match='in order'):
      tracker.update(np.array([box(0)]), time)
  with pytest.raises(ValueError, match='not finite'):
    tracker.update(np.array([box(np.nan)]), 2)
  with pytest.raises(ValueError, match='min_overlap'):
    tracks.Tracker(min_overlap=0)
  with pytest.raises(ValueError, match='max_gap'):
    tracks.Tracker(max_gap=float('inf'))


def test_overlap_by_hand():
  one = [[0, 0, 10, 10], [0, 0, 0, 0]]
  other = [[5, 0, 10, 10], [0, 0, 10, 10], [20, 20, 1, 1], [0, 0, 0, 0]]
  np.testing.assert_allclose(
    tracks.overlap(np.array(one), np.array(other)),
    [[1 / 3, 1, 0, 0], [0, 0, 0, 0]],
  )
