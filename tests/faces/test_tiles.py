"""Large pictures: small faces are found in tiles, large ones whole, each once."""

import itertools

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emojax.faces import detectors, faces, tiles


@given(
  length=st.integers(1, 20_000),
  side=st.integers(8, 3000),
  share=st.floats(0, 0.5),
)
def test_tiles_cover_a_length(length, side, share):
  overlap = int(share * side)
  found = tiles.spans(length, side, overlap)
  assert found[0][0] == 0
  assert found[-1][1] == length
  assert all(stop - start == min(side, length) for start, stop in found)
  for (_, stop), (start, _) in itertools.pairwise(found):
    assert stop - start >= overlap


class Marks:
  """Finds white rectangles of at least a share of the picture's longest side."""

  def __init__(self, share=0.02):
    self.share, self.shapes = share, []

  def __call__(self, image):
    from scipy import ndimage

    self.shapes.append(image.shape)
    found = ndimage.find_objects(ndimage.label(image[..., 0] > 128)[0])
    boxes = [
      (x.start, y.start, x.stop - x.start, y.stop - y.start)
      for y, x in found
      if min(x.stop - x.start, y.stop - y.start)
      >= self.share * max(image.shape[:2])
    ]
    scores = np.full(len(boxes), 0.9)
    middle = [[[x + w / 2, y + h / 2]] * 5 for x, y, w, h in boxes]
    return faces.faces(boxes, scores, np.reshape(middle, (-1, 5, 2)))


def drawn(boxes, shape=(400, 600)):
  image = np.zeros((*shape, 3), np.uint8)
  for x, y, w, h in boxes:
    image[y : y + h, x : x + w] = 255
  return image


def test_every_face_is_found_once_where_it_is():
  rng = np.random.default_rng(0)
  # Small ones anywhere, on the edges of tiles and of the picture as well.
  cells = [(x, y) for x in range(0, 570, 25) for y in range(0, 390, 25)]
  boxes = [(x + 3 * (i % 4), y + i % 5, 6, 8) for i, (x, y) in enumerate(cells)]
  boxes = [boxes[i] for i in rng.permutation(len(boxes))[:150]]
  large = (0, 0, 300, 200)  # larger than what tiles have in common
  boxes = [b for b in boxes if b[0] > 310 or b[1] > 210] + [large]
  found = tiles.tiled(Marks(), side=200)(drawn(boxes))
  order = sorted(boxes)
  assert sorted(found.boxes.tolist()) == [list(map(float, b)) for b in order]
  middle = found.boxes[:, :2] + found.boxes[:, 2:] / 2
  np.testing.assert_allclose(found.landmarks[:, 2], middle)
  assert (
    len(Marks()(drawn(boxes)).boxes) == 1
  )  # in the whole the others are lost


def test_small_pictures_are_not_divided():
  marks = Marks()
  tiles.tiled(marks, side=600)(drawn([(5, 5, 50, 50)]))
  assert marks.shapes == [(400, 600, 3)]


@pytest.mark.parametrize('shape', [(1, 90_000), (90_000, 23)])
def test_pictures_too_flat_for_a_face_are_not_divided(shape):
  marks = Marks()
  assert not len(tiles.tiled(marks)(drawn([], shape)).boxes)
  assert marks.shapes == [(*shape, 3)]
  tiles.tiled(marks)(drawn([], (24, 9_000)))
  assert len(marks.shapes) > 3


def test_what_an_edge_cuts_is_not_a_face():
  """Wider than what two tiles share, so that both see a part of it only."""
  box = (80, 40, 240, 60)
  found = tiles.tiled(Marks(0.2), side=200)(drawn([box], (300, 400)))
  assert found.boxes.tolist() == []  # too flat for the whole picture's share
  found = tiles.tiled(Marks(0.1), side=200)(drawn([box], (300, 400)))
  assert found.boxes.tolist() == [list(map(float, box))]


@pytest.mark.slow
def test_a_group_in_a_photo_of_24_million_pixels():
  """Faces of 60 pixels, which are 13 where the whole picture is looked at."""
  pytest.importorskip('onnxruntime', reason='needs emojax[faces]')
  small = Image.fromarray(skimage.data.astronaut()).resize((300, 300))
  image = np.full((4000, 6000, 3), 90, np.uint8)
  places = [(200, 300), (2450, 1800), (5500, 3500), (2600, 100)]
  for x, y in places:
    image[y : y + 300, x : x + 300] = small
  detect = detectors.load(threads=1)
  assert not len(detect(image).boxes)
  found = tiles.tiled(detect)(image)
  middle = found.boxes[:, :2] + found.boxes[:, 2:] / 2
  expected = np.array(sorted(places)) + [132, 69]
  np.testing.assert_allclose(middle[np.argsort(middle[:, 0])], expected, atol=8)
