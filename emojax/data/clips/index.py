"""Which frames make up each clip of a prepared split, and its subsets.

A group ("the AU subset") is the windows over the frames that are labelled for
certain tasks. Groups are cut independently of one another, as the papers do,
so one frame may be in clips of several groups; nothing is copied.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.clips import windows
from emojax.data.store.frame_table import FrameTable

ANY: tuple[str, ...] = ()
EVERY = None


class ClipIndex(NamedTuple):
  """N clips of L frames.

  Attributes:
    frames: int64 [N, L], frames of the table.
    mask: float32 [N, L], 0 where the last frame is repeated as padding.
    clip_id: [N] array of strings, unique.
    subject_id: [N] array of strings.
    use: bool [N, tasks], False where a clip's labels of a task do not count.
    groups: Name to int32 [n], the clips of every group.
  """

  frames: np.ndarray
  mask: np.ndarray
  clip_id: np.ndarray
  subject_id: np.ndarray
  use: np.ndarray
  groups: dict[str, np.ndarray]


def task_groups(
  table: FrameTable, schema: tasks.Schema
) -> dict[str, tuple[str, ...]]:
  """One group per task that has any label."""
  return {
    task.name: (task.name,)
    for task in schema
    if np.any(table.targets[task.name].mask)
  }


def build(
  table: FrameTable,
  schema: tasks.Schema,
  groups: Mapping[str, Sequence[str] | None],
  length: int,
  *,
  stride: int | None = None,
  tail: str = 'drop',
  gaps: str = 'jump',
  own_labels: bool = True,
) -> ClipIndex:
  """Cuts a split into clips.

  Args:
    table: The split's labels.
    schema: Its tasks.
    groups: Name to the tasks for all of which its frames must be labelled,
      e.g. {'au': ('au',), 'expr_va': ('expr', 'va')}. `ANY` (no task) takes
      frames with any label, or all frames of a split without labels; `EVERY`
      takes all frames, labelled or not.
    length: Frames of a clip.
    stride: See `windows.cut`, as for `tail` and `gaps`.
    tail: 'drop', 'end' or 'pad'.
    gaps: 'jump', 'discard' or 'split'.
    own_labels: Of a group with named tasks, only these tasks' labels count
      (papers 000 and 001); False uses every label that a frame has.

  Raises:
    ValueError: On an unknown task, or a group without any clip.
  """
  names = [task.name for task in schema]
  parts = []
  for group, required in groups.items():
    unknown = sorted(set(required or ()) - set(names))
    if unknown:
      raise ValueError(
        f'group {group!r}: no task {unknown[0]!r} in ' + ', '.join(names)
      )
    valid = _labelled(table, names, required)
    prefix = f'{group}/' if len(groups) > 1 else ''
    part = _cut_group(table, valid, prefix, length, stride, tail, gaps)
    if not len(part[0]):
      raise ValueError(
        f'group {group!r} has no clip of {length} frames (tail={tail!r}, '
        f'gaps={gaps!r}): {int(valid.sum())} of {len(table)} frames qualify'
      )
    own = [not required or name in required for name in names]
    use = np.tile(own if own_labels else [True] * len(names), (len(part[0]), 1))
    parts.append((*part, use))
  sizes = np.cumsum([0] + [len(part[0]) for part in parts])
  return ClipIndex(
    *(np.concatenate(column) for column in zip(*parts)),
    groups={
      group: np.arange(sizes[i], sizes[i + 1], dtype=np.int32)
      for i, group in enumerate(groups)
    },
  )


def _labelled(table, names, required) -> np.ndarray:
  """bool [F]: frames with labels of all required tasks; see `build`."""
  masks = {
    name: table.targets[name].mask.reshape(len(table), -1).any(axis=1)
    for name in names
  }
  if required is EVERY:
    return np.ones(len(table), bool)
  if required:
    return np.all([masks[name] for name in required], axis=0)
  some = np.any(list(masks.values()), axis=0)
  return some if some.any() else np.ones(len(table), bool)


def _cut_group(table, valid, prefix, length, stride, tail, gaps):
  """(frames, mask, clip_id, subject_id) of one group."""
  frames = [np.zeros((0, length), np.int64)]
  masks = [np.zeros((0, length), np.float32)]
  ids, subjects = [], []
  for video, subject, every in table.videos():
    used = every[valid[every]]
    number = table.frame_index[used]
    cut = windows.cut(number, length, stride, tail, gaps)
    frames.append(used[cut.index].reshape(-1, length))
    masks.append(cut.mask)
    still = len(every) == 1
    ids += [
      prefix + (video if still else f'{video}/{number[first] + 1:05d}')
      for first in cut.index[:, 0]
    ]
    subjects += [subject] * len(cut.index)
  return (
    np.concatenate(frames),
    np.concatenate(masks),
    np.array(ids, np.str_),
    np.array(subjects, np.str_),
  )
