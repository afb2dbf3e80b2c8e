"""Teacher's and students' losses of a batch (papers 001 and 002).

A batch is made of subsets of equal size, one per training task, in order:
subset i holds instances that were drawn for task i, such as AU, EXPR and VA
(paper 001) or EXPR, VA and EXPR_VA (paper 002). What an instance is supervised
by is a matter of masks.

Per subset the losses are divided by its number of instances, where the papers
only sum: Adam does not notice, and the numbers do not depend on the batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from emojax import tasks
from emojax.losses import incomplete
from emojax.losses.types import Array

PORTIONS = ('paper', 'published')


class Options(NamedTuple):
  """Constants of the losses.

  Attributes:
    temperature: T of the softmaxes (paper 001: 1.5).
    supervision_weight: lambda, what the ground truth counts for against the
      teacher where there is one (0.6).
    portion: What of 1 - CCC each instance of a batch of B bears: 'paper' is
      1 / B (Eq. 9 of paper 001), so that 1 - CCC counts once beside the *sum*
      of the cross-entropies; 'published' is all of it, so that it counts once
      beside their *mean*, as in the code of both papers.
    divergence: 'cross_entropy' (001) or 'kl' (002); see `distillation`.
    distillation_scale: Factor of all distillation losses; `temperature ** 2`
      in the published code of 002.
    label_smoothing: Share of every hard label that all choices divide.
  """

  temperature: float = 1.5
  supervision_weight: float = 0.6
  portion: str = 'paper'
  divergence: str = 'cross_entropy'
  distillation_scale: float = 1.0
  label_smoothing: float = 0.0


PAPER = Options()


def own_labels(
  schema: tasks.Schema, subsets: Sequence[Sequence[str]]
) -> np.ndarray:
  """Which labels supervise which subset, float32 [subsets, tasks].

  Args:
    schema: The tasks.
    subsets: Names of the tasks of each subset: (('au',), ('expr',), ('va',))
      in paper 001, (('expr',), ('va',), ('expr', 'va')) in paper 002.
  """
  own = [[task.name in names for task in schema] for names in subsets]
  return np.array(own, np.float32)


def two_stage_loss(
  logits: Mapping[str, Any],
  targets: tasks.Targets,
  frame_mask: Array,
  schema: tasks.Schema,
  supervised: Array,
  *,
  bin_values: Array,
  options: Options = PAPER,
  teacher: Mapping[str, Any] | None = None,
) -> tuple[Any, dict[str, jax.Array]]:
  """Loss of a batch of equal subsets.

  Teachers (`teacher` None): the supervision losses of the labels that
  `supervised` admits (Eq. 13 of paper 001, Eq. 7 of 002). Students: for every
  task of every instance, lambda * supervision + (1 - lambda) * distillation
  where such a label is there, and distillation alone where it is not (Eq. 14 of
  001, Eqs. 8-10 of 002). With `own_labels`, labels that an instance happens to
  have of another subset's task are not looked at (Eq. 14; "no sharing", Eq. 9);
  with ones everywhere they are (Eq. 10).

  Args:
    logits: Task name -> [B, L, num_outputs], B a multiple of the subsets.
    targets: Task name -> hard `Target` [B, L, ...].
    frame_mask: [B, L], 0 for padding and frames without a face.
    schema: The tasks.
    supervised: [subsets, tasks], see `own_labels`.
    bin_values: [K] of binned tasks.
    options: Constants.
    teacher: Task name -> logits like the students', or None.

  Returns:
    (loss, losses): the sum, and its parts by task name.

  Raises:
    ValueError: If the batch cannot be cut into the subsets.
  """
  supervised = jnp.asarray(supervised)
  subsets, size = supervised.shape[0], frame_mask.shape[0]
  if size % subsets:
    raise ValueError(
      f'a batch of {size} clips cannot be cut into {subsets} equal subsets: '
      'give the plan one group of clips per subset'
    )
  if options.portion not in PORTIONS:
    raise ValueError(
      f'portion {options.portion!r}: expected one of {", ".join(PORTIONS)}'
    )

  def cut(x):
    return x.reshape(subsets, size // subsets, *x.shape[1:])

  losses: dict[str, jax.Array] = {}
  for i, task in enumerate(schema):
    rows = (logits[task.name], targets[task.name], frame_mask)
    rows += () if teacher is None else (teacher[task.name],)

    def one(supervised, *rows, task=task):
      return subset_loss(task, supervised, bin_values, options, *rows)

    per_subset = jax.vmap(one)(supervised[:, i], *jax.tree.map(cut, rows))
    losses[task.name] = per_subset.sum()
  return sum(losses.values()), losses


def subset_loss(
  task: tasks.Task,
  supervised: Array,
  bin_values: Array,
  options: Options,
  logits: Array,
  target: tasks.Target,
  frame_mask: Array,
  teacher: Array | None = None,
) -> jax.Array:
  """Loss of one task on one subset, a scalar; see `two_stage_loss`.

  Args:
    task: The task.
    supervised: 1 if the subset's labels of this task are looked at, else 0.
    bin_values: [K].
    options: Constants.
    logits: [N, L, num_outputs].
    target: Hard labels.
    frame_mask: [N, L].
    teacher: The teacher's logits, or None for supervision alone.
  """
  count = jnp.maximum(frame_mask.sum(), 1)
  frames = frame_mask * supervised
  if task.kind != 'categorical':
    frames = frames[..., None]
  target = tasks.Target(target.value, target.mask * frames)
  here = incomplete.labelled(task, target.mask)
  loss = incomplete.supervision(task, logits, target).sum()
  if task.kind == 'binned':
    portion = 1.0 if options.portion == 'paper' else here.sum()
    loss += portion * incomplete.concordance(task, logits, target, bin_values)
  if teacher is None:
    return loss / count
  divergence = incomplete.distillation(
    task, logits, teacher, options.temperature, options.divergence
  )
  divergence = jnp.where(frame_mask > 0, divergence, 0)
  weight = options.supervision_weight
  soft = jnp.sum((frame_mask - weight * here) * divergence)
  return (weight * loss + options.distillation_scale * soft) / count
