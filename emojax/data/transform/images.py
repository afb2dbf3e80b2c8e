"""Images in memory, checked and brought to a model's size."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from emojax.data.store.codec import MODES

CHANNELS = 3
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def as_array(image) -> np.ndarray:
  """Returns what was passed for images as an array.

  Raises:
    ValueError: If it is a path, a picture with a palette, images of several
      sizes, or has no axis of channels or transparency; says what to do.
  """
  if isinstance(image, str | bytes | os.PathLike):
    raise ValueError(
      f'image is a path, {os.fsdecode(image)!r}: open it first, with '
      "np.asarray(PIL.Image.open(path).convert('RGB'))"
    )
  if isinstance(image, Image.Image) and image.mode != MODES[CHANNELS]:
    raise ValueError(
      f"image is a picture of mode {image.mode}: pass image.convert('RGB')"
    )
  try:
    array = np.asarray(image)
  except ValueError:
    array = np.array(None)
  if array.dtype == object:
    raise ValueError(
      'image is no array of one shape: bring images of several sizes to one '
      'size, or predict them one by one'
    )
  if array.ndim == 2:
    raise ValueError(
      f'image has shape {array.shape}, without an axis of channels: pass '
      'image[..., np.newaxis] if it is a grey image [H, W]'
    )
  if array.ndim and array.shape[-1] == CHANNELS + 1:
    raise ValueError(
      f'image has shape {array.shape}, as RGBA has: pass image[..., :3] to '
      'leave out the transparency'
    )
  return array


def check(image) -> np.ndarray:
  """Returns clips as uint8 [N, L, H, W, 3]; grey images are repeated.

  Args:
    image: uint8 [N, L, H, W, C] with C = 1 or 3.

  Raises:
    ValueError: On another dtype or shape, or without any frame.
  """
  image = as_array(image)
  if image.dtype != np.uint8:
    raise ValueError(
      f'image has dtype {image.dtype}: expected uint8 in [0, 255], as image '
      'files have it'
    )
  if image.ndim != 5 or image.shape[-1] not in MODES or not image.size:
    grey = image.ndim == 5 and image.shape[-1] > CHANNELS
    raise ValueError(
      f'image has shape {image.shape}: expected [N, L, H, W, C] with C = 1 or '
      '3 and at least one frame'
      + ('; grey images have one channel: image[..., None]' if grey else '')
    )
  return np.repeat(image, CHANNELS // image.shape[-1], axis=-1)


def grey(image: np.ndarray) -> np.ndarray:
  """Luma uint8 [..., 1] of colours uint8 [..., 3]."""
  return np.rint(image @ LUMA).astype(np.uint8)[..., None]


def as_trained(
  image: np.ndarray, preprocessing: Mapping[str, Any]
) -> np.ndarray:
  """Images uint8 [..., 3] with the colours that a network was trained on.

  Grey [..., 1] with one channel; grey in three equal channels where the training
  images had no colours, which colours would be foreign to.

  Args:
    image: The images.
    preprocessing: 'channels', and 'grey' where the training images were.
  """
  channels = preprocessing['channels']
  if channels == CHANNELS and not preprocessing.get('grey', False):
    return image
  return np.repeat(grey(image), channels, -1)


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
