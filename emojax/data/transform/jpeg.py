"""What JPEG's quantisation does to an image, in array operations alone.

Encoding and decoding of ITU-T T.81 without the entropy coding, which loses
nothing: colour transform of JFIF, 8 x 8 discrete cosine transform, quantisation
by the tables of Annex K as the Independent JPEG Group's library scales them with
the quality, and back. Chroma keeps its resolution (4:4:4).
"""

import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 8
# ITU-T T.81, Tables K.1 and K.2.
LUMINANCE = np.array([
  [16, 11, 10, 16, 24, 40, 51, 61],
  [12, 12, 14, 19, 26, 58, 60, 55],
  [14, 13, 16, 24, 40, 57, 69, 56],
  [14, 17, 22, 29, 51, 87, 80, 62],
  [18, 22, 37, 56, 68, 109, 103, 77],
  [24, 35, 55, 64, 81, 104, 113, 92],
  [49, 64, 78, 87, 103, 121, 120, 101],
  [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
CHROMINANCE = np.full((BLOCK, BLOCK), 99)
CHROMINANCE[:4, :4] = [
  [17, 18, 24, 47],
  [18, 21, 26, 66],
  [24, 26, 56, 99],
  [47, 66, 99, 99],
]
# JFIF: Y, Cb and Cr of R, G and B; the last two are 128 for greys.
TO_YCC = np.array([
  [0.299, 0.587, 0.114],
  [-0.168735892, -0.331264108, 0.5],
  [0.5, -0.418687589, -0.081312411],
])  # fmt: skip
TO_RGB = np.array([
  [1, 0, 1.402],
  [1, -0.344136286, -0.714136286],
  [1, 1.772, 0],
])  # fmt: skip
OFFSET = np.array([0, 128, 128])
CENTRE = 128


def table(base: np.ndarray, quality: int) -> np.ndarray:
  """Quantisation steps [8, 8] of a quality from 1 to 100.

  Raises:
    ValueError: If the quality is no whole number in this range.
  """
  if int(quality) != quality or not 1 <= quality <= 100:
    raise ValueError(f'JPEG quality {quality}: expected a number in 1..100')
  scale = 5000 // quality if quality < 50 else 200 - 2 * quality
  return np.clip((base * int(scale) + 50) // 100, 1, 255)


def _cosines() -> np.ndarray:
  """The orthonormal transform: coefficients are `C @ block @ C.T`."""
  u, x = np.arange(BLOCK)[:, None], np.arange(BLOCK)
  rows = np.cos((2 * x + 1) * u * np.pi / (2 * BLOCK)) / 2
  return np.where(u == 0, rows / np.sqrt(2), rows)


def compress(images: jax.Array, quality: int) -> jax.Array:
  """Images as they are after they were a JPEG file.

  Args:
    images: uint8 [N, H, W, C], C = 1 (grey) or 3 (RGB), of any height and
      width: what lacks to whole blocks repeats the last row and column.
    quality: From 1 to 100, a Python number.

  Returns:
    uint8 [N, H, W, C].

  Raises:
    ValueError: If the quality is none, or C another number.
  """
  channels = images.shape[-1]
  if channels not in (1, 3):
    raise ValueError(f'{channels} channels: expected 1 (grey) or 3 (RGB)')
  planes = images.astype(jnp.float32)
  if channels == 3:
    planes = _round(_colours(planes, TO_YCC) + OFFSET)
  steps = [table(LUMINANCE, quality)]
  steps += [table(CHROMINANCE, quality)] * (channels - 1)
  planes = jnp.stack(
    [_plane(planes[..., i], step) for i, step in enumerate(steps)], -1
  )
  if channels == 3:
    planes = _colours(planes - OFFSET, TO_RGB)
  return jnp.clip(_round(planes), 0, 255).astype(jnp.uint8)


def _colours(planes: jax.Array, matrix: np.ndarray) -> jax.Array:
  return jnp.matmul(planes, np.float32(matrix.T), precision='highest')


def _plane(plane: jax.Array, steps: np.ndarray) -> jax.Array:
  """Quantises [N, H, W]; the result is whole numbers in 0..255."""
  height, width = plane.shape[1:]
  pad = (0, -height % BLOCK), (0, -width % BLOCK)
  whole = jnp.pad(plane, ((0, 0), *pad), mode='edge')
  n, rows, columns = whole.shape
  shape = n, rows // BLOCK, BLOCK, columns // BLOCK, BLOCK
  cosines = jnp.asarray(_cosines(), jnp.float32)
  divisors = jnp.asarray(steps, jnp.float32)[None, None, :, None, :]
  found = _both(cosines, whole.reshape(shape) - CENTRE)
  found = _both(cosines.T, _round(found / divisors) * divisors) + CENTRE
  found = jnp.clip(_round(found), 0, 255).reshape(whole.shape)
  return found[:, :height, :width]


def _both(matrix: jax.Array, blocks: jax.Array) -> jax.Array:
  """`matrix @ block @ matrix.T` of every block; [N, rows, 8, columns, 8]."""
  return jnp.einsum(
    'ur,narbs,vs->naubv', matrix, blocks, matrix, precision='highest'
  )


def _round(x: jax.Array) -> jax.Array:
  """Halves away from 0, as the library rounds."""
  return jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5)
