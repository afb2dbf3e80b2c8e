"""YuNet through OpenCV, from a file of the user's.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
Intelligence Research 2023. The file is that of OpenCV's model zoo
(face_detection_yunet_2023mar.onnx, MIT); no package carries it.
"""

import os
import threading

import numpy as np

from emojax.data.readers.files.problems import DataError
from emojax.faces import pyramid
from emojax.faces.faces import Detector, Faces, check, faces, none, ordered

MIN_SCORE = 0.9  # of OpenCV
_COLUMNS = 15  # box, five landmarks, score
_OVERLAP, _MOST = 0.3, 5000  # of OpenCV


class YuNet:
  """A `Detector`; see `detectors.load`.

  Args:
    network: OpenCV's `FaceDetectorYN`, or what has its methods.
    file: Where it comes from.
    longest: Pictures are scaled down to this longest side, in pixels; None for
      `pyramid.usual_side`.
  """

  def __init__(self, network, file: str, longest: int | None = None):
    self.network, self.file, self.longest = network, file, longest
    # OpenCV's detector keeps the size of its input, and works in one place.
    self._turn = threading.Lock()

  def __call__(self, image: np.ndarray) -> Faces:
    check(image)
    if not image.size:
      return none()
    picture, ratio = pyramid.shrunk(image, self.longest)
    canvas, margin = pyramid.padded(picture, 32)
    pixels = np.ascontiguousarray(canvas[..., ::-1])
    with self._turn:
      self.network.setInputSize(canvas.shape[1::-1])
      _, rows = self.network.detect(pixels)
    if rows is None:
      return none()
    if rows.ndim != 2 or rows.shape[1] != _COLUMNS:
      raise _error(self.file, f'an output of shape {list(rows.shape)}')
    # The landmarks begin with the person's right eye: left in the picture.
    marks = rows[:, 4:14].reshape(-1, 5, 2)
    found = faces(rows[:, :4], np.clip(rows[:, 14], 0, 1), marks)
    return ordered(pyramid.restored(found, margin, ratio))


def load(
  file: str, min_score: float | None, threads: int, longest: int | None
) -> Detector:
  """Opens a file of YuNet; the arguments are those of `detectors.load`.

  Raises:
    DataError: OpenCV is not installed, or the file is no YuNet.
  """
  try:
    import cv2
  except ImportError as error:
    raise DataError(
      f'a file of YuNet, and no OpenCV ({error})',
      'it to be installed: pip install opencv-python-headless',
      file,
    ) from error
  if not os.path.isfile(file):
    raise DataError('no such file', 'a file of YuNet (*.onnx)', file)
  if threads:
    cv2.setNumThreads(threads)
  score = MIN_SCORE if min_score is None else min_score
  try:
    network = cv2.FaceDetectorYN.create(
      file, '', (320, 320), score, _OVERLAP, _MOST
    )
    found = YuNet(network, file, longest)
    found(np.zeros((64, 64, 3), np.uint8))
  except cv2.error as error:
    text = str(error).split('error: ')[-1]
    raise _error(
      file, f'no network that OpenCV runs as one ({text})'
    ) from error
  return found


def _error(file: str, found: str) -> DataError:
  return DataError(found, 'YuNet of OpenCV (face_detection_yunet_*.onnx)', file)
