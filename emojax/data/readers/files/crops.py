"""Face crops that depend on the image: boxes, landmark squares, eye lines.

All are small frozen dataclasses with `apply(image) -> image`, so that a record
can carry them to another process. Coordinates are pixels of the uncropped
image. What lies outside of the image becomes black, as in the data sets' own
scripts, but a crop that misses the image altogether is an error.
"""

import dataclasses
import math

import numpy as np
from PIL import Image

from emojax.data.readers.files.problems import DataError

Points = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Box:
  """Axis-aligned box (left, top, right, bottom), right and bottom excluded."""

  left: int
  top: int
  right: int
  bottom: int

  def apply(self, image: Image.Image) -> Image.Image:
    box = (self.left, self.top, self.right, self.bottom)
    inside = max(self.left, 0) < min(self.right, image.width) and max(
      self.top, 0
    ) < min(self.bottom, image.height)
    # A face cannot be many times larger than its picture: do not allocate it.
    size = max(self.right - self.left, self.bottom - self.top)
    if not inside or size > 4 * max(image.size):
      raise DataError(
        f'face box {box} in an image of {image.width} x {image.height}',
        'a box (left, top, right, bottom) that overlaps the image',
      )
    return image.crop(box)


@dataclasses.dataclass(frozen=True)
class LandmarkSquare:
  """Square around the landmarks, as the code of paper 002 crops AffectNet.

  The side is the landmarks' larger extent plus 5 % of their smaller extent on
  either side, at most the smaller side of the image. The slack is divided
  equally between left and right; 65 % of it goes above the landmarks.
  """

  points: Points
  margin: float = 0.05
  above: float = 0.65

  def apply(self, image: Image.Image) -> Image.Image:
    low, high = np.min(self.points, axis=0), np.max(self.points, axis=0)
    extent = high - low
    side = extent.max() + 2 * self.margin * extent.min()
    side = int(min(side, *image.size))
    share = np.array((0.5, self.above))
    corner = low - np.maximum(side - extent, 0) * share
    corner = np.clip(corner, 0, np.array(image.size) - side).astype(int)
    left, top = int(corner[0]), int(corner[1])
    return Box(left, top, left + side, top + side).apply(image)


@dataclasses.dataclass(frozen=True)
class EyeLine:
  """Upright square around eyes and mouth (68 landmarks), as for AFEW-VA.

  The image is turned until the line between the eye centres (means of the
  landmarks 36 and 39, 42 and 45) is level. The centre of the square is midway
  between the eyes' centre and the mouth's (mean of 48 and 54); its side is
  twice the larger one of eye distance and eye-mouth height (paper 001's code).
  """

  points: Points

  def apply(self, image: Image.Image) -> Image.Image:
    points = np.asarray(self.points, np.float64)
    if points.shape != (68, 2):
      raise DataError(f'landmarks of shape {points.shape}', '68 points (x, y)')
    across = points[[42, 45]].mean(0) - points[[36, 39]].mean(0)
    angle = math.atan2(across[1], across[0])
    centre = np.array(image.size) / 2
    turned = image.rotate(math.degrees(angle), Image.Resampling.BILINEAR, True)
    # PIL turns counter-clockwise about the centre and grows the canvas.
    cos, sin = math.cos(angle), math.sin(angle)
    points = (points - centre) @ np.array(((cos, -sin), (sin, cos)))
    points = points + np.array(turned.size) / 2
    left, right = points[[36, 39]].mean(0), points[[42, 45]].mean(0)
    eyes, mouth = (left + right) / 2, points[[48, 54]].mean(0)
    half = max(right[0] - left[0], mouth[1] - eyes[1])
    x, y = (eyes + mouth) / 2
    corners = (x - half, y - half, x + half, y + half)
    return Box(*(round(corner) for corner in corners)).apply(turned)


def points_from(numbers: np.typing.ArrayLike) -> Points:
  """Returns hashable (x, y) points from numbers [2 n] or [n, 2].

  Raises:
    DataError: Some are not finite, or beyond any image.
  """
  pairs = np.asarray(numbers, np.float64).reshape(-1, 2)
  if not np.all(np.abs(pairs) < 1e5):
    raise DataError('landmarks that are not finite', 'pixel coordinates')
  return tuple((x, y) for x, y in pairs.tolist())
