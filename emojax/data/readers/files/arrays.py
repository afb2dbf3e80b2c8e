"""Files of arrays: npy, npz and idx, none of which may hold pickles.

What a header promises is compared with the size of the file before memory is
taken for it, and compressed files may not grow without bound.
"""

import gzip
import io
import math
import pathlib
import zipfile
import zlib

import numpy as np

from emojax.data.readers.files import bounded
from emojax.data.readers.files.problems import DataError

MAX_BYTES = bounded.MAX_BYTES  # of what is unpacked


def load_npy(path: pathlib.Path) -> np.ndarray:
  """Reads a npy file; raises DataError if it cannot be read."""
  data = bounded.read(path)
  if data.startswith(b'PK'):
    raise DataError('a npz file', 'a npy file', path)
  try:
    return _npy(data)
  except Exception as error:  # damaged headers raise errors of many types
    text = f'no array ({type(error).__name__}: {error})'
    raise DataError(text, 'a npy file of numbers or text', path) from error


def load_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads all arrays of a npz file; raises DataError if they cannot be read."""
  try:
    with zipfile.ZipFile(io.BytesIO(bounded.read(path))) as archive:
      check_unpacked(archive)
      return {
        name.removesuffix('.npy'): _npy(archive.read(name))
        for name in archive.namelist()
      }
  except DataError as error:
    raise DataError(error.found, error.expected, path) from None
  except Exception as error:  # damaged archives raise errors of many types
    text = f'no arrays ({type(error).__name__}: {error})'
    raise DataError(text, 'a npz file of arrays', path) from error


def check_unpacked(archive: zipfile.ZipFile):
  """Raises DataError if the files of an archive are too large together."""
  size = sum(member.file_size for member in archive.infolist())
  if size > MAX_BYTES:
    found = f'an archive of {size:,} bytes'
    raise DataError(found, f'at most {MAX_BYTES:,} bytes, unpacked')


def _npy(data: bytes) -> np.ndarray:
  """Reads an array; raises ValueError if its header is not of its data."""
  stream, lib = io.BytesIO(data), np.lib.format
  version = lib.read_magic(stream)
  header = {
    (1, 0): lib.read_array_header_1_0,
    (2, 0): lib.read_array_header_2_0,
  }.get(version)
  if header is None:  # version 3 is for tables with names in other scripts
    raise ValueError(f'npy version {version}')
  shape, _, dtype = header(stream)
  size, wanted = len(data) - stream.tell(), math.prod(shape) * dtype.itemsize
  if size != wanted or dtype.hasobject:
    raise ValueError(f'{size} bytes for {dtype} of shape {shape}')
  return np.load(io.BytesIO(data), allow_pickle=False)


def read_idx(file: str, dims: int = 3) -> np.ndarray:
  """Reads an idx file of bytes.

  Args:
    file: Path; a name that ends in .gz is decompressed.
    dims: Number of dimensions that it must have.

  Raises:
    DataError: The file is cut short or of another format.
  """
  start = 4 + 4 * dims
  try:
    with bounded.opened(file) as raw:
      stream = gzip.open(raw) if file.endswith('.gz') else raw
      shape = _idx_shape(stream.read(start), dims, file)
      wanted = math.prod(shape)
      if wanted > MAX_BYTES:
        found = f'a header that announces {shape}, {wanted:,} bytes'
        raise DataError(found, f'at most {MAX_BYTES:,} bytes', file)
      data = stream.read(wanted)
      more = bool(stream.read(1))  # reading on could take all memory
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise DataError(str(error), 'a whole gzip file', file) from error
  if len(data) != wanted or more:
    found = f'more than {wanted} bytes' if more else f'{len(data)} bytes'
    raise DataError(found, f'{shape} as its header says', file)
  return np.frombuffer(data, np.uint8).reshape(shape)


def _idx_shape(header: bytes, dims: int, file: str) -> tuple[int, ...]:
  if len(header) < 4 + 4 * dims or header[:4] != bytes((0, 0, 8, dims)):
    expected = f'an idx file of bytes in {dims} dimensions'
    raise DataError(f'the first bytes {header[:4].hex()}', expected, file)
  return tuple(np.frombuffer(header, '>u4', dims, 4).tolist())
