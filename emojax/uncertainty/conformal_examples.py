"""Scores of true labels by task, method and part; see `conformal_sets`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.metrics import calibration
from emojax.uncertainty import conformal_scores as scoring
from emojax.uncertainty import conformal_votes

ALL = 'all'
STATES = ('absent', 'present')
METHODS: dict[str, tuple[str, ...]] = {
  'categorical': ('lac', 'aps', 'raps', 'by_class', 'vote_classes'),
  'binary': ('units', 'joint'),
  'binned': ('mass', 'cqr'),
}
DEFAULTS = {'categorical': 'lac', 'binary': 'units', 'binned': 'mass'}
ORDERED = ('aps', 'raps')  # sets down to some class, the likeliest first
VOTE_METHODS = ('lac', 'vote_classes')
_CLASS_SCORES = {'aps': scoring.aps, 'raps': scoring.raps}


class Examples(NamedTuple):
  """Scores of true labels, one part's.

  Attributes:
    scores: [n].
    index: Their frames, [n].
    mass: How much of the frame's label each is, [n].
  """

  scores: np.ndarray
  index: np.ndarray
  mass: np.ndarray


def parts(task: tasks.Task, method: str) -> tuple[str, ...]:
  """Names of the parts of a method.

  Raises:
    ValueError: if the task's kind has no such method.
  """
  if method not in METHODS[task.kind]:
    raise ValueError(
      f'sets of {task.name!r}: no method {method!r}, expected one of '
      f'{", ".join(METHODS[task.kind])}'
    )
  if method == 'units':
    return tuple(f'{unit}/{state}' for unit in task.labels for state in STATES)
  return task.labels if method in ('by_class', 'mass', 'cqr') else (ALL,)


def class_scores(method: str, probs: np.ndarray) -> np.ndarray:
  """Scores of all classes, [..., E]; LAC unless the method has its own."""
  return _CLASS_SCORES.get(method, scoring.lac)(probs)


def _categorical(method, probs, target) -> Iterator[tuple[str, Any]]:
  scores, keep = class_scores(method, probs), np.asarray(target.mask) > 0
  share = np.where(keep[:, None], target.value, 0)
  if method == 'vote_classes':
    worst = conformal_votes.every_class(scores, share)
    index = np.flatnonzero(keep)
    yield ALL, Examples(worst[index], index, np.ones(len(index)))
    return
  index, label = np.nonzero(share > 0)
  mass = np.asarray(share[index, label], np.float64)
  yield ALL, Examples(scores[index, label], index, mass)


def _by_class(task, probs, target):
  _, every = next(_categorical('lac', probs, target))
  keep = np.asarray(target.mask) > 0
  _, label = np.nonzero(np.where(keep[:, None], target.value, 0) > 0)
  for number, name in enumerate(task.labels):
    yield name, Examples(*(array[label == number] for array in every))


def _binary(task, method, probs, target):
  scores, keep = scoring.units(probs), np.asarray(target.mask) > 0
  present = np.asarray(target.value, np.float64)
  if method == 'joint':
    if ((present > 0) & (present < 1))[keep].any():
      raise ValueError(
        f'sets of {task.name!r}: labels that are probabilities say of no frame '
        "which units are there together, as 'joint' asks; use 'units'"
      )
    index = np.flatnonzero(keep.any(-1))
    worst = scoring.joint(scores[index], present[index] > 0, keep[index])
    yield ALL, Examples(worst, index, np.ones(len(index)))
    return
  for i, unit in enumerate(task.labels):
    for state, name in enumerate(STATES):
      share = present[:, i] if state else 1 - present[:, i]
      index = np.flatnonzero(keep[:, i] & (share > 0))
      found = scores[index, i, state]
      yield f'{unit}/{name}', Examples(found, index, share[index])


def _binned(task, method, probs, target, coverage, bin_values):
  value, keep = np.asarray(target.value), np.asarray(target.mask) > 0
  if method == 'cqr':
    pair = conformal_votes.quantile_pair(probs, coverage, bin_values)
    scores = conformal_votes.cqr(pair, value)
  else:
    # The cells whose ends the sets have (`conformal_scores.edges`).
    bins = calibration.bin_index(
      np.where(keep, value, 0), bin_values, 'nearest'
    )
    grown = scoring.grown(probs.mean(0))
    scores = np.take_along_axis(grown, bins[..., None], -1)[..., 0]
  for i, name in enumerate(task.labels):
    index = np.flatnonzero(keep[:, i])
    yield name, Examples(scores[index, i], index, np.ones(len(index)))


def examples(
  task: tasks.Task,
  method: str,
  probs: np.ndarray,
  target: tasks.Target,
  coverage: float,
  bin_values: np.ndarray | None = None,
) -> dict[str, Examples]:
  """Scores of the true labels of frames, by part.

  Args:
    task: The task.
    method: One of `METHODS[task.kind]`.
    probs: Probabilities of the members, [M, F, ...].
    target: Labels [F, ...]; of 'categorical' tasks shares that sum to 1, of
      'binary' ones 0, 1 or probabilities.
    coverage: What the quantiles of 'cqr' are of; others ignore it.
    bin_values: [K], needed by binned tasks.

  Raises:
    ValueError: As `parts`, or on 'joint' of probabilities.
  """
  parts(task, method)
  if task.kind == 'binned':
    return dict(_binned(task, method, probs, target, coverage, bin_values))
  mean = np.float64(probs).mean(0)
  if task.kind == 'binary':
    return dict(_binary(task, method, mean, target))
  if method == 'by_class':
    return dict(_by_class(task, mean, target))
  return dict(_categorical(method, mean, target))
