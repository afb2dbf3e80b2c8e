"""The default detector on the pictures that scikit-image carries."""

import numpy as np
import pytest
import skimage.data

from emojax.faces import detectors

pytest.importorskip('onnxruntime', reason='needs emojax[faces]')
if 'mtcnn' not in detectors.installed():
  pytest.skip('needs emojax[faces]', allow_module_level=True)
# Boxes (x, y, w, h) that were drawn by hand; files of the wheel, none fetched.
FACES = {
  'astronaut': [(177, 56, 86, 118)],
  'camera': [(197, 116, 54, 76)],
  'brick': [], 'cat': [], 'clock': [], 'coffee': [], 'coins': [],
  'colorwheel': [], 'grass': [], 'gravel': [], 'hubble_deep_field': [],
  'moon': [], 'page': [], 'rocket': [], 'text': [],
}  # fmt: skip


@pytest.fixture(scope='module')
def detect():
  return detectors.load(threads=1)


def overlap(one, other) -> float:
  """Intersection over union of two boxes."""
  sides = [
    max(0.0, min(one[i] + one[i + 2], other[i] + other[i + 2])
        - max(one[i], other[i]))
    for i in range(2)
  ]  # fmt: skip
  both = sides[0] * sides[1]
  return both / (one[2] * one[3] + other[2] * other[3] - both)


@pytest.mark.slow
@pytest.mark.parametrize('name', FACES)
def test_all_faces_and_nothing_else(name, detect):
  image = getattr(skimage.data, name)()
  if image.ndim == 2:
    image = np.stack([image] * 3, -1)
  found = detect(np.ascontiguousarray(image[..., :3]))
  assert len(found.boxes) == len(FACES[name])
  for box, truth in zip(found.boxes, FACES[name]):
    assert overlap(box, truth) > 0.5
