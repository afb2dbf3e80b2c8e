"""Vector scaling: a factor and an offset for every logit (Guo et al. 2017, 4.2).

Guo et al., "On calibration of modern neural networks" (ICML 2017): matrix scaling
with a diagonal matrix. Of an action unit it is Platt scaling, sigmoid(a z + b).
Offsets undo what class weights have added to logits (`prior`), and so can do more
than a temperature; they are fitted and not known.
"""

from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.uncertainty import recalibration

LIMIT = 1e3  # of factors and offsets


class Vector(NamedTuple):
  """What logits are multiplied by, and what is added then.

  Attributes:
    scale: 'binary' [A], 'categorical' [E], 'binned' [D, K].
    shift: The same shape; of a softmax they have a mean of 0.
  """

  scale: np.ndarray
  shift: np.ndarray


def fit(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  bin_values: np.ndarray | None = None,
) -> Vector:
  """Fits factors and offsets by the negative log-likelihood.

  Arguments and errors as `recalibration.columns`. Labels that can be separated
  have no best factors: the search ends within `LIMIT`.
  """
  found = [
    _fit(column.logits, column.labels)
    for column in recalibration.columns(task, logits, target, bin_values)
  ]
  scale, shift = (np.array(part) for part in zip(*found, strict=True))
  if task.kind == 'binary':  # of [0, z]
    return Vector(scale[:, 1], shift[:, 1] - shift[:, 0])
  if task.kind == 'categorical':
    return Vector(scale[0], shift[0])
  return Vector(scale, shift)


def _fit(logits, labels) -> tuple[np.ndarray, np.ndarray]:
  classes = logits.shape[1]

  def objective(parameters):
    scale, shift = np.split(parameters, 2)
    value, slope = recalibration.softmax_nll(logits * scale + shift, labels)
    gradient = np.concatenate([(slope * logits).sum(0), slope.sum(0)])
    return value, gradient

  start = np.repeat([1.0, 0.0], classes)
  scale, shift = np.split(recalibration.minimise(objective, start, LIMIT), 2)
  return scale, shift - shift.mean()


def apply(task: tasks.Task, logits: np.ndarray, vector: Vector) -> np.ndarray:
  """Scaled and shifted logits [..., num_outputs], of the same shape."""
  split = np.asarray(tasks.split_logits(task, logits), np.float64)
  return (split * vector.scale + vector.shift).reshape(np.shape(logits))
