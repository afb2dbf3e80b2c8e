"""Dirichlet calibration with ODIR regularisation (Kull et al., NeurIPS 2019).

"Beyond temperature scaling: Obtaining well-calibrated multi-class probabilities
with Dirichlet calibration": if the probabilities q of each class's frames are
Dirichlet distributed, the calibrated ones are softmax(W log q + b). Fitted is the
log-loss with a penalty on what is off the diagonal of W and one on the intercept b
(ODIR),

  mean log-loss + lambda / (k (k - 1)) sum_{i != j} w_ij^2 + mu / k sum_j b_j^2.

Of two classes it has the form of beta calibration (Kull et al., AISTATS 2017), which
is what an action unit gets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.special

from emojax import tasks
from emojax.uncertainty import recalibration

LIMIT = 1e3  # of all parameters
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
# Where no class is left out, log q is bounded: logits may be anything.
SMALLEST = float(np.log(np.finfo(np.float64).tiny))


class Dirichlet(NamedTuple):
  """Maps of the columns of a task, as many as `recalibration.columns`.

  Attributes:
    weight: [columns, C, C].
    bias: [columns, C].
  """

  weight: np.ndarray
  bias: np.ndarray


def fit(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  off_diagonal: float,
  intercept: float,
  bin_values: np.ndarray | None = None,
) -> Dirichlet:
  """Fits the map of every column.

  Args:
    task: The task.
    logits: [..., num_outputs].
    target: Labels of the same leading shape.
    off_diagonal: lambda, >= 0.
    intercept: mu, >= 0.
    bin_values: [K], needed by binned tasks.

  Raises:
    ValueError: As `recalibration.columns`, or on a penalty below 0.
  """
  if not (off_diagonal >= 0 and intercept >= 0):
    raise ValueError(
      f'penalties {off_diagonal} and {intercept}: expected numbers from 0'
    )
  found = [
    _fit(_logs(column.logits), column.labels, off_diagonal, intercept)
    for column in recalibration.columns(task, logits, target, bin_values)
  ]
  return Dirichlet(*(np.array(part) for part in zip(*found, strict=True)))


def choose(
  task: tasks.Task,
  logits: np.ndarray,
  target: tasks.Target,
  groups: np.ndarray,
  bin_values: np.ndarray | None = None,
  strengths: Sequence[float] = STRENGTHS,
  folds: int = 3,
) -> float:
  """The penalty, lambda = mu, of the lowest cross-validated log-loss.

  Folds are of groups, as frames of one person would tell of each other. The paper
  chooses lambda and mu from a grid of pairs by five folds of single examples.

  Args:
    task: The task.
    logits: [F, num_outputs], all labelled.
    target: Labels, [F, ...].
    groups: Subject of every frame, [F].
    bin_values: [K], needed by binned tasks.
    strengths: What is tried.
    folds: Number of parts.

  Raises:
    ValueError: As `recalibration.columns`; if a frame lacks a label, or there are
      fewer groups than folds.
  """
  if not (np.asarray(target.mask) > 0).all():
    raise ValueError('choose: expected frames with all labels of the task')
  _, number = np.unique(groups, return_inverse=True)
  if number.max() + 1 < folds:
    raise ValueError(f'choose: {number.max() + 1} groups for {folds} folds')
  every = [
    (_logs(column.logits), column.labels, number % folds)
    for column in recalibration.columns(task, logits, target, bin_values)
  ]
  losses = [
    sum(_held_out(*column, strength, folds) for column in every)
    for strength in strengths
  ]
  return strengths[int(np.argmin(losses))]


def _held_out(logs, labels, fold, strength: float, folds: int) -> float:
  losses = []
  for part in range(folds):
    inside = fold == part
    weight, bias = _fit(logs[~inside], labels[~inside], strength, strength)
    outputs = logs[inside] @ weight.T + bias
    losses.append(recalibration.softmax_nll(outputs, labels[inside])[0])
  return float(np.mean(losses))


def _fit(logs, labels, off_diagonal, intercept):
  """(W, b) of one column; `logs` is log q, [n, C]."""
  k = logs.shape[1]
  off = off_diagonal / (k * (k - 1)) * (1 - np.eye(k))
  mu = intercept / k

  def objective(parameters):
    weight, bias = parameters[:-k].reshape(k, k), parameters[-k:]
    value, slope = recalibration.softmax_nll(logs @ weight.T + bias, labels)
    value += np.sum(off * weight**2) + mu * np.sum(bias**2)
    by_weight = slope.T @ logs + 2 * off * weight
    by_bias = slope.sum(0) + 2 * mu * bias
    return value, np.append(by_weight.ravel(), by_bias)

  start = np.append(np.eye(k).ravel(), np.zeros(k))
  found = recalibration.minimise(objective, start, LIMIT)
  return found[:-k].reshape(k, k), found[-k:]


def _logs(logits: np.ndarray) -> np.ndarray:
  return np.maximum(scipy.special.log_softmax(logits, axis=-1), SMALLEST)


def apply(
  task: tasks.Task, logits: np.ndarray, fitted: Dirichlet
) -> np.ndarray:
  """Probabilities of logits [..., num_outputs].

  Returns:
    float64 'binary' [..., A], 'categorical' [..., E], 'binned' [..., D, K].
  """
  parts = [
    scipy.special.softmax(_logs(one) @ weight.T + bias, axis=-1)
    for one, weight, bias in zip(
      recalibration.apart(task, logits), *fitted, strict=True
    )
  ]
  return recalibration.joined(task, parts)
