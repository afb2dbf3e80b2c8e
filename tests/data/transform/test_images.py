"""Images in memory: what is none, or of another shape, is said so."""

import pathlib

import numpy as np
import pytest

from emojax.data.transform import images


@pytest.mark.parametrize(
  ('image', 'said'),
  [
    ('face.png', r"a path, 'face.png': open it first"),
    (pathlib.Path('face.png'), 'a path'),
    (
      [np.zeros((9, 9, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)],
      'several sizes',
    ),
    (np.zeros((1, 1, 9, 9, 4), np.uint8), 'leave out the transparency'),
    (np.zeros((1, 1, 1, 9, 9), np.uint8), r'image\[\.\.\., None\]'),
    (np.zeros((1, 1, 9, 9, 3)), 'dtype float64'),
    (np.zeros((0, 1, 9, 9, 3), np.uint8), 'at least one frame'),
  ],
)
def test_what_is_no_image(image, said):
  with pytest.raises(ValueError, match=said):
    images.check(image)


def test_grey_images_are_repeated():
  image = np.arange(81, dtype=np.uint8).reshape(1, 1, 9, 9, 1)
  np.testing.assert_array_equal(images.check(image), image.repeat(3, -1))


def test_grey_is_the_luma_rounded():
  image = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
  luma = np.rint(image.astype(float) @ [0.299, 0.587, 0.114])
  np.testing.assert_array_equal(images.grey(image), luma[..., None])
  grey = image[..., :1].repeat(3, -1)
  np.testing.assert_array_equal(images.grey(grey), image[..., :1])
