"""Five ways in which pictures of faces go bad, in five severities each.

Pure functions that can be jitted, uint8 [N, H, W, C] to uint8 of the same shape,
C = 1 (grey) or 3 (RGB). What is random is drawn per image, from the key and the
image's position in the whole set (`first`), so that cutting a set into batches
changes nothing.

Noise, blur, brightness and JPEG are those of Hendrycks and Dietterich
(Benchmarking Neural Network Robustness to Common Corruptions, ICLR 2019), at the
levels which their code has for images of 32 pixels, CIFAR-10-C: crops of faces
have 40 to 112 pixels, where their levels for 224 (noise of 0.38, JPEG quality 7)
leave nothing to see. Levels of values in [0, 1] and of JPEG, whose blocks have 8
pixels in any image, are taken as they are; a blur is a share of the side, so that
it hides the same parts of a face at any size: theirs in pixels over 32. Occlusion
is not among theirs: a square that covers 5 to 50 % of the image.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from emojax.data.transform import jpeg, transforms

SIDE = 32  # of CIFAR's images, in pixels
SEVERITIES = {
  'noise': (0.04, 0.06, 0.08, 0.09, 0.1),  # standard deviation, of [0, 1]
  'blur': (0.4 / SIDE, 0.6 / SIDE, 0.7 / SIDE, 0.8 / SIDE, 1 / SIDE),  # of side
  'occlusion': (0.05, 0.1, 0.2, 0.35, 0.5),  # share of the area
  'brightness': (0.05, 0.1, 0.15, 0.2, 0.3),  # added to the value of HSV
  'jpeg': (80, 65, 58, 50, 40),  # quality
}
KINDS = tuple(SEVERITIES)
TRUNCATE = 4  # standard deviations at which a blur ends


def corrupt(
  kind: str,
  severity: int,
  key: jax.Array,
  images: jax.Array,
  first: int | jax.Array = 0,
) -> jax.Array:
  """Corrupts images.

  Args:
    kind: One of `KINDS`.
    severity: From 1 to 5.
    key: Of the random draws of noise and occlusion.
    images: uint8 [N, H, W, C].
    first: Position of the first image in the whole set.

  Returns:
    uint8 [N, H, W, C].

  Raises:
    ValueError: If there is no such kind or severity, or images are no such.
  """
  if kind not in SEVERITIES:
    raise ValueError(f'corruption {kind!r}: expected one of {", ".join(KINDS)}')
  levels = SEVERITIES[kind]
  if severity not in range(1, len(levels) + 1):
    raise ValueError(f'severity {severity}: expected 1 to {len(levels)}')
  if images.dtype != jnp.uint8 or images.ndim != 4:
    raise ValueError(
      f'images {images.dtype} {images.shape}: expected uint8 [N, H, W, C]'
    )
  level = levels[severity - 1]
  if kind in _RANDOM:
    keys = transforms.example_keys(key, len(images), first)
    return _RANDOM[kind](keys, images, level)
  return _FIXED[kind](images, level)


def noise(keys: jax.Array, images: jax.Array, scale: float) -> jax.Array:
  """Adds white Gaussian noise to every pixel and channel.

  Args:
    keys: One an image, [N].
    images: uint8 [N, H, W, C].
    scale: Standard deviation, of values in [0, 1].
  """
  size = math.prod(images.shape[1:])
  drawn = jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)
  return _to_uint8(images + 255 * scale * drawn.reshape(images.shape))


def blur(images: jax.Array, sigma: float) -> jax.Array:
  """Gaussian blur; the border is repeated.

  Args:
    images: uint8 [N, H, W, C].
    sigma: Standard deviation in parts of the side (of each: a face that is not
      square is blurred as if it were).
  """
  rows, columns = (_blurring(size, sigma * size) for size in images.shape[1:3])
  return _to_uint8(
    jnp.einsum(
      'yi,nijc,xj->nyxc', rows, images.astype(jnp.float32), columns,
      precision='highest',
    )
  )  # fmt: skip


def _blurring(size: int, sigma: float) -> np.ndarray:
  """Weights [size, size] by which pixels become a blurred one."""
  radius = int(TRUNCATE * sigma + 0.5)
  offset = np.arange(-radius, radius + 1)
  weight = np.exp(-0.5 * (offset / sigma) ** 2)
  matrix = np.zeros((size, size))
  for step, value in zip(offset, weight / weight.sum(), strict=True):
    at = np.clip(np.arange(size) + step, 0, size - 1)
    matrix[np.arange(size), at] += value
  return matrix.astype(np.float32)


def occlusion(keys: jax.Array, images: jax.Array, share: float) -> jax.Array:
  """Covers a square, somewhere in the image, by the image's mean colour.

  Args:
    keys: One an image, [N].
    images: uint8 [N, H, W, C].
    share: Of the area, in (0, 1]; of images that are not square, a rectangle of
      their proportions.
  """
  height, width = images.shape[1:3]
  tall, wide = (round(math.sqrt(share) * side) for side in (height, width))
  spare = np.array([height - tall, width - wide])
  u = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
  top, left = jnp.moveaxis(transforms.integers(u, spare + 1), -1, 0)
  top, left = (x[:, None, None, None] for x in (top, left))
  y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[:, None]
  inside = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
  mean = images.astype(jnp.float32).mean((1, 2), keepdims=True)
  return jnp.where(inside, _to_uint8(mean), images)


def brightness(images: jax.Array, added: float) -> jax.Array:
  """Raises the value of HSV; hue and saturation stay.

  Args:
    images: uint8 [N, H, W, C].
    added: To the value, which is the largest of the channels, in [0, 1].
  """
  pixels = images.astype(jnp.float32)
  value = pixels.max(-1, keepdims=True)
  raised = jnp.minimum(value + 255 * added, 255)
  # Black has neither hue nor saturation: it becomes grey.
  scaled = pixels * (raised / jnp.where(value > 0, value, 1))
  return _to_uint8(jnp.where(value > 0, scaled, raised))


def _to_uint8(pixels: jax.Array) -> jax.Array:
  return jnp.clip(jnp.rint(pixels), 0, 255).astype(jnp.uint8)


_RANDOM = {'noise': noise, 'occlusion': occlusion}
_FIXED = {'blur': blur, 'brightness': brightness, 'jpeg': jpeg.compress}
# A program for each kind, severity and shape.
jitted = functools.partial(jax.jit, static_argnums=(0, 1))(corrupt)
