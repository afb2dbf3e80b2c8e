"""Dense convolutions as products of patches, a few images at a time.

XLA:CPU has no fast convolution inside a loop, but fast products. The patches of all
images are as many times the images as a kernel has taps: where no cache holds them,
both the patches and their gradients would go to memory and back. Those of a few
images stay in a core's cache, in between the copy that makes them and the product
that reads them.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from emojax.ops import shapes
from emojax.ops.gradients import custom_vjp

# Bytes of all patches up to which nothing is gained: a last cache has room for them.
FEW = 4 << 20
# Bytes of patches that stay in the second cache of a core, whatever the core.
CACHED = 512 << 10
# Places of a block for each output channel, below which a product waits for the
# kernel that it has to read (and its gradient to add to) more than for its patches.
PLACES = 2


@custom_vjp(2, 3, 4)
def conv(x, kernel, strides, padding, dilation):
  """Convolves a batch of images or sequences.

  Args:
    x: [N, *spatial, I].
    kernel: [*sizes, I, O].
    strides: Tuple of ints, one per spatial dimension.
    padding: Tuple of ints, zeros on both sides.
    dilation: Tuple of ints.

  Returns:
    [N, *out, O].
  """
  matrix, how = _matrix(kernel), (kernel.shape[:-2], strides, padding, dilation)

  def block(x):
    return _patches(x, *how) @ matrix

  size = images(x, kernel, strides, padding, dilation)
  if size == x.shape[0]:
    return block(x)
  return _joined(lax.map(block, _split(x, size)))


def images(x, kernel, strides, padding, dilation) -> int:
  """How many images make a block: a divisor of how many there are, or all.

  All where their number is not known, as in programs that are exported for any.

  Args:
    x: As `conv` takes it, as are the others; its shape and type do.
    kernel: Its shape does.
    strides: One per spatial dimension.
    padding: Likewise.
    dilation: Likewise.
  """
  count, sizes = x.shape[0], kernel.shape[:-2]
  out = shapes.out_sizes(x.shape[1:-1], sizes, strides, padding, dilation)
  places = math.prod(out)
  size = places * math.prod(kernel.shape[:-1]) * x.dtype.itemsize
  if not isinstance(count, int) or size * count <= FEW:
    return count
  most = max(CACHED // size, -(-PLACES * kernel.shape[-1] // places), 1)
  if 2 * most > count:
    return count
  return max(n for n in range(1, most + 1) if count % n == 0)


def _forward(x, kernel, *how):
  return conv(x, kernel, *how), (x, kernel)


def _backward(strides, padding, dilation, saved, dy):
  x, kernel = saved
  matrix, how = _matrix(kernel), (kernel.shape[:-2], strides, padding, dilation)
  size = images(x, kernel, strides, padding, dilation)

  def block(total, arrays):
    x, dy = arrays
    patches, back = jax.vjp(lambda x: _patches(x, *how), x)
    (dx,) = back(dy @ matrix.T)
    rows, dy_rows = (a.reshape(-1, a.shape[-1]) for a in (patches, dy))
    dw = lax.dot_general(rows, dy_rows, (((0,), (0,)), ((), ())))
    return total + dw.astype(total.dtype), dx

  # Sums of many blocks would lose much to bfloat16.
  zeros = jnp.zeros(matrix.shape, jnp.promote_types(dy.dtype, jnp.float32))
  if size == x.shape[0]:
    dw, dx = block(zeros, (x, dy))
  else:
    dw, dx = lax.scan(block, zeros, (_split(x, size), _split(dy, size)))
    dx = _joined(dx)
  return dx, dw.reshape(kernel.shape).astype(kernel.dtype)


conv.defvjp(_forward, _backward)


def _matrix(kernel):
  return kernel.reshape(-1, kernel.shape[-1])


def _patches(x, sizes, strides, padding, dilation):
  """What each place of the output sees: [N, *out, taps x I]."""
  taps = shapes.shifted(x, sizes, strides, padding, dilation)
  return jnp.concatenate(taps, axis=-1)


def _split(x, size):
  return x.reshape(-1, size, *x.shape[1:])


def _joined(x):
  return x.reshape(-1, *x.shape[2:])
