"""Several sources of clips as one: Aff-Wild2 with ExpW, DISFA and AFEW-VA.

Papers 001 and 002 enlarge each task's subset by a data set that is labelled
for that task alone. The sources may be in memory or on disk, and each may have
some of the tasks only; what it lacks is missing (mask 0).
"""

from collections.abc import Mapping

import numpy as np

from emojax import tasks
from emojax.data.clips import clips as clips_lib
from emojax.data.clips.clips import Clips
from emojax.data.store.stored import StoredClips


class JoinedClips:
  """Sources laid end to end; clip i is clip i - offset of its source.

  Args:
    sources: Name to clips; names become prefixes of the clips' and subjects'
      names. Their images must be of one shape.
    schema: The tasks. Tasks of a source must be equal to those here of the
      same name: bring labels to one order when preparing the data sets
      (`--option expressions=affwild2 --option action_units=au8`).

  Attributes:
    schema: The tasks.
    sources: The sources by name.
    offset: Name of a source to the number of its first clip.
    targets: `tasks.Targets` with leading shape [N, L].
    frame_mask: float32 [N, L].
    clip_id: [N] array of strings.
    subject_id: [N] array of strings.
  """

  def __init__(
    self, sources: Mapping[str, Clips | StoredClips], schema: tasks.Schema
  ):
    lengths = {name: c.frame_mask.shape[1] for name, c in sources.items()}
    if len(set(lengths.values())) != 1:
      raise ValueError(
        f'clips of different lengths cannot be joined: {lengths}'
      )
    for name, source in sources.items():
      _check_tasks(name, source.targets, schema)
    self.schema = schema
    self.sources = dict(sources)
    sizes = [len(source) for source in sources.values()]
    self._first = np.cumsum([0, *sizes])
    self.offset = dict(zip(sources, self._first.tolist()))
    wide = [_widen(c.targets, schema, c.frame_mask) for c in sources.values()]
    self.targets = {
      task.name: tasks.Target(
        *(
          np.concatenate(arrays)
          for arrays in zip(*(t[task.name] for t in wide))
        )
      )
      for task in schema
    }
    self.frame_mask = np.concatenate([c.frame_mask for c in sources.values()])
    self.clip_id = _prefixed({n: c.clip_id for n, c in sources.items()})
    self.subject_id = _prefixed({n: c.subject_id for n, c in sources.items()})

  def __len__(self) -> int:
    return len(self.clip_id)

  def group(self, indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """A group of some clips of some sources, int32.

    Args:
      indices: Name of a source to indices of its clips.
    """
    return np.concatenate(
      [self.offset[name] + np.asarray(i) for name, i in indices.items()]
    ).astype(np.int32)

  def take(self, indices) -> Clips:
    """Reads the clips at `indices` (integers or a mask), in that order."""
    indices = np.arange(len(self))[indices]
    parts, places = [], []
    for number, source in enumerate(self.sources.values()):
      first, last = self._first[number : number + 2]
      place = np.flatnonzero((indices >= first) & (indices < last))
      if len(place):
        places.append(place)
        parts.append(self._part(source, indices[place], first))
    found = clips_lib.concatenate(parts)
    return found.take(np.argsort(np.concatenate(places), kind='stable'))

  def _part(self, source, indices, first) -> Clips:
    """Clips of one source under the names and tasks of all."""
    part = source.take(indices - first)
    return Clips(
      image=part.image,
      audio=part.audio,
      targets=_widen(part.targets, self.schema, part.frame_mask),
      frame_mask=part.frame_mask,
      clip_id=self.clip_id[indices],
      subject_id=self.subject_id[indices],
    )


def _check_tasks(name: str, targets: tasks.Targets, schema: tasks.Schema):
  widths = {task.name: len(task.labels) for task in schema}
  for task, target in targets.items():
    width = target.value.shape[-1]
    if widths.get(task) != width:
      raise ValueError(
        f'source {name!r}: task {task!r} has {width} labels, the schema has '
        f'{widths.get(task, "no such task")}; prepare the data set with '
        'expressions= or action_units= of the schema'
      )


def _widen(targets, schema, frame_mask) -> tasks.Targets:
  """Adds missing tasks."""
  blank = tasks.empty_targets(schema, frame_mask.shape)
  return {
    task.name: targets.get(task.name, blank[task.name]) for task in schema
  }


def _prefixed(names: Mapping[str, np.ndarray]) -> np.ndarray:
  return np.array(
    [f'{source}/{name}' for source, found in names.items() for name in found],
    np.str_,
  )
