"""How well a face can be seen: sharpness, turn of the head, size."""

import numpy as np


def sharpness(crop: np.ndarray) -> float:
  """Returns the variance of the Laplacian over that of the crop itself."""
  raise NotImplementedError


def profile(landmarks: np.ndarray) -> float:
  """Returns how far a head is turned, in [0, 1]; NaN without landmarks."""
  raise NotImplementedError


def size(box: np.ndarray) -> float:
  """Returns the mean side of a box in pixels, sqrt(width * height)."""
  return float(np.sqrt(float(box[2]) * float(box[3])))
