"""Isotonic recalibration: any map that keeps the order of the probabilities.

Zadrozny and Elkan (KDD 2002): of a binary label the frequencies that never fall as
the probability rises and have the least squared error (pool adjacent violators). Of
several classes one map a class against the rest, then normalised. Frequencies of 0
and 1 are among them, and such a certainty has no finite likelihood if it is wrong.
"""

from typing import NamedTuple

import numpy as np
import scipy.special

from emojax import tasks
from emojax.uncertainty import recalibration


class Steps(NamedTuple):
  """A map by its corners, linear between them and constant outside.

  Attributes:
    probability: Ascending [k].
    frequency: Never falling, in [0, 1], [k].
  """

  probability: np.ndarray
  frequency: np.ndarray


# Of every column (`recalibration.columns`), the map of every class; of an action
# unit that of 'present' alone.
Isotonic = tuple[tuple[Steps, ...], ...]


def fit_steps(probability: np.ndarray, label: np.ndarray) -> Steps:
  """The isotonic regression of labels [n] in [0, 1] on probabilities [n].

  Equal probabilities are one point, with the mean of their labels.
  """
  import scipy.optimize  # slow to import: not for `emojax.load`

  x, group, count = np.unique(
    probability, return_inverse=True, return_counts=True
  )
  mean = np.bincount(group, label) / count
  y = scipy.optimize.isotonic_regression(mean, weights=count).x.clip(0, 1)
  # What is between two equal neighbours tells nothing.
  corner = np.ones(len(y), bool)
  corner[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
  return Steps(x[corner], y[corner])


def fit(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  bin_values: np.ndarray | None = None,
) -> Isotonic:
  """Fits the map of every class.

  Arguments and errors as `recalibration.columns`.
  """
  found = []
  for column in recalibration.columns(task, logits, target, bin_values):
    probs = scipy.special.softmax(column.logits, axis=-1)
    pairs = list(zip(probs.T, column.labels.T, strict=True))
    chosen = pairs[1:] if task.kind == 'binary' else pairs
    found.append(tuple(fit_steps(*pair) for pair in chosen))
  return tuple(found)


def apply(task: tasks.Task, logits: np.ndarray, fitted: Isotonic) -> np.ndarray:
  """Probabilities of logits [..., num_outputs].

  Returns:
    float64 'binary' [..., A], 'categorical' [..., E], 'binned' [..., D, K]. Where
    every class has the frequency 0 they are equally likely.
  """
  parts = []
  columns = recalibration.apart(task, logits)
  for logits_, maps in zip(columns, fitted, strict=True):
    probs = scipy.special.softmax(logits_, axis=-1)
    if task.kind == 'binary':
      present = np.interp(probs[..., 1], *maps[0])
      parts.append(np.stack([1 - present, present], -1))
      continue
    values = np.stack(
      [np.interp(probs[..., c], *one) for c, one in enumerate(maps)], -1
    )
    total = values.sum(-1, keepdims=True)
    equal = np.full_like(values, 1 / values.shape[-1])
    parts.append(
      np.where(total > 0, values / np.where(total > 0, total, 1), equal)
    )
  return recalibration.joined(task, parts)
