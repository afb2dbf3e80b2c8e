"""Encoded images in, pixels out, the same way wherever a store is read."""

import io

import numpy as np
from PIL import Image

from emojax.data.store import metadata

MODES = {1: 'L', 3: 'RGB'}
FORMATS = ('JPEG', 'PNG')  # Pillow knows others, some of which run programs
JPEG_QUALITY = 95


class DecodeError(ValueError):
  """Bytes that should be an image are none."""


def encode(data: bytes, size: int, channels: int) -> bytes:
  """Brings an encoded image to a size and a number of channels.

  An image that has both already keeps its compressed pixels, bit for bit. Others
  are resized (bilinear with antialiasing, as torchvision resizes Pillow images)
  and written as JPEG, or as PNG where they are grey. What cameras and programs
  write beside the pixels (where and when it was taken, comments, previews) is
  left out.

  Args:
    data: A JPEG or PNG file, turned upright.
    size: Height and width of the result.
    channels: 1 or 3.
  """
  mode = MODES[channels]
  with Image.open(io.BytesIO(data), formats=FORMATS) as image:
    if image.size == (size, size) and image.mode == mode:
      return metadata.stripped(data)
    image = image if image.mode == mode else image.convert(mode)
    if image.size != (size, size):
      image = image.resize((size, size), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    if channels == 1:
      image.save(buffer, format='PNG')
    else:
      image.save(buffer, format='JPEG', quality=JPEG_QUALITY)
    return metadata.stripped(buffer.getvalue())


def decode(
  data: bytes, size: int, channels: int, stored: int | None = None
) -> np.ndarray:
  """Decodes an image to uint8 [size, size, channels].

  Args:
    data: A JPEG or PNG file.
    size: Height and width of the result.
    channels: 1 or 3.
    stored: Height and width that the file must have; None for any.

  Raises:
    DecodeError: The bytes are no whole image, or of another size.
  """
  try:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
      if stored is not None and image.size != (stored, stored):
        width, height = image.size
        raise DecodeError(
          f'an image is {width} x {height} pixels, expected {stored} x {stored}'
        )
      if image.mode != MODES[channels]:
        image = image.convert(MODES[channels])
      if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
      return np.asarray(image).reshape(size, size, channels)
  except DecodeError:
    raise
  except Exception as error:  # Pillow's decoders raise errors of many types
    raise DecodeError(
      f'an image of {len(data)} bytes cannot be decoded '
      f'({type(error).__name__}: {error})'
    ) from error
