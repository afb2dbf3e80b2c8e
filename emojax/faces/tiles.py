"""Large pictures looked at whole, and once more in tiles."""

import itertools

import numpy as np

from emojax.faces.faces import Detector, Faces, check, ordered
from emojax.faces.pyramid import suppress

# Twice what pictures are at most scaled down to: tiles lose half of their pixels,
# as small pictures do.
SIDE = 2560
SMALLEST = 24  # pixels of a face; with fewer there is little to see in it
_OVERLAP = 1 / 8  # of a tile's side, and half as much of the picture's longest
_NEAR = 0.05  # of a box's sides
_SAME, _INSIDE = 0.4, 0.7  # from where on two boxes are one face


def tiled(detect: Detector, side: int = SIDE) -> Detector:
  """Makes a detector look at large pictures in tiles, too.

  Small faces are lost where a whole picture is scaled down, large ones where it is
  cut. So both are done: tiles overlap by more than what is lost in the whole, and
  what an inner edge of a tile cuts is left to its neighbour or to the whole. A
  picture that is too flat for a face is not divided: it could have any number of
  tiles.

  Args:
    detect: Looks at the picture and at its tiles.
    side: Of a tile, in pixels; smaller pictures are not divided.
  """

  def look(image: np.ndarray) -> Faces:
    check(image)
    found = [detect(image)]
    short, long = sorted(image.shape[:2])
    if long <= side or short < SMALLEST:
      return found[0]
    overlap = int(max(side, long / 2) * _OVERLAP)
    rows, columns = (spans(n, side, overlap) for n in image.shape[:2])
    for row, column in itertools.product(rows, columns):
      found.append(_of_tile(detect, image, row, column))
    return _merged(found)

  return look


def spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
  """(start, stop) of tiles that cover a length, evenly and overlapping.

  Args:
    length: In pixels.
    side: Most of a tile.
    overlap: Least that two neighbours have in common, less than the side.
  """
  if length <= side:
    return [(0, length)]
  overlap = min(overlap, side // 2)
  count = -(-(length - overlap) // (side - overlap))
  starts = np.linspace(0, length - side, count).astype(int).tolist()
  return [(start, start + side) for start in starts]


def _of_tile(detect: Detector, image: np.ndarray, row, column) -> Faces:
  """The faces of a tile, where they are in the picture."""
  (top, bottom), (left, right) = row, column
  found = detect(image[top:bottom, left:right])
  shift = np.array([left, top], np.float32)
  boxes = found.boxes + np.array([left, top, 0, 0], np.float32)
  found = Faces(boxes, found.scores, found.landmarks + shift)
  # Boxes are not exact, so what comes near to an edge may go on behind it.
  margin = _NEAR * boxes[:, 2:]
  low, high = boxes[:, :2] - margin, boxes[:, :2] + boxes[:, 2:] + margin
  # The picture's own edges cut nothing that another tile has.
  first = np.where(shift > 0, shift, -np.inf)
  ends = np.array([right, bottom], float)
  last = np.where(ends < image.shape[1::-1], ends, np.inf)
  return found.take(np.asarray(((low > first) & (high < last)).all(1)))


def _merged(found: list[Faces]) -> Faces:
  """All faces once, those of a higher score before others."""
  every = Faces(*(np.concatenate(arrays) for arrays in zip(*found)))
  corners = np.hstack([every.boxes[:, :2], every.boxes[:, :2]])
  corners[:, 2:] += every.boxes[:, 2:]
  once = suppress(corners, every.scores, _SAME)
  every, corners = every.take(once), corners[once]
  apart = suppress(corners, every.scores, _INSIDE, smaller=True)
  return ordered(every.take(apart))
