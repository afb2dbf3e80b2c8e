"""Named arrays as a safetensors file: plain, checkable, no code when read."""

import json
import struct
from collections.abc import Mapping

import numpy as np
import safetensors
from safetensors import numpy as library

MAX_HEADER = 1 << 22  # bytes; the largest network here needs some 1e5
DTYPES = (
  np.float64,
  np.float32,
  np.float16,
  np.int64,
  np.int32,
  np.uint8,
  bool,
)
NAMES = tuple(np.dtype(dtype).name for dtype in DTYPES)


class FormatError(ValueError):
  """A file is damaged or no safetensors file."""


def half(name: str, array: np.ndarray) -> np.ndarray:
  """A kernel [M, ...] in float16; all else, which is small, as it is.

  Statistics and scales stay: a variance of 1e-8 would be 0.
  """
  return array.astype(np.float16) if _kernel(name, array.dtype) else array


def single(name: str, array: np.ndarray) -> np.ndarray:
  """Inverse of `half`, up to rounding: float32 of a float16 kernel."""
  known = array.dtype == np.float16 and _kernel(name, np.dtype(np.float32))
  return array.astype(np.float32) if known else array


def _kernel(name: str, dtype: np.dtype) -> bool:
  return name.rsplit('/', 1)[-1] == 'kernel' and dtype == np.float32


def encode(
  arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> bytes:
  """The contents of a file.

  Args:
    arrays: By name; of the dtypes of `NAMES`.
    metadata: Texts for the header.

  Raises:
    ValueError: On another dtype.
  """
  for name, array in arrays.items():
    if array.dtype.name not in NAMES:
      raise ValueError(f'{name}: dtype {array.dtype}, expected one of {NAMES}')
  whole = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
  whole = {n: a.reshape(arrays[n].shape) for n, a in whole.items()}  # keeps []
  data = library.save(whole, dict(metadata) if metadata else None)
  return _ordered(data) if metadata else data


def _ordered(data: bytes) -> bytes:
  """The file with its texts in order: the library draws it anew every time."""
  start = 8 + struct.unpack('<Q', data[:8])[0]
  header = json.loads(data[8:start])
  texts = header.pop('__metadata__')
  header = {'__metadata__': dict(sorted(texts.items())), **header}
  text = json.dumps(header, ensure_ascii=False, separators=(',', ':')).encode()
  text += b' ' * (-len(text) % 8)  # arrays are aligned
  return struct.pack('<Q', len(text)) + text + data[start:]


def decode(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Inverse of `encode`: (arrays, metadata).

  Raises:
    FormatError: If the bytes are no such file, or cut short, or too many, or
      the arrays overlap or leave holes.
  """
  size = struct.unpack('<Q', data[:8])[0] if len(data) >= 8 else 0
  if size > MAX_HEADER:
    raise FormatError(f'a header of {size} bytes: this is another format')
  try:
    arrays = library.load(data)
    metadata = json.loads(data[8 : 8 + size]).get('__metadata__', {})
    if not isinstance(metadata, dict):
      raise ValueError('its texts are no object')
  except (safetensors.SafetensorError, RecursionError, ValueError) as error:
    raise FormatError(f'no whole safetensors file ({error})') from error
  except KeyError as error:  # the library knows it, NumPy does not
    raise FormatError(f'arrays of type {error}: expected {NAMES}') from error
  for name, array in arrays.items():
    if array.dtype.name not in NAMES:
      raise FormatError(f'{name}: dtype {array.dtype}, expected one of {NAMES}')
  return arrays, metadata
