"""Geometric changes: crops, rotation, shift, scale, skew.

See `augment.py` for the conventions and `transforms.py` for the numbers `u`.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from emojax.data.transform import transforms

CROP_NUMBERS = 2
AFFINE_NUMBERS = 9


def enlarged_size(size: int, scale: float = 1.2) -> int:
  """Side of the enlarged image of `resized_crop`: 134 for 112."""
  return int(scale * size)


def resized_crop(
  u: jax.Array | None, images: jax.Array, scale: float = 1.2
) -> jax.Array:
  """Enlarges by `scale` (bilinear), then cuts the old size out at random.

  Papers 001 and 002. The two steps are one product with two small matrices.

  Args:
    u: [B, L or 1, CROP_NUMBERS], or None for the centre (their validation).
    images: [B, L, H, W, C].
    scale: Factor of the enlargement.

  Returns:
    float32 [B, L, H, W, C].
  """
  sides = images.shape[2:4]
  spare = np.array([enlarged_size(side, scale) - side for side in sides])
  if u is None:
    # Rounds half to even, as torchvision's CenterCrop does.
    start = jnp.asarray(np.round(spare / 2).astype(int))[None, None]
  else:
    start = transforms.integers(u, spare + 1)
  rows = _crop_matrix(start[..., 0], sides[0], scale)
  columns = _crop_matrix(start[..., 1], sides[1], scale)
  planar = jnp.moveaxis(transforms.to_float(images), -1, 2)
  planar = jnp.matmul(
    planar, jnp.swapaxes(columns, -1, -2)[:, :, None], precision='highest'
  )
  planar = jnp.matmul(rows[:, :, None], planar, precision='highest')
  return jnp.moveaxis(planar, 2, -1)


def _crop_matrix(start, size, scale):
  """Rows start .. start + size of the matrix that enlarges `size` pixels."""
  large = enlarged_size(size, scale)
  centre = (np.arange(large) + 0.5) * size / large - 0.5
  weight = np.maximum(0, 1 - np.abs(centre[:, None] - np.arange(size)))
  matrix = jnp.asarray(weight / weight.sum(1, keepdims=True), jnp.float32)

  def cut(row):
    return jax.lax.dynamic_slice(matrix, (row, 0), (size, size))

  return jax.vmap(jax.vmap(cut))(start)


def random_crop(u: jax.Array, images: jax.Array, size: int) -> jax.Array:
  """Cuts a random `size` x `size` window out, [B, L, size, size, C].

  Args:
    u: [B, L or 1, CROP_NUMBERS].
    images: [B, L, H, W, C].
    size: Side of the result.
  """
  height, width, channels = images.shape[2:]
  if size > min(height, width):
    raise ValueError(f'a crop of {size} does not fit into {height} x {width}')
  spare = np.array([height - size, width - size])
  start = transforms.integers(u, spare + 1)
  start = jnp.broadcast_to(start, (*images.shape[:2], 2))

  def cut(image, place):
    return jax.lax.dynamic_slice(image, (*place, 0), (size, size, channels))

  return jax.vmap(jax.vmap(cut))(images, start)


def padded_crop(u: jax.Array, images: jax.Array, pad: int) -> jax.Array:
  """Cuts the old size out at random after padding with black.

  The usual augmentation of CIFAR-10, with 4 pixels (He et al., CVPR 2016, section
  4.2).

  Args:
    u: [B, L or 1, CROP_NUMBERS].
    images: [B, L, H, H, C].
    pad: Pixels on every side.

  Returns:
    [B, L, H, H, C].
  """
  edges = ((0, 0), (0, 0), (pad, pad), (pad, pad), (0, 0))
  return random_crop(u, jnp.pad(images, edges), images.shape[2])


def centre_crop(images: jax.Array, size: int) -> jax.Array:
  """Cuts the middle `size` x `size` window out."""
  # Rounds half to even, as torchvision does.
  y, x = (round((side - size) / 2) for side in images.shape[2:4])
  return images[:, :, y : y + size, x : x + size]


def ten_crop(images: jax.Array, size: int) -> jax.Array:
  """Corners and centre and their mirror images, [10, B, L, size, size, C].

  The test-time augmentation of the FER2013 recipe that paper 003 compares
  with: average the ten outputs.
  """
  down, right = (side - size for side in images.shape[2:4])
  starts = [(0, 0), (0, right), (down, 0), (down, right)]
  crops = [images[:, :, y : y + size, x : x + size] for y, x in starts]
  crops.append(centre_crop(images, size))
  return jnp.stack(crops + [crop[..., ::-1, :] for crop in crops])


def affine(
  u: jax.Array,
  images: jax.Array,
  shift: float = 0.08,
  scale: float = 1.05,
  angle: float = 20.0,
  skew: float = 0.05,
) -> jax.Array:
  """Random shift, scale, rotation and skew, bilinear with mirrored borders.

  The distortion of FER+'s own baseline, uniform in every number.

  Args:
    u: [B, L or 1, AFFINE_NUMBERS].
    images: [B, L, H, W, C].
    shift: Largest shift in parts of the side.
    scale: Largest scale per axis; half of the time it divides.
    angle: Largest angle in degrees.
    skew: Largest skew.
  """
  matrix, move = jax.vmap(
    jax.vmap(lambda n: _affine_matrix(n, shift, scale, angle, skew))
  )(u)
  matrix = jnp.broadcast_to(matrix, (*images.shape[:2], 2, 2))
  move = jnp.broadcast_to(move, (*images.shape[:2], 2))
  return jax.vmap(jax.vmap(warp))(transforms.to_float(images), matrix, move)


def _affine_matrix(u, shift, scale, angle, skew):
  """The map from output to input places, ([2, 2], [2]) on (y, x)."""
  move = transforms.between(u[0:2], -shift, shift)
  turn = math.radians(angle) * transforms.between(u[2], -1, 1)
  lean = transforms.between(u[3:5], -skew, skew)
  zoom = transforms.between(u[5:7], 1, scale)
  zoom = jnp.where(u[7:9] < 0.5, zoom, 1 / zoom)
  cos, sin = jnp.cos(turn), jnp.sin(turn)
  matrix = jnp.array([[cos, sin], [-sin, cos]])
  matrix = jnp.array([[1, 0], [lean[0], 1]]) @ matrix
  matrix = jnp.array([[1, lean[1]], [0, 1]]) @ matrix
  return zoom[:, None] * matrix, move


def warp(image: jax.Array, matrix: jax.Array, move: jax.Array) -> jax.Array:
  """Samples image [H, W, C] at matrix @ (p - centre - move) + centre.

  Args:
    image: float [H, W, C].
    matrix: [2, 2] on (y, x).
    move: [2], shift of the content in parts of the sides.
  """
  height, width = image.shape[:2]
  size = jnp.asarray([height, width], jnp.float32)
  centre = (size - 1) / 2
  grid = jnp.stack(jnp.indices((height, width)), -1) - centre - move * size
  place = jnp.einsum('ij,hwj->ihw', matrix, grid, precision='highest')
  place = place + centre[:, None, None]

  def sample(plane):
    return jax.scipy.ndimage.map_coordinates(
      plane, list(place), order=1, mode='reflect'
    )

  return jax.vmap(sample, -1, -1)(image)
