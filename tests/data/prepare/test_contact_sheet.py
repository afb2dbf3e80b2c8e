"""Contact sheets: where images land, enlargement, files, errors."""

import numpy as np
import PIL.Image
import pytest

from emojax.data.prepare import contact_sheet


def test_images_are_laid_out_in_rows(tmp_path):
  images = np.stack([np.full((4, 6, 3), i * 10, np.uint8) for i in range(5)])
  path = tmp_path / 'deep' / 'sheet.png'
  page = contact_sheet.contact_sheet(images, columns=3, path=path)
  assert page.shape == (2 * 6, 3 * 8, 3)
  assert (page[0:4, 8:14] == 10).all()
  assert (page[6:10, 8:14] == 40).all()
  assert (page[6:, 16:] == 255).all()
  np.testing.assert_array_equal(np.asarray(PIL.Image.open(path)), page)


def test_titles_stay_above_enlarged_images():
  images = np.zeros((2, 8, 8), np.uint8)
  page = contact_sheet.contact_sheet(images, ['a', 'b'], 2, scale=3)
  assert page.shape == (14 + 24 + 2, 2 * 26, 3)
  assert not page[14:38, 0:24].any()
  assert page[:14, :24].min() < 128  # the title


def test_long_titles_end_before_the_next_image():
  images = np.zeros((2, 8, 48), np.uint8)
  long = contact_sheet.contact_sheet(images, ['W' * 30, ''], 2)
  assert long[:14, :48].min() < 128
  assert (long[:14, 50:] == 255).all()


def test_bad_images_and_titles_are_named():
  with pytest.raises(
    ValueError, match=r'images: expected uint8 \[N, H, W, 3\]'
  ):
    contact_sheet.contact_sheet(np.zeros((2, 4, 4, 3)))
  with pytest.raises(ValueError, match='titles: expected 2'):
    contact_sheet.contact_sheet(np.zeros((2, 4, 4), np.uint8), ['one'])
