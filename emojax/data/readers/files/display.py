"""Turns pictures of a video as its display matrix says.

The matrix of ISO/IEC 14496-12 (8.5.2, `tkhd`), which other containers and
FFmpeg share: a pixel at (x, y), rightwards and downwards, is shown at
(a x + c y, b x + d y). Phones write quarter turns; front cameras and editors
mirror as well, which no angle can say.
"""

import struct

import numpy as np

from emojax.data.readers.files.problems import DataError

LENGTH = 36  # bytes: nine integers a, b, u, c, d, v, x, y, w
# How far a turn may be from a quarter turn, as the tangent of the angle.
_TOLERANCE = 0.05


def upright(image: np.ndarray, matrix: bytes | None) -> np.ndarray:
  """Turns and mirrors a picture as its display matrix says.

  Args:
    image: [H, W, ...] as decoded.
    matrix: 36 bytes, nine native 32-bit integers in FFmpeg's order; None, or
      zeros, where a video has none.

  Returns:
    [H, W, ...], or [W, H, ...] after a quarter turn; contiguous. Scales and
    shifts are ignored.

  Raises:
    DataError: The matrix turns by no multiple of 90 degrees.
  """
  if matrix is None:
    return image
  a, b, _, c, d = struct.unpack('=9i', bytes(matrix)[:LENGTH])[:5]
  if not any((a, b, c, d)):
    return image
  across, along = (a, d), (c, b)
  if _none(along, across):
    return _flip(image, *across)
  if _none(across, along):
    return _flip(image.swapaxes(0, 1), *along)
  raise DataError(
    f'a display matrix {_text(a, b)}, {_text(c, d)}, no multiple of 90 degrees',
    'a video turned by quarters: encode it again, upright',
  )


def _none(small: tuple[int, int], large: tuple[int, int]) -> bool:
  limit = _TOLERANCE * min(map(abs, large))
  return max(map(abs, small)) < limit


def _flip(image: np.ndarray, x: int, y: int) -> np.ndarray:
  step_x, step_y = (-1 if value < 0 else 1 for value in (x, y))
  return np.ascontiguousarray(image[::step_y, ::step_x])


def _text(x: int, y: int) -> str:
  return f'({x / 65536:.2f}, {y / 65536:.2f})'
