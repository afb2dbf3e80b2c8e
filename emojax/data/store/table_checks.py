"""Whether a table of labels is one of its data set, before it is believed."""

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax import tasks

MAX_NAME = 4096  # characters of a name
# Names are as wide as the longest: of so many times the bytes of the records, and
# some more where there are few.
WIDER, SPARE = 8, 1 << 26
TOLERANCE = 1e-3  # of sums of distributions; counts of soft labels are rounded


class TableError(ValueError):
  """Says what is wrong with a table."""


def layout(
  spec: Any, counts: Mapping[str, Any]
) -> dict[str, tuple[str, tuple[int, ...]]]:
  """Kind of number ('f4', 'i4', 'U') and shape of every array of a table.

  Args:
    spec: The `store.Spec` of the data set.
    counts: Its numbers of 'records' and 'frames'.
  """
  records, frames = counts['records'], counts['frames']
  found: dict[str, tuple[str, tuple[int, ...]]] = {
    'video_id': ('U', (records,)),
    'subject_id': ('U', (records,)),
    'length': ('i4', (records,)),
    'frame_index': ('i4', (frames,)),
  }
  for kind in ('targets', 'clean') if spec.clean else ('targets',):
    for task in spec.schema:
      shape = (frames, len(task.labels))
      mask = shape[:1] if task.kind == 'categorical' else shape
      found[f'{kind}/{task.name}/value'] = ('f4', shape)
      found[f'{kind}/{task.name}/mask'] = ('f4', mask)
  if spec.vote_labels:
    found['votes'] = ('f4', (frames, len(spec.vote_labels)))
  return found


def largest(shards: int) -> int:
  """Bytes that a table beside records of `shards` bytes may have."""
  return (1 + WIDER) * shards + SPARE


def check_headers(
  data: bytes, spec: Any, counts: Mapping[str, Any], shards: int
):
  """Checks what an .npz says of its arrays, and reads none of them.

  Args:
    data: The file.
    spec: The `store.Spec` of the data set.
    counts: Its numbers of 'records' and 'frames'.
    shards: Bytes of its records, which hold all labels once more: a few bytes
      may unpack to a thousand times as many, and whoever made them has made the
      counts.

  Raises:
    TableError: There are others, or they are of other types and sizes.
  """
  expected, sizes = layout(spec, counts), {'numbers': 0, 'names': 0}
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    names = [name.removesuffix('.npy') for name in archive.namelist()]
    if sorted(names) != sorted(expected):
      odd = sorted(set(names) ^ set(expected)) or sorted(names)
      some = ', '.join(name[:80] for name in odd[:3])
      raise TableError(f'its arrays are not those of the data set; see {some}')
    for name, (kind, shape) in expected.items():
      found, dtype, held = _header(archive, name)
      size = math.prod(found) * dtype.itemsize
      known = dtype.str[1:] == kind or (
        kind == 'U' == dtype.kind and dtype.itemsize <= 4 * MAX_NAME
      )
      if found != shape or not known:
        raise TableError(
          f'{name} is {dtype} {list(found)}, expected {kind} {list(shape)}'
        )
      if held != size:
        raise TableError(f'{name} has {held:,} bytes, expected {size:,}')
      sizes['names' if kind == 'U' else 'numbers'] += size
  room = {'numbers': shards, 'names': largest(shards) - shards}
  for what, size in sizes.items():
    if size > room[what]:
      raise TableError(
        f'it unpacks to {size:,} bytes of {what}, and the records, which hold '
        f'them too, have {shards:,} bytes'
      )


def _header(
  archive: zipfile.ZipFile, name: str
) -> tuple[tuple[int, ...], np.dtype, int]:
  """Shape, type and bytes of an array."""
  try:
    with archive.open(f'{name}.npy') as file:
      version = np.lib.format.read_magic(file)
      read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
      }[version]
      shape, _, dtype = read(file)
      held = archive.getinfo(f'{name}.npy').file_size - file.tell()
  except Exception as error:  # ast, zip, zlib and NumPy each have their own
    raise TableError(
      f'{name} cannot be read ({type(error).__name__}: {error})'
    ) from error
  return shape, dtype, held


def check_values(table: Any, spec: Any, counts: Mapping[str, Any]):
  """Raises TableError unless a `FrameTable` holds labels that can be meant."""
  if (table.length < 1).any() or table.length.sum() != len(table):
    raise TableError(f'length: expected numbers of frames, {len(table)} in all')
  _check_order(table)
  for kind in ('targets', 'clean') if spec.clean else ('targets',):
    for task in spec.schema:
      _check_target(
        f'{kind}/{task.name}', task, getattr(table, kind)[task.name]
      )
  if table.votes is not None:
    _require(np.isfinite(table.votes).all(), 'votes', 'finite numbers')
    _require((table.votes >= 0).all(), 'votes', 'numbers from 0')
  for task in spec.schema:
    _check_counts(task, table.targets[task.name], counts[task.name])


def _require(holds: Any, name: str, expected: str):
  if not holds:
    raise TableError(f'{name}: expected {expected}')


def _check_order(table: Any):
  """A video is its records in a row, with frames that increase."""
  number, videos = table.frame_index, table.video_id
  _require((number >= 0).all(), 'frame_index', 'numbers from 0')
  change = np.flatnonzero(videos[1:] != videos[:-1]) + 1
  starts = videos[np.append(0, change)]
  _require(len(set(starts.tolist())) == len(starts), 'video_id', 'whole videos')
  first = np.cumsum(table.length)[change - 1]  # frames that begin a video
  within = np.ones(len(number) - 1, bool)
  within[first - 1] = False
  _require(
    (np.diff(number)[within] > 0).all(), 'frame_index', 'increasing numbers'
  )


def _check_target(name: str, task: tasks.Task, target: tasks.Target):
  value, mask = target
  _require(np.isin(mask, (0, 1)).all(), f'{name}/mask', '0 and 1')
  _require(np.isfinite(value).all(), f'{name}/value', 'finite numbers')
  used = value[mask > 0]
  low = -1 if task.kind == 'binned' else 0
  inside = (used >= low - TOLERANCE).all() and (used <= 1 + TOLERANCE).all()
  _require(inside, f'{name}/value', f'values from {low} to 1')
  if task.kind == 'categorical':
    sums = np.abs(used.sum(-1) - 1) <= TOLERANCE
    _require(sums.all(), f'{name}/value', 'distributions that sum to 1')


def _check_counts(task: tasks.Task, target: tasks.Target, counts):
  """The description has counted the same labels, in the same order."""
  value, mask = (np.asarray(part, np.float64) for part in target)
  if task.kind == 'categorical':
    found = (value * mask[:, None]).sum(0)
  elif task.kind == 'binary':
    positive = (value * mask).sum(0)
    found = np.stack([mask.sum(0) - positive, positive], -1)
  else:
    found = mask.sum(0)
  try:
    given = np.array(list(counts.values()), np.float64)
    same = given.shape == found.shape
    same = same and np.allclose(given, found, rtol=1e-5, atol=0.01)
  except (TypeError, ValueError):
    same = False
  _require(same, f'targets/{task.name}', 'the labels that emojax.json counts')
