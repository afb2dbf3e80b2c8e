"""Labels of one data set under the label names of another, matched by name.

A model is trained on one schema and evaluated on data that may number its
expressions differently, label other action units, or lack whole tasks. Nothing
is matched by position.
"""

import dataclasses
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.clips.clips import Clips


class SchemaMismatchError(ValueError):
  """Labels cannot be taken for another schema's; says which, and what helps."""


class Relabelled(NamedTuple):
  """Targets under another schema.

  Attributes:
    targets: Targets of the tasks of `schema`.
    schema: What may be scored: the wanted schema without the action units (and
      the dimensions) that the data do not label, as an unlabelled one would
      count as an F1 of 0. A task without any label in common keeps its labels,
      all masked.
    notes: What was reordered or left out, one sentence each.
  """

  targets: tasks.Targets
  schema: tasks.Schema
  notes: tuple[str, ...]


def relabel(
  targets: tasks.Targets,
  found: tasks.Schema,
  wanted: tasks.Schema,
  ignore: Collection[str] = (),
) -> Relabelled:
  """Brings targets from one schema to another.

  Args:
    targets: NumPy targets of the data.
    found: The schema that they are of.
    wanted: The schema of the model.
    ignore: Classes to leave out, such as those that the model does not know:
      frames whose most probable class is one of them do not count; elsewhere
      their share of a soft label goes to the other classes.

  Raises:
    SchemaMismatchError: If the data have classes that are neither known nor
      ignored, if the same task is of another kind, or nothing is in common.
  """
  _check_ignored(found, ignore)
  have = {task.name: task for task in found}
  shape = next(iter(targets.values())).value.shape[:-1]
  parts, schema, notes, matched = {}, [], [], False
  for task in wanted:
    source, target, kept = have.get(task.name), None, task
    if source is not None:
      _check_kind(source, task)
      adapt = _ADAPT[task.kind]
      target, kept, remarks = adapt(source, task, targets[task.name], ignore)
      notes += remarks
    if target is None:
      target = tasks.empty_targets((task,), shape)[task.name]
      notes.append(f'the data have no labels of task {task.name!r}')
    else:
      matched = True
    parts[task.name] = target
    schema.append(kept)
  if not matched:
    raise SchemaMismatchError(_nothing_in_common(found, wanted))
  return Relabelled(parts, tuple(schema), tuple(notes))


def _check_ignored(found: tasks.Schema, ignore: Collection[str]):
  known = {name for task in found for name in task.labels}
  for name in ignore:
    if name not in known:
      raise SchemaMismatchError(
        f'label {name!r} cannot be ignored: the data have {sorted(known)}'
      )


def _check_kind(source: tasks.Task, task: tasks.Task):
  if source.kind != task.kind:
    raise SchemaMismatchError(
      f'task {task.name!r} is {task.kind} in the model and {source.kind} in the '
      'data: they cannot be compared'
    )


def _nothing_in_common(found, wanted) -> str:
  def names(schema):
    return '; '.join(f'{t.name}: {", ".join(t.labels)}' for t in schema)

  return (
    f'the data label nothing that the model predicts.\n  data:  {names(found)}\n'
    f'  model: {names(wanted)}\nUse them as out-of-distribution data instead '
    '(`emojax evaluate --ood`), or what was trained on these labels.'
  )


def _categorical(source, task, target, ignore):
  """Classes by name; see `relabel`."""
  unknown = [name for name in source.labels if name not in task.labels]
  refused = [name for name in unknown if name not in ignore]
  if len(unknown) == len(source.labels):
    return None, task, []
  if refused:
    raise SchemaMismatchError(
      f'{task.name}: the data have {len(source.labels)} classes, among them '
      f'{", ".join(refused)}, which the model does not predict (its '
      f'{len(task.labels)}: {", ".join(task.labels)}). '
      f'--ignore-labels={",".join(unknown)} leaves out the frames of these '
      'classes; or use a model that was trained on them.'
    )
  index = tasks.reorder(source.labels, task.labels)
  out = [name for name in source.labels if name in unknown or name in ignore]
  known = ~np.isin(source.labels, out)
  value = np.zeros((*target.value.shape[:-1], len(task.labels)), np.float32)
  value[..., index[known]] = target.value[..., known]
  mask = target.mask * known[target.value.argmax(-1)]
  total = value.sum(-1, keepdims=True)
  value = np.divide(value, total, out=value, where=total > 0)
  left = int((target.mask > 0).sum() - (mask > 0).sum())
  notes = []
  if out:
    notes.append(f'{left:,} frames of {", ".join(out)} were left out')
  absent = [name for name in task.labels if name not in source.labels]
  if absent:
    notes.append(f'the data have no {", ".join(absent)}')
  if not unknown and not absent and source.labels != task.labels:
    notes.append(f'{task.name}: classes were reordered by name')
  return tasks.Target(value, mask.astype(np.float32)), task, notes


def left_out(before: tasks.Targets, after: tasks.Targets) -> np.ndarray:
  """Frames whose class was ignored, bool [N, L].

  Args:
    before: Targets of the data.
    after: Those of `relabel`.
  """
  gone = [
    (before[name].mask > 0) & (target.mask == 0)
    for name, target in after.items()
    if name in before and target.mask.ndim == 2
  ]
  shape = next(iter(after.values())).mask.shape[:2]
  return np.any(gone, 0) if gone else np.zeros(shape, bool)


def _columns(source, task, target, ignore):
  """Independent labels (action units, valence, arousal) by name."""
  common = tuple(name for name in task.labels if name in source.labels)
  if not common:
    return None, task, []
  columns = [source.labels.index(name) for name in common]
  value, mask = (np.ascontiguousarray(x[..., columns]) for x in target)
  notes = []
  for have, lack, who in ((source, task, 'model'), (task, source, 'data')):
    rest = [name for name in have.labels if name not in lack.labels]
    if rest:
      verb = 'does not predict' if who == 'model' else 'do not label'
      notes.append(f'{task.name}: the {who} {verb} {", ".join(rest)}')
  kept = dataclasses.replace(task, labels=common)
  return tasks.Target(value, mask), kept, notes


_ADAPT = {'categorical': _categorical, 'binary': _columns, 'binned': _columns}


def selected_outputs(task: tasks.Task, kept: tasks.Task) -> np.ndarray:
  """Positions of the logits of `kept` among those of `task`, int [outputs]."""
  if task.kind == 'categorical':
    return np.arange(task.num_outputs)
  width = max(1, task.bins)
  labels = [task.labels.index(name) for name in kept.labels]
  return (np.array(labels)[:, None] * width + np.arange(width)).reshape(-1)


class Relabelling:
  """A source of clips with other targets; images are read when taken.

  Stands in for `Clips` and `StoredClips` wherever these are evaluated.
  """

  def __init__(
    self, clips: Any, targets: tasks.Targets, truth=None, without=None
  ):
    self._clips, self.targets, self.truth = clips, targets, truth
    self.frame_mask = clips.frame_mask
    if without is not None:  # bool [N, L]: frames that do not count at all
      self.frame_mask = clips.frame_mask * ~without
    self.clip_id, self.subject_id = clips.clip_id, clips.subject_id
    self.has_audio = clips.has_audio

  def __len__(self) -> int:
    return len(self._clips)

  @property
  def num_frames(self) -> int:
    """Number of valid frames in all clips."""
    return int(self.frame_mask.sum())

  def take(self, indices) -> Clips:
    """Returns the clips at `indices`, with the new targets."""
    found = self._clips.take(indices)
    targets = tasks.take(self.targets, indices)
    mask = self.frame_mask[indices]
    return dataclasses.replace(
      found, targets=targets, truth=None, frame_mask=mask
    )
