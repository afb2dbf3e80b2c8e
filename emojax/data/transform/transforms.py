"""Changes of pixel values as functions of uniform random numbers.

See `augment.py` for the conventions and for the named compositions. Each
transform takes its numbers `u` in [0, 1), [B, L or 1, n] with n given by the
constant beside it, so a composition draws once and the transforms are plain
functions.
"""

import math

import jax
import jax.numpy as jnp

PER = ('frame', 'clip')
# ITU-R 601 luma as torchvision rounds it for tensors.
LUMA = (0.2989, 0.587, 0.114)

JITTER_NUMBERS = 6
FLIP_NUMBERS = 1
ERASE_TRIES = 10
ERASE_NUMBERS = 2 * ERASE_TRIES + 3


def example_keys(
  key: jax.Array, batch: int, first: int | jax.Array = 0
) -> jax.Array:
  """Keys [B] of examples first .. first + B - 1 of the global batch."""
  index = first + jnp.arange(batch)
  return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def uniforms(
  keys: jax.Array, images: jax.Array, per: str, count: int
) -> jax.Array:
  """Numbers in [0, 1), [B, L, count] per frame or [B, 1, count] per clip."""
  if per not in PER:
    raise ValueError(f'per {per!r}: expected one of {", ".join(PER)}')
  shape = (images.shape[1] if per == 'frame' else 1, count)
  # XLA compiles a flat draw several times faster than a shaped one.
  flat = jax.vmap(lambda key: jax.random.uniform(key, (math.prod(shape),)))
  return flat(keys).reshape(len(keys), *shape)


def integers(u: jax.Array, bound) -> jax.Array:
  """Maps [0, 1) to 0 .. bound - 1."""
  return jnp.minimum(jnp.floor(u * bound).astype(jnp.int32), bound - 1)


def between(u: jax.Array, low, high) -> jax.Array:
  """Maps [0, 1) to [low, high)."""
  return low + (high - low) * u


def pixels(array: jax.Array) -> jax.Array:
  """Adds H, W, C axes to per-frame numbers [B, L]."""
  return array[..., None, None, None]


def to_float(images: jax.Array) -> jax.Array:
  """uint8 to float32 in [0, 1]; floats pass unchanged."""
  if images.dtype == jnp.uint8:
    return images.astype(jnp.float32) / 255
  return images


def color_jitter(
  u: jax.Array,
  images: jax.Array,
  strength: tuple[float, float, float] = (0.3, 0.3, 0.3),
) -> jax.Array:
  """Changes brightness, contrast and saturation, in random order.

  As torchvision's ColorJitter: each factor is uniform in 1 -/+ strength, and
  each step blends the image with black, with the mean of its grey version or
  with its grey version, then clips to [0, 1].

  Args:
    u: [B, L or 1, JITTER_NUMBERS].
    images: [B, L, H, W, 3] or [B, L, H, W, 1].
    strength: Brightness, contrast, saturation.
  """
  factor = 1 + jnp.asarray(strength) * between(u[..., 3:], -1, 1)
  return jitter(images, jnp.argsort(u[..., :3], axis=-1), factor)


def jitter(images: jax.Array, order: jax.Array, factor: jax.Array) -> jax.Array:
  """`color_jitter` with given numbers.

  Args:
    images: [B, L, H, W, C].
    order: int, [B or 1, L or 1, 3]: permutation of 0 (brightness), 1
      (contrast), 2 (saturation).
    factor: float, the same shape: factors in the order of their numbers.
  """
  # One array per channel: a last axis of 3 defeats the vector units.
  planes = [to_float(images[..., c]) for c in range(images.shape[-1])]
  for step in range(3):
    number = order[..., step, None]
    scale = jnp.take_along_axis(factor, number, axis=-1)[..., None]
    number = number[..., None]
    grey = _grey(planes)
    mean = grey.mean(axis=(-2, -1), keepdims=True)
    base = jnp.where(number == 1, mean, jnp.where(number == 2, grey, 0.0))
    planes = [
      jnp.clip(scale * plane + (1 - scale) * base, 0, 1) for plane in planes
    ]
  return jnp.stack(planes, axis=-1)


def _grey(planes):
  if len(planes) == 1:
    return planes[0]
  return sum(weight * plane for weight, plane in zip(LUMA, planes))


def horizontal_flip(
  u: jax.Array, images: jax.Array, probability: float = 0.5
) -> jax.Array:
  """Mirrors images left to right where `u` [B, L or 1] is below probability."""
  return jnp.where(pixels(u < probability), images[..., ::-1, :], images)


def random_erasing(
  u: jax.Array,
  images: jax.Array,
  probability: float = 0.5,
  area: tuple[float, float] = (0.02, 0.25),
  ratio: tuple[float, float] = (0.3, 3.3),
  value: float | tuple[float, ...] = 0.0,
) -> jax.Array:
  """Overwrites a random rectangle (torchvision's RandomErasing; paper 003).

  Args:
    u: [B, L or 1, ERASE_NUMBERS].
    images: [B, L, H, W, C].
    probability: Probability of erasing at all.
    area: Range of the rectangle's share of the image.
    ratio: Range of height over width, log-uniform.
    value: What is written, in [0, 1]. Where images are normalised afterwards,
      pass the mean: that is what an erased 0 after normalising means.
  """
  height, width = images.shape[2:4]
  tall, wide = _rectangle(u[..., 3:], height, width, area, ratio)
  tall = jnp.where(u[..., 0] < probability, tall, 0)
  top = pixels(integers(u[..., 1], height - tall + 1))
  left = pixels(integers(u[..., 2], width - wide + 1))
  tall, wide = pixels(tall), pixels(wide)
  y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[:, None]
  inside = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
  return jnp.where(inside, jnp.asarray(value, jnp.float32), to_float(images))


def _rectangle(u, height, width, area, ratio):
  """Height and width of the first of ten drawn rectangles that fits, else 0."""
  share = between(u[..., :ERASE_TRIES], *area) * height * width
  low, high = (math.log(limit) for limit in ratio)
  aspect = jnp.exp(between(u[..., ERASE_TRIES:], low, high))
  tall = jnp.round(jnp.sqrt(share * aspect)).astype(jnp.int32)
  wide = jnp.round(jnp.sqrt(share / aspect)).astype(jnp.int32)
  fits = (tall < height) & (wide < width)
  first = jnp.argmax(fits, axis=-1, keepdims=True)
  pick = [jnp.take_along_axis(a, first, -1)[..., 0] for a in (tall, wide, fits)]
  return pick[0] * pick[2], pick[1] * pick[2]


def gaussian_noise(
  keys: jax.Array, images: jax.Array, variance: float = 30.0
) -> jax.Array:
  """Adds white noise (variance on the scale 0..255) and clips (paper 003).

  Args:
    keys: Keys [B], see `example_keys`.
    images: [B, L, H, W, C].
    variance: Variance of the noise.
  """
  size = math.prod(images.shape[1:])
  noise = jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)
  scale = math.sqrt(variance) / 255
  return jnp.clip(to_float(images) + scale * noise.reshape(images.shape), 0, 1)
