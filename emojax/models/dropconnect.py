"""DropConnect layers: linear maps and convolutions with random kernels.

DropConnect (Wan et al., 2013) sets random weights to zero where dropout sets
random inputs to zero; kept weights are divided by the probability to be kept.
Sampling masks in prediction too is MC-DropConnect (Mobiny et al., 2019). Biases
are never dropped.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from emojax import ops
from emojax.models import initialisers

PER = ('call', 'example')


def he_uniform(key, shape):
  """Uniform with variance 2 / fan-in: activations keep their size over ReLUs.

  `initialisers.kaiming_normal` counts the outputs instead, so that a network
  without BatchNorm whose layers widen starts with vanishing activations.
  """
  fan_in = math.prod(shape[:-1])
  return initialisers.uniform(math.sqrt(6 / fan_in))(key, shape)


def drop(key, kernel, rate: float):
  """Sets a share `rate` of a kernel to 0 and divides the rest by 1 - rate."""
  keep = jax.random.bernoulli(key, 1 - rate, kernel.shape)
  return jnp.where(keep, kernel / (1 - rate), 0)


def apply_dropped(function, x, kernel, key, rate, per, axis_name=None):
  """`function(x, kernel)` with masks for the whole call or for every example.

  Args:
    function: `(x [N, ...], kernel) -> [N, ...]`, linear in both.
    x: [N, ...].
    kernel: Without an example axis.
    key: The same on all shards of a batch.
    rate: Share of the weights that is dropped, in [0, 1).
    per: 'call' draws one mask, as keras-uncertainty does: one sample of the
      network's weights, and the gradient noise of a batch is that of one mask.
      'example' draws one for each of the N rows, as DropConnect's authors do;
      it costs N kernels of memory.
    axis_name: Mapped batch axis; masks belong to rows of the whole batch.
  """
  if per not in PER:
    raise ValueError(f'mask per {per!r}: expected one of {", ".join(PER)}')
  if per == 'call':
    return function(x, drop(key, kernel, rate))
  first = 0 if axis_name is None else lax.axis_index(axis_name) * x.shape[0]
  rows = first + jnp.arange(x.shape[0])
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)

  def one(row, key):
    return function(row[None], drop(key, kernel, rate))[0]

  return jax.vmap(one)(x, keys)


def space_to_depth(x, kernel, strides: int, padding: int):
  """A strided convolution as one without strides or padding.

  Blocks of `strides` x `strides` pixels become channels, so that a large kernel
  has fewer taps: AlexNet's 11 x 11 with stride 4 has 9 instead of 121, each of
  which is an operation to compile where a convolution is a product of shifted
  images.

  Args:
    x: [N, H, W, I].
    kernel: [k, k, I, O].
    strides: s.
    padding: Zeros on all sides.

  Returns:
    (x [N, h, w, s * s * I], kernel [ceil(k / s), ceil(k / s), s * s * I, O]).
  """
  size, (n, *sides, channels) = kernel.shape[0], x.shape
  taps = -(-size // strides)
  blocks = [(n + 2 * padding - size) // strides + taps for n in sides]
  # Pixels that no window reaches are cut off: the padding may be negative.
  pads = [
    (padding, b * strides - n - padding, 0) for b, n in zip(blocks, sides)
  ]
  x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *pads, (0, 0, 0)])
  rows, columns = blocks
  x = x.reshape(n, rows, strides, columns, strides, channels)
  x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows, columns, -1)
  extra = taps * strides - size
  kernel = jnp.pad(kernel, ((0, extra), (0, extra), (0, 0), (0, 0)))
  kernel = kernel.reshape(taps, strides, taps, strides, channels, -1)
  kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
  return x, kernel.reshape(taps, taps, -1, kernel.shape[-1])


class DropConnectDense(nn.Module):
  """Affine map whose kernel may lose weights; rate 0 is a plain one.

  Attributes:
    features: Output features.
    rate: Share of the weights that is dropped, in [0, 1).
    per: 'call' or 'example'; see `apply_dropped`.
    kernel_init: Initialiser of the kernel; biases start at 0.
    dtype: Compute dtype.
    axis_name: Mapped batch axis.
  """

  features: int
  rate: float = 0.5
  per: str = 'call'
  kernel_init: Any = he_uniform
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, active: bool):
    """Maps [N, I] to [N, features]; draws from the PRNG 'dropout' if active."""
    shape = (x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    if active and self.rate:
      key = self.make_rng('dropout')
      rest = (key, self.rate, self.per, self.axis_name)
      y = apply_dropped(jnp.matmul, x, kernel, *rest)
    else:
      y = x @ kernel
    return y + bias.astype(self.dtype)


class DropConnectConv(nn.Module):
  """Convolution whose kernel may lose weights; rate 0 is a plain one.

  Attributes:
    features: Output channels.
    kernel: Kernel size of both dimensions.
    strides: Stride of both dimensions.
    padding: Zeros on all sides.
    use_bias: False where BatchNorm follows.
    rate: Share of the weights that is dropped, in [0, 1).
    per: 'call' or 'example'; see `apply_dropped`.
    kernel_init: Initialiser of the kernel; biases start at 0.
    lowering: See `ops.conv`.
    dtype: Compute dtype.
    axis_name: Mapped batch axis.
  """

  features: int
  kernel: int
  strides: int = 1
  padding: int = 0
  use_bias: bool = True
  rate: float = 0.5
  per: str = 'call'
  kernel_init: Any = he_uniform
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, active: bool):
    """Maps [N, H, W, I] to [N, H', W', features]; see `DropConnectDense`."""
    shape = (self.kernel, self.kernel, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    if active and self.rate:
      key = self.make_rng('dropout')
      rest = (key, self.rate, self.per, self.axis_name)
      y = apply_dropped(self._conv, x, kernel, *rest)
    else:
      y = self._conv(x, kernel)
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y = y + bias.astype(self.dtype)
    return y

  def _conv(self, x, kernel):
    lowering = ops.resolve_lowering(self.lowering)
    strides, padding = self.strides, self.padding
    if lowering == 'matmul' and 1 < strides < self.kernel:
      x, kernel = space_to_depth(x, kernel, strides, padding)
      strides, padding = 1, 0
    return ops.conv(
      x, kernel, strides=strides, padding=padding, lowering=lowering
    )
