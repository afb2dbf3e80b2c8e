"""Losses of one network that learns what the members of an ensemble say.

Targets are the members' own answers instead of their mean: `Target.value` has an
axis of M members behind those of clips and frames, and one axis of probabilities:

  Hydra, M heads          as `multitask_loss`: [B, L, M, A], [B, L, M, E], and
                          expected values [B, L, M, D]
  Dirichlet               'binary' [B, L, M, A], 'categorical' [B, L, M, E],
                          'binned' [B, L, M, D, K], all probabilities

Masks are those of the labels, without that axis.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.losses import reductions
from emojax.losses.multitask import multitask_loss
from emojax.ops import dirichlet


def hydra_loss(
  heads: Mapping[str, Any], targets: tasks.Targets, schema, weights, **options
):
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


def dirichlet_loss(
  outputs: Mapping[str, Any], targets: tasks.Targets, schema, weights
):
  """Weighted sum of the tasks' `ops.dirichlet.nll`, over all labels of a task.

  Malinin, Mlodozeniec and Gales, "Ensemble distribution distillation", ICLR 2020
  (arXiv 1905.00076): the negative log-likelihood of the teachers' distributions,
  without their annealing of a temperature. The number of the equation could not be
  checked.

  Args:
    outputs: Task -> (logits, log precision), as
      `ops.dirichlet.concentrations` takes them.
    targets: Of the module's docstring.
    schema: The tasks.
    weights: Of the tasks, [number of tasks].

  Returns:
    (loss, losses by task).
  """
  losses = {}
  for task in schema:
    logits, log_precision = outputs[task.name]
    value, mask = targets[task.name]
    probs = jnp.moveaxis(value, 2, 0)
    if task.kind == 'binary':
      probs = jnp.stack([1 - probs, probs], -1)
    # What is masked may be anything: keep it out of the gradients.
    known = mask[..., None] > 0
    probs = jnp.where(known, probs, 1 / probs.shape[-1])
    alpha = dirichlet.concentrations(task, logits, log_precision)
    alpha = jnp.where(known, alpha, 1)
    losses[task.name] = reductions.masked_mean(
      dirichlet.nll(alpha, probs), mask
    )
  stacked = jnp.stack([losses[task.name] for task in schema])
  return jnp.sum(jnp.asarray(weights) * stacked), losses
