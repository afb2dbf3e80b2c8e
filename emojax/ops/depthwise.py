"""Depth-wise convolution as shifted multiply-adds, with its own gradients."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from emojax.ops import shapes


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def depthwise_conv(x, kernel, strides, padding, dilation):
  """Depth-wise convolution.

  Args:
    x: [N, *spatial, C].
    kernel: [*sizes, 1, C].
    strides: Tuple of ints, one per spatial dimension.
    padding: Tuple of ints, zeros on both sides.
    dilation: Tuple of ints.

  Returns:
    [N, *out, C].
  """
  sizes = kernel.shape[:-2]
  if x.shape[1:-1] == sizes and not any(padding) and not _over(dilation):
    axes = tuple(range(1, x.ndim - 1))
    return jnp.sum(x * kernel[..., 0, :], axes, keepdims=True)
  taps = shapes.shifted(x, sizes, strides, padding, dilation)
  weights = kernel.reshape(len(taps), -1)
  return sum(tap * weights[i] for i, tap in enumerate(taps))


def _over(dilation):
  return any(d > 1 for d in dilation)


def _forward(x, kernel, strides, padding, dilation):
  return depthwise_conv(x, kernel, strides, padding, dilation), (x, kernel)


def _backward(strides, padding, dilation, saved, dy):
  x, kernel = saved
  dx = _input_gradient(x.shape, kernel, dy, strides, padding, dilation)
  taps = shapes.shifted(x, kernel.shape[:-2], strides, padding, dilation)
  axes = tuple(range(x.ndim - 1))
  dk = jnp.stack([jnp.sum(tap * dy, axes) for tap in taps])
  return dx, dk.reshape(kernel.shape).astype(kernel.dtype)


def _input_gradient(shape, kernel, dy, strides, padding, dilation):
  # Correlating dy with the flipped kernel is one fused pass; the transpose of
  # the slices would be one padded copy for each tap.
  sizes = kernel.shape[:-2]
  pads = [(0, 0, 0)]
  for n, m, k, s, p, d in zip(
    shape[1:-1], dy.shape[1:-1], sizes, strides, padding, dilation
  ):
    reach = d * (k - 1)
    low = reach - p
    pads.append((low, n + reach - low - (m - 1) * s - 1, s - 1))
  padded = lax.pad(dy, dy.dtype.type(0), [*pads, (0, 0, 0)])
  ones = (1,) * len(sizes)
  taps = shapes.shifted(padded, sizes, ones, (0,) * len(sizes), dilation)
  weights = kernel.reshape(math.prod(sizes), -1)[::-1]
  return sum(tap * weights[i] for i, tap in enumerate(taps))


depthwise_conv.defvjp(_forward, _backward)
