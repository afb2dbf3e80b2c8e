"""Single faces with one hard or soft label each, and the votes behind it.

The label rules of FER+ are applied to the votes when a data set is opened, so
that a data set prepared once (with `rule=raw eval_rule=raw`) serves them all.
On the embedded data the posterior that the labels were drawn from stands for
the votes of ten annotators.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.data import load
from emojax.data.clips.clips import Clips, Dataset
from emojax.data.readers import ferplus_rules
from emojax.data.transform import images

TASK = 'expr'
ANNOTATORS = 10
# 'stored' takes the labels as the data set has them; 'probability' has the
# targets of 'crossentropy', of which training draws one label per visit.
RULES = (
  'stored',
  'majority',
  'plurality',
  'probability',
  'crossentropy',
  'raw',
)
HARD = ('majority', 'plurality')
SPLITS = ('val', 'test')


class Faces(NamedTuple):
  """The data of the experiment.

  Attributes:
    dataset: One task and clips of one frame; labels by the rules.
    split: The split that is scored, 'test', or 'val' if that is the same.
    votes: float32 [N, E], the distribution of the annotators' answers for each
      face of that split, 0 where there is none; None without votes.
  """

  dataset: Dataset
  split: str
  votes: np.ndarray | None

  @property
  def clips(self) -> Clips:
    """The faces that are scored."""
    return getattr(self.dataset, self.split)

  @property
  def known(self) -> dict[str, Any]:
    """The faces with labels by set: those of `split` and of validation."""
    return {'val': self.dataset.val, self.split: self.clips}


def from_config(data) -> Faces:
  """Opens the data set that `config.data` describes.

  Raises:
    ValueError: On an unknown rule, clips of several frames, labels of another
      task, or a rule that needs votes where there are none.
  """
  for name, known in (('rule', RULES), ('eval_rule', ('stored', *HARD))):
    if data[name] not in known:
      raise ValueError(
        f'config.data.{name}={data[name]!r}: expected one of {", ".join(known)}'
      )
  found = load.from_config(data)
  task = next((t for t in found.schema if t.name == TASK), None)
  if task is None or data.clip_length != 1:
    raise ValueError(
      'the experiment is about single faces with an expression: expected '
      f'config.data.clip_length=1 and a task {TASK!r}, found '
      f'{data.clip_length} and {[t.name for t in found.schema]}'
    )
  return _faces(found, task, data)


def _faces(found: Dataset, task: tasks.Task, data) -> Faces:
  train = _labelled(_still(found.train, data), task, data.rule)
  held = {s: _still(getattr(found, s), data) for s in SPLITS}
  held = {s: _labelled(c, task, data.eval_rule) for s, c in held.items()}
  if found.test is found.val:
    held['test'] = held['val']
  group = np.flatnonzero(train.targets[TASK].mask[:, 0]).astype(np.int32)
  dataset = dataclasses.replace(
    found,
    train=train,
    groups={TASK: group},
    ood={k: _foreign(_still(c, data), task) for k, c in found.ood.items()},
    schema=(task,),
    **held,
  )
  split = 'val' if found.test is found.val else 'test'
  counts = answers(held[split])
  votes = None if counts is None else distribution(counts, task)
  return Faces(dataset, split, votes)


def _still(clips, data) -> Clips:
  """The clips in memory, grey if `data.channels` is 1."""
  if data.channels not in (1, 3):
    raise ValueError(f'config.data.channels={data.channels}: expected 1 or 3')
  held = (
    clips if isinstance(clips, Clips) else clips.take(np.arange(len(clips)))
  )
  image = held.image
  if image.shape[-1] == 3 and data.channels == 1:
    image = images.grey(image)
  return dataclasses.replace(held, image=image)


def scored(clips, data, schema: tasks.Schema) -> Clips:
  """Faces of any data set as those of the run: one frame, labels by its rule.

  Args:
    clips: The faces.
    data: `config.data`: `channels`; `eval_rule`, for faces that have votes.
    schema: What the faces' labels are of.

  Raises:
    ValueError: If they are clips of several frames.
  """
  if clips.frame_mask.shape[1] != 1:
    raise ValueError(
      f'the run is about single faces, these are clips of '
      f'{clips.frame_mask.shape[1]} frames: set config.data.clip_length=1'
    )
  held = _still(clips, data)
  task = next((task for task in schema if task.name == TASK), None)
  if task is None or answers(held) is None:
    return held
  return _labelled(held, task, data.eval_rule)


def answers(clips: Clips) -> np.ndarray | None:
  """Numbers of the annotators' answers, float [N, V], or None.

  Known posteriors count as the expected answers of ten annotators.
  """
  if clips.truth is not None:
    return ANNOTATORS * np.asarray(clips.truth[TASK][:, 0], np.float64)
  if clips.votes is None:
    return None
  return np.asarray(clips.votes[:, 0], np.float64)


def distribution(counts: np.ndarray, task: tasks.Task) -> np.ndarray:
  """Shares of the answers that name a class, float32 [N, E]; 0 without any."""
  named = counts[:, : len(task.labels)]
  total = named.sum(-1, keepdims=True)
  return np.asarray(named / np.where(total > 0, total, 1), np.float32)


def _labelled(clips: Clips, task: tasks.Task, rule: str) -> Clips:
  """The clips with the labels that a rule makes of their votes."""
  if rule == 'stored':
    target = clips.targets[TASK]
  else:
    counts = answers(clips)
    if counts is None:
      raise ValueError(
        f'the label rule {rule!r} needs votes, which this data set does not '
        "have: use config.data.rule='stored' and eval_rule='stored'"
      )
    target = _by_rule(counts, task, rule)
  truth = None if clips.truth is None else {TASK: clips.truth[TASK]}
  return dataclasses.replace(clips, targets={TASK: target}, truth=truth)


def _by_rule(counts: np.ndarray, task: tasks.Task, rule: str) -> tasks.Target:
  size, answers_ = len(task.labels), counts.shape[1]
  most = ferplus_rules.NUM_EMOTIONS
  if size > most or (size < most and answers_ > size):
    raise ValueError(
      f"label rules are for FER+'s {most} emotions, or for votes that all are for "
      f'classes, not for {size} classes and {answers_} answers: use '
      "config.data.rule='stored' and eval_rule='stored', or prepare the data set "
      'without --option expressions'
    )
  target = tasks.empty_targets((task,), (len(counts), 1))[TASK]
  for value, mask, row in zip(*target, counts):
    found = ferplus_rules.target(row, rule)
    if found is not None:
      value[0], mask[0] = found, 1
  return target


def _foreign(clips: Clips, task: tasks.Task) -> Clips:
  targets = tasks.empty_targets((task,), clips.frame_mask.shape)
  return dataclasses.replace(clips, targets=targets)


def summary(faces: Faces) -> str:
  """One line about the faces for the terminal."""
  scored, train = faces.clips, faces.dataset.train
  labelled = int(scored.targets[TASK].mask.sum())
  voted = 0 if faces.votes is None else int((faces.votes.sum(-1) > 0).sum())
  names = ', '.join(faces.dataset.ood)
  return (
    f'{faces.dataset.name}: {len(faces.dataset.groups[TASK]):,} of '
    f'{len(train):,} training faces have a label; of {len(scored):,} in the '
    f'{faces.split} split {labelled:,} have a label and {voted:,} have votes; '
    f'foreign images: {names}'
  )
