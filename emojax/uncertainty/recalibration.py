"""What all maps of recalibration share: which frames are fitted together, and how.

A map is fitted to labelled frames that trained nothing (the validation set), and
takes a network's logits to other probabilities. `temperature` divides by one number;
`vector_scaling`, `dirichlet` and `isotonic` have more freedom, and more to overfit.
Every action unit has a map of its own, as have valence and arousal; the expressions
share one. Host code on NumPy arrays, as `temperature`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.metrics import calibration


class Column(NamedTuple):
  """Frames that one map is fitted to.

  Attributes:
    name: The action unit, 'valence' or 'arousal'; the task if its classes share
      one softmax.
    classes: Names of the C classes.
    logits: float64 [n, C]; of an action unit [0, z], whose softmax is its sigmoid.
    labels: Hard or soft distributions, float64 [n, C].
  """

  name: str
  classes: tuple[str, ...]
  logits: np.ndarray
  labels: np.ndarray


def columns(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  bin_values: np.ndarray | None = None,
) -> Iterator[Column]:
  """Yields the labelled frames of what has a map of its own.

  Args:
    task: The task.
    logits: [..., num_outputs]; masked frames may hold anything.
    target: Hard or soft labels of the same leading shape.
    bin_values: [K], needed by binned tasks: the true class is the bin
      that holds the label (`calibration.bin_index`).

  Raises:
    ValueError: If a class has no example: nothing says how likely it is; or a
      value that counts is not finite.
  """
  keep = np.asarray(target.mask) > 0
  split = np.asarray(tasks.split_logits(task, logits), np.float64)
  value = np.asarray(target.value, np.float64)
  if task.kind == 'categorical':
    yield _checked(Column(task.name, task.labels, split[keep], value[keep]))
    return
  for i, name in enumerate(task.labels):
    rows = keep[..., i]
    one = value[..., i][rows]
    if task.kind == 'binary':
      z, classes = split[..., i][rows], ('absent', 'present')
      pair = np.stack([np.zeros_like(z), z], -1)
      yield _checked(Column(name, classes, pair, np.stack([1 - one, one], -1)))
    else:
      if bin_values is None:
        raise ValueError(f'task {task.name!r} is binned: pass bin_values')
      classes = tuple(f'bin {number}' for number in range(task.bins))
      index = calibration.bin_index(one, bin_values)
      found = split[..., i, :][rows], np.eye(task.bins)[index]
      yield _checked(Column(name, classes, *found))


def _checked(column: Column) -> Column:
  name, classes, logits, labels = column
  if logits.shape != labels.shape:
    raise ValueError(
      f'{name}: logits {logits.shape} and labels {labels.shape} must be equal'
    )
  if not (np.isfinite(logits).all() and np.isfinite(labels).all()):
    raise ValueError(f'{name}: logits and labels that count must be finite')
  missing = [
    c for c, found in zip(classes, np.atleast_1d(labels.any(0))) if not found
  ]
  if missing:
    raise ValueError(
      f'{name}: no frame to fit has {", ".join(missing)}; without an example '
      'nothing says how likely a class is (a temperature can do without)'
    )
  return column


def joined(task: tasks.Task, parts: list[np.ndarray]) -> np.ndarray:
  """Probabilities by column, [..., C] each, as those of the task."""
  if task.kind == 'categorical':
    return parts[0]
  if task.kind == 'binary':
    return np.stack([part[..., 1] for part in parts], -1)
  return np.stack(parts, -2)


def apart(task: tasks.Task, logits: np.ndarray) -> list[np.ndarray]:
  """Logits [..., num_outputs] by column, float64 [..., C] each."""
  split = np.asarray(tasks.split_logits(task, logits), np.float64)
  if task.kind == 'categorical':
    return [split]
  if task.kind == 'binned':
    return [split[..., i, :] for i in range(len(task.labels))]
  zero = np.zeros(split.shape[:-1])
  return [np.stack([zero, split[..., i]], -1) for i in range(len(task.labels))]


def softmax_nll(
  outputs: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
  """(mean negative log-likelihood, its gradient) of outputs [n, C]."""
  # Not `scipy.special.logsumexp`, which takes four times as long.
  shifted = outputs - outputs.max(-1, keepdims=True)
  odds = np.exp(shifted)
  total = odds.sum(-1, keepdims=True)
  mass = labels.sum(-1, keepdims=True)
  value = np.sum(mass * np.log(total)) - np.sum(labels * shifted)
  slope = odds * (mass / total) - labels
  return value / len(outputs), slope / len(outputs)


def minimise(
  objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
  start: np.ndarray,
  limit: float,
) -> np.ndarray:
  """The minimum of a convex function by L-BFGS, within -limit to limit.

  Args:
    objective: Parameters [p] -> (value, gradient [p]).
    start: [p].
    limit: Of the parameters: labels that can be separated have no minimum.
  """
  import scipy.optimize  # slow to import: not for `emojax.load`
  import threadpoolctl

  # Products with a few columns: threads of BLAS wait for each other, and beside
  # other work on all cores twenty times as long as the whole fit takes.
  with threadpoolctl.threadpool_limits(1, user_api='blas'):
    result = scipy.optimize.minimize(
      objective,
      start,
      jac=True,
      method='L-BFGS-B',
      bounds=[(-limit, limit)] * len(start),
      options={'maxiter': 2000, 'ftol': 1e-10, 'gtol': 1e-6},
    )
  return result.x
