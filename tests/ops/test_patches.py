"""Convolutions in blocks of images are those of all images at once."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from test_conv import arrays, outputs_and_gradients

from emojax import ops
from emojax.ops import patches

# Shape of the images, sizes of the kernel and channels, stride, padding, and how many
# images make a block.
BLOCKS = {
  'one image': ((6, 40, 40, 16), (3, 3, 16, 8), 1, 1, 1),
  'a divisor': ((24, 20, 20, 16), (3, 3, 16, 8), 1, 1, 2),
  'strides': ((9, 33, 40, 24), (5, 5, 24, 8), 2, 2, 1),
  'without padding': ((9, 40, 40, 16), (3, 2, 16, 8), 1, 0, 1),
  'sequences': ((8, 4000, 8), (5, 8, 4), 1, 2, 1),
}


@pytest.mark.parametrize('case', BLOCKS)
def test_blocks_equal_a_convolution(case):
  shape, sizes, strides, padding, images = BLOCKS[case]
  x, kernel = arrays(shape, sizes)
  rank = kernel.ndim - 2
  how = [(n,) * rank for n in (strides, padding, 1)]
  assert patches.images(x, kernel, *how) == images

  @functools.partial(jax.jit, static_argnums=2)
  def run(x, kernel, lowering):
    return outputs_and_gradients(
      x, kernel, lowering, strides=strides, padding=padding
    )

  for got, want in zip(run(x, kernel, 'matmul'), run(x, kernel, 'conv')):
    scale = np.max(np.abs(want))
    np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=1e-5)


def test_members_in_blocks_equal_members_alone():
  x, kernels = arrays((2, 12, 40, 40, 8), (2, 3, 3, 8, 8))
  run = functools.partial(outputs_and_gradients, lowering='matmul', padding=1)
  stacked = jax.jit(jax.vmap(run))(x, kernels)
  for member in range(2):
    for a, b in zip(stacked, jax.jit(run)(x[member], kernels[member])):
      np.testing.assert_allclose(a[member], b, rtol=1e-3, atol=1e-3)


def of(images, size, channels, out):
  """A block of 3 x 3 patches."""
  x = jax.ShapeDtypeStruct((images, size, size, channels), jnp.float32)
  kernel = jax.ShapeDtypeStruct((3, 3, channels, out), jnp.float32)
  return patches.images(x, kernel, (1, 1), (1, 1), (1, 1))


def test_a_block_is_as_large_as_its_patches_and_its_kernel_say():
  # All at once, without a loop: up to 4 MiB of patches, as EMENet's first layer has.
  assert of(64, 22, 3, 64) == 64
  assert of(81, 22, 3, 64) == 9
  assert of(64, 22, 16, 16) == 1  # 272 KiB of patches an image
  assert of(64, 11, 32, 32) == 2  # 136 KiB: three, of which none makes 64
  assert of(61, 11, 32, 32) == 1
  # 1.6 MiB of kernel for 1.1 MiB of patches: its rows must be many.
  assert of(256, 3, 512, 256) == 32
  assert of(64, 3, 512, 512) == 64


def test_programs_for_any_number_of_images_have_no_blocks():
  count, *_ = jax.export.symbolic_shape('n')
  x = jax.ShapeDtypeStruct((count, 40, 40, 16), jnp.float32)
  kernel = jax.ShapeDtypeStruct((3, 3, 16, 8), jnp.float32)
  conv = functools.partial(ops.conv, lowering='matmul', padding=1)
  made = jax.export.export(jax.jit(conv))(x, kernel)
  assert made.out_avals[0].shape == (count, 40, 40, 8)
  images, weights = arrays((6, 40, 40, 16), (3, 3, 16, 8))
  want = jax.jit(conv)(images, weights)
  np.testing.assert_allclose(
    made.call(images, weights), want, rtol=1e-4, atol=1e-3
  )


def test_sums_over_blocks_are_not_rounded_to_bfloat16():
  """The kernel's gradient is as good as that of all images at once."""
  x, kernel = arrays((64, 40, 40, 8), (3, 3, 8, 8))
  x, kernel = np.abs(x), np.abs(kernel)

  def kernel_gradient(dtype):
    settings = (x.astype(dtype), kernel.astype(dtype), 'matmul')
    y, _, dw = jax.jit(
      functools.partial(outputs_and_gradients, padding=1), static_argnums=2
    )(*settings)
    assert y.dtype == dw.dtype == dtype
    return np.asarray(dw, np.float32)

  want, got = kernel_gradient(np.float32), kernel_gradient(jnp.bfloat16)
  scale = np.max(np.abs(want))
  np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=0.01)
