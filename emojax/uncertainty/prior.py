"""Prior correction: takes class weights out of predictions again, without a fit.

Class weights move the minimum of a loss. With s = sigmoid(z) and the true
posterior pi, the expected loss of an action unit (paper 000, Eq. 2)

  -[p_c pi log s + (1 - pi) log(1 - s)]

has its minimum at the odds s / (1 - s) = p_c pi / (1 - pi): the logit is that of
the posterior plus log p_c. The weighted cross-entropy of expressions (Eqs. 4, 5),
-sum_c w_c pi_c log q_c, has it at q_c = w_c pi_c / sum_k w_k pi_k. So

  z - log p_c                          has the odds pi / (1 - pi), and
  q_c / w_c, normalised, = softmax(z - log w)_c        is pi_c.

The same subtraction is the inference rule of "logit adjustment" (Menon et al., ICLR
2021, Eq. 9) and of priors that have shifted (Saerens et al., Neural Computation 2002,
Eq. 4).

What is corrected is the best predictor of the weighted loss. A network that is
not trained to its optimum, or whose soft labels were a *mean* of weighted
predictions, is corrected approximately.

A prior, here, is task -> log weights: 'binary' [A], 'categorical' [E]. A task
that it does not name, and all binned ones, stay as they are. All functions of
logits take NumPy or JAX arrays and return the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emojax import tasks

if TYPE_CHECKING:  # which asks for JAX
  from emojax.losses.types import Array

Prior = dict[str, np.ndarray]
Json = dict[str, Any]
# Of what is read: weights of several generations multiply, but not so often.
LIMIT = 100.0


def log_weights(task: tasks.Task, weights: Array) -> np.ndarray:
  """Log weights of a task, what its training has added to logits.

  Args:
    task: A 'binary' or 'categorical' task.
    weights: p_c (Eq. 3), [A], above 0; or w_c (Eq. 5), [E], from 0, of any
      scale. A class with weight 0 had no example and was taught by nobody: it
      counts as rare as the rarest class that had one, whose weight is largest.

  Returns:
    float64 [A], or [E] with a maximum of 0: weights that are equal are 0.

  Raises:
    ValueError: if weights are not as described.
  """
  weights = np.asarray(weights, np.float64)
  if task.kind == 'binned' or weights.shape != (len(task.labels),):
    raise ValueError(
      f'prior of {task.name!r}: weights of shape {weights.shape}, expected one '
      f'for each label of a binary or categorical task, {len(task.labels)}'
    )
  lowest = weights.min() if task.kind == 'binary' else weights.max()
  if not np.isfinite(weights).all() or (weights < 0).any() or lowest <= 0:
    raise ValueError(
      f'prior of {task.name!r}: weights {weights.tolist()} must be finite and '
      'above 0; only classes without examples may have 0'
    )
  if task.kind == 'binary':
    return np.log(weights)
  known = weights > 0
  return np.log(np.where(known, weights / weights.max(), 1))


def apply(
  task: tasks.Task, logits: Array, prior: Mapping[str, np.ndarray]
) -> Array:
  """Subtracts the log weights of a task from its logits.

  Args:
    task: The task.
    logits: [..., num_outputs]; what is not finite stays so, and where it is.
    prior: Task -> log weights.

  Returns:
    Logits of the same shape and type.
  """
  shift = prior.get(task.name)
  if shift is None:
    return logits
  xp = logits.__array_namespace__()
  return logits - xp.asarray(shift, logits.dtype)


def correct(
  schema: tasks.Schema, logits: Mapping[str, Any], prior: Mapping[str, Any]
) -> dict[str, Any]:
  """`apply` for all tasks: task -> logits."""
  return {task.name: apply(task, logits[task.name], prior) for task in schema}


def favoured(
  probs: np.ndarray, prevalence: Sequence[float], power: float
) -> np.ndarray:
  """Scores by which rare classes are answered more often than their share.

  log p_c - power log pi_c, as logits are adjusted after training by Menon et al.
  (ICLR 2021, Eq. 9): with a power of 1 the largest is the answer with the best mean
  of the classes' accuracies, with 0 the likeliest class, which has the best accuracy.

  Args:
    probs: [..., E], of classes as frequent as `prevalence` says.
    prevalence: Shares of the classes pi_c, [E]; a class without any counts as
      frequent as the rarest that has some.
    power: From 0 to 1.

  Returns:
    float64 [..., E]; probabilities they are not.

  Raises:
    ValueError: If the power is another one, or no class has a share.
  """
  share = np.asarray(prevalence, np.float64)
  if not 0 <= power <= 1:
    raise ValueError(f'power {power}: expected a number from 0 to 1')
  if not (share > 0).any():
    raise ValueError('prevalence: no class has a share above 0')
  share = np.where(share > 0, share, share[share > 0].min())
  # Underflow: a probability of 0 stays the least.
  logs = np.log(np.maximum(np.asarray(probs, np.float64), 1e-300))
  return logs - power * np.log(share)


def plus(first: Prior, second: Prior) -> Prior:
  """What two trainings in a row amount to: weights multiply."""
  both = first | second
  return {k: np.add(first.get(k, 0), second.get(k, 0)) for k in both}


def changes(prior: Mapping[str, np.ndarray] | None) -> bool:
  """Whether a prior changes any probability."""
  return any(np.any(shift != 0) for shift in (prior or {}).values())


def to_json(schema: tasks.Schema, prior: Prior) -> Json:
  """Task -> label -> log weight."""
  return {
    task.name: dict(zip(task.labels, map(float, prior[task.name]), strict=True))
    for task in schema
    if task.name in prior
  }


def check(kind: str, labels: Sequence[str], found: Any, where: str) -> None:
  """Raises ValueError unless log weights are those of a task, by its labels.

  Args:
    kind: Of the task.
    labels: Its labels.
    found: Read from a file.
    where: What to call it.
  """
  if kind == 'binned':
    raise ValueError(f'{where}: tasks with bins have no weights')
  if not isinstance(found, dict) or set(found) != set(labels):
    raise ValueError(
      f'{where}: expected a number for each of {", ".join(labels)}'
    )
  for label, value in found.items():
    if type(value) not in (int, float) or not abs(value) <= LIMIT:
      raise ValueError(
        f'{where}.{label}: expected a number from {-LIMIT:g} to {LIMIT:g}'
      )


def from_json(schema: tasks.Schema, found: Any, where: str = 'prior') -> Prior:
  """Inverse of `to_json`; labels are found by name.

  Raises:
    ValueError: if a task or label does not exist or lacks a number; says where.
  """
  if not isinstance(found, dict):
    raise ValueError(f'{where}: expected an object')
  known = {task.name: task for task in schema}
  prior = {}
  for name, values in found.items():
    if name not in known:
      raise ValueError(f'{where}.{name}: there is no such task')
    labels = known[name].labels
    check(known[name].kind, labels, values, f'{where}.{name}')
    prior[name] = np.array([values[label] for label in labels], np.float64)
  return prior


def selected(source: tasks.Schema, kept: tasks.Schema, prior: Prior) -> Prior:
  """The prior of a schema that has some of the labels of another, by name."""
  found = {}
  for task in source:
    for other in kept:
      if other.name == task.name and task.name in prior:
        index = [task.labels.index(label) for label in other.labels]
        found[task.name] = prior[task.name][index]
  return found
