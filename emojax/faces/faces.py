"""What every detector of faces gives, and in which order."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Order of the landmarks of a face. Left and right are those of the picture.
LANDMARKS = ('left eye', 'right eye', 'nose', 'left mouth', 'right mouth')


class Faces(NamedTuple):
  """n faces of one picture, from left to right (see `ordered`).

  Attributes:
    boxes: float32 [n, 4], (x, y, width, height) in pixels of the picture; x and
      y are of the left upper corner, 0 at the outer edge of the first pixel.
      Boxes may reach outside.
    scores: float32 [n], the detector's confidence in [0, 1]; NaN without one.
    landmarks: float32 [n, 5, 2], (x, y) of the `LANDMARKS`: the eye that is left
      in the picture, the right one, the nose, the left and the right corner of
      the mouth; NaN where a detector has none.
  """

  boxes: np.ndarray
  scores: np.ndarray
  landmarks: np.ndarray

  def take(self, index: np.ndarray) -> 'Faces':
    """Returns the faces of an index array or mask."""
    return Faces(*(array[index] for array in self))


# uint8 [H, W, 3], RGB -> Faces
Detector = Callable[[np.ndarray], Faces]


def faces(boxes, scores=None, landmarks=None) -> Faces:
  """Makes faces of arrays, in their order.

  Args:
    boxes: [n, 4].
    scores: [n]; None for NaN.
    landmarks: [n, 5, 2]; None for NaN.
  """
  boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
  n = len(boxes)
  scores = np.full(n, np.nan) if scores is None else scores
  landmarks = np.full((n, 5, 2), np.nan) if landmarks is None else landmarks
  return Faces(
    boxes,
    np.asarray(scores, np.float32).reshape(n),
    np.asarray(landmarks, np.float32).reshape(n, 5, 2),
  )


def check(image: np.ndarray):
  """Raises ValueError unless an image is uint8 [H, W, 3]."""
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
    raise ValueError(
      f'a picture is uint8 [H, W, 3], RGB; this is {image.dtype} '
      f'{list(image.shape)}'
    )


def none() -> Faces:
  """No faces."""
  return faces(np.zeros((0, 4)))


def ordered(found: Faces) -> Faces:
  """Sorts faces from left to right, those at one x from top to bottom.

  What decides is the left edge of the box, then its upper edge, width and
  height: of the boxes alone, so that it is the same however they were found.
  """
  x, y, width, height = found.boxes.T
  return found.take(np.lexsort((height, width, y, x)))
