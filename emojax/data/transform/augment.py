"""Image augmentation: named compositions of pure functions on batches of clips.

They run inside the training step: `augmentation(name)(key, images, first)`.
Images are [B, L, H, W, C], uint8 or float32 in [0, 1]; results are float32 in
[0, 1]. Nothing is normalised: means and standard deviations belong to models.

Random numbers are drawn per example, from the key and the example's position in
the global batch (`first` is that of the first example at hand), so cutting a
batch over devices changes nothing. `per='frame'` draws for every frame of a
clip, as the published code of paper 000 does; `per='clip'` draws once, so that
no clip is half mirrored.
"""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp

from emojax.data.transform import geometry, transforms

# An erased pixel is 0 after normalisation, which is the mean before it.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
FER_CROP = 44 / 48
CIFAR_PAD = 4 / 32


class Augment(Protocol):
  """`(key, images [B, L, H, W, C], first=0) -> float32 [B, L, H', W', C]`."""

  def __call__(
    self, key: jax.Array, images: jax.Array, first: int | jax.Array = 0
  ) -> jax.Array: ...


def none(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """No augmentation (paper 004)."""
  del keys, per
  return transforms.to_float(images)


def emenet(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """Colour jitter of 0.3 and horizontal flip (code of paper 000)."""
  u = transforms.uniforms(
    keys, images, per, transforms.JITTER_NUMBERS + transforms.FLIP_NUMBERS
  )
  images = transforms.color_jitter(u[..., :-1], images)
  return transforms.horizontal_flip(u[..., -1], images)


def incomplete(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """Crop of the image enlarged 1.2 times, and flip (papers 001 and 002).

  The published code of 001 draws one crop and one flip for the whole run; 002
  draws anew per image, or per sequence. This follows 002.
  """
  u = transforms.uniforms(
    keys, images, per, geometry.CROP_NUMBERS + transforms.FLIP_NUMBERS
  )
  images = transforms.horizontal_flip(u[..., -1], images)
  return geometry.resized_crop(u[..., :-1], images)


def rul(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """Flip or noise or neither, then random erasing (code of paper 003).

  A quarter of the images is mirrored, a quarter gets noise. The code adds the
  noise before it enlarges the image to 224; here it has the input's size.
  """
  u = transforms.uniforms(keys, images, per, transforms.ERASE_NUMBERS + 1)
  choice = transforms.pixels(transforms.integers(u[..., -1], 4))
  noise_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
  noisy = transforms.gaussian_noise(noise_keys, images)
  images = transforms.to_float(images)
  images = jnp.where(choice == 0, images[..., ::-1, :], images)
  images = jnp.where(choice == 1, noisy, images)
  mean = IMAGENET_MEAN if images.shape[-1] == 3 else sum(IMAGENET_MEAN) / 3
  return transforms.random_erasing(u[..., :-1], images, value=mean)


def fer2013(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """Random crop of 44 out of 48 pixels and flip: FER2013 in paper 003.

  The result is smaller than the input.
  """
  u = transforms.uniforms(
    keys, images, per, geometry.CROP_NUMBERS + transforms.FLIP_NUMBERS
  )
  images = transforms.horizontal_flip(u[..., -1], images)
  size = round(images.shape[2] * FER_CROP)
  images = geometry.random_crop(u[..., :-1], images, size)
  return transforms.to_float(images)


def ferplus(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """Shift, scale, rotation, skew and flip: the baseline of FER+."""
  u = transforms.uniforms(
    keys, images, per, geometry.AFFINE_NUMBERS + transforms.FLIP_NUMBERS
  )
  images = transforms.horizontal_flip(u[..., -1], images)
  return geometry.affine(u[..., :-1], images)


def cifar10(keys: jax.Array, images: jax.Array, per: str) -> jax.Array:
  """Crop of the image padded by an eighth, and flip: the usual one of CIFAR-10."""
  u = transforms.uniforms(
    keys, images, per, geometry.CROP_NUMBERS + transforms.FLIP_NUMBERS
  )
  images = transforms.horizontal_flip(u[..., -1], images)
  pad = round(images.shape[2] * CIFAR_PAD)
  return transforms.to_float(geometry.padded_crop(u[..., :-1], images, pad))


# Name to function and what `per` it was published with.
COMPOSITIONS: dict[str, tuple[Callable, str]] = {
  'none': (none, 'frame'),
  'emenet': (emenet, 'frame'),
  'incomplete': (incomplete, 'clip'),
  'rul': (rul, 'frame'),
  'fer2013': (fer2013, 'frame'),
  'ferplus': (ferplus, 'frame'),
  'cifar10': (cifar10, 'frame'),
}


def augmentation(name: str, per: str | None = None) -> Augment:
  """Returns the augmentation of that name.

  Args:
    name: 'none', 'emenet', 'incomplete', 'rul', 'fer2013', 'ferplus' or
      'cifar10'.
    per: 'frame' or 'clip'; None is what the composition was published with.
  """
  compose, published = _find(name)
  per = per or published
  if per not in transforms.PER:
    known = ', '.join(transforms.PER)
    raise ValueError(f'per {per!r}: expected one of {known}')

  def apply(
    key: jax.Array, images: jax.Array, first: int | jax.Array = 0
  ) -> jax.Array:
    keys = transforms.example_keys(key, images.shape[0], first)
    return compose(keys, images, per)

  return apply


def evaluation(name: str) -> Callable[[jax.Array], jax.Array]:
  """Returns the deterministic `images -> float32` that goes with `name`.

  'incomplete' cuts the centre out of the enlarged image and 'fer2013' the
  middle 44 pixels (`geometry.ten_crop` has all ten crops); the others only
  convert.
  """
  _find(name)
  if name == 'incomplete':
    return lambda images: geometry.resized_crop(None, images)
  if name == 'fer2013':
    return lambda images: transforms.to_float(
      geometry.centre_crop(images, round(images.shape[2] * FER_CROP))
    )
  return transforms.to_float


def _find(name):
  if name not in COMPOSITIONS:
    raise ValueError(
      f'augmentation {name!r}: expected one of {", ".join(COMPOSITIONS)}'
    )
  return COMPOSITIONS[name]
