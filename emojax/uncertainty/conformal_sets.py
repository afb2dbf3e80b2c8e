"""Prediction sets of the tasks: thresholds are fitted, sets made, hits counted.

A method has *parts* with a threshold each: one for all classes, one a class, one
an action unit's state, one for valence and one for arousal. The promise is about
each part: of the frames whose label it is, so many have it in their set.

| method | of | parts | set |
|---|---|---|---|
| lac, aps, raps | categorical | all | classes |
| by_class | categorical | the classes | classes (LAC; "Mondrian") |
| vote_classes | categorical, votes | all | has every class with >= 20 % |
| units | binary | unit/absent, unit/present | present, absent or unsure |
| joint | binary | all | the same, right for all units at once |
| mass | binned | the labels | interval of bins |
| cqr | binned | the labels | quantiles of members, widened |

Labels are shares: of votes, the promise of lac, aps and raps is that of a vote
drawn at random, which is the mass of the votes in the set; that of by_class is of a
random vote for the class, that of units of a state drawn by its probability. Sets of
aps and raps have the likeliest class, if the threshold leaves it out, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.uncertainty import conformal, conformal_votes
from emojax.uncertainty import conformal_scores as scoring
from emojax.uncertainty.conformal_examples import (
  ORDERED,
  class_scores,
  examples,
  parts,
)


class Part(NamedTuple):
  """Thresholds of one part.

  Attributes:
    groups: Groups of the calibration set that have such a frame, rounded down
      where soft labels count in part.
    thresholds: Coverage -> threshold, infinity where they are too few.
  """

  groups: int
  thresholds: dict[float, float]


Fitted = dict[str, Part]


def fit(
  task: tasks.Task,
  method: str,
  probs: np.ndarray,
  target: tasks.Target,
  groups: np.ndarray,
  coverages: Sequence[float],
  bin_values: np.ndarray | None = None,
) -> Fitted:
  """Fits the thresholds of a method; see `examples` for the arguments.

  Args:
    groups: Subject or video of every frame, [F]: each counts once in each part.
    coverages: In (0, 1).
  """
  groups, found = np.asarray(groups), {}
  for coverage in coverages:
    made = examples(task, method, probs, target, coverage, bin_values)
    for name, one in made.items():
      weights = conformal.group_weights(groups[one.index], one.mass, one.index)
      part = found.setdefault(name, Part(int(weights.sum() + 1e-6), {}))
      limit = conformal.threshold(one.scores, coverage, weights)
      part.thresholds[coverage] = limit
  return found


def limits(
  task: tasks.Task, method: str, fitted: Mapping[str, Part], coverage: float
) -> np.ndarray:
  """Thresholds in the order of `parts`; 'units' [A, 2], others [parts].

  Raises:
    ValueError: if no threshold of that coverage was fitted.
  """
  known = next(iter(fitted.values())).thresholds
  if coverage not in known:
    raise ValueError(
      f'sets of {task.name!r}: no thresholds for a coverage of {coverage}, only '
      f'for {", ".join(map(str, known))}'
    )
  found = [fitted[p].thresholds[coverage] for p in parts(task, method)]
  return np.reshape(found, (-1, 2) if method == 'units' else -1)


def sets(
  task: tasks.Task,
  method: str,
  probs: np.ndarray,
  fitted: Any,
  coverage: float,
  bin_values: np.ndarray | None = None,
) -> np.ndarray:
  """Prediction sets of frames.

  Args:
    task: The task.
    method: One of `METHODS[task.kind]`.
    probs: Probabilities of the members, [M, ..., A], [M, ..., E] or [M, ..., D,
      K]; finite.
    fitted: Of `fit`.
    coverage: One that was fitted.
    bin_values: [K], needed by binned tasks.

  Returns:
    'categorical' bool [..., E]; 'binary' int8 [..., A], 1 present, 0 absent, -1
    unsure; 'binned' float64 [..., D, 2], the ends of an interval.

  Raises:
    ValueError: if a binned task comes without `bin_values`.
  """
  limit = limits(task, method, fitted, coverage)
  if task.kind == 'binned' and bin_values is None:
    raise ValueError(f'task {task.name!r} is binned: pass bin_values')
  if method == 'cqr':
    pair = conformal_votes.quantile_pair(
      probs, coverage, np.asarray(bin_values)
    )
    return conformal_votes.widened(pair, limit)
  mean = np.float64(probs).mean(0)
  if task.kind == 'categorical':
    kept = class_scores(method, mean) <= limit
    if method in ORDERED:
      # By its own probability the likeliest class is out where it is surest, as it
      # would have to be in a part of such sets by a draw. More is never covered less.
      kept |= mean == mean.max(-1, keepdims=True)
    return kept
  if task.kind == 'binary':
    return scoring.three_way(scoring.units(mean), limit)
  return scoring.span(
    scoring.grown(mean), limit[:, None], np.asarray(bin_values)
  )
