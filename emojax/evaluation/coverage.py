"""How often prediction sets hold the truth, and for whom they do not.

Coverage is that of a random frame of a random person: means over the frames of a
subject, then over the subjects.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.evaluation.coverage_apart import by_class, by_size, worst
from emojax.evaluation.coverage_labels import Labels, mean
from emojax.uncertainty import conformal, conformal_sets
from emojax.uncertainty.conformal_examples import ALL, STATES
from emojax.uncertainty.conformal_scores import SHARE

Json = dict[str, Any]


class Hit(NamedTuple):
  """What a method promised something about, and whether it holds.

  Attributes:
    part: Its name, of `conformal_examples.parts`.
    held: How much of the label the set holds, [n] in [0, 1].
    index: The frames, [n].
    mass: How much a frame counts among those of its subject, [n], as it did where
      the threshold was fitted (`conformal_examples.Examples`).
  """

  part: str
  held: np.ndarray
  index: np.ndarray
  mass: np.ndarray


def hits(of: Labels, method: str, made: np.ndarray) -> Iterator[Hit]:
  """Yields a hit for each part of a method.

  Args:
    of: The frames.
    method: Of `conformal_sets`.
    made: Their sets, of `conformal_sets.sets`.
  """
  if of.task.kind == 'categorical':
    yield from _class_hits(of, method, made)
  elif of.task.kind == 'binned':
    keep = np.asarray(of.target.mask) > 0
    value = np.asarray(of.target.value, np.float32)
    # As models say them: labels on an end are inside, of whatever type they are.
    low, high = np.moveaxis(np.asarray(made, np.float32), -1, 0)
    inside = (low <= value) & (value <= high)
    for i, label in enumerate(of.task.labels):
      index = np.flatnonzero(keep[:, i])
      yield _equally(label, inside[index, i], index)
  else:
    yield from _unit_hits(of, method, made)


def _equally(part: str, held: np.ndarray, index: np.ndarray) -> Hit:
  return Hit(part, held, index, np.ones(len(index)))


def _class_hits(of: Labels, method: str, made: np.ndarray):
  value = np.where(np.asarray(of.target.mask)[:, None] > 0, of.target.value, 0)
  index = np.flatnonzero(value.any(-1))
  if method == 'vote_classes':
    held = np.asarray((made | (value < SHARE - 1e-9)).all(-1))
    yield _equally(ALL, held[index], index)
  elif method == 'by_class':
    for i, label in enumerate(of.task.labels):
      index = np.flatnonzero(value[:, i])
      share = np.asarray(value[index, i], np.float64)
      yield Hit(label, made[index, i], index, share)
  else:
    yield _equally(ALL, (made * value).sum(-1)[index], index)


def _unit_hits(of: Labels, method: str, made: np.ndarray):
  keep = np.asarray(of.target.mask) > 0
  present = np.asarray(of.target.value, np.float64)
  if method == 'joint':
    index = np.flatnonzero(keep.any(-1))
    right = (made == -1) | (made == present)
    yield _equally(ALL, (right | ~keep).all(-1)[index], index)
    return
  for i, unit in enumerate(of.task.labels):
    for state, name in enumerate(STATES):
      share = present[:, i] if state else 1 - present[:, i]
      index = np.flatnonzero(keep[:, i] & (share > 0))
      right = (made[index, i] == -1) | (made[index, i] == state)
      yield Hit(f'{unit}/{name}', right, index, share[index])


def sizes(task: tasks.Task, made: np.ndarray) -> np.ndarray:
  """Size of the sets of every frame, [F].

  Returns:
    Classes in the set; share of the action units that are unsure; mean width of
    the intervals.
  """
  if task.kind == 'categorical':
    return made.sum(-1)
  if task.kind == 'binary':
    return (made == -1).mean(-1)
  return np.ptp(made, axis=-1).mean(-1)


def measure(
  of: Labels,
  method: str,
  probs: np.ndarray,
  fitted: conformal_sets.Fitted,
  coverage: float,
  bin_values=None,
  apart: bool = True,
) -> Json:
  """Coverage and size of the sets of some frames.

  Args:
    of: The frames.
    method: Of `conformal_sets`.
    probs: Of members, [M, F, ...].
    fitted: Thresholds.
    coverage: What was asked for.
    bin_values: [K], needed by binned tasks.
    apart: Whether to tell frames apart.

  Returns:
    `coverage` (mean over the parts), `size`, `parts` (see `_part`), and what is
    told apart: `by_class`, `by_size`, and `worst`, the subjects whose sets hold
    the truth least often.
  """
  made = conformal_sets.sets(
    of.task, method, probs, fitted, coverage, bin_values
  )
  every = [hit for hit in hits(of, method, made) if len(hit.index)]
  parts = {
    hit.part: _part(fitted[hit.part], coverage, hit, of.groups[hit.index])
    for hit in every
  }
  size = sizes(of.task, made)
  found = {
    'coverage': float(np.mean([one['coverage'] for one in parts.values()])),
    'size': mean(size, of.groups),
    'parts': parts,
  }
  if not apart:
    return found
  hit = _by_frame(every, len(of.groups))
  return found | {
    'by_class': by_class(of, size, hit),
    'by_size': by_size(of, size, hit),
    'worst': worst(of, hit),
  }


def _part(
  fitted: conformal_sets.Part, coverage: float, hit: Hit, groups: np.ndarray
) -> Json:
  """Coverage of a part's frames and where it may lie.

  Returns:
    `coverage`; `band`, the exact central 95 % for one frame a subject;
    `calibrated` and `tested` subjects; whether the threshold is `infinite`.
  """
  tested = len(np.unique(groups))
  return {
    'coverage': mean(hit.held, groups, hit.mass),
    'band': list(conformal.observed_band(fitted.groups, coverage, tested)),
    'calibrated': fitted.groups,
    'tested': tested,
    'infinite': bool(np.isinf(fitted.thresholds[coverage])),
  }


def _by_frame(every: Sequence[Hit], frames: int) -> np.ndarray:
  """Share of a frame's labels that its sets hold, [F]; NaN without labels."""
  index, mass = (
    np.concatenate([getattr(hit, name) for hit in every])
    for name in ('index', 'mass')
  )
  held = np.concatenate([hit.mass * hit.held for hit in every])
  labels = np.bincount(index, mass, minlength=frames)
  total = np.bincount(index, held, minlength=frames)
  return np.where(labels > 0, total / np.where(labels > 0, labels, 1), np.nan)
