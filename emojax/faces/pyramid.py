"""Pictures at several scales, and non-maximum suppression."""

import numpy as np
from PIL import Image

from emojax.faces.faces import Faces, faces

# A face that fills the picture is missed without a margin: a quarter more.
_MARGIN = 1 / 8  # of the longer side, on each side of the picture
_LEAST, _MOST = 640, 1280


def usual_side(longest: int) -> int:
  """Returns the side that pictures are scaled down to, given their longest.

  Half of it: a smaller face than a detector finds there has fewer pixels than a
  network for expressions asks for. Small pictures stay as they are, and large
  ones cost no more than four times what a small one does.
  """
  return min(longest, max(_LEAST, min(longest // 2, _MOST)))


def shrunk(
  image: np.ndarray, longest: int | None = None
) -> tuple[Image.Image, float]:
  """Scales a picture down to a longest side; returns it and its scale.

  Args:
    image: uint8 [H, W, 3], at least one pixel.
    longest: In pixels; None for `usual_side`.
  """
  picture = Image.fromarray(image)
  side = max(picture.size)
  ratio = min(1.0, (longest or usual_side(side)) / side)
  return resized(picture, ratio), ratio


def padded(picture: Image.Image, multiple: int) -> tuple[np.ndarray, int]:
  """Puts a margin of black around a picture, a quarter in all.

  Args:
    picture: The picture.
    multiple: Height and width of the result are multiples of it.

  Returns:
    uint8 [H, W, 3], and the margin above and on the left in pixels.
  """
  pixels = np.asarray(picture)
  margin = int(max(picture.size) * _MARGIN)
  sides = (
    -(-(n + 2 * margin) // multiple) * multiple for n in pixels.shape[:2]
  )
  canvas = np.zeros((*sides, 3), np.uint8)
  canvas[margin : margin + len(pixels), margin : margin + picture.width] = (
    pixels
  )
  return canvas, margin


def restored(found: Faces, margin: int, ratio: float) -> Faces:
  """Brings faces of a scaled and padded picture back into the original's."""
  boxes = (found.boxes - np.array([margin, margin, 0, 0], np.float32)) / ratio
  landmarks = (found.landmarks - margin) / ratio
  return faces(boxes, found.scores, landmarks)


def resized(picture: Image.Image, ratio: float) -> Image.Image:
  """Scales down by exactly `ratio`; what is over of a last pixel is left out."""
  if ratio == 1:
    return picture
  width, height = (max(1, int(side * ratio)) for side in picture.size)
  right = min(width / ratio, picture.width)
  bottom = min(height / ratio, picture.height)
  return picture.resize(
    (width, height),
    Image.Resampling.BOX,
    (0, 0, right, bottom),
    reducing_gap=2.0,
  )


def suppress(
  boxes: np.ndarray, scores: np.ndarray, limit: float, smaller: bool = False
) -> np.ndarray:
  """Suppresses what is not a maximum; returns the indices kept, best first.

  Args:
    boxes: [n, 4], (left, top, right, bottom).
    scores: [n]; of equal ones the first counts as better.
    limit: Largest overlap with a better box that is kept.
    smaller: Overlap in units of the smaller box instead of the union.
  """
  left, top, right, bottom = boxes.T
  area = (right - left) * (bottom - top)
  order, keep = np.argsort(-scores, kind='stable'), []
  while order.size:
    best, order = order[0], order[1:]
    keep.append(best)
    width = np.minimum(right[best], right[order]) - np.maximum(
      left[best], left[order]
    )
    height = np.minimum(bottom[best], bottom[order]) - np.maximum(
      top[best], top[order]
    )
    both = np.maximum(width, 0) * np.maximum(height, 0)
    of = area[best] + area[order] - both
    if smaller:
      of = np.minimum(area[best], area[order])
    order = order[both <= limit * of]
  return np.array(keep, int)
