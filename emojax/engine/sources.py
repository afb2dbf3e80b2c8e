"""Where the engine's clips come from: rows by index, in memory or from disk.

Which clips, in which order and for which process is the plan's to say
(`plan.py`), a function of seed, epoch and step; Grain follows it ahead of the
devices. So a resumed run needs no state of a reader.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import grain
import jax
import numpy as np

PyTree = Any
# Inputs per call of a prediction program. The size of a block does not depend
# on the source, so that one compilation serves every set of clips.
BLOCK_BYTES = 4 * 2**20


class ClipSource(Protocol):
  """Clips by index: `data.clips.clips.Clips` and the store on disk both are one."""

  def __len__(self) -> int: ...

  def take(self, indices: np.ndarray) -> Any:
    """Returns `data.clips.clips.Clips` of the given clips, in that order."""


def gather_inputs(source: ClipSource, indices: np.ndarray) -> dict[str, Any]:
  """What the model sees of some clips: image, and audio where there is any."""
  clips = source.take(indices)
  inputs = {'image': clips.image}
  if clips.audio is not None:
    inputs['audio'] = clips.audio
  return inputs


def padded_inputs(source: ClipSource, multiple: int) -> dict[str, Any]:
  """All inputs; the last clip is repeated up to a multiple of so many clips."""
  indices = np.arange(-(-len(source) // multiple) * multiple)
  return gather_inputs(source, np.minimum(indices, len(source) - 1))


def blocks(
  source: ClipSource, multiple: int
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
  """All inputs in blocks of one size, the last one padded.

  A block is as many times `multiple` clips as `BLOCK_BYTES` holds. The next one
  is read while the caller works on this one.

  Yields:
    (inputs, how many of these clips are the source's, int32).
  """
  one = gather_inputs(source, np.zeros(1, int))
  clip_bytes = sum(x.nbytes for x in jax.tree.leaves(one))
  size = multiple * max(1, BLOCK_BYTES // (clip_bytes * multiple))

  def read(start):
    indices = np.arange(start, start + size)
    inputs = gather_inputs(source, np.minimum(indices, len(source) - 1))
    return inputs, np.int32(min(size, len(source) - start))

  return _read_ahead(read, range(0, len(source), size))


def stream(
  source: ClipSource,
  targets: PyTree,
  plan: np.ndarray,
  steps: int,
  shards: int = 1,
) -> Iterator[tuple[tuple[dict[str, Any], PyTree], np.ndarray, int]]:
  """Rows of an epoch, some steps at a time.

  Args:
    source: Training clips.
    targets: Their targets on the host, arrays [N, ...].
    plan: int32 [M, K, B], the epoch's clip indices.
    steps: Steps per chunk, at least 2 (a loop over one step would be compiled
      differently). The last chunk is padded to this many.
    shards: Devices over which a batch is split; each gets the rows of its part.

  Yields:
    ((inputs, targets) with leading axes [M, steps * B], all steps of a shard
    before those of the next; plan int32 [M, steps, B], which counts within the
    rows of a shard; number of steps that count).
  """
  members, total, batch = plan.shape
  steps = max(2, steps)
  width = batch // shards
  local = np.arange(steps * width, dtype=np.int32).reshape(steps, width)
  local = np.tile(local, (1, shards))
  local = np.broadcast_to(local, (members, steps, batch))

  def read(start):
    part = plan[:, start : start + steps]
    missing = steps - part.shape[1]
    part = np.pad(part, ((0, 0), (0, missing), (0, 0)), mode='edge')
    part = part.reshape(members, steps, shards, width)
    flat = part.swapaxes(1, 2).reshape(-1)

    def fold(x):
      return x.reshape(members, steps * batch, *x.shape[1:])

    inputs = jax.tree.map(fold, gather_inputs(source, flat))
    rows = jax.tree.map(lambda x: fold(np.asarray(x)[flat]), targets)
    return (inputs, rows), local, steps - missing

  return _read_ahead(read, range(0, total, steps))


def _read_ahead(read, starts) -> Iterator[Any]:
  """Yields `read(start)` in order; Grain reads one ahead in a thread."""
  options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
  data = grain.MapDataset.source(starts).map(read).to_iter_dataset(options)
  iterator = iter(data)
  try:
    yield from iterator
  finally:
    iterator.close()
