"""Prediction sets of the methods that stand first, for JAX to trace.

`conformal_sets.sets` is their definition, in float64; these are the same decisions
in float32, for models that leave JAX with everything in them (docs/export.md). A
score within rounding of its threshold may be decided otherwise.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from emojax import tasks
from emojax.uncertainty.conformal_examples import DEFAULTS
from emojax.uncertainty.conformal_scores import edges
from emojax.uncertainty.conformal_sets import Fitted, limits

EVERYTHING = 2.0  # instead of infinity: no score is above 1


def sets(
  task: tasks.Task,
  probs: jax.Array,
  fitted: Fitted,
  coverages: Sequence[float],
  values: np.ndarray | None,
) -> jax.Array:
  """Prediction sets at several coverages, by the task's default method.

  Args:
    task: The task.
    probs: Mean probabilities of the members, float32 [..., E], [..., A] or [...,
      D, K].
    fitted: Thresholds of the method.
    coverages: Those that were fitted.
    values: Values of the bins [K], of binned tasks; else None will do.

  Returns:
    'categorical' bool [..., coverages, E]; 'binary' int32 [..., coverages, A], 1
    present, 0 absent, -1 unsure; 'binned' float32 [..., coverages, D, 2].
  """
  method = DEFAULTS[task.kind]
  bounds = np.stack([limits(task, method, fitted, c) for c in coverages])
  bounds = np.minimum(bounds, EVERYTHING)
  if task.kind == 'categorical':
    return probs[..., None, :] >= jnp.float32(1 - bounds)
  if task.kind == 'binary':
    p = probs[..., None, :]
    absent = p <= jnp.float32(bounds[..., 0])
    present = p >= jnp.float32(1 - bounds[..., 1])
    return jnp.where(absent == present, -1, present.astype(jnp.int32))
  scores = grown(probs)[..., None, :, :]
  inside = scores <= jnp.float32(bounds)[..., None]
  ends = edges(np.asarray(values)).astype(np.float32)
  low = jnp.where(inside, ends[:-1], 2.0).min(-1)
  high = jnp.where(inside, ends[1:], -2.0).max(-1)
  return jnp.stack([low, high], -1)


def grown(probs: jax.Array) -> jax.Array:
  """`conformal_scores.grown` of float32 [..., K], without places of numbers."""
  bins = probs.shape[-1]
  peak = probs.argmax(-1)[..., None] == np.arange(bins, dtype=np.int32)
  peak = peak.astype(probs.dtype)

  def shifted(x, left: bool):
    zero = jnp.zeros_like(x[..., :1])
    return jnp.concatenate(
      [x[..., 1:], zero] if left else [zero, x[..., :-1]], -1
    )

  def reached(place):
    """Probability of a bin; -1 of none, which is never the likelier one."""
    return (place * (probs + 1)).sum(-1, keepdims=True) - 1

  def step(state, _):
    low, high, mass, scores = state
    below, above = shifted(low, True), shifted(high, False)
    left, right = reached(below), reached(above)
    down = left >= right
    taken = jnp.where(down, below, above)
    low, high = jnp.where(down, below, low), jnp.where(down, high, above)
    scores = scores + taken * mass
    return (low, high, mass + jnp.where(down, left, right), scores), None

  start = (peak, peak, reached(peak), jnp.zeros_like(probs))
  steps = np.arange(bins - 1, dtype=np.int32)
  (_, _, _, scores), _ = lax.scan(step, start, steps)
  return scores
