"""Convolution with several lowerings: XLA's own, and products of patches."""

import jax
import jax.numpy as jnp
from jax import lax

from emojax.ops import patches, shapes
from emojax.ops.depthwise import depthwise_conv, is_global
from emojax.ops.gradients import custom_vjp

LOWERINGS = ('auto', 'lax', 'matmul', 'conv')


def resolve_lowering(lowering: str) -> str:
  """The lowering that is meant: 'auto' is 'matmul' on CPU, else 'lax'.

  'matmul' has no convolution at all. 'conv' is one of XLA's for each, as ONNX has
  them. 'lax' is that but where members side by side would make a slow one of it:
  1x1 convolutions are products (not convolutions of as many groups as members), and
  gradients of depth-wise kernels are sums (not convolutions with `batch_group_count`,
  which on GPUs take as long as dense ones: github.com/jax-ml/jax/issues/13800).
  """
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
    lowering: 'auto', 'lax', 'matmul' or 'conv'; see `resolve_lowering`.

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
  lowering, how = resolve_lowering(lowering), (strides, padding, dilation)
  if lowering == 'conv':
    return _convolution(x, kernel, *how, groups)
  if groups > 1:
    if lowering == 'matmul' or is_global(x, kernel, padding, dilation):
      return depthwise_conv(x, kernel, *how)
    return _grouped(x, kernel, *how)
  if kernel.shape[:-2] == (1,) * rank and not any(padding):
    return _pointwise(x, kernel, strides)
  if lowering == 'lax':
    return _convolution(x, kernel, *how, groups)
  return patches.conv(x, kernel, *how)


def _convolution(x, kernel, strides, padding, dilation, groups):
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


@custom_vjp(2, 3, 4)
def _grouped(x, kernel, strides, padding, dilation):
  """Depth-wise convolution by XLA's, with the kernel's gradient as sums."""
  groups = x.shape[-1]
  return _convolution(x, kernel, strides, padding, dilation, groups)


def _grouped_forward(x, kernel, *how):
  return _grouped(x, kernel, *how), (x, kernel)


def _grouped_backward(strides, padding, dilation, saved, dy):
  x, kernel = saved
  how = (strides, padding, dilation)

  def of_input(x):
    return _convolution(x, kernel, *how, x.shape[-1])

  (dx,) = jax.linear_transpose(of_input, x)(dy)
  taps = shapes.shifted(x, kernel.shape[:-2], *how)
  axes = tuple(range(dy.ndim - 1))
  sums = [jnp.sum(tap.astype(jnp.float32) * dy, axes) for tap in taps]
  return dx, jnp.stack(sums).reshape(kernel.shape).astype(kernel.dtype)


_grouped.defvjp(_grouped_forward, _grouped_backward)


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
