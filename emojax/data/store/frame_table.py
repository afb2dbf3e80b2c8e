"""The labels of all frames of a split, without their images."""

import dataclasses
import io
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from emojax import tasks


@dataclasses.dataclass(frozen=True, eq=False)
class FrameTable:
  """F frames in R records; the records of a video follow one another.

  Attributes:
    video_id: [R] array of strings.
    subject_id: [R] array of strings.
    length: int32 [R], frames of every record.
    frame_index: int32 [F], number of every frame in its video.
    targets: `tasks.Targets` with leading axis F.
    clean: The same before noise was added, or None.
    votes: float32 [F, V], or None.
  """

  video_id: np.ndarray
  subject_id: np.ndarray
  length: np.ndarray
  frame_index: np.ndarray
  targets: tasks.Targets
  clean: tasks.Targets | None = None
  votes: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.frame_index)

  def locate(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the record and the place in it of frames 0 .. F - 1."""
    end = np.cumsum(self.length)
    record = np.searchsorted(end, frames, side='right')
    return record, frames - (end - self.length)[record]

  def videos(self) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields (video_id, subject_id, its frames int64 [n]) for every video."""
    end = np.cumsum(self.length)
    change = self.video_id[1:] != self.video_id[:-1]
    first = np.flatnonzero(np.concatenate([[len(end) > 0], change]))
    last = np.append(first[1:], len(end)) - 1
    for a, b in zip(first, last):
      frames = np.arange(end[a] - self.length[a], end[b])
      yield str(self.video_id[a]), str(self.subject_id[a]), frames

  def arrays(self) -> dict[str, np.ndarray]:
    """Flat dictionary of all arrays, for `np.savez`."""
    plain = ('video_id', 'subject_id', 'length', 'frame_index', 'votes')
    found = {name: getattr(self, name) for name in plain}
    for kind in ('targets', 'clean'):
      for task, target in (getattr(self, kind) or {}).items():
        for name, array in target._asdict().items():
          found[f'{kind}/{task}/{name}'] = array
    return {key: array for key, array in found.items() if array is not None}


def empty(schema: tasks.Schema, clean: bool, num_votes: int) -> FrameTable:
  """A table without frames, with the columns that others are to have."""
  return FrameTable(
    video_id=np.zeros(0, np.str_),
    subject_id=np.zeros(0, np.str_),
    length=np.zeros(0, np.int32),
    frame_index=np.zeros(0, np.int32),
    targets=tasks.empty_targets(schema, (0,)),
    clean=tasks.empty_targets(schema, (0,)) if clean else None,
    votes=np.zeros((0, num_votes), np.float32) if num_votes else None,
  )


def from_arrays(arrays: dict[str, np.ndarray]) -> FrameTable:
  """The inverse of `FrameTable.arrays`."""
  parts = [key.split('/') for key in arrays if key.endswith('/value')]
  targets = {'targets': {}, 'clean': {}}
  for kind, task, _ in parts:
    targets[kind][task] = tasks.Target(
      arrays[f'{kind}/{task}/value'], arrays[f'{kind}/{task}/mask']
    )
  plain = ('video_id', 'subject_id', 'length', 'frame_index')
  return FrameTable(
    **{name: arrays[name] for name in plain},
    targets=targets['targets'],
    clean=targets['clean'] or None,
    votes=arrays.get('votes'),
  )


def concatenate(tables: Sequence[FrameTable]) -> FrameTable:
  """Joins the tables of the shards of a split."""
  parts = [table.arrays() for table in tables]
  return from_arrays(
    {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
  )


def to_bytes(table: FrameTable) -> bytes:
  """The table as a compressed .npz file."""
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **table.arrays())
  return buffer.getvalue()


def load(path: pathlib.Path) -> FrameTable:
  """Reads a table; raises ValueError naming the file if that is impossible."""
  try:
    with open(path, 'rb') as file, np.load(file) as found:
      return from_arrays(dict(found))
  except Exception as error:  # zip, zlib and NumPy each have their own
    raise ValueError(
      f'{path}: the labels cannot be read ({type(error).__name__}: {error}); '
      'prepare the data set again in a new folder'
    ) from error
