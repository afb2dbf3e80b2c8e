"""Images in memory, checked and brought to a model's size."""

import numpy as np
from PIL import Image

from emojax.data.store.codec import MODES

CHANNELS = 3


def check(image) -> np.ndarray:
  """Returns clips as uint8 [N, L, H, W, 3]; grey images are repeated.

  Args:
    image: uint8 [N, L, H, W, C] with C = 1 or 3.

  Raises:
    ValueError: On another dtype or shape, or without any frame.
  """
  image = np.asarray(image)
  if image.dtype != np.uint8:
    raise ValueError(
      f'image has dtype {image.dtype}: expected uint8 in [0, 255], as image '
      'files have it'
    )
  if image.ndim != 5 or image.shape[-1] not in MODES or not image.size:
    raise ValueError(
      f'image has shape {image.shape}: expected [N, L, H, W, C] with C = 1 or '
      '3 and at least one frame'
    )
  return np.repeat(image, CHANNELS // image.shape[-1], axis=-1)


def resize(image: np.ndarray, size: int) -> np.ndarray:
  """Brings clips uint8 [N, L, H, W, 3] to [N, L, size, size, 3].

  As `data.codec` does it: bilinear with antialiasing, by Pillow. Height and
  width are scaled separately.
  """
  if image.shape[2:4] == (size, size):
    return image
  frames = [
    np.asarray(
      Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR)
    )
    for frame in image.reshape(-1, *image.shape[2:])
  ]
  return np.stack(frames).reshape(*image.shape[:2], size, size, CHANNELS)
