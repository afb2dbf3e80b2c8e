"""Clip windows against hand-made cases, the published loops and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax.data.clips import windows


def _index(*args, **kwargs):
  return windows.cut(*args, **kwargs).index.tolist()


def test_tails():
  frames = np.arange(7)
  assert _index(frames, 3) == [[0, 1, 2], [3, 4, 5]]
  assert _index(frames, 3, tail='end') == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
  padded = windows.cut(frames, 3, tail='pad')
  assert padded.index.tolist() == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
  assert padded.mask.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0]]
  for tail in windows.TAILS:
    assert _index(np.arange(6), 3, tail=tail) == [[0, 1, 2], [3, 4, 5]]


def test_videos_shorter_than_a_window():
  frames = np.array([4, 9])
  assert windows.cut(frames, 3).index.shape == (0, 3)
  for tail in ('end', 'pad'):
    short = windows.cut(frames, 3, tail=tail)
    assert short.index.tolist() == [[0, 1, 1]]
    assert short.mask.tolist() == [[1, 1, 0]]
  for tail in windows.TAILS:
    empty = windows.cut(np.array([], int), 3, tail=tail)
    assert empty.mask.shape == empty.index.shape == (0, 3)


def test_gaps():
  frames = np.array([0, 1, 2, 3, 7, 8, 9])
  assert _index(frames, 2) == [[0, 1], [2, 3], [4, 5]]
  assert _index(frames, 3) == [[0, 1, 2], [3, 4, 5]]
  assert _index(frames, 3, gaps='discard') == [[0, 1, 2]]
  assert _index(frames, 3, gaps='split') == [[0, 1, 2], [4, 5, 6]]
  split = windows.cut(frames, 3, tail='pad', gaps='split')
  assert split.index.tolist() == [[0, 1, 2], [3, 3, 3], [4, 5, 6]]
  padded = windows.cut(frames[:5], 4, tail='pad', gaps='discard')
  assert padded.index.tolist() == [[0, 1, 2, 3], [4, 4, 4, 4]]


def _published_002(frames, length, stride):
  """The window loop of paper 002's recurrent stage, as described."""
  found, at = [], 0
  while at < len(frames):
    start, end = at, at + length
    if end >= len(frames):
      start, end = len(frames) - length, len(frames)
    window = list(range(start, end)) if start >= 0 else []
    if window and all(np.diff(frames[window]) <= 1):
      found.append(window)
    at += stride
  return sorted({tuple(window) for window in found})


increasing = st.lists(st.integers(1, 3), max_size=40).map(np.cumsum)


@given(increasing, st.integers(1, 9), st.integers(1, 9))
def test_discard_and_end_equal_the_published_loop(frames, length, stride):
  if len(frames) < length or stride > length:
    return  # dropped there, padded here; and there, strides are shorter
  found = windows.cut(frames, length, stride, 'end', 'discard')
  assert sorted(map(tuple, found.index)) == _published_002(
    frames, length, stride
  )


@given(
  increasing,
  st.integers(1, 9),
  st.sampled_from(windows.TAILS),
  st.sampled_from(windows.GAPS),
)
def test_windows_cover_what_their_policy_promises(frames, length, tail, gaps):
  found = windows.cut(frames, length, tail=tail, gaps=gaps)
  assert found.index.dtype == np.int32
  assert found.mask.dtype == np.float32
  assert found.index.shape == found.mask.shape == (len(found.index), length)
  seen = found.index[found.mask > 0]
  if tail != 'drop' and gaps != 'discard':
    assert set(seen.tolist()) == set(range(len(frames)))
  if tail != 'end':
    assert len(seen) == len(set(seen.tolist()))
  if tail == 'drop':
    assert found.mask.all()
  if gaps != 'jump' and len(frames):
    assert (np.diff(frames[found.index], axis=1) <= 1).all()
  # Padding repeats the last valid frame and never comes first.
  assert (np.diff(found.mask, axis=1) <= 0).all()
  assert (found.mask[:, :1] == 1).all()
  padded = np.diff(found.index, axis=1)[found.mask[:, 1:] == 0]
  assert (padded == 0).all()


@pytest.mark.parametrize(
  ('kwargs', 'message'),
  [
    ({'tail': 'keep'}, "tail 'keep'"),
    ({'gaps': 'fill'}, "gaps 'fill'"),
    ({'stride': 0}, 'at least 1'),
    ({'frames': np.array([2, 2])}, 'increasing'),
  ],
)
def test_bad_arguments_are_named(kwargs, message):
  with pytest.raises(ValueError, match=message):
    windows.cut(**{'frames': np.arange(4), 'length': 2, **kwargs})
