"""Opens files that may be anything: pipes that wait, devices without an end."""

import os
from typing import BinaryIO

from emojax.data.readers.files.problems import DataError
from emojax.host import files

# Twenty times the largest file that is read whole (60,000 images).
MAX_BYTES = 1 << 30


def opened(file: str | os.PathLike) -> BinaryIO:
  """Opens a plain file of at most `MAX_BYTES` for reading.

  Raises:
    DataError: It is something else.
    OSError: It cannot be opened.
  """
  try:
    found = open(file, 'rb', opener=files.open_ending)
  except files.StrangeFileError as error:
    raise _other(str(error.strerror), file) from error
  if (size := os.fstat(found.fileno()).st_size) > MAX_BYTES:
    found.close()
    raise _other(f'{size:,} bytes', file)
  return found


def read(file: str | os.PathLike) -> bytes:
  """Returns what is in a plain file of at most `MAX_BYTES`; raises as `opened`."""
  try:
    return files.read_bounded(file, MAX_BYTES)
  except files.StrangeFileError as error:
    raise _other(str(error.strerror), file) from error


def _other(found: str, file: str | os.PathLike) -> DataError:
  return DataError(found, f'a file of at most {MAX_BYTES:,} bytes', file)
