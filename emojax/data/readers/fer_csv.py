"""fer2013.csv: one row per face with the columns emotion, pixels and Usage."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Protocol, TypeGuard

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files import bounded, tables
from emojax.data.readers.files.frames import CsvPixels, parse_pixels
from emojax.data.readers.files.problems import DataError, Problems

COLUMNS = ('emotion', 'pixels', 'usage')
USAGES = {
  'Training': 'train',
  'PublicTest': 'validation',
  'PrivateTest': 'test',
}
OFFICIAL = {'train': 28709, 'validation': 3589, 'test': 3589}
# In the order of tasks.FER2013.
OFFICIAL_CLASSES = {
  'train': (3995, 436, 4097, 7215, 4830, 3171, 4965),
  'validation': (467, 56, 496, 895, 653, 415, 607),
  'test': (491, 55, 528, 879, 594, 416, 626),
}
SIZE = 48
NAMES = ('fer2013.csv', 'icml_face_data.csv')


@dataclasses.dataclass(frozen=True, slots=True)
class Face:
  """One row. Broken rows keep their place, since FER+ joins by row.

  Attributes:
    line: Line number in the file.
    split: 'train', 'validation', 'test', or None when unreadable.
    emotion: Class number in the order of tasks.FER2013, None when unreadable.
    frame: The pixels, None when they are unreadable.
    digest: Hash of the pixels.
    constant: All pixels are equal.
  """

  line: int
  split: str | None = None
  emotion: int | None = None
  frame: CsvPixels | None = None
  digest: bytes = b''
  constant: bool = False

  @property
  def good(self) -> bool:
    return None not in (self.split, self.emotion, self.frame)


class GoodFace(Protocol):
  """A `Face` of which nothing is unreadable."""

  line: int
  split: str
  emotion: int
  frame: CsvPixels
  digest: bytes
  constant: bool


def is_good(face: Face) -> TypeGuard[GoodFace]:
  """Whether a row has been read whole."""
  return face.good


def identity(pixels: np.ndarray) -> tuple[bytes, bool]:
  """What is the same for equal images, and whether all pixels are equal.

  Args:
    pixels: uint8 [H, W] or [H, W, C].
  """
  digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
  return digest, bool(pixels.min() == pixels.max())


def find(source: pathlib.Path) -> pathlib.Path:
  """Returns the csv file: the source itself, or the file of that name in it."""
  if source.is_file():
    return source
  for name in NAMES:
    if (source / name).is_file():
      return source / name
  raise DataError('no such file', ' or '.join(NAMES), source / NAMES[0])


def read(path: pathlib.Path, problems: Problems) -> list[Face]:
  """Reads all rows without keeping pixels; columns may be in any order."""
  after, names = tables.header(path)
  with bounded.opened(path) as file:
    if tables.line_end(file.readline(1 << 20)) == b'\r':
      expected = 'LF or CR LF: write it with the line ends of the original'
      raise DataError('line ends of CR alone', expected, path)
  columns = tuple(name.lower() for name in names)
  try:
    labels.check_columns(columns, COLUMNS)
    tables.expect_columns(list(columns), len(COLUMNS))
  except DataError as error:
    expected = f'the header {",".join(COLUMNS)}'
    raise DataError(error.found, expected, path) from None
  rows = _raw_rows(path, after)
  return [_face(path, columns, problems, *row) for row in rows]


def _raw_rows(
  path: pathlib.Path, after: int
) -> Iterator[tuple[int, int, bytes]]:
  """Yields (line number, byte offset, bytes) of the rows that are not blank."""
  offset = 0
  with bounded.opened(path) as file:
    for line, raw in enumerate(file, 1):
      if line > after and raw.strip():
        yield line, offset, raw
      offset += len(raw)


def _face(path, columns, problems: Problems, line, offset, raw) -> Face:
  face = Face(line)
  with problems.at(path, line):
    row = tables.cells(tables.decode(raw))
    tables.expect_columns(row, len(columns))
    usage, emotion, pixels = (
      row[columns.index(name)] for name in ('usage', 'emotion', 'pixels')
    )
    if usage not in USAGES:
      found = f'Usage {tables.shorten(usage)}'
      raise DataError(found, f'one of {", ".join(USAGES)}')
    face = Face(line, USAGES[usage])
    top = len(tasks.FER2013) - 1
    number = tables.integer(emotion, 0, top, 'an emotion number')
    values = parse_pixels(pixels, SIZE)
    column = columns.index('pixels')
    frame = CsvPixels(str(path), offset, len(raw), column, SIZE)
    face = Face(line, USAGES[usage], number, frame, *identity(values))
  return face
