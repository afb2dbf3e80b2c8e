"""Clip windows: which valid frames of a video make up each clip.

The papers differ in what they do at gaps (frames without a face or without a
label) and at the end of a video:

- 000, training and validation: `cut(frames, 16)` (64 for validation). Invalid
  frames are taken out first, so a window may jump over a gap, and the tail
  that does not fill a window is lost: up to 63 frames per video go unscored.
- 000, test: `tail='end'`: the last window ends at the last frame.
- 001 and 002, recurrent stage: `cut(frames, 32, stride=16, tail='end')`, and
  `gaps='discard'` in 002.
"""

from typing import NamedTuple

import numpy as np

TAILS = ('drop', 'end', 'pad')
GAPS = ('jump', 'discard', 'split')


class Windows(NamedTuple):
  """W windows of one video.

  Attributes:
    index: int32 [W, L], positions in the list of valid frames.
    mask: float32 [W, L], 0 where the last frame is repeated as padding.
  """

  index: np.ndarray
  mask: np.ndarray


def cut(
  frames: np.ndarray,
  length: int,
  stride: int | None = None,
  tail: str = 'drop',
  gaps: str = 'jump',
) -> Windows:
  """Cuts the valid frames of one video into windows.

  Args:
    frames: int [F], increasing numbers of the valid frames in the video.
    length: Frames of a window, L.
    stride: Frames from one window's start to the next; `length` if None.
    tail: What happens to the frames after the last whole window: 'drop' them;
      'end': one more window that ends at the last frame (and overlaps);
      'pad': one more window, filled up by repeating the last frame with mask
      0. A video shorter than a window is dropped or, with 'end' and 'pad',
      padded.
    gaps: 'jump': windows go over gaps in `frames`; 'discard': windows that
      would are left out; 'split': each run without a gap is cut by itself.

  Raises:
    ValueError: On an unknown policy, or `frames` that do not increase.
  """
  frames = np.asarray(frames)
  stride = length if stride is None else stride
  _check(frames, length, stride, tail, gaps)
  if gaps == 'split':
    return _split(frames, length, stride, tail)
  windows = _cut_run(len(frames), length, stride, tail)
  if gaps == 'discard':
    span = np.diff(frames[windows.index], axis=1)
    whole = (span <= 1).all(axis=1)
    windows = Windows(windows.index[whole], windows.mask[whole])
  return windows


def _check(frames, length, stride, tail, gaps):
  if tail not in TAILS:
    raise ValueError(f'tail {tail!r}: expected one of {", ".join(TAILS)}')
  if gaps not in GAPS:
    raise ValueError(f'gaps {gaps!r}: expected one of {", ".join(GAPS)}')
  if length < 1 or stride < 1:
    raise ValueError(f'length {length} and stride {stride} must be at least 1')
  if (np.diff(frames) <= 0).any():
    raise ValueError('frames: expected increasing frame numbers')


def _starts(count: int, length: int, stride: int, tail: str) -> np.ndarray:
  whole = np.arange(0, count - length + 1, stride)
  covered = whole[-1] + length if len(whole) else 0
  if tail == 'drop' or covered >= count:
    return whole
  last = max(count - length, 0)
  if tail == 'pad' and len(whole):
    last = whole[-1] + stride
    # With a stride above the length the tail may hold no further start.
    if last >= count:
      return whole
  return np.append(whole, last)


def _cut_run(count: int, length: int, stride: int, tail: str) -> Windows:
  """Windows over `count` frames without regard to gaps."""
  starts = _starts(count, length, stride, tail)
  place = starts[:, None] + np.arange(length)
  mask = (place < count).astype(np.float32)
  return Windows(np.minimum(place, count - 1).astype(np.int32), mask)


def _split(frames, length, stride, tail) -> Windows:
  edges = np.flatnonzero(np.diff(frames) > 1) + 1
  first = np.concatenate([[0], edges])
  counts = np.diff(np.append(first, len(frames)))
  runs = [_cut_run(count, length, stride, tail) for count in counts]
  return Windows(
    np.concatenate([run.index + at for run, at in zip(runs, first)]).astype(
      np.int32
    ),
    np.concatenate([run.mask for run in runs]),
  )
