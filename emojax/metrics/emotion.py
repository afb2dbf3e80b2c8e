"""Emotion metrics of the ABAW challenges (paper 000, section 4.3).

Written with jax.numpy, so that validation can be part of a jitted training
program; on the host they take NumPy arrays just the same. Masked entries may
hold anything. NaN predictions of labelled frames give NaN scores, so that a
diverged model is never taken for a good one. Labels without any labelled frame
are in no mean; a task without any label scores 0 in every epoch, and so selects none.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from emojax import losses, tasks
from emojax.losses.types import Array


def _hard_binary(probs, threshold: float):
  return jnp.where(jnp.isnan(probs), jnp.nan, probs > threshold)


def _hard_categorical(probs):
  one_hot = jax.nn.one_hot(jnp.argmax(probs, axis=-1), probs.shape[-1])
  return jnp.where(jnp.isnan(probs).any(-1, keepdims=True), jnp.nan, one_hot)


def _masked(mask, values):
  return jnp.where(mask > 0, mask * values, 0)


def _f1(predicted, actual, mask):
  """F1 of each label of the last axis, and whether it occurs anywhere."""
  axes = tuple(range(predicted.ndim - 1))
  hits = jnp.sum(_masked(mask, predicted * actual), axes)
  total = jnp.sum(_masked(mask, predicted + actual), axes)
  f1 = jnp.where(total == 0, 0, 2 * hits / jnp.where(total == 0, 1, total))
  return f1, total != 0


def binary_f1(
  probs: Array, labels: Array, mask: Array, threshold: float = 0.5
) -> jax.Array:
  """F1 of each binary label.

  As in the challenges, 0 where a label is neither in the labels nor predicted;
  also 0 where no frame is labelled, which `mean_f1` leaves out.

  Args:
    probs: Probabilities [..., A].
    labels: [..., A], positive above 0.5.
    mask: [..., A].
    threshold: A label is predicted if its probability is greater.

  Returns:
    [A] in [0, 1]; NaN where a prediction of a labelled frame is.

  Examples:
    >>> probs, labels = jnp.array([[0.9], [0.8]]), jnp.array([[1.0], [0.0]])
    >>> round(float(binary_f1(probs, labels, jnp.ones((2, 1)))[0]), 3)
    0.667
    >>> float(binary_f1(probs, labels, jnp.array([[1.0], [0.0]]))[0])
    1.0
  """
  actual = jnp.asarray(labels) > 0.5
  return _f1(_hard_binary(jnp.asarray(probs), threshold), actual, mask)[0]


def mean_f1(f1: Array, mask: Array) -> jax.Array:
  """Mean F1 of the labels [A] that any frame [..., A] has; 0 if none has."""
  axes = tuple(range(jnp.ndim(mask) - 1))
  labelled = jnp.any(jnp.asarray(mask) > 0, axis=axes)
  mean = losses.masked_mean(f1, labelled.astype(f1.dtype))
  # Where all are labelled, this rounds as the plain mean does.
  return jnp.mean(jnp.where(labelled, f1, mean))


def binary_accuracy(
  probs: Array, labels: Array, mask: Array, threshold: float = 0.5
) -> jax.Array:
  """Fraction of correct entries among those labelled, 0 without any.

  Arguments as `binary_f1`. NaN if a prediction of a labelled frame is.
  """
  predicted = _hard_binary(jnp.asarray(probs), threshold)
  actual = jnp.asarray(labels) > 0.5
  correct = jnp.where(jnp.isnan(predicted), jnp.nan, predicted == actual)
  return losses.masked_mean(correct, mask)


def categorical_f1(
  probs: Array, labels: Array, mask: Array
) -> tuple[jax.Array, jax.Array]:
  """F1 of each class and their unweighted mean.

  The mean is over the classes that occur in the predictions or in the labels,
  as scikit-learn's `f1_score(average='macro')` has it. Of equal probabilities
  the first class is the prediction, as everywhere.

  Args:
    probs: Probabilities [..., E].
    labels: Distributions [..., E]; the largest entry is the class.
    mask: [...].

  Returns:
    (F1 of each class [E], 0 for one that occurs nowhere; macro F1, 0 without
    labelled frames). NaN if a prediction of a labelled frame is.
  """
  predicted = _hard_categorical(jnp.asarray(probs))
  actual = _hard_categorical(jnp.asarray(labels))
  mask = jnp.asarray(mask)[..., None]
  f1, present = _f1(predicted, actual, mask)
  return f1, jnp.sum(f1) / jnp.maximum(jnp.sum(present), 1)


def categorical_accuracy(probs: Array, labels: Array, mask: Array) -> jax.Array:
  """Fraction of labelled frames whose class is right; see `categorical_f1`."""
  predicted = _hard_categorical(jnp.asarray(probs))
  actual = _hard_categorical(jnp.asarray(labels))
  return losses.masked_mean(jnp.sum(predicted * actual, -1), mask)


def ccc(predicted: Array, actual: Array, mask: Array) -> jax.Array:
  """Concordance correlation over all frames, with population variances.

  Args:
    predicted: [..., D].
    actual: [..., D].
    mask: [..., D].

  Returns:
    [D], 0 where either is constant (up to rounding) or nothing is labelled, NaN
    where a prediction of a labelled frame is.
  """

  def one(x, y, m):
    return losses.ccc(x, y, m, ddof=0, eps=0.0)

  return jax.vmap(one, in_axes=-1)(
    jnp.asarray(predicted), jnp.asarray(actual), jnp.asarray(mask)
  )


def _binary_metrics(task, probs, target):
  f1 = binary_f1(probs, *target)
  mean, acc = mean_f1(f1, target.mask), binary_accuracy(probs, *target)
  metrics = {'score': 0.5 * mean + 0.5 * acc, 'f1': mean, 'acc': acc}
  return metrics | {f'f1/{name}': f1[i] for i, name in enumerate(task.labels)}


def _categorical_metrics(task, probs, target):
  f1, macro = categorical_f1(probs, *target)
  acc = categorical_accuracy(probs, *target)
  metrics = {'score': 0.67 * macro + 0.33 * acc, 'f1': macro, 'acc': acc}
  return metrics | {f'f1/{name}': f1[i] for i, name in enumerate(task.labels)}


def _binned_metrics(task, probs, target, bin_values):
  if bin_values is None:
    raise ValueError(f'task {task.name!r} is binned: pass bin_values')
  predicted = jnp.sum(jnp.asarray(probs) * bin_values, -1)
  values = ccc(predicted, *target)
  metrics = {f'ccc/{name}': values[i] for i, name in enumerate(task.labels)}
  return {'score': jnp.sum(values)} | metrics


def _task_metrics(task, probs, target, bin_values):
  if task.kind == 'binary':
    return _binary_metrics(task, probs, target)
  if task.kind == 'categorical':
    return _categorical_metrics(task, probs, target)
  return _binned_metrics(task, probs, target, bin_values)


def emotion_metrics(
  probs: Mapping[str, Any],
  targets: tasks.Targets,
  schema: tasks.Schema,
  bin_values: Array | None = None,
  frame_mask: Array | None = None,
) -> dict[str, Any]:
  """All emotion metrics as a flat dictionary of scalars.

  AU: 0.5 F1 + 0.5 accuracy, F1 being the mean over the labelled units;
  expressions: 0.67 F1 + 0.33 accuracy; valence and arousal: CCC of the expected
  values over all frames together. `total` is the sum of the tasks' scores.

  Args:
    probs: Task name -> probabilities (`uncertainty.probabilities`): [..., A],
      [..., E] or [..., D, K]. For an ensemble the mean over its members.
    targets: Task name -> `Target`.
    schema: The tasks.
    bin_values: [K], needed by binned tasks.
    frame_mask: [...], 0 for padding, or None.

  Returns:
    `au/score`, `au/f1`, `au/acc`, `au/f1/<label>`, `expr/score`, `expr/f1`,
    `expr/acc`, `expr/f1/<label>`, `va/score`, `va/ccc/<label>`, `total`, for
    the tasks of the schema.
  """
  metrics = {}
  for task in schema:
    target = losses.with_frame_mask(task, targets[task.name], frame_mask)
    values = _task_metrics(task, probs[task.name], target, bin_values)
    metrics |= {f'{task.name}/{name}': v for name, v in values.items()}
  return metrics | {'total': jnp.sum(task_scores(metrics, schema))}


def task_scores(metrics: Mapping[str, Any], schema: tasks.Schema) -> jax.Array:
  """Scores [number of tasks] in the schema's order, for `task_balance`."""
  return jnp.stack([metrics[f'{task.name}/score'] for task in schema])
