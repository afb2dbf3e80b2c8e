"""Losses of one network that learns what the members of an ensemble say.

Targets are the members' own answers instead of their mean: `Target.value` has an
axis of M members behind those of clips and frames, and one axis of probabilities:

  Hydra, M heads          as `multitask_loss`: [B, L, M, A], [B, L, M, E], and
                          expected values [B, L, M, D]
  distributions           'binary' [B, L, M, A], 'categorical' [B, L, M, E],
                          'binned' [B, L, M, D, K], probabilities or centred
                          logits, as the family says (`ops.families`)

Masks are those of the labels, without that axis.
"""

import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.losses import reductions
from emojax.losses.multitask import multitask_loss


def hydra_loss(
  heads: Mapping[str, Any],
  targets: tasks.Targets,
  schema: tasks.Schema,
  weights: jax.Array,
  **options: Any,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Mean over the heads of each one's loss against its own teacher.

  Tran et al., "Hydra: Preserving ensemble diversity for model distillation", 2020
  (arXiv 2001.04694): the mean over heads of the divergence from each one's teacher,
  here with the losses of paper 000's students. The number of the equation could not
  be checked.

  Args:
    heads: Task -> logits [B, L, M, num_outputs].
    targets: Of the module's docstring.
    schema: The tasks.
    weights: Of the tasks, [number of tasks].
    **options: Of `multitask_loss`.

  Returns:
    (loss, losses by task), as `multitask_loss`.
  """
  count = next(iter(heads.values())).shape[2]
  found = [
    multitask_loss(
      {name: x[:, :, m] for name, x in heads.items()},
      {
        task.name: tasks.Target(
          targets[task.name].value[:, :, m], targets[task.name].mask
        )
        for task in schema
      },
      schema,
      weights,
      **options,
    )
    for m in range(count)
  ]
  return jax.tree.map(lambda *x: sum(x) / count, *found)


def distribution_loss(
  family: types.ModuleType,
  outputs: Mapping[str, Any],
  targets: tasks.Targets,
  schema: tasks.Schema,
  weights: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Weighted sum of the tasks' losses of a family, over all labels of a task.

  Args:
    family: Of `ops.families`.
    outputs: Task -> what the family's functions take of it.
    targets: Of the module's docstring.
    schema: The tasks.
    weights: Of the tasks, [number of tasks].

  Returns:
    (loss, losses by task).
  """
  losses = {}
  for task in schema:
    value, mask = targets[task.name]
    # What is masked may be anything: keep it out of the gradients.
    known = mask > 0 if task.kind == 'binary' else mask[..., None] > 0
    said = jnp.moveaxis(value, 2, 0)
    choices = 2 if task.kind == 'binary' else said.shape[-1]
    anything = 0 if family.LABELS == 'logits' else 1 / choices
    said = jnp.where(known, said, anything)
    values, counts = family.loss(task, said, *outputs[task.name])
    losses[task.name] = reductions.masked_mean(values * counts, mask, counts)
  stacked = jnp.stack([losses[task.name] for task in schema])
  return jnp.sum(jnp.asarray(weights) * stacked), losses
