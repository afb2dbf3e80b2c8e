"""Digests of clips, by which data that have changed are noticed.

What is hashed of drawn clips is every array. Of a prepared data set it is the
labels as they are used, the table of all labels of the split, and the shards:
their SHA-256 was taken when they were written, is compared with the files where
a split is read into memory, and is believed where a split is streamed (labels,
sizes and the shards' own checksums are looked at there, too).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks


class Origin(NamedTuple):
  """A split of a prepared data set, however clips are cut from it.

  Attributes:
    split: Its name.
    frames: Number of its frames.
    table: Digest of all its labels and names.
    bytes: Size of its shards.
    shards: Digest of its shards; None if nobody has read them through.
  """

  split: str
  frames: int
  table: str
  bytes: int
  shards: str | None


def of(clips: Any) -> dict[str, Any]:
  """What identifies clips, for JSON.

  Args:
    clips: `Clips`, `StoredClips` or `JoinedClips`.

  Returns:
    'clips' and 'frames' (numbers), 'names', 'labels' (by task), 'masks', 'votes'
    (None without), 'inputs' (images and sound of clips in memory that come from
    no file, else None) and 'origins' (a dictionary for every prepared split).
  """
  found = {
    'clips': len(clips.clip_id),
    'frames': int(np.sum(clips.frame_mask)),
    'names': text([*clips.clip_id.tolist(), *clips.subject_id.tolist()]),
    'labels': {name: arrays(t) for name, t in sorted(clips.targets.items())},
    'masks': arrays([clips.frame_mask]),
  }
  votes = getattr(clips, 'votes', None)
  sources = list(getattr(clips, 'sources', {'': clips}).values())
  drawn = [clips for clips in sources if clips.origin is None]
  return found | {
    'votes': None if votes is None else arrays([votes]),
    'inputs': text([_inputs(clips) for clips in drawn]) if drawn else None,
    'origins': [c.origin._asdict() for c in sources if c.origin is not None],
  }


def _inputs(clips: Any) -> str:
  return arrays([clips.image] + ([] if clips.audio is None else [clips.audio]))


def text(values: Sequence[str]) -> str:
  """Digest of strings."""
  return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()


def arrays(values: Iterable[np.ndarray]) -> str:
  """Digest of arrays with their shapes and types."""
  state = hashlib.sha256()
  for array in values:
    array = np.asarray(array)
    state.update(f'{array.dtype.str}{array.shape}'.encode())
    state.update(bytes_of(array))
  return state.hexdigest()


def bytes_of(array: np.ndarray) -> memoryview:
  """The bytes of an array of any type, for a hash."""
  return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def schema(found: tasks.Schema) -> list[dict[str, Any]]:
  """The names of the labels in their order, for JSON."""
  return [task.to_json() for task in found]
