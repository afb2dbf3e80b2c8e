"""Batch normalisation fused with PReLU, with its own gradient.

Plain automatic differentiation stores the centred, the normalised and the
activated array of every layer. The gradient here is computed from the layer's
input, the mean and the inverse standard deviation alone, in two passes.
"""

import jax.numpy as jnp
from jax import lax

from emojax.ops.gradients import custom_vjp
from emojax.ops.sums import channel_sums


@custom_vjp(4, 5, 6)
def batch_norm(x, scale, bias, slope, eps=1e-5, axis_name=None, lowering='lax'):
  """Normalises with the statistics of the batch, then applies PReLU.

  Args:
    x: [..., C].
    scale: [C].
    bias: [C].
    slope: PReLU's slopes [C], or None for no activation.
    eps: Added to the variance.
    axis_name: Mapped axis over which the batch is split, or None. Statistics
      are then those of the whole batch, and the gradient is that of the sum
      of the losses of all shards.
    lowering: 'lax' or 'matmul'; see `sums.channel_sums`.

  Returns:
    (y [..., C], mean float32 [C], biased variance float32 [C]). No gradient
    flows through the two statistics that are returned.
  """
  mean, var = _statistics(x, axis_name, lowering)
  y = normalise(x, mean, var, scale, bias, slope, eps)
  return y, mean, var


def normalise(x, mean, var, scale, bias, slope, eps=1e-5):
  """Normalises with given statistics, then applies PReLU; see `batch_norm`."""
  # Centred first: `_backward` finds the same z, a large mean costs no digits, and
  # XLA needs no kernel for the shift of every layer.
  z = (x - mean) * (scale * lax.rsqrt(var + eps)) + bias
  if slope is not None:
    z = z * jnp.where(z > 0, 1, slope)
  return z.astype(x.dtype)


def _statistics(x, axis_name, lowering):
  # One pass: moments about a value of the batch, which unlike moments about
  # zero lose no digits when the mean is large.
  shift, count = x.reshape(-1, x.shape[-1])[0], x.size // x.shape[-1]
  shift = shift.astype(jnp.float32)
  sums = channel_sums([x - shift, jnp.square(x - shift)], lowering)
  offset, square = sums[0] / count, sums[1] / count
  mean, var = shift + offset, jnp.maximum(square - offset * offset, 0)
  if axis_name is None:
    return mean, var
  whole = lax.pmean(mean, axis_name)
  return whole, lax.pmean(var + jnp.square(mean - whole), axis_name)


def _forward(x, scale, bias, slope, eps, axis_name, lowering):
  y, mean, var = batch_norm(x, scale, bias, slope, eps, axis_name, lowering)
  return (y, mean, var), (x, mean, lax.rsqrt(var + eps), scale, bias, slope)


def _backward(eps, axis_name, lowering, saved, cotangents):
  del eps
  x, mean, inv, scale, bias, slope = saved
  dy, centred, gain = cotangents[0].astype(jnp.float32), x - mean, scale * inv
  if slope is None:
    dbias, product = channel_sums([dy, dy * centred], lowering)
    dslope = None
  else:
    z = centred * gain + bias
    low, gain = jnp.where(z > 0, 0, dy), jnp.where(z > 0, gain, gain * slope)
    dz = dy - (1 - slope) * low
    product, below, dslope = channel_sums(
      [dz * centred, low, low * z], lowering
    )
    # A sum of dy itself makes XLA store dy: otherwise the convolution that dy
    # comes from would be computed again wherever dy is read.
    dbias = _sum(dy) - (1 - slope) * below
  dx = dy * gain - _mean_terms(
    dbias, product, centred, scale * inv, inv, _count(x, axis_name), axis_name
  )
  return dx.astype(x.dtype), product * inv, dbias, dslope


def _mean_terms(dbias, product, centred, gain, inv, count, axis_name):
  """What dx owes to the mean and the variance depending on x."""
  if axis_name is not None:
    dbias, product = lax.psum((dbias, product), axis_name)
  return centred * (gain * inv * inv * (product / count)) + gain * (
    dbias / count
  )


def _sum(x):
  return jnp.sum(x, tuple(range(x.ndim - 1)))


def _count(x, axis_name):
  shards = 1 if axis_name is None else lax.axis_size(axis_name)
  return x.size // x.shape[-1] * shards


batch_norm.defvjp(_forward, _backward)
