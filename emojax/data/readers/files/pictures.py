"""Decodes pictures, and refuses what would go wrong in silence.

Decoders are lenient: what is missing of a damaged JPEG becomes grey, pictures
of 12 bits in files of 16 turn black, and of several pages the first is taken.
Each of these is an error here. Not to be noticed are pictures that were damaged
before they were saved again (but for a grey end), damage that still decodes
(jpeg.py), and formats without checksums.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from emojax.data.readers.files import jpeg
from emojax.data.readers.files.problems import DataError

# Others run programs (EPS calls Ghostscript), whatever the name of the file.
FORMATS = ('JPEG', 'PNG', 'BMP', 'DIB', 'WEBP', 'TIFF', 'GIF', 'PPM')
# 12 bits, as many cameras have them; PNG and TIFF store them in 16.
_FEW_BITS = 1 << 12
_GREY = 128  # what decoders put in the place of missing data
_GREY_ROWS = 8  # a row of blocks
_PAGES = 'one picture per file: save its pages or frames as files of their own'


def decode(
  data: bytes, file: str, formats: Sequence[str] = FORMATS
) -> Image.Image:
  """Decodes an image to mode 'L' or 'RGB'; raises DataError if it is none."""
  try:
    return _decode(data, formats)
  except DataError as error:
    raise DataError(error.found, error.expected, file) from None
  except (Image.DecompressionBombWarning, Image.DecompressionBombError):
    limit = f'at most {Image.MAX_IMAGE_PIXELS:,} pixels: scale it down'
    raise DataError('a picture of more', limit, file) from None
  except Exception as error:  # Pillow's decoders raise errors of many types
    # Pillow names the address of the buffer, another one in every run.
    text = str(error).split(' <_io')[0]
    found = f'no readable image ({type(error).__name__}: {text})'
    expected = f'a whole picture ({", ".join(formats)})'
    raise DataError(found, expected, file) from error


def header(data: bytes) -> tuple[str | None, str]:
  """Format and mode of an image that `decode` accepts."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
      return image.format, image.mode


def upright(image: Image.Image, file: str) -> Image.Image:
  """Turns an image as its EXIF orientation says; raises DataError."""
  if is_upright(image, file):
    return image
  return ImageOps.exif_transpose(image)


def is_upright(image: Image.Image, file: str) -> bool:
  """Whether the EXIF data, if any, leave an image as it is.

  Raises:
    DataError: They are damaged, so that nobody knows.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('error', UserWarning)  # of tags cut short
      exif = image.getexif()
      if data := image.info.get('exif'):  # opening reads it, and says nothing
        exif = Image.Exif()
        exif.load(data)
      return exif.get(ExifTags.Base.Orientation, 1) == 1
  except Exception as error:  # damaged tags raise errors of many types
    found = f'EXIF data that cannot be read ({type(error).__name__}: {error})'
    raise DataError(found, 'EXIF data, or none at all', file) from error


def _decode(data: bytes, formats: Sequence[str]) -> Image.Image:
  with warnings.catch_warnings():
    warnings.simplefilter('error', Image.DecompressionBombWarning)
    # Tags that Pillow cannot read do not concern the pixels.
    warnings.simplefilter('ignore', UserWarning)
    warnings.filterwarnings('error', 'Truncated File Read')
    with Image.open(io.BytesIO(data), formats=tuple(formats)) as image:
      _check_pages(image)
      _check_signs(image)
      image.load()
      _check_whole(data, image)
      return _plain(image, _depth(data, image))


def _check_pages(image: Image.Image):
  """Refuses several pages; the first of a phone's MPO is the photograph."""
  pages = getattr(image, 'n_frames', 1)
  if pages > 1 and image.format != 'MPO':
    raise DataError(f'{pages} pages or frames', _PAGES)


def _check_whole(data: bytes, image: Image.Image):
  """Refuses what Pillow decodes although a part of it is missing or wrong."""
  if image.format in ('JPEG', 'MPO'):
    found = jpeg.damage(data)
    if found is None and _ends_in_grey(np.asarray(image)):
      found = 'the last rows are of the grey that stands for missing data'
    if found is not None:
      raise DataError(f'a damaged JPEG ({found})', 'a whole JPEG')
  if image.format == 'PNG':
    # Loading skips the checksums of the pixels.
    with Image.open(io.BytesIO(data), formats=FORMATS) as again:
      again.verify()


def _ends_in_grey(pixels: np.ndarray) -> bool:
  """Whether a picture was cut short and then saved again.

  Grey bars at top and bottom alike are a frame around a picture.
  """
  last = pixels[-max(_GREY_ROWS, len(pixels) // 16) :].astype(int)
  grey = np.abs(last - _GREY).max() <= 1
  return bool(grey and np.abs(pixels[0].astype(int) - _GREY).max() > 1)


def _depth(data: bytes, image: Image.Image) -> int:
  """Bits per channel of the file; Pillow gives colours in 8 whatever it has."""
  if image.format == 'PNG':
    return data[24]
  if image.format == 'TIFF':
    return int(np.max(_tag(image, 258, 8)))
  return 8


def _tag(image: Image.Image, number: int, default: int) -> Any:
  """A tag of a TIFF, one number or several."""
  tagged: Any = image  # the class of TIFF images alone has tags
  return tagged.tag_v2.get(number, default)


def _check_signs(image: Image.Image):
  """Refuses TIFF of signed numbers, which Pillow takes for positive ones."""
  if image.format == 'TIFF' and np.any(np.equal(_tag(image, 339, 1), 2)):
    raise DataError(
      'signed numbers (SampleFormat 2)',
      'numbers from 0 on: convert it to 8 or 16 bits without signs',
    )


def _is_negative(image: Image.Image) -> bool:
  """Whether 0 is white in a TIFF; Pillow turns pictures of few bits alone."""
  return image.format == 'TIFF' and _tag(image, 262, 1) == 0


def _plain(image: Image.Image, depth: int) -> Image.Image:
  """Brings an image to 8 bits, grey or colour.

  Pillow clips grey images of more bits, so that most turn white.
  """
  # Pillow before 11 opens grey PNG of 16 bits as mode 'I'.
  # PGM of more than 8 bits is 'I', too, scaled to 16.
  wide = image.mode == 'I' and image.format in ('PNG', 'PPM')
  if wide or image.mode.startswith('I;16'):
    values = np.asarray(image)
    _check_bits(int(values.max()))
    if _is_negative(image):
      values = np.iinfo(np.uint16).max - values
    plain = Image.fromarray((values >> 8).astype(np.uint8))
    plain.info.update(image.info)  # which says how it lies
    return plain
  if image.mode in ('I', 'F'):
    found = f'an image of 32 bits per pixel (mode {image.mode!r})'
    raise DataError(found, '8 or 16 bits per channel: convert it')
  if depth == 16:
    _check_bits(max(high for _, high in _extrema(image)) << 8)
  return image if image.mode in ('L', 'RGB') else image.convert('RGB')


def _extrema(image: Image.Image) -> tuple[tuple[int, int], ...]:
  """(lowest, highest) of every channel of colour."""
  extrema: Any = image.convert('RGB').getextrema()  # one pair if it is grey
  return extrema


def _check_bits(highest: int):
  if 0 < highest < _FEW_BITS:
    raise DataError(
      f'16 bits per channel with values up to {highest} only',
      'values that use the 16 bits: of a picture of 12 bits multiply them by '
      '16, or save it with 8 bits',
    )
