"""Display matrices against their definition, pixel by pixel."""

import itertools
import struct

import numpy as np
import pytest

from emojax.data.readers.files import display
from emojax.data.readers.files.problems import DataError

QUARTERS = [
  *((a, 0, 0, d) for a, d in itertools.product((-1, 1), repeat=2)),
  *((0, b, c, 0) for b, c in itertools.product((-1, 1), repeat=2)),
]


def pack(a, b, c, d):
  values = [round(65536 * v) for v in (a, b, 0, c, d, 0, 0, 0)]
  return struct.pack('=9i', *values, 1 << 30)


@pytest.mark.parametrize('matrix', QUARTERS)
def test_every_pixel_is_shown_where_the_matrix_says(matrix):
  a, b, c, d = matrix
  image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
  places = {
    (a * x + c * y, b * x + d * y): image[y, x] for y, x in np.ndindex(2, 3)
  }
  left = min(x for x, _ in places)
  top = min(y for _, y in places)
  found = display.upright(image, pack(*matrix))
  assert found.shape == ((2, 3, 3) if a else (3, 2, 3))
  assert found.flags.c_contiguous
  for (x, y), pixel in places.items():
    np.testing.assert_array_equal(found[y - top, x - left], pixel)


def test_scales_do_not_matter_and_no_matrix_is_none():
  image = np.arange(6, dtype=np.uint8).reshape(2, 3)
  turned = display.upright(image, pack(0, 2, -0.5, 0))
  np.testing.assert_array_equal(turned, np.rot90(image, -1))
  assert display.upright(image, None) is image
  assert display.upright(image, pack(0, 0, 0, 0)) is image


@pytest.mark.parametrize(
  'matrix', [(0.7, 0.7, -0.7, 0.7), (1, 0, 0, 0), (1, 1, 1, 1)]
)
def test_other_turns_are_errors(matrix):
  with pytest.raises(DataError, match='no multiple of 90 degrees'):
    display.upright(np.zeros((2, 3)), pack(*matrix))
