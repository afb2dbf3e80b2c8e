"""Frames with labels or votes, and whose they are, for prediction sets.

A face without a known person is its own group: data sets of stills name every
picture as a subject.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np

from emojax import tasks
from emojax.evaluation import votes as ballots
from emojax.evaluation.frames import flatten, labelled, pick, valid
from emojax.uncertainty import conformal
from emojax.uncertainty.conformal_examples import (
  DEFAULTS,
  METHODS,
  VOTE_METHODS,
)


@dataclasses.dataclass(frozen=True)
class Labels:
  """Labelled frames of a task, or frames with votes.

  Attributes:
    task: The task.
    votes: Whether the labels are shares of annotators' votes.
    index: Positions [F] in the flattened [N * L] frames.
    target: Labels and masks, [F, ...].
    groups: Name of the subject of every frame, [F].
  """

  task: tasks.Task
  votes: bool
  index: np.ndarray
  target: tasks.Target
  groups: np.ndarray

  @property
  def methods(self) -> tuple[str, ...]:
    """Methods of `conformal_sets` for such labels."""
    if self.votes:
      return VOTE_METHODS
    out = {'vote_classes', *(['joint'] if self.soft else [])}
    return tuple(m for m in METHODS[self.task.kind] if m not in out)

  @property
  def usual(self) -> tuple[str, ...]:
    """Those of `methods` that models use unless another one is asked for."""
    return VOTE_METHODS if self.votes else (DEFAULTS[self.task.kind],)

  @property
  def title(self) -> str:
    """'expr', or 'expr votes'."""
    return f'{self.task.name} votes' if self.votes else self.task.name

  @property
  def soft(self) -> bool:
    """Whether labels are shares of classes, or probabilities of units; thresholds
    of such are of a label that is drawn from them, and not of the likeliest one."""
    value = np.asarray(self.target.value)
    mask = np.asarray(self.target.mask) > 0
    return self.task.kind != 'binned' and bool(
      ((value > 0) & (value < 1))[mask].any()
    )

  def pick(self, logits: Mapping[str, np.ndarray]) -> np.ndarray:
    """Logits of the frames, [M, F, outputs]."""
    return pick(logits[self.task.name], self.index)

  def take(self, rows: np.ndarray) -> 'Labels':
    """Those at some rows."""
    target = tasks.Target(*(array[rows] for array in self.target))
    return dataclasses.replace(
      self, index=self.index[rows], target=target, groups=self.groups[rows]
    )


def subjects(clips) -> np.ndarray:
  """Name of the subject of every frame, padding included, [N * L]."""
  return np.repeat(clips.subject_id, clips.frame_mask.shape[1])


def count(clips) -> tuple[int, int]:
  """(valid frames, their subjects)."""
  index = valid(clips)
  return len(index), len(np.unique(subjects(clips)[index]))


def nameless(clips) -> int:
  """How many clips have no subject but their video, as where nobody is named."""
  pairs = zip(clips.clip_id, clips.subject_id, strict=True)
  return sum(_video(clip) == who or clip == who for clip, who in pairs)


def _video(clip: str) -> str:
  """The video of a window (see `data.clips.index`), without its first frame."""
  return re.sub(r'/[0-9]{5,}$', '', clip)


def labels(schema: tasks.Schema, clips) -> Iterator[Labels]:
  """Yields what of a schema is labelled, then what was voted on."""
  names = subjects(clips)
  for task in schema:
    found = labelled(task, clips)
    if found is not None:
      yield Labels(task, False, found.index, found.target, names[found.index])
  kinds = [task for task in schema if task.kind == 'categorical']
  if getattr(clips, 'votes', None) is None or len(kinds) != 1:
    return
  every = valid(clips)
  cast = flatten(clips.votes)[every]
  share, kept = ballots.shares(cast, len(kinds[0].labels))
  if len(kept):
    index = every[kept]
    target = tasks.Target(share, np.ones(len(share), np.float32))
    yield Labels(kinds[0], True, index, target, names[index])


def mean(
  values: np.ndarray, groups: np.ndarray, mass: np.ndarray | None = None
) -> float:
  """Mean over the frames of a group, then over the groups.

  Args:
    values: [n].
    groups: [n].
    mass: How much a frame counts within its group, [n]; equally if None.
  """
  weights = conformal.group_weights(groups, mass)
  return float(weights @ np.float64(values) / weights.sum())
