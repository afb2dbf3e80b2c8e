"""Layers shared by the models: convolution + BatchNorm, linear, dropout."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from emojax import ops
from emojax.models import initialisers

MOMENTUM = 0.1


def scaled(channels: int, width: float) -> int:
  """Channels at a width multiplier: the nearest multiple of 8, at least 8."""
  if width <= 0:
    raise ValueError(f'width {width}: expected a positive multiplier')
  return max(8, int(channels * width / 8 + 0.5) * 8)


def checked_images(
  image, size: int, channels: int, remedy: str = 'another image_size'
):
  """Returns images [B, L, size, size, channels] as they are.

  Raises:
    ValueError: If they have another shape; says how to go on.
  """
  if image.ndim != 5 or image.shape[2:] != (size, size, channels):
    raise ValueError(
      f"inputs['image'] has shape {image.shape}: expected [B, L, {size}, "
      f'{size}, {channels}]; resize the images or build the model with {remedy}'
    )
  return image


class ConvNorm(nn.Module):
  """Convolution without bias, BatchNorm and optionally PReLU.

  BatchNorm is PyTorch's: running statistics move by 0.1 and hold the unbiased
  variance. The parameters are `kernel`, `scale`, `bias` and `slope`; of a trained
  layer that was folded (`folding.fold`) `kernel`, `shift` and `slope`.

  Attributes:
    features: Output channels.
    kernel: Kernel size of each spatial dimension.
    strides: Stride of every spatial dimension.
    padding: Zeros on both sides of every spatial dimension.
    depthwise: One filter for each channel (features = input channels).
    prelu: Whether PReLU (one slope per channel, initially 0.25) follows.
    relu: Whether ReLU follows; it is computed as PReLU with slopes of zero.
    eps: BatchNorm's epsilon.
    kernel_init: Initialiser of the kernel.
    lowering: See `ops.conv`.
    dtype: Compute dtype; parameters and statistics are float32.
    axis_name: Mapped batch axis that statistics are synchronised over.
  """

  features: int
  kernel: tuple[int, ...]
  strides: int = 1
  padding: int = 0
  depthwise: bool = False
  prelu: bool = False
  relu: bool = False
  eps: float = 1e-5
  kernel_init: Any = initialisers.kaiming_normal
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool):
    groups = self.features if self.depthwise else 1
    shape = (*self.kernel, x.shape[-1] // groups, self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    x = ops.conv(
      x.astype(self.dtype),
      kernel.astype(self.dtype),
      strides=self.strides,
      padding=self.padding,
      groups=groups,
      lowering=self.lowering,
    )
    if not train and self.has_variable('params', 'shift'):
      return self._folded(x)
    return self._norm(x, train)

  def _folded(self, x):
    """What is left of BatchNorm behind a kernel with its scale, and PReLU."""
    shape = (self.features,)
    z = x + self.param('shift', nn.initializers.zeros, shape)
    if self.relu:
      return jnp.maximum(z, 0).astype(x.dtype)
    if self.prelu:
      slope = self.param('slope', nn.initializers.zeros, shape)
      z = jnp.maximum(z, 0) + slope * jnp.minimum(z, 0)
    return z.astype(x.dtype)

  def _norm(self, x, train):
    shape = (self.features,)
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    slope = jnp.zeros(shape) if self.relu else None
    if self.prelu:
      slope = self.param('slope', nn.initializers.constant(0.25), shape)
    return by_statistics(
      self, x, train, scale, bias, slope, self.eps, self.lowering
    )


def by_statistics(
  module, x, train: bool, scale, bias, slope, eps, lowering='lax'
):
  """BatchNorm and PReLU inside a module, whose variables the statistics are.

  As PyTorch has it: the running variance is of the unbiased ones.

  Args:
    module: The module that is called; its `axis_name` is that of the batch.
    x: [..., C].
    train: Normalise by the batch and move the running statistics, or by these.
    scale: [C].
    bias: [C].
    slope: PReLU's [C], or None for no activation.
    eps: Added to the variance.
    lowering: See `ops.conv`.
  """
  shape, axis_name = x.shape[-1:], module.axis_name
  mean = module.variable('batch_stats', 'mean', jnp.zeros, shape)
  var = module.variable('batch_stats', 'var', jnp.ones, shape)
  if not train:
    return ops.normalise(x, mean.value, var.value, scale, bias, slope, eps)
  count = batch_count(x, axis_name, module.name)
  y, batch_mean, batch_var = ops.batch_norm(
    x, scale, bias, slope, eps, axis_name, ops.resolve_lowering(lowering)
  )
  if not module.is_initializing():
    unbiased = batch_var * (count / (count - 1))
    mean.value += MOMENTUM * (batch_mean - mean.value)
    var.value += MOMENTUM * (unbiased - var.value)
  return y


def batch_count(x, axis_name, name) -> int:
  """Values per channel in the whole batch; ValueError if there is only one."""
  shards = 1 if axis_name is None else lax.axis_size(axis_name)
  count = math.prod(x.shape[:-1]) * shards
  if count == 1:
    raise ValueError(
      f'BatchNorm of {name!r} got one value per channel, which has no '
      'variance: train with at least two frames in a batch'
    )
  return count


def in_blocks(module, x, block: int, dtype):
  """Applies a trained encoder to frames [N, ...], at most `block` at a time.

  Blocks are as even as they can be; zeros fill up the last one.

  Args:
    module: Bound, `(x, train) -> [N, F]`, whose frames do not know each other.
    x: [N, ...].
    block: Frames, at least 1.
    dtype: What the frames of a block become when it is their turn.
  """
  rows = x.shape[0]
  number = -(-rows // block)
  if number <= 1:
    return module(x.astype(dtype), False)
  size = -(-rows // number)
  x = jnp.pad(x, [(0, number * size - rows)] + [(0, 0)] * (x.ndim - 1))
  # A bound module must not be called inside a loop: it might change variables.
  alone, variables = module.unbind()
  found = lax.map(
    lambda part: alone.apply(variables, part.astype(dtype), False),
    x.reshape(number, size, *x.shape[1:]),
  )
  return found.reshape(-1, *found.shape[2:])[:rows]


class Linear(nn.Module):
  """Affine map with PyTorch's default initialisation."""

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    init = initialisers.uniform(1 / math.sqrt(x.shape[-1]))
    kernel = self.param('kernel', init, (x.shape[-1], self.features))
    bias = self.param('bias', init, (self.features,))
    return x.astype(self.dtype) @ kernel.astype(self.dtype) + bias.astype(
      self.dtype
    )


class Dropout(nn.Module):
  """Dropout whose mask does not depend on how the batch is sharded.

  With `axis_name` the mask of the whole batch is drawn on every device (from
  a key that must be the same there) and each takes its own rows.
  """

  rate: float
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, active: bool):
    if not active or self.rate == 0:
      return x
    key, rows = self.make_rng('dropout'), x.shape[0]
    if self.axis_name is None:
      keep = jax.random.bernoulli(key, 1 - self.rate, x.shape)
    else:
      shape = (rows * lax.axis_size(self.axis_name), *x.shape[1:])
      keep = jax.random.bernoulli(key, 1 - self.rate, shape)
      start = lax.axis_index(self.axis_name) * rows
      keep = lax.dynamic_slice_in_dim(keep, start, rows)
    return jnp.where(keep, x / (1 - self.rate), 0).astype(x.dtype)
