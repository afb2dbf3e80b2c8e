"""The loss of all tasks of a schema (paper 000, Eqs. 1, 7, 11-13)."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.losses import pointwise, reductions
from emojax.losses.types import Array, Scalable


def _masked_inputs(task, logits, target):
  """Task-shaped logits, values and mask; what is masked is replaced by 0.

  Replacing the inputs, and not the loss, keeps NaN out of the gradients.
  """
  logits, (value, mask) = tasks.split_logits(task, logits), target
  value_mask = mask[..., None] if task.kind == 'categorical' else mask
  logit_mask = mask if task.kind == 'binary' else mask[..., None]
  logits = jnp.where(logit_mask > 0, logits, 0)
  return logits, jnp.where(value_mask > 0, value, 0), mask


def task_loss(
  task: tasks.Task,
  logits: Array,
  target: tasks.Target,
  *,
  pos_weight: Scalable = 1.0,
  class_weight: Scalable = 1.0,
  bin_values: Array | None = None,
  frame_mask: Array | None = None,
  ddof: int = 1,
  eps: float = 1e-8,
) -> jax.Array:
  """Loss of one task; the arguments are those of `multitask_loss`.

  'binary': mean over all labelled (frame, label) entries of the BCE (Eqs. 1,
  8). 'categorical': class-weighted mean of the KL divergence (Eqs. 4, 10).
  'binned': sum of 1 - CCC of the expected values (Eqs. 7, 11).

  Returns:
    A scalar; 0 with gradient 0 if nothing is labelled.
  """
  target = reductions.with_frame_mask(task, target, frame_mask)
  logits, value, mask = _masked_inputs(task, logits, target)
  if task.kind == 'binary':
    values = pointwise.bce_with_logits(logits, value, pos_weight)
    return reductions.masked_mean(values, mask)
  if task.kind == 'categorical':
    values = pointwise.kl_divergence(logits, value, class_weight)
    weights = pointwise.example_weight(value, class_weight)
    return reductions.masked_mean(values, mask, weights)
  if bin_values is None:
    raise ValueError(
      f'task {task.name!r} is binned: pass bin_values=tasks.bin_values'
      f'({task.bins})'
    )
  predicted = pointwise.expected_value(logits, bin_values)
  return reductions.ccc_loss(predicted, value, mask, ddof, eps)


def multitask_loss(
  logits: Mapping[str, Any],
  targets: tasks.Targets,
  schema: tasks.Schema,
  task_weights: Array | Sequence[float],
  **options: Any,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Weighted sum of the tasks' losses (paper 000, Eqs. 12 and 13).

  One function for every generation, so that one compiled program trains them
  all: teachers pass p_c of Eqs. 3 and 5 as `pos_weight` and `class_weight`,
  students ones (see `bce_with_logits` about p_c on soft labels).

  Args:
    logits: Task name -> [..., num_outputs]; other names are ignored.
    targets: Task name -> hard or soft `Target` of the same leading shape.
    schema: The tasks.
    task_weights: [number of tasks], lambda in the order of `schema`.
    **options: `pos_weight` scalar or [A]; `class_weight` scalar or [E];
      `bin_values` [K], needed by binned tasks; `frame_mask` [...], 0 for
      padding; `ddof` and `eps` of `ccc`.

  Returns:
    (loss, losses): the weighted sum and a dictionary from task name to the
    unweighted loss. A task without any label contributes 0.

  Raises:
    ValueError: if a task of the schema has no logits or no targets.
  """
  for task in schema:
    if task.name not in logits or task.name not in targets:
      raise ValueError(
        f'task {task.name!r}: logits are given for {sorted(logits)} and '
        f'targets for {sorted(targets)}; both need every task of the schema '
        '(targets of a task without labels have mask 0)'
      )
  losses = {
    task.name: task_loss(task, logits[task.name], targets[task.name], **options)
    for task in schema
  }
  stacked = jnp.stack([losses[task.name] for task in schema])
  return jnp.sum(jnp.asarray(task_weights) * stacked), losses
