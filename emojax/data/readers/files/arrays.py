"""Files of arrays: npy, npz and idx, none of which may hold pickles."""

import gzip
import io
import pathlib
import zlib

import numpy as np

from emojax.data.readers.files.problems import DataError


def load_npy(path: pathlib.Path) -> np.ndarray:
  """Reads a npy file; raises DataError if it cannot be read."""
  try:
    found = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
  except Exception as error:  # damaged headers raise errors of many types
    text = f'no array ({type(error).__name__}: {error})'
    raise DataError(text, 'a npy file of numbers or text', path) from error
  if not isinstance(found, np.ndarray):
    found.close()
    raise DataError('a npz file', 'a npy file', path)
  return found


def load_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads all arrays of a npz file; raises DataError if they cannot be read."""
  try:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
      return {key: found[key] for key in found.files}
  except Exception as error:  # damaged archives raise errors of many types
    text = f'no arrays ({type(error).__name__}: {error})'
    raise DataError(text, 'a npz file of arrays', path) from error


def read_idx(file: str, dims: int = 3) -> np.ndarray:
  """Reads an idx file of bytes.

  Args:
    file: Path; a name that ends in .gz is decompressed.
    dims: Number of dimensions that it must have.

  Raises:
    DataError: The file is cut short or of another format.
  """
  try:
    with (gzip.open if file.endswith('.gz') else open)(file, 'rb') as stream:
      data = stream.read()
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise DataError(str(error), 'a whole gzip file', file) from error
  start = 4 + 4 * dims
  if len(data) < start or data[:4] != bytes((0, 0, 8, dims)):
    expected = f'an idx file of bytes in {dims} dimensions'
    raise DataError(f'the first bytes {data[:4].hex()}', expected, file)
  shape = tuple(np.frombuffer(data, '>u4', dims, 4).tolist())
  size = len(data) - start
  if np.prod(shape, dtype=object) != size:
    raise DataError(f'{size} bytes', f'{shape} as its header says', file)
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
