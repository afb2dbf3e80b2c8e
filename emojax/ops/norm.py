"""Batch normalisation fused with PReLU, with its own gradient.

Plain automatic differentiation stores the centred, the normalised and the
activated array of every layer. The gradient here is computed from the layer's
input, the mean and the inverse standard deviation alone.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def batch_norm(x, scale, bias, slope, eps=1e-5, axis_name=None):
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

  Returns:
    (y [..., C], mean float32 [C], biased variance float32 [C]). No gradient
    flows through the two statistics that are returned.
  """
  mean, var = _statistics(x, axis_name)
  y = normalise(x, mean, var, scale, bias, slope, eps)
  return y, mean, var


def normalise(x, mean, var, scale, bias, slope, eps=1e-5):
  """Normalises with given statistics, then applies PReLU; see `batch_norm`."""
  factor = scale * lax.rsqrt(var + eps)
  z = x * factor + (bias - mean * factor)
  if slope is not None:
    z = jnp.where(z > 0, z, slope * z)
  return z.astype(x.dtype)


def _statistics(x, axis_name):
  axes = tuple(range(x.ndim - 1))
  mean = jnp.mean(x, axes, dtype=jnp.float32)
  if axis_name is not None:
    mean = lax.pmean(mean, axis_name)
  var = jnp.mean(jnp.square(x - mean), axes, dtype=jnp.float32)
  if axis_name is not None:
    var = lax.pmean(var, axis_name)
  return mean, var


def _forward(x, scale, bias, slope, eps, axis_name):
  y, mean, var = batch_norm(x, scale, bias, slope, eps, axis_name)
  return (y, mean, var), (x, mean, lax.rsqrt(var + eps), scale, bias, slope)


def _backward(eps, axis_name, saved, cotangents):
  del eps
  x, mean, inv, scale, bias, slope = saved
  dy = cotangents[0].astype(jnp.float32)
  axes = tuple(range(x.ndim - 1))
  xhat = (x - mean) * inv
  dslope, dz = None, dy
  if slope is not None:
    z = xhat * scale + bias
    dslope = jnp.sum(dy * jnp.minimum(z, 0), axes)
    dz = jnp.where(z > 0, dy, slope * dy)
  dbias, dscale = jnp.sum(dz, axes), jnp.sum(dz * xhat, axes)
  mean_dz, mean_dzx = dbias, dscale
  if axis_name is not None:
    mean_dz, mean_dzx = lax.psum((mean_dz, mean_dzx), axis_name)
  count = _count(x, axis_name)
  dx = scale * inv * (dz - mean_dz / count - xhat * (mean_dzx / count))
  return dx.astype(x.dtype), dscale, dbias, dslope


def _count(x, axis_name):
  shards = 1 if axis_name is None else lax.axis_size(axis_name)
  return x.size // x.shape[-1] * shards


batch_norm.defvjp(_forward, _backward)
