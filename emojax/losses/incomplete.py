"""Losses per frame for incomplete labels (papers 001 and 002).

Paper 001, "Multitask Emotion Recognition with Incomplete Labels", Eqs. 1-12,
and paper 002, "Multitask Multi-database Emotion Recognition", Eqs. 1-6. Sums of
these over a batch are in `losses.two_stage`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from emojax import tasks
from emojax.losses import pointwise, reductions
from emojax.losses.types import Array, Scalable

DIVERGENCES = ('cross_entropy', 'kl')


def temperature_softmax(logits: Array, temperature: Scalable) -> Array:
  """Softmax of logits divided by a temperature (paper 001, Eq. 1).

  Args:
    logits: [..., C].
    temperature: Positive; above 1 the result is closer to uniform.
  """
  return jax.nn.softmax(logits / temperature)


def one_hot_bins(values: Array, bins: int = tasks.NUM_BINS) -> Array:
  """One-hot vectors of scalars over equal bins of [-1, 1] (paper 001, Eq. 6).

  A bin holds its lower edge; the last one holds 1 too. Values outside go into
  the nearest bin.

  Args:
    values: [...].
    bins: Number of bins, K.

  Returns:
    float32 [..., K].
  """
  edges = np.linspace(-1, 1, bins + 1, dtype=np.float32)  # 0 is exactly 0
  number = jnp.searchsorted(edges, values, side='right') - 1
  return jax.nn.one_hot(jnp.clip(number, 0, bins - 1), bins)


def labelled(task: tasks.Task, mask: Array) -> Array:
  """1 for frames that have any label of a task, float [...].

  Args:
    task: The task.
    mask: The mask of its `Target`.
  """
  return mask if task.kind == 'categorical' else mask.max(axis=-1)


def supervision(task: tasks.Task, logits: Array, target: tasks.Target) -> Array:
  """Cross-entropy with the ground truth, per frame (paper 001, Eqs. 2-6).

  'binary': sum over the labels (Eq. 4); 'categorical': Eq. 5; 'binned': sum
  over valence and arousal of the cross-entropy with the bin that the label is
  in (Eq. 6). Terms of missing labels are left out, with a gradient of 0.

  Args:
    task: The task.
    logits: [..., num_outputs].
    target: Hard labels of the same leading shape.

  Returns:
    [...], >= 0.
  """
  logits, (value, mask) = tasks.split_logits(task, logits), target
  if task.kind == 'binary':
    losses = pointwise.bce_with_logits(logits, jnp.where(mask > 0, value, 0))
  elif task.kind == 'categorical':
    value = jnp.where(mask[..., None] > 0, value, 0)
    losses = pointwise.cross_entropy(logits, value)
  else:
    one_hot = one_hot_bins(jnp.where(mask > 0, value, 0), task.bins)
    losses = pointwise.cross_entropy(logits, one_hot)
  losses = jnp.where(mask > 0, losses, 0)
  return losses if task.kind == 'categorical' else losses.sum(axis=-1)


def concordance(
  task: tasks.Task, logits: Array, target: tasks.Target, bin_values: Array
) -> Array:
  """Sum of 1 - CCC over valence and arousal of a batch (paper 001, Eqs. 7, 8).

  Args:
    task: A binned task.
    logits: [..., num_outputs].
    target: Labels of the same leading shape; the CCC is over all of them.
    bin_values: [K], c of Eq. 7.

  Returns:
    A scalar in [0, 4]; 0 for labels without any example.
  """
  logits = tasks.split_logits(task, logits)
  predicted = pointwise.expected_value(logits, bin_values)
  value = jnp.where(target.mask > 0, target.value, 0)
  return reductions.ccc_loss(predicted, value, target.mask)


def distillation(
  task: tasks.Task,
  student: Array,
  teacher: Array,
  temperature: Scalable = 1.5,
  divergence: str = 'cross_entropy',
) -> Array:
  """Divergence from the teacher's outputs, per frame.

  Binary tasks: binary cross-entropy with the teacher's probabilities, without
  a temperature (paper 001, Eq. 10). The others: cross-entropy of the softmaxes
  at the temperature, summed over valence and arousal (Eqs. 11 and 12), or the
  KL divergence (paper 002, Eqs. 4-6), which has the same gradient.

  The published code of paper 002 multiplies by `temperature ** 2`, that of 001
  and both texts do not.

  Args:
    task: The task.
    student: Logits [..., num_outputs].
    teacher: Logits of the same shape. No gradient flows into them.
    temperature: T, of both.
    divergence: 'cross_entropy' or 'kl'.

  Returns:
    [...].

  Raises:
    ValueError: On another divergence, or unequal shapes.
  """
  if divergence not in DIVERGENCES:
    raise ValueError(
      f'divergence {divergence!r}: expected one of {", ".join(DIVERGENCES)}'
    )
  student = tasks.split_logits(task, student)
  teacher = jax.lax.stop_gradient(tasks.split_logits(task, teacher))
  if task.kind == 'binary':
    soft = jax.nn.sigmoid(teacher)
    return pointwise.bce_with_logits(student, soft).sum(axis=-1)
  soft = temperature_softmax(teacher, temperature)
  loss = pointwise.cross_entropy
  if divergence == 'kl':
    loss = pointwise.kl_divergence
  losses = loss(student / temperature, soft)
  return losses.sum(axis=-1) if task.kind == 'binned' else losses
