"""Convolution with two lowerings: `lax` and shifted products (`matmul`)."""

import jax
import jax.numpy as jnp
from jax import lax

from emojax.ops import shapes
from emojax.ops.depthwise import depthwise_conv

LOWERINGS = ('auto', 'lax', 'matmul')


def resolve_lowering(lowering: str) -> str:
  """Returns 'lax' or 'matmul'; 'auto' is 'matmul' on CPU, else 'lax'."""
  if lowering not in LOWERINGS:
    raise ValueError(
      f'lowering {lowering!r}: expected one of {", ".join(LOWERINGS)}'
    )
  if lowering == 'auto':
    return 'matmul' if jax.default_backend() == 'cpu' else 'lax'
  return lowering


def conv(
  x, kernel, *, strides=1, padding=0, dilation=1, groups=1, lowering='auto'
):
  """Convolves a batch of images or sequences (cross-correlation, no bias).

  Args:
    x: [N, H, W, I] or [N, T, I].
    kernel: [kh, kw, I / groups, O] or [k, I / groups, O].
    strides: An int, or one per spatial dimension.
    padding: Zeros on both sides; an int, or one per spatial dimension.
    dilation: An int, or one per spatial dimension.
    groups: 1 (dense) or I (depth-wise, O = I).
    lowering: 'auto', 'lax' or 'matmul'; see `resolve_lowering`.

  Returns:
    [N, H', W', O] or [N, T', O].

  Raises:
    ValueError: On an unknown lowering, unsupported groups or shapes.
  """
  rank = kernel.ndim - 2
  shapes.check_conv(x.shape, kernel.shape, groups)
  strides = shapes.per_axis(strides, rank, 'strides')
  padding = shapes.per_axis(padding, rank, 'padding')
  dilation = shapes.per_axis(dilation, rank, 'dilation')
  shapes.out_sizes(x.shape[1:-1], kernel.shape, strides, padding, dilation)
  if resolve_lowering(lowering) == 'lax':
    return _lax(x, kernel, strides, padding, dilation, groups)
  if groups > 1:
    return depthwise_conv(x, kernel, strides, padding, dilation)
  if kernel.shape[:-2] == (1,) * rank and not any(padding):
    return _pointwise(x, kernel, strides)
  return _im2col(x, kernel, strides, padding, dilation)


def _lax(x, kernel, strides, padding, dilation, groups):
  spatial = 'HW'[-len(strides) :]
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    [(p, p) for p in padding],
    rhs_dilation=dilation,
    dimension_numbers=(f'N{spatial}C', f'{spatial}IO', f'N{spatial}C'),
    feature_group_count=groups,
  )


def _pointwise(x, kernel, strides):
  step = tuple(slice(None, None, s) for s in strides)
  return product(x[(slice(None), *step)], kernel.reshape(kernel.shape[-2:]))


@jax.custom_vjp
def product(x, weight):
  """x [..., I] @ weight [I, O], with gradients laid out for fast products."""
  return x @ weight


def _product_forward(x, weight):
  return x @ weight, (x, weight)


def _product_backward(saved, dy):
  # The automatic gradient asks for dy transposed, which is fused into dy's
  # producer and then walks memory against the grain.
  x, weight = saved
  rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
  dw = lax.dot_general(rows, dy_rows, (((0,), (0,)), ((), ())))
  return dy @ weight.T, dw


product.defvjp(_product_forward, _product_backward)


def _im2col(x, kernel, strides, padding, dilation):
  taps = shapes.shifted(x, kernel.shape[:-2], strides, padding, dilation)
  patches = jnp.concatenate(taps, axis=-1)
  return product(patches, kernel.reshape(-1, kernel.shape[-1]))
