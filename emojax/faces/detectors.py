"""Detectors by name or file."""

from emojax.faces.faces import Detector


def load(
  name_or_file: str = 'default',
  min_score: float | None = None,
  threads: int = 0,
) -> Detector:
  """Returns a detector of faces: uint8 [H, W, 3] RGB -> Faces, ordered.

  Args:
    name_or_file: 'default', 'mtcnn', 'centerface', or a file of YuNet (*.onnx).
    min_score: Faces below are left out; None for the detector's own default.
    threads: Threads of the detector, 0 for as many as there are cores.

  Raises:
    DataError: The package of the detector is missing, or the file is no YuNet.
  """
  raise NotImplementedError
