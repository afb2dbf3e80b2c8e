"""Frame sources: image files, rows of CSV files, items of containers."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from emojax.data.readers.files import bounded, tables
from emojax.data.readers.files.pictures import decode, header, upright
from emojax.data.readers.files.problems import DataError
from emojax.data.readers.records import Frame, png
from emojax.host import files


class Crop(Protocol):
  """What crops.py offers."""

  def apply(self, image: Image.Image) -> Image.Image: ...


@dataclasses.dataclass(frozen=True)
class ImageFile(Frame):
  """An image file, cropped when `crop` is given.

  Attributes:
    file: Path.
    crop: What to cut out.
    upright: Turn the image as its EXIF orientation says (phone pictures).
  """

  file: str
  crop: Crop | None = None
  upright: bool = False

  def image(self) -> Image.Image:
    return self._changed(decode(self._read(), self.file))

  def encoded(self) -> bytes:
    data = self._read()
    raw = decode(data, self.file)
    image = self._changed(raw)
    # The file's own bytes are kept if they already are the image asked for.
    kind, mode = header(data)
    plain = kind in ('JPEG', 'PNG') and mode == image.mode
    return data if plain and image is raw else png(image)

  def _read(self) -> bytes:
    try:
      return files.read_bounded(self.file, bounded.MAX_BYTES)
    except OSError as error:
      found = error.strerror or str(error)
      raise DataError(found, 'an image file', self.file) from error

  def _changed(self, image: Image.Image) -> Image.Image:
    """Turns and crops an image; the same object where there is nothing to do."""
    try:
      image = upright(image, self.file) if self.upright else image
      return self.crop.apply(image) if self.crop else image
    except DataError as error:
      raise DataError(error.found, error.expected, self.file) from None


class ImageFiles(Sequence[Frame]):
  """The frames of one folder; cheap for videos of many thousand frames.

  Args:
    folder: The folder.
    names: File names in order of time.
    upright: As of `ImageFile`.
  """

  def __init__(
    self,
    folder: str | os.PathLike,
    names: Sequence[str] | np.ndarray,
    upright: bool = False,
  ):
    self.folder, self.upright = os.fspath(folder), upright
    self.names = np.asarray(names, np.str_)

  def __len__(self) -> int:
    return len(self.names)

  def __getitem__(self, i):
    if isinstance(i, slice):
      return self.take(i)
    path = os.path.join(self.folder, str(self.names[i]))
    return ImageFile(path, upright=self.upright)

  def take(self, index: slice | np.ndarray) -> 'ImageFiles':
    """Returns the frames of an index array or slice."""
    return ImageFiles(self.folder, self.names[index], self.upright)


@dataclasses.dataclass(frozen=True)
class CsvPixels(Frame):
  """A grey image written as numbers in one cell of a CSV file (FER2013).

  Attributes:
    file: Path.
    offset: Byte at which the row starts; `length` bytes belong to it.
    column: Number of the cell that holds the pixels.
    size: Height and width; the cell has size * size numbers in 0..255.
  """

  file: str
  offset: int
  length: int
  column: int
  size: int = 48

  def image(self) -> Image.Image:
    try:
      with bounded.opened(self.file) as file:
        file.seek(self.offset)
        raw = file.read(self.length)
      row = tables.cells(tables.decode(raw))
      return Image.fromarray(parse_pixels(row[self.column], self.size))
    except (OSError, DataError, IndexError) as error:
      found = f'{error} at byte {self.offset}'
      expected = 'the row that the scan found there'
      raise DataError(found, expected, self.file) from error


def parse_pixels(cell: str, size: int) -> np.ndarray:
  """Returns uint8 [size, size] from numbers 0..255 with spaces between them.

  Raises:
    DataError: There are more or fewer, or some are not integers in 0..255.
  """
  if not cell.isascii() or cell.encode().translate(None, b'0123456789 '):
    raise DataError(tables.shorten(cell), 'digits and spaces in a pixel cell')
  numbers = np.fromstring(cell, np.int64, sep=' ')
  if len(numbers) != size * size:
    expected = f'{size} x {size} = {size * size} pixels'
    raise DataError(f'{len(numbers)} pixels', expected)
  if numbers.max() > 255:
    raise DataError(f'pixel {numbers.max()}', 'pixels in 0..255')
  return numbers.astype(np.uint8).reshape(size, size)


@dataclasses.dataclass(frozen=True)
class ArrayItem(Frame):
  """An image in a file that is read whole (idx, CIFAR pickle).

  Attributes:
    file: Path.
    index: Number of the image in the file.
    read: Module-level function `file -> uint8 [N, H, W] or [N, H, W, 3]`; the
      last two files read are kept in the process.
  """

  file: str
  index: int
  read: Callable[[str], Any]

  def image(self) -> Image.Image:
    try:
      return Image.fromarray(_cached(self.read, self.file)[self.index])
    except (OSError, IndexError) as error:
      found, expected = str(error), f'an image at index {self.index}'
      raise DataError(found, expected, self.file) from error


@functools.lru_cache(maxsize=2)
def _cached(read: Callable[[str], np.ndarray], file: str) -> np.ndarray:
  return read(file)
