"""Masked reductions: sums over counts, and the CCC of a batch.

Under `jax.shard_map`, `jax.pmap` or `jax.vmap(axis_name=...)` pass
`axis_name`: sums and CCC moments are then taken over the whole batch, not over
the shard.
"""

from typing import Any

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.losses.pointwise import check_shapes


def _sums(values: tuple[Any, ...], axis_name: str | None):
  totals = tuple(jnp.sum(v) for v in values)
  return totals if axis_name is None else jax.lax.psum(totals, axis_name)


def _ratio(total, count):
  """total / count, and 0 (with gradient 0) where the count is 0."""
  return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), 0)


def masked_sum(values, mask, weights=1.0, axis_name: str | None = None):
  """Returns (sum of mask * values, sum of mask * weights).

  Sums and counts of several batches can be added before they are divided.

  Args:
    values: Per-element or per-example losses.
    mask: Same shape, >= 0; values under 0 may be NaN or infinite.
    weights: What each value counts for, e.g. `example_weight(...)` when
      `values` carry class weights.
    axis_name: Mapped axis over which the batch is spread, if any.
  """
  check_shapes('masked_sum', values, mask)
  values = jnp.where(mask > 0, values, 0)
  weights = jnp.where(mask > 0, weights, 0)
  return _sums((mask * values, mask * weights), axis_name)


def masked_mean(values, mask, weights=1.0, axis_name: str | None = None):
  """Mean over what is not masked; 0 if everything is (see `masked_sum`).

  With `weights` it is PyTorch's weighted mean, sum(w * ce) / sum(w), which
  does not depend on the scale of the class weights.
  """
  return _ratio(*masked_sum(values, mask, weights, axis_name))


def ccc(x, y, mask=None, ddof=1, eps=1e-8, axis_name: str | None = None):
  """Concordance correlation coefficient over a batch (paper 000, Eq. 6).

  Computed from the covariance, which equals the paper's rho * s_x * s_y and
  keeps the gradient finite when one of them is constant.

  Args:
    x: [...], flattened.
    y: Same shape.
    mask: Same shape or None (all count); values under 0 may be NaN.
    ddof: 1 for the unbiased variances of the published loss, 0 for the
      population variances of the metric; the paper does not say.
    eps: Added to the denominator; 1e-8 in the published loss, 0 in the metric.
    axis_name: Mapped axis over which the batch is spread, if any.

  Returns:
    A scalar in [-1, 1]. 0, with gradient 0, for no or a single example, and
    0 when both are constant.
  """
  check_shapes('ccc', x, y)
  mask = jnp.ones(jnp.shape(x)) if mask is None else mask
  x, y = jnp.where(mask > 0, x, 0), jnp.where(mask > 0, y, 0)
  count, sum_x, sum_y = _sums((mask, mask * x, mask * y), axis_name)
  mean_x, mean_y = _ratio(sum_x, count), _ratio(sum_y, count)
  x, y = x - mean_x, y - mean_y
  moments = _sums((mask * x * y, mask * x**2, mask * y**2), axis_name)
  covariance, var_x, var_y = (_ratio(m, count - ddof) for m in moments)
  spread = var_x + var_y + (mean_x - mean_y) ** 2 + eps
  # Not _ratio: NaN predictions must not look like a defined, bad CCC.
  return jnp.where(
    spread == 0, 0, 2 * covariance / jnp.where(spread == 0, 1, spread)
  )


def ccc_loss(x, y, mask, **ccc_options):
  """Sum over the last axis of 1 - CCC (paper 000, Eqs. 7 and 11).

  Args:
    x: [..., D] predictions.
    y: [..., D] hard or soft scalars.
    mask: [..., D]; a label without any example contributes 0.
    **ccc_options: `ddof`, `eps`, `axis_name` of `ccc`.

  Returns:
    A scalar in [0, 2 D].
  """

  def one(x, y, mask):
    (count,) = _sums((mask,), ccc_options.get('axis_name'))
    return jnp.where(count > 0, 1 - ccc(x, y, mask, **ccc_options), 0)

  return jnp.sum(jax.vmap(one, in_axes=-1)(x, y, mask))


def with_frame_mask(task, target: tasks.Target, frame_mask) -> tasks.Target:
  """Multiplies a target's mask by a frame mask [...], if there is one."""
  if frame_mask is None:
    return target
  if task.kind != 'categorical':
    frame_mask = frame_mask[..., None]
  return tasks.Target(target.value, target.mask * frame_mask)
