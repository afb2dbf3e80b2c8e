"""Arrays in the safetensors format: plain, checkable, no code when read.

A file is the length of a JSON header (8 bytes, little-endian), the header
(name -> dtype, shape, offsets), and the arrays' bytes. The format is that of
https://github.com/huggingface/safetensors; its library reads these files.
"""

import json
import math
import os
import pathlib
import struct
from collections.abc import Mapping

import numpy as np

DTYPES = {
  'F64': np.float64,
  'F32': np.float32,
  'F16': np.float16,
  'I64': np.int64,
  'I32': np.int32,
  'U8': np.uint8,
  'BOOL': np.bool_,
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
METADATA = '__metadata__'
ALIGNMENT = 8


class FormatError(ValueError):
  """A file is damaged or no safetensors file."""


def encode(
  arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> bytes:
  """The contents of a file.

  Args:
    arrays: By name; of the dtypes of `DTYPES`.
    metadata: Texts for the header.

  Raises:
    ValueError: On another dtype.
  """
  header, parts, end = {}, [], 0
  if metadata:
    header[METADATA] = dict(metadata)
  for name, array in sorted(arrays.items()):
    dtype = np.dtype(array.dtype)
    if dtype not in NAMES:
      raise ValueError(f'{name}: dtype {dtype}, expected one of {list(NAMES)}')
    data = np.ascontiguousarray(array, dtype.newbyteorder('<')).tobytes()
    header[name] = {
      'dtype': NAMES[dtype],
      'shape': list(array.shape),
      'data_offsets': [end, end + len(data)],
    }
    parts.append(data)
    end += len(data)
  text = json.dumps(header, separators=(',', ':')).encode()
  text += b' ' * (-len(text) % ALIGNMENT)
  return b''.join([struct.pack('<Q', len(text)), text, *parts])


def decode(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Inverse of `encode`: (arrays, metadata).

  Raises:
    FormatError: If the bytes are cut short, too many or no such file.
  """
  header, body = _header(data)
  metadata = header.pop(METADATA, {})
  arrays, used = {}, 0
  for name, entry in header.items():
    arrays[name] = _array(name, entry, body)
    used = max(used, entry['data_offsets'][1])
  if used != len(body):
    raise FormatError(f'{len(body)} bytes of arrays, the header says {used}')
  return arrays, metadata


def _header(data: bytes):
  if len(data) < 8:
    raise FormatError(f'{len(data)} bytes are no safetensors file')
  (size,) = struct.unpack('<Q', data[:8])
  if 8 + size > len(data):
    raise FormatError('the header is cut short, or this is another format')
  try:
    header = json.loads(data[8 : 8 + size])
    entries = [entry for name, entry in header.items() if name != METADATA]
    for entry in entries:
      entry['dtype'], entry['shape'], entry['data_offsets'][1]
  except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
    raise FormatError(f'the header cannot be read: {error}') from error
  return header, memoryview(data)[8 + size :]


def _array(name: str, entry, body) -> np.ndarray:
  start, end = entry['data_offsets']
  if entry['dtype'] not in DTYPES:
    raise FormatError(f'{name}: dtype {entry["dtype"]} is not supported')
  dtype = np.dtype(DTYPES[entry['dtype']]).newbyteorder('<')
  size = math.prod(entry['shape']) * dtype.itemsize
  if not 0 <= start <= end <= len(body) or end - start != size:
    raise FormatError(f'{name}: its bytes are not all there')
  array = np.frombuffer(body[start:end], dtype).reshape(entry['shape'])
  return array.astype(dtype.newbyteorder('='))


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the arrays of a file; errors as `decode`, naming the file."""
  try:
    return decode(pathlib.Path(path).read_bytes())[0]
  except FormatError as error:
    raise FormatError(f'{path}: {error}') from error
