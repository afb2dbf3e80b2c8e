"""Follows faces through a video by the overlap of their boxes.

Nobody is recognised: who leaves the picture for longer than the gap comes back
as another track.
"""

import math
import numbers
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

_KEYS = {'min_overlap', 'max_gap', 'next', 'time', 'tracks'}


class Track(NamedTuple):
  """Where a track was seen last: number, box [4] and time in seconds."""

  number: int
  box: tuple[float, ...]
  time: float


class Tracker:
  """Gives boxes of consecutive frames the numbers of tracks.

  Boxes and tracks are matched one to one so that the sum of their overlaps is
  the largest (`scipy.optimize.linear_sum_assignment`).

  Args:
    min_overlap: Least intersection over union of a box with the track's last,
      in (0, 1].
    max_gap: Seconds for which a track may go unseen.

  Raises:
    ValueError: A number is out of its range.
  """

  def __init__(self, min_overlap: float = 0.3, max_gap: float = 1.0):
    if not 0 < min_overlap <= 1:
      raise ValueError(f'min_overlap is in (0, 1], not {min_overlap}')
    if not 0 <= max_gap < math.inf:
      raise ValueError(f'max_gap is 0 s or more and finite, not {max_gap}')
    self.min_overlap, self.max_gap = float(min_overlap), float(max_gap)
    self._tracks: list[Track] = []
    self._next, self._time = 0, -math.inf

  def update(self, boxes: np.ndarray, time: float) -> np.ndarray:
    """Returns the track of each box, and remembers where it is.

    Args:
      boxes: float32 [n, 4], (x, y, width, height).
      time: Seconds; later than at the last call.

    Returns:
      int32 [n], from 0 in order of first appearance.

    Raises:
      ValueError: Time does not go on, or a box is not finite.
    """
    if not self._time < time < math.inf:
      raise ValueError(f'{time} s after {self._time} s: frames are in order')
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if not np.isfinite(boxes).all():
      raise ValueError('a box that is not finite')
    self._time = float(time)
    fresh = self._time - self.max_gap
    self._tracks = [track for track in self._tracks if track.time >= fresh]
    found = np.full(len(boxes), -1, np.int32)
    for row, column in self._matches(boxes):
      found[row] = self._tracks[column].number
    for row in np.flatnonzero(found < 0):
      found[row], self._next = self._next, self._next + 1
    seen = {
      int(number): Track(int(number), tuple(box.tolist()), self._time)
      for number, box in zip(found, boxes)
    }
    old = {track.number: track for track in self._tracks}
    self._tracks = sorted({**old, **seen}.values())
    return found

  def _matches(self, boxes: np.ndarray):
    """Pairs (box, track) that overlap enough."""
    last = np.array([track.box for track in self._tracks], np.float32)
    shared = overlap(boxes, last.reshape(-1, 4))
    # Too small an overlap is worth nothing, rather than to lead others astray.
    shared[shared < self.min_overlap] = 0
    pairs = zip(*optimize.linear_sum_assignment(shared, maximize=True))
    return [pair for pair in pairs if shared[pair] > 0]

  def state(self) -> dict[str, Any]:
    """Returns what `from_state` goes on from exactly, as plain JSON."""
    return {
      'min_overlap': self.min_overlap,
      'max_gap': self.max_gap,
      'next': self._next,
      'time': self._time if math.isfinite(self._time) else None,
      'tracks': [
        {'number': track.number, 'box': [*track.box], 'time': track.time}
        for track in self._tracks
      ],
    }

  @classmethod
  def from_state(cls, state: Any) -> 'Tracker':
    """Goes on from a state.

    Raises:
      ValueError: It is none that `state` gave.
    """
    try:
      if set(state) != _KEYS:
        raise ValueError(f'keys {sorted(state)}')
      tracker = cls(_real(state['min_overlap']), _real(state['max_gap']))
      time = state['time']
      tracker._time = -math.inf if time is None else _real(time)
      tracker._tracks = [_track(value) for value in state['tracks']]
      tracker._next = _number(state['next'])
      known = [track.number for track in tracker._tracks]
      if known != sorted({*known}) or tracker._next <= max(known, default=-1):
        raise ValueError(f'tracks {known}, and {tracker._next} as the next')
      return tracker
    except (ValueError, TypeError, KeyError, AttributeError) as error:
      raise ValueError(f'no state of a tracker ({error})') from error


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the intersection over union of all pairs of boxes.

  Args:
    one: [n, 4], (x, y, width, height).
    other: [m, 4].

  Returns:
    float64 [n, m] in [0, 1]; 0 where both are empty.
  """
  one = np.asarray(one, np.float64)[:, None]
  other = np.asarray(other, np.float64)[None]
  low = np.maximum(one[..., :2], other[..., :2])
  high = np.minimum(
    one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:]
  )
  both = np.prod(np.maximum(high - low, 0), -1)
  union = np.prod(one[..., 2:], -1) + np.prod(other[..., 2:], -1) - both
  return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def _track(value: Any) -> Track:
  box = tuple(map(_real, value['box']))
  if len(box) != 4 or set(value) != {'number', 'box', 'time'}:
    raise ValueError(f'track {value}')
  return Track(_number(value['number']), box, _real(value['time']))


def _real(value: Any) -> float:
  plain = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if not plain or not math.isfinite(value):
    raise ValueError(f'{value!r} is no number')
  return float(value)


def _number(value: Any) -> int:
  if type(value) is not int or not 0 <= value < 2**31:
    raise ValueError(f'{value!r} is no number of a track')
  return value
