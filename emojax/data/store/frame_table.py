"""The labels of all frames of a split, without their images."""

import dataclasses
import hashlib
import io
import pathlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks
from emojax.data.store import store, table_checks
from emojax.data.store.digest import bytes_of
from emojax.host import files


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
    for a, b in zip(first.tolist(), last.tolist()):
      frames = np.arange(int(end[a]) - int(self.length[a]), int(end[b]))
      yield str(self.video_id[a]), str(self.subject_id[a]), frames

  def digest(self) -> str:
    """SHA-256 of all arrays, whatever file they were read from."""
    state = hashlib.sha256()
    for name, array in sorted(self.arrays().items()):
      text = array.dtype.kind == 'U'
      data = repr(array.tolist()).encode() if text else bytes_of(array)
      state.update(f'{name} {array.shape} '.encode())
      state.update(data)
    return state.hexdigest()

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
  arrays: dict[str, Any] = table.arrays()
  np.savez_compressed(buffer, **arrays)
  return buffer.getvalue()


def load(path: pathlib.Path) -> FrameTable:
  """Reads a table; raises StoreError naming the file if that is impossible."""
  return _read(path, path.read_bytes())


def load_checked(
  path: pathlib.Path,
  spec: Any,
  counts: Mapping[str, Any],
  shards: int,
  digest: str | None,
) -> FrameTable:
  """Reads the table of a data set that anybody may have made.

  Args:
    path: The file.
    spec: The `store.Spec` of the data set.
    counts: What `emojax.json` says of the split (`overview.counts`).
    shards: Bytes of the split's records.
    digest: SHA-256 of the file, None if it is not known.

  Raises:
    StoreError: It is no such table; the message names the file.
  """
  try:
    data = files.read_bounded(path, table_checks.largest(shards))
  except OSError as error:
    raise _damaged(path, error.strerror or error) from error
  if digest is not None and hashlib.sha256(data).hexdigest() != digest:
    raise _damaged(path, 'it is not the file that was written with the images')
  try:
    table_checks.check_headers(data, spec, counts, shards)
    table = _read(path, data)
    table_checks.check_values(table, spec, counts)
  except (table_checks.TableError, zipfile.BadZipFile) as error:
    raise _damaged(path, error) from error
  return table


def _read(path: pathlib.Path, data: bytes) -> FrameTable:
  try:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
      return from_arrays(dict(found))
  except Exception as error:  # zip, zlib and NumPy each have their own
    text = f'the labels cannot be read ({type(error).__name__}: {error})'
    raise _damaged(path, text) from error


def _damaged(path: pathlib.Path, what: Any) -> store.StoreError:
  return store.StoreError(
    f'{path}: {what}; restore the file or prepare the data set again in a new '
    'folder'
  )
