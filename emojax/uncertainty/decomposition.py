"""Total, aleatoric and epistemic uncertainty (paper 000, Eq. 14).

Every method of uncertainty estimation hands over probabilities with a leading
sample axis S: the members of an ensemble, dropout passes, or S = 1, for which
the epistemic part is 0. All functions take NumPy or JAX arrays and return the
same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.special

from emojax import tasks

if TYPE_CHECKING:  # which asks for JAX
  from emojax.losses.types import Array


class Uncertainty(NamedTuple):
  """Normalised entropies in [0, 1]; `total` = `aleatoric` + `epistemic`.

  Attributes:
    total: Entropy of the mean distribution.
    aleatoric: Mean entropy of the samples: noise of the data.
    epistemic: Their difference, the mutual information of label and
      parameters: disagreement of the samples. >= 0 up to rounding.
  """

  total: Any
  aleatoric: Any
  epistemic: Any


def _numpy_like(array):
  # Not by JAX's types: models on ONNX Runtime do without importing it.
  return array.__array_namespace__()


def _finite_or_nan(logits):
  xp = _numpy_like(logits)
  return xp.where(xp.isfinite(logits), logits, xp.nan)


def probabilities(task: tasks.Task, logits: Array | np.floating) -> Any:
  """Turns a head's logits into probabilities.

  Args:
    task: The task.
    logits: [..., num_outputs].

  Returns:
    'binary' [..., A] by a sigmoid; 'categorical' [..., E] and 'binned'
    [..., D, K] by a softmax over the last axis. NaN for logits that are not
    finite, and for all classes of their softmax: infinity is no certainty.
  """
  logits = _finite_or_nan(tasks.split_logits(task, logits))
  if _numpy_like(logits) is np:
    if task.kind == 'binary':
      return scipy.special.expit(logits)
    return scipy.special.softmax(logits, axis=-1)
  import jax  # it is there, as the array is its own

  if task.kind == 'binary':
    return jax.nn.sigmoid(logits)
  return jax.nn.softmax(logits)


def entropy(probs: Array) -> Array:
  """Shannon entropy of the last axis divided by log C, in [0, 1].

  Args:
    probs: Distributions [..., C] with C >= 2; zeros are allowed.

  Returns:
    [...], 0 for a certain and 1 for a uniform distribution.
  """
  if probs.shape[-1] < 2:
    raise ValueError(
      f'entropy: the last axis of {probs.shape} has no alternatives; give '
      'both probabilities of a binary label, [1 - p, p]'
    )
  xp = _numpy_like(probs)
  logs = xp.log(xp.where(probs > 0, probs, 1))
  return -xp.sum(probs * logs, axis=-1) / float(np.log(probs.shape[-1]))


def decompose(probs: Array) -> Uncertainty:
  """Splits the entropy of the mean of S distributions (Eq. 14).

  Args:
    probs: Distributions [S, ..., C].

  Returns:
    Uncertainties [...], NaN where any sample is: neither sure nor unsure.

  Examples:
    Two members that are each sure, and disagree, are not uncertain about the
    data but about the network:

    >>> disagree = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> [float(part) for part in decompose(disagree)]
    [1.0, 0.0, 1.0]

    Two that agree on a coin's toss are the reverse:

    >>> [float(part) for part in decompose(np.full((2, 2), 0.5))]
    [1.0, 1.0, 0.0]
  """
  total = entropy(probs.mean(axis=0))
  aleatoric = entropy(probs).mean(axis=0)
  return Uncertainty(total, aleatoric, total - aleatoric)


def label_uncertainty(task: tasks.Task, probs: Array) -> Uncertainty:
  """Uncertainty of every label.

  Args:
    task: The task.
    probs: Probabilities with a sample axis, [S, ..., A], [S, ..., E] or
      [S, ..., D, K].

  Returns:
    'binary' [..., A], each label taken as [1 - p, p]; 'categorical' [...];
    'binned' [..., D].
  """
  if task.kind == 'binary':
    probs = _numpy_like(probs).stack([1 - probs, probs], axis=-1)
  return decompose(probs)


def _mean(parts: list[Uncertainty]) -> Uncertainty:
  return Uncertainty(*(sum(p) / len(parts) for p in zip(*parts, strict=True)))


def task_uncertainty(task: tasks.Task, probs: Array) -> Uncertainty:
  """Mean of `label_uncertainty` over the labels of a task, [...]."""
  parts = label_uncertainty(task, probs)
  if task.kind == 'categorical':
    return parts
  return Uncertainty(*(part.mean(axis=-1) for part in parts))


def multitask_uncertainty(
  probs: Mapping[str, Any], schema: tasks.Schema
) -> tuple[Uncertainty, dict[str, Uncertainty]]:
  """Uncertainty of every task and their mean.

  Every task counts the same: the action units are averaged first, and so are
  valence and arousal. The paper averages over "all emotion tasks" to detect
  out-of-distribution frames without saying more.

  Args:
    probs: Task name -> probabilities with a sample axis.
    schema: The tasks.

  Returns:
    (mean over the tasks [...], task name -> uncertainty [...]).
  """
  parts = {t.name: task_uncertainty(t, probs[t.name]) for t in schema}
  return _mean(list(parts.values())), parts
