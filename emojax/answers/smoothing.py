"""Probabilities of a track averaged over time, where that is asked for.

Of a row of track k at time t the centred moving average over S seconds is

  p~_k(t) = mean of p_k(t') over all rows of the track with |t' - t| <= S / 2,

of label probabilities and of valence and arousal alone: the members' spread,
intervals, uncertainties, answers and reasons stay those of the frame. Parts are
stored as they were answered and averaged when they are read, so that resuming
knows nothing of it, and a part's result does not depend on where parts end.
"""

import collections
from collections.abc import Iterable, Iterator

import numpy as np

from emojax.answers.columns import SMOOTHED, Layout
from emojax.answers.session import Part


def parts(layout: Layout, found: Iterable[Part]) -> Iterator[Part]:
  """Yields parts with averaged rows; holds those of a window, not all.

  Args:
    layout: The columns, and over how many seconds.
    found: The parts, in order.
  """
  if not layout.smooth:
    yield from found
    return
  names = [layout.label(t, label) for t in layout.schema for label in t.labels]
  half = layout.smooth / 2
  around: collections.deque[Part] = collections.deque()
  coming = iter(found)
  last = next(coming, None)
  if last is None:
    return
  around.append(last)
  turn = 0  # of the part in `around` that is yielded next
  while turn < len(around):
    here = around[turn]
    while last is not None and not _after(here, around[-1], half):
      last = next(coming, None)
      if last is not None:
        around.append(last)
    yield _averaged(around, here, names, layout.smooth)
    turn += 1
    while turn < len(around) and _before(around[0], around[turn], half):
      around.popleft()
      turn -= 1


def _after(here: Part, other: Part, half: float) -> bool:
  """Whether nothing behind a part is near to any row of `here`."""
  if not len(here.rows['file']):
    return True
  if not len(other.rows['file']):
    return False  # of problems alone
  other_file = other.rows['file'][-1] != here.rows['file'][-1]
  end = np.nanmax(here.rows['time'])
  return bool(other_file or other.rows['time'][-1] > end + half)


def _before(other: Part, here: Part, half: float) -> bool:
  """Whether a part is before all that is near to `here` or what follows."""
  if not len(other.rows['file']) or other is here:
    return other is not here
  if not len(here.rows['file']):
    return False
  other_file = other.rows['file'][-1] != here.rows['file'][0]
  start = np.nanmin(here.rows['time'])
  return bool(other_file or np.nanmax(other.rows['time']) < start - half)


def _averaged(
  around: Iterable[Part], here: Part, names: list[str], seconds: float
) -> Part:
  made = dict(here.rows)
  keys = ('file', 'track', 'time')
  file, track, time = (
    np.concatenate([part.rows[key] for part in around]) for key in keys
  )
  values = np.stack(
    [np.concatenate([part.rows[n] for part in around]) for n in names], -1
  ).astype(np.float64)
  usable = np.isfinite(track) & np.isfinite(values).all(-1)
  mine = np.stack([here.rows[n] for n in names], -1)
  finite = np.isfinite(here.rows['track']) & np.isfinite(mine).all(-1)
  made[SMOOTHED.name] = np.where(finite, seconds, np.nan).astype(np.float64)
  groups = set(zip(here.rows['file'][finite], here.rows['track'][finite]))
  for one, number in groups:
    chosen = usable & (file == one) & (track == number)
    times, there = time[chosen], values[chosen]
    rows = finite & (here.rows['file'] == one) & (here.rows['track'] == number)
    at = here.rows['time'][rows]
    first = np.searchsorted(times, at - seconds / 2, 'left')
    end = np.searchsorted(times, at + seconds / 2, 'right')
    mine[rows] = [there[i:j].mean(0) for i, j in zip(first, end)]
  for i, name in enumerate(names):
    made[name] = mine[:, i].astype(here.rows[name].dtype)
  return Part(made, here.pictures, here.state)
