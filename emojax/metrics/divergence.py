"""Distance of predictions from known label posteriors, or from votes.

Only procedural data know the posterior p* of the labels given the frame. No
model has a lower expected NLL than its entropy, the Bayes optimum, and the
excess over it is the Kullback-Leibler divergence from p* to the prediction.
What is not finite gives NaN, which `excess_nll` refuses.
"""

import numpy as np

from emojax import tasks
from emojax.losses.types import Array


def _xlogy(x, y):
  # 0 log y is 0, but not where x or y is no number.
  zero = np.where(np.isfinite(x) & np.isfinite(y), 0, np.nan)
  known = (x > 0) & (zero == 0)
  x, y = np.where(known, x, 0), np.where(known, y, 1)
  return np.where(known, x * np.log(y), zero)


def _distributions(task: tasks.Task, probs) -> np.ndarray:
  """[..., A] probabilities as [..., A, 2]; the others are distributions."""
  probs = np.asarray(probs, np.float64)
  if task.kind == 'binary':
    return np.stack([1 - probs, probs], axis=-1)
  return probs


def _both(task, posterior, probs, eps):
  if np.shape(posterior) != np.shape(probs):
    raise ValueError(
      f'task {task.name!r}: posterior {np.shape(posterior)} and probabilities '
      f'{np.shape(probs)} must have the same shape (a posterior of a binned '
      'task is over the same bins)'
    )
  p, q = _distributions(task, posterior), _distributions(task, probs)
  return p, np.maximum(q, eps)


def posterior_entropy(task: tasks.Task, posterior: Array) -> np.ndarray:
  """Entropy of the posteriors in nats: the Bayes-optimal expected NLL.

  Args:
    task: The task.
    posterior: [..., A], [..., E] or [..., D, K].

  Returns:
    float64 [..., A], [...] or [..., D].
  """
  p = _distributions(task, posterior)
  return -np.sum(_xlogy(p, p), axis=-1)


def expected_nll(
  task: tasks.Task, posterior: Array, probs: np.ndarray, eps: float = 1e-8
) -> np.ndarray:
  """Expected negative log-likelihood if labels are drawn from the posterior.

  Args:
    task: The task.
    posterior: p*, as in `posterior_entropy`.
    probs: Predictions of the same shape.
    eps: Lower bound of the predicted probabilities inside the logarithm.

  Returns:
    float64 [..., A], [...] or [..., D], in nats.

  Raises:
    ValueError: if the shapes differ.
  """
  p, q = _both(task, posterior, probs, eps)
  return -np.sum(_xlogy(p, q), axis=-1)


def kl_divergence(
  task: tasks.Task, posterior: Array, probs: np.ndarray, eps: float = 1e-8
) -> np.ndarray:
  """KL(p* || prediction) of every frame and label, in nats.

  This is the excess of the expected NLL over the Bayes optimum. Arguments and
  shapes as `expected_nll`; >= 0 up to rounding and `eps`.
  """
  p, q = _both(task, posterior, probs, eps)
  return np.sum(_xlogy(p, p) - _xlogy(p, q), axis=-1)


def excess_nll(
  task: tasks.Task,
  posterior: Array,
  probs: np.ndarray,
  frame_mask: np.ndarray | None = None,
) -> float:
  """Mean of `kl_divergence` over frames and labels.

  Args:
    task: The task.
    posterior: p*.
    probs: Predictions of the same shape.
    frame_mask: [...], 0 for padding, or None.

  Returns:
    Expected NLL minus the mean entropy of the posteriors, in nats.

  Raises:
    ValueError: if the shapes differ, every frame is masked, or a value of a
      frame that counts is NaN.
  """
  if frame_mask is not None and np.shape(posterior) == np.shape(probs):
    keep = np.asarray(frame_mask) > 0
    posterior, probs = np.asarray(posterior)[keep], np.asarray(probs)[keep]
  values = kl_divergence(task, posterior, probs)
  if task.kind != 'categorical':
    values = values.mean(axis=-1)
  if not values.size:
    raise ValueError('excess_nll: every frame is masked')
  if not np.isfinite(values).all():
    raise ValueError(
      f'task {task.name!r}: NaN among the posteriors or the predictions'
    )
  return float(values.mean())


def jensen_shannon(p: Array, q: Array) -> np.ndarray:
  """Jensen-Shannon divergence of distributions over the last axis, in nats.

  The mean KL divergence of both from their mean (Lin, 1991). Symmetric, and finite
  where one says that what happens is impossible.

  Args:
    p: [..., E].
    q: [..., E].

  Returns:
    float64 [...], in [0, log 2].
  """
  p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
  middle = (p + q) / 2
  parts = [_xlogy(x, x) - _xlogy(x, middle) for x in (p, q)]
  return np.sum(parts[0] + parts[1], axis=-1) / 2


def total_variation(p: Array, q: Array) -> np.ndarray:
  """Total variation distance of distributions over the last axis.

  The largest difference of the probabilities that they give to any set of classes.

  Args:
    p: [..., E].
    q: [..., E].

  Returns:
    float64 [...], in [0, 1].
  """
  gap = np.asarray(p, np.float64) - np.asarray(q, np.float64)
  return np.abs(gap).sum(-1) / 2
