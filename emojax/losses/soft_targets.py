"""Label smoothing and mixup: targets between the labels that were given."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.losses.types import Array


def smooth_values(value: Array, smoothing: float, choices: int) -> Array:
  """(1 - s) y + s / K: labels shared with a uniform distribution over K choices.

  Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7.

  Args:
    value: Probabilities, of K classes along the last axis or of binary labels.
    smoothing: s in [0, 1).
    choices: K; 2 for binary labels.

  Examples:
    >>> [float(x) for x in smooth_values(jnp.array([0.0, 1.0]), 0.5, 2)]
    [0.25, 0.75]
  """
  return (1 - smoothing) * value + smoothing / choices


def smooth_targets(
  schema: tasks.Schema, targets: tasks.Targets, smoothing: float
) -> tasks.Targets:
  """Label smoothing of action units and expressions; the same targets for 0.

  Valence and arousal are no choices and stay as they are.

  Args:
    schema: The tasks.
    targets: Labels, arrays of NumPy or JAX.
    smoothing: Share of every label that all choices divide.

  Raises:
    ValueError: Unless 0 <= smoothing < 1.
  """
  if not 0 <= smoothing < 1:
    raise ValueError(
      f'loss.label_smoothing={smoothing}: expected a share from 0 to below 1'
    )
  if not smoothing:
    return targets
  found = dict(targets)
  for task in schema:
    if task.kind != 'binned':
      value, mask = targets[task.name]
      choices = 2 if task.kind == 'binary' else value.shape[-1]
      smooth = smooth_values(value, smoothing, choices).astype(value.dtype)
      found[task.name] = tasks.Target(smooth, mask)
  return found


class Mix(NamedTuple):
  """Which examples of a batch are mixed, and how.

  Attributes:
    weight: What an example itself counts for, a scalar in [0, 1].
    partner: int32 [B], positions of the others in the whole batch.
  """

  weight: jax.Array
  partner: jax.Array


def draw_mix(key: jax.Array, alpha: float, size: int) -> Mix:
  """Draws the mix of a batch: lambda of Beta(alpha, alpha), and a permutation.

  One weight for the whole batch, as in the code of Zhang et al., "mixup: Beyond
  empirical risk minimization", ICLR 2018 (Eq. 2).
  """
  weight_key, partner_key = jax.random.split(key)
  weight = jax.random.beta(weight_key, alpha, alpha)
  return Mix(weight, jax.random.permutation(partner_key, size))


def mix_inputs(mix: Mix, inputs: Any, axis_name: str | None = None) -> Array:
  """Mixes every array [B, ...] of a batch, or of this device's part of it.

  Over several devices the whole batch is gathered, as partners are anywhere.
  """
  size = jax.tree.leaves(inputs)[0].shape[0]
  everywhere, partner = inputs, mix.partner
  if axis_name is not None:
    everywhere = jax.lax.all_gather(inputs, axis_name, tiled=True)
    first = jax.lax.axis_index(axis_name) * size
    partner = jax.lax.dynamic_slice_in_dim(mix.partner, first, size)
  return jax.tree.map(
    lambda x, whole: mix.weight * x + (1 - mix.weight) * whole[partner],
    inputs,
    everywhere,
  )


def mix_targets(
  mix: Mix, schema: tasks.Schema, targets: tasks.Targets
) -> tasks.Targets:
  """Targets of mixed examples of a whole batch.

  An example that is labelled on one side only has that side's label, with the
  share of that side as its mask, so that cross-entropies are
  lambda m_i CE(y_i) + (1 - lambda) m_j CE(y_j) over the sum of these weights.
  Valence and arousal are mixed as values.
  """
  return {
    task.name: _mix_target(mix, task, *targets[task.name]) for task in schema
  }


def _mix_target(mix: Mix, task: tasks.Task, value, mask) -> tasks.Target:
  mine, other = mix.weight * mask, (1 - mix.weight) * mask[mix.partner]
  total = mine + other

  def as_value(x):
    return x[..., None] if task.kind == 'categorical' else x

  share = as_value(mine / jnp.where(total > 0, total, 1))
  value = jnp.where(as_value(mask) > 0, value, 0)  # what is masked may be NaN
  # As a share of both, an example that only its partner labels has all of that.
  rest = as_value(other / jnp.where(total > 0, total, 1))
  return tasks.Target(share * value + rest * value[mix.partner], total)
