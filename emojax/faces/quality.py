"""How well a face can be seen: sharpness, turn of the head, size."""

import numpy as np

_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def sharpness(crop: np.ndarray) -> float:
  """Returns how much of a crop's contrast is fine detail.

  The variance of the Laplacian (Pech-Pacheco et al., ICPR 2000, there called
  LAPV) over the variance of the crop itself, so that neither light nor contrast
  matter. White noise has 20, a flat crop 0. It depends on the size of the crop:
  values compare at one size only.

  Args:
    crop: uint8 [H, W] or [H, W, 3], H and W at least 3.
  """
  grey = np.asarray(crop, np.float64)
  grey = grey @ _GREY if grey.ndim == 3 else grey
  around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
  laplacian = around - 4 * grey[1:-1, 1:-1]
  contrast = grey.var()
  # Below the rounding of 8 bits there is nothing to be sharp.
  return float(laplacian.var() / contrast) if contrast > 1 / 12 else 0.0


def profile(landmarks: np.ndarray) -> float:
  """Returns how far a head is turned to a side: about the sine of its yaw.

  The nose moves from the middle of the eyes by r half eye distances. Its tip
  is about as far before the eyes as an eye is from the middle, so r is about
  the tangent of the yaw and r / sqrt(1 + r^2) its sine: 0 is frontal, 0.7 is
  45 degrees. It is a rule of thumb and no measurement.

  Args:
    landmarks: [5, 2] as of `Faces`.

  Returns:
    In [0, 1]; NaN without landmarks.
  """
  points = np.asarray(landmarks, np.float64)
  if not np.isfinite(points[:3]).all():
    return float('nan')
  left, right, nose = points[:3]
  across, middle = (right - left) / 2, (left + right) / 2
  half = np.hypot(*across)
  if half == 0:
    return 1.0
  along = abs((nose - middle) @ across) / half
  return float(along / np.hypot(half, along))


def size(box: np.ndarray) -> float:
  """Returns the mean side of a box [4] in pixels, sqrt(width * height)."""
  return float(np.sqrt(max(float(box[2]), 0.0) * max(float(box[3]), 0.0)))
