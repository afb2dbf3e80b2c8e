"""Masked reductions: sums over counts, and the CCC of a batch.

The CCC, and means over different numbers of labels, are no means of shards:
where a batch is spread over devices, gather outputs and targets first.
"""

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.losses.pointwise import check_shapes
from emojax.losses.types import Array

# Values within so many float32 steps are one value: softmaxes, expectations and
# means round by as much.
STEPS = 8


def _ratio(total, count):
  """total / count, and 0 (with gradient 0) where the count is 0."""
  return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), 0)


def masked_sum(
  values: Array, mask: Array, weights: jax.typing.ArrayLike = 1.0
) -> tuple[jax.Array, jax.Array]:
  """Returns (sum of mask * values, sum of mask * weights).

  Sums and counts of several batches can be added before they are divided.

  Args:
    values: Per-element or per-example losses.
    mask: Same shape, >= 0; values under 0 may be NaN or infinite.
    weights: What each value counts for, e.g. `example_weight(...)` when
      `values` carry class weights.
  """
  check_shapes('masked_sum', values, mask)
  values = jnp.where(mask > 0, values, 0)
  weights = jnp.where(mask > 0, weights, 0)
  return jnp.sum(mask * values), jnp.sum(mask * weights)


def masked_mean(
  values: Array, mask: Array, weights: jax.typing.ArrayLike = 1.0
) -> jax.Array:
  """Mean over what is not masked; 0 if everything is (see `masked_sum`).

  With `weights` it is PyTorch's weighted mean, sum(w * ce) / sum(w), which
  does not depend on the scale of the class weights.
  """
  return _ratio(*masked_sum(values, mask, weights))


def constant(x: Array, mask: Array) -> jax.Array:
  """Whether the values that are not masked are one value, up to rounding.

  Args:
    x: [...]; what is masked may be NaN.
    mask: Same shape.

  Returns:
    A bool scalar. False if a value is NaN, True if everything is masked.
  """
  low = jnp.min(x, where=mask > 0, initial=jnp.inf)
  high = jnp.max(x, where=mask > 0, initial=-jnp.inf)
  size = jnp.maximum(jnp.abs(low), jnp.abs(high))
  return high - low <= STEPS * jnp.finfo(jnp.float32).eps * size


def ccc(
  x: Array,
  y: Array,
  mask: Array | None = None,
  ddof: int = 1,
  eps: float = 1e-8,
) -> jax.Array:
  """Concordance correlation coefficient over a batch (paper 000, Eq. 6).

  Computed from the covariance, which equals the paper's rho * s_x * s_y and
  keeps the gradient finite when one of them is constant.

  Args:
    x: [...], flattened.
    y: Same shape.
    mask: Same shape or None (all count); values under 0 may be NaN.
    ddof: 1 for the unbiased variances of the published loss, 0 for the
      population variances of the metric; the paper does not say.
    eps: Added to the denominator; 1e-8 in the published loss, 0 (a Python
      number) in the metric.

  Returns:
    A scalar in [-1, 1]. 0, with gradient 0, for no or a single example. 0 when
    one of them is constant: exactly so in the metric (see `constant`), up to
    what `eps` leaves of rounding in the loss, whose gradient there is what
    makes a constant prediction vary. NaN if a value that counts is.
  """
  check_shapes('ccc', x, y)
  mask = jnp.ones(jnp.shape(x)) if mask is None else mask
  x, y = jnp.where(mask > 0, x, 0), jnp.where(mask > 0, y, 0)
  count = jnp.sum(mask)
  mean_x = _ratio(jnp.sum(mask * x), count)
  mean_y = _ratio(jnp.sum(mask * y), count)
  dx, dy = x - mean_x, y - mean_y
  covariance, var_x, var_y = (
    _ratio(jnp.sum(mask * product), count - ddof)
    for product in (dx * dy, dx**2, dy**2)
  )
  spread = var_x + var_y + (mean_x - mean_y) ** 2 + eps
  # Not _ratio: NaN predictions must not look like a defined, bad CCC.
  value = jnp.where(
    spread == 0, 0, 2 * covariance / jnp.where(spread == 0, 1, spread)
  )
  if eps:
    return value
  # Rounding gives constants a spread and a covariance of the same size: without
  # `eps` their ratio may be 1.
  return jnp.where(constant(x, mask) | constant(y, mask), 0, value)


def ccc_loss(
  x: Array, y: Array, mask: Array, ddof: int = 1, eps: float = 1e-8
) -> jax.Array:
  """Sum over the last axis of 1 - CCC (paper 000, Eqs. 7 and 11).

  Args:
    x: [..., D] predictions.
    y: [..., D] hard or soft scalars.
    mask: [..., D]; a label without any example contributes 0.
    ddof: See `ccc`.
    eps: See `ccc`.

  Returns:
    A scalar in [0, 2 D].
  """

  def one(x, y, mask):
    return jnp.where(jnp.sum(mask) > 0, 1 - ccc(x, y, mask, ddof, eps), 0)

  return jnp.sum(jax.vmap(one, in_axes=-1)(x, y, mask))


def with_frame_mask(
  task: tasks.Task, target: tasks.Target, frame_mask: Array | None
) -> tasks.Target:
  """Multiplies a target's mask by a frame mask [...], if there is one."""
  if frame_mask is None:
    return target
  if task.kind != 'categorical':
    frame_mask = frame_mask[..., None]
  return tasks.Target(target.value, target.mask * frame_mask)
