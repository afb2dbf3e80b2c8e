"""Crops of faces, cut as those that a model was trained with."""

import dataclasses
import math
import numbers
from typing import Any

import numpy as np
from PIL import Image

from emojax.faces.faces import LANDMARKS, check

# How far numbers of a rule may be from the crop, in its sides.
_FAR = 4.0
# Landmarks nearer to each other than this, in pixels, have no direction.
_APART = 1e-3
# Corners of crops are nearer than this to the picture's, in pixels.
_LIMIT = 1e7


@dataclasses.dataclass(frozen=True)
class CropRule:
  """Where a face is in its crop.

  Attributes:
    points: `[5][2]`, mean (x, y) of the landmarks in units of the crop's side,
      from its left upper corner; in the order of `faces.LANDMARKS`.
    box: (x, y, side): where a face has no landmarks, the centre of the crop is
      the centre of its box moved by (x, y), and `side` the crop's side, all
      three in units of the box's mean side, sqrt(width * height).

  Raises:
    ValueError: They are of another shape, or no numbers of a crop.
  """

  points: tuple[tuple[float, float], ...]
  box: tuple[float, float, float]

  def __post_init__(self):
    points = tuple(tuple(map(_real, point)) for point in self.points)
    box = tuple(map(_real, self.box))
    if len(points) != len(LANDMARKS) or {len(point) for point in points} != {2}:
      raise ValueError(
        f'points of a crop rule are 5 times (x, y), not {points}'
      )
    if len(box) != 3 or box[2] <= 0:
      raise ValueError(f'box of a crop rule is (x, y, side > 0), not {box}')
    if _spread(np.array(points)) < _APART:
      raise ValueError('points of a crop rule that are all one')
    object.__setattr__(self, 'points', points)
    object.__setattr__(self, 'box', box)

  def to_json(self) -> dict[str, Any]:
    """Returns what `from_json` reads."""
    return {'points': [[*p] for p in self.points], 'box': [*self.box]}

  @classmethod
  def from_json(cls, value: Any) -> 'CropRule':
    """Reads a rule; raises ValueError where it is none."""
    if not isinstance(value, dict) or set(value) != {'points', 'box'}:
      raise ValueError("a crop rule has the keys 'points' and 'box'")
    try:
      return cls(value['points'], value['box'])
    except TypeError as error:
      raise ValueError(f'a crop rule is lists of numbers: {error}') from error


def crop(
  image: np.ndarray,
  box: np.ndarray,
  landmarks: np.ndarray,
  rule: CropRule,
  size: int,
) -> np.ndarray:
  """Cuts a face out, upright.

  Beyond the picture its edge goes on. Each pixel is the mean over its area.

  Args:
    image: uint8 [H, W, 3].
    box: [4], (x, y, width, height); used where there are no landmarks.
    landmarks: [5, 2]; NaN for none.
    rule: Where the face is to be.
    size: Height and width of the crop.

  Returns:
    uint8 [size, size, 3].

  Raises:
    ValueError: The face is empty, not finite or outside of the picture.
  """
  check(image)
  matrix = similarity(box, landmarks, rule) / size
  matrix[:, 2] *= size
  return _sampled(image, matrix, size)


def similarity(
  box: np.ndarray, landmarks: np.ndarray, rule: CropRule
) -> np.ndarray:
  """Returns the map from a crop of side 1 to the picture, float64 [2, 3].

  With landmarks it is the inverse of the similarity that brings them nearest
  to the rule's points, in the sense of least squares (Umeyama, PAMI 1991,
  Eqs. 40-43); without, or where they are all one point, it follows the box.

  Raises:
    ValueError: The box is empty or not finite.
  """
  landmarks = np.asarray(landmarks, np.float64)
  if np.isfinite(landmarks).all() and _spread(landmarks) >= _APART:
    found = _inverse(umeyama(landmarks, np.array(rule.points)))
    if np.isfinite(found).all():
      return found
  x, y, width, height = np.asarray(box, np.float64)
  mean = math.sqrt(width * height) if min(width, height) > 0 else math.nan
  if not np.isfinite([x, y, mean]).all():
    raise ValueError(f'a box of width {width} and height {height} at {x}, {y}')
  across, down, side = (number * mean for number in rule.box)
  left = x + width / 2 + across - side / 2
  top = y + height / 2 + down - side / 2
  return np.array([[side, 0, left], [0, side, top]])


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Returns the similarity [2, 3] that brings points [n, 2] nearest to others.

  In two dimensions the rotation is an angle, and Eqs. 40-43 are sums of
  products and cross products; there is no reflection.

  Args:
    source: float64 [n, 2], not all one point.
    target: float64 [n, 2].
  """
  s, t = source - source.mean(0), target - target.mean(0)
  a = (s * t).sum() / (s * s).sum()
  b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / (s * s).sum()
  turn = np.array([[a, -b], [b, a]])
  shift = target.mean(0) - turn @ source.mean(0)
  return np.hstack([turn, shift[:, None]])


def _inverse(matrix: np.ndarray) -> np.ndarray:
  (a, b), shift = matrix[:, 0], matrix[:, 2]
  with np.errstate(divide='ignore', invalid='ignore'):
    turn = np.array([[a, b], [-b, a]]) / (a * a + b * b)
    return np.hstack([turn, -(turn @ shift)[:, None]])


def _sampled(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
  """Samples a picture at the pixels of a crop.

  Args:
    image: uint8 [H, W, 3].
    matrix: [2, 3], from (x, y) in the crop's pixels to the picture's.
    size: Height and width.
  """
  corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
  corners = corners @ matrix[:, :2].T + matrix[:, 2]
  low, high = corners.min(0), corners.max(0)
  inside = np.minimum(high, image.shape[1::-1]) - np.maximum(low, 0)
  if not np.abs(corners).max() < _LIMIT or inside.min() <= 0:
    raise ValueError('a face outside of the picture')
  low, high = np.floor(low) - 1, np.ceil(high) + 1  # what neighbours need
  # Means over whole pixels first, so that twice the size below is enough.
  factor = max(1, int(math.hypot(*matrix[:, 0])))
  part, origin = _reduced(image, low, high, factor)
  moved = matrix.copy()
  moved[:, 2] = (moved[:, 2] - origin) / factor
  moved[:, :2] /= 2 * factor
  twice = part.transform(
    (2 * size, 2 * size),
    Image.Transform.AFFINE,
    (*moved[0], *moved[1]),
    Image.Resampling.BILINEAR,
  )
  return np.asarray(twice.reduce(2))


def _reduced(
  image: np.ndarray, low: np.ndarray, high: np.ndarray, factor: int
) -> tuple[Image.Image, np.ndarray]:
  """Cuts a rectangle out, its pixels averaged `factor` by `factor`.

  Returns:
    The picture, and where its left upper corner is in `image` (x, y).
  """
  sides = np.array(image.shape[1::-1])
  first = np.maximum(low, 0).astype(int)
  last = np.minimum(high, sides).astype(int)
  part = Image.fromarray(image[first[1] : last[1], first[0] : last[0]])
  part = np.asarray(part.reduce(factor) if factor > 1 else part)
  # Whole reduced pixels beyond the picture, enough for the rectangle's corner.
  before = np.ceil((first - low) / factor).astype(int)
  after = np.ceil(np.maximum(high - last, 0) / factor).astype(int) + 1
  (left, top), (right, bottom) = before, after
  part = np.pad(part, ((top, bottom), (left, right), (0, 0)), 'edge')
  return Image.fromarray(part), first - before * factor


def _spread(points: np.ndarray) -> float:
  return float(np.abs(points - points.mean(0)).max())


def _real(value: Any) -> float:
  plain = isinstance(value, numbers.Real) and not isinstance(value, bool)
  size: Any = abs(value) if plain else math.nan
  if not size <= _FAR:
    raise ValueError(f'{value!r} is no number in -{_FAR:g}..{_FAR:g}')
  return float(value)


# Measured with the default detector on the training images of FER2013:
#   python -m benchmarks.crop_rule --store DATA/ferplus --count 6000
FER2013 = CropRule(
  (
    (0.314, 0.389),
    (0.691, 0.383),
    (0.502, 0.601),
    (0.352, 0.778),
    (0.661, 0.775),
  ),
  (0.017, -0.003, 1.106),
)
