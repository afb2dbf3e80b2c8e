"""Depth-wise convolution as shifted multiply-adds, with its own gradients."""

import itertools
from typing import Any

import jax.numpy as jnp
from jax import lax

from emojax.ops import shapes
from emojax.ops.gradients import custom_vjp
from emojax.ops.sums import MAX_SUMS, block_of, sums_over


@custom_vjp(2, 3, 4)
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
  return _forward(x, kernel, strides, padding, dilation)[0]


def _forward(x, kernel, strides, padding, dilation):
  if kernel.ndim == 3:
    x, kernel = x[:, None], kernel[None]
    y, saved = _forward(x, kernel, *_planar(strides, padding, dilation))
    return y[:, 0], saved
  if is_global(x, kernel, padding, dilation):
    y = jnp.sum(x * kernel[:, :, 0], (1, 2), keepdims=True)
    return y.astype(x.dtype), (x, kernel)
  out = shapes.out_sizes(x.shape[1:3], kernel.shape, strides, padding, dilation)
  padded = _pad(x, [(p, p) for p in padding])
  y: Any = sum(
    _view(padded, start, out, strides) * kernel[tap][0]
    for tap, start in _taps(kernel, dilation)
  )
  return y, (padded, kernel)


def _planar(strides, padding, dilation):
  """The settings of a 1-D convolution as one over a single row."""
  return (1, *strides), (0, *padding), (1, *dilation)


def is_global(x, kernel, padding, dilation) -> bool:
  """Whether a kernel is as large as the image, so that one place is left."""
  full = x.shape[1:3] == kernel.shape[:2]
  return full and not any(padding) and max(dilation) == 1


def _taps(kernel, dilation):
  """Pairs of a tap's index and its offset into the padded input."""
  for tap in itertools.product(*map(range, kernel.shape[:2])):
    yield tap, tuple(t * d for t, d in zip(tap, dilation))


def _pad(x, amounts):
  # One row too many, so that every view is a run of whole rows.
  (top, bottom), columns = amounts
  config = [(0, 0, 0), (top, bottom + 1, 0), (*columns, 0), (0, 0, 0)]
  return lax.pad(x, x.dtype.type(0), config)


def _view(padded, start, out, strides):
  """padded[:, start::strides][:, :out] over the two spatial axes.

  XLA turns a plain slice that misses the padding into a slice of the array
  before padding and then computes and stores both; a run of whole rows it
  leaves alone.
  """
  n, _, width, c = padded.shape
  rows, columns = [(size - 1) * s + 1 for size, s in zip(out, strides)]
  first = start[0] * width + start[1]
  run = lax.slice_in_dim(
    padded.reshape(n, -1, c), first, first + rows * width, axis=1
  )
  run = run.reshape(n, rows, width, c)
  return lax.slice(run, (0,) * 4, (n, rows, columns, c), (1, *strides, 1))


def _backward(strides, padding, dilation, saved, dy):
  if dy.ndim == 3:
    settings = _planar(strides, padding, dilation)
    dx, dk = _backward(*settings, saved, dy[:, None])
    return dx[:, 0], dk[0]
  x, kernel = saved
  if dy.shape[1:3] == (1, 1) and is_global(x, kernel, padding, dilation):
    return dy * kernel[:, :, 0], jnp.sum(x * dy, 0)[:, :, None]
  plans = [
    _phases(k, s, p, d)
    for k, s, p, d in zip(kernel.shape, strides, padding, dilation)
  ]
  size = [x.shape[1] - 2 * padding[0] - 1, x.shape[2] - 2 * padding[1]]
  low = [max(0, max(plan)) for plan in plans]
  count = [-(-n // s) for n, s in zip(size, strides)]
  high = [
    max(0, c - min(plan) - m) for c, plan, m in zip(count, plans, dy.shape[1:3])
  ]
  wide = _pad(dy, list(zip(low, high)))
  dx = _input_gradient(wide, kernel, plans, low, count)
  dy = _view(wide, low, dy.shape[1:3], (1, 1))
  dk = _kernel_gradient(x, kernel, dy, strides, dilation)
  return dx[:, : size[0], : size[1]], dk.astype(kernel.dtype)


def _phases(size, stride, padding, dilation):
  """Maps a step back `b` in dy to the tap that each phase meets, or None.

  Position `stride * a + phase` of the input meets tap `t` of output `a - b`
  where `stride * b = t * dilation - padding - phase`.
  """
  plan = {}
  for tap in range(size):
    offset = tap * dilation - padding
    phase = offset % stride
    back = (offset - phase) // stride
    plan.setdefault(back, [None] * stride)[phase] = tap
  return plan


def _input_gradient(wide, kernel, plans, low, count):
  """Correlates padded dy with the kernel: one expression for all phases.

  The transpose of the forward slices would be one padded copy for each tap.
  """
  total: Any = 0
  for (back_h, taps_h), (back_w, taps_w) in itertools.product(
    *(plan.items() for plan in plans)
  ):
    start = (low[0] - back_h, low[1] - back_w)
    view = _view(wide, start, count, (1, 1))
    total += view[:, :, None, :, None] * _select(kernel, taps_h, taps_w)
  n, h, rows, w, columns, c = total.shape
  return total.reshape(n, h * rows, w * columns, c)


def _select(kernel, taps_h, taps_w):
  """The taps of every pair of phases, 0 where there is none: [sh, 1, sw, C]."""
  zero = jnp.zeros_like(kernel[0, 0, 0])
  rows = [
    jnp.stack([zero if None in (h, w) else kernel[h, w, 0] for w in taps_w])
    for h in taps_h
  ]
  return jnp.stack(rows)[:, None]


def _kernel_gradient(padded, kernel, dy, strides, dilation):
  n, height, width, c = dy.shape

  def products(start):
    x = _view(padded, start, (height, width), strides)
    product = x.astype(jnp.float32) * dy
    return product.reshape(n, height, -1, block_of(width), c)

  starts = [start for _, start in _taps(kernel, dilation)]
  sums = []
  for i in range(0, len(starts), MAX_SUMS):
    sums += sums_over([products(s) for s in starts[i : i + MAX_SUMS]], 3)
  return jnp.stack([jnp.sum(s, (0, 1, 2)) for s in sums]).reshape(kernel.shape)


depthwise_conv.defvjp(_forward, _backward)
