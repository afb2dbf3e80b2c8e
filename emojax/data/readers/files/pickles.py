"""Reads pickles of dictionaries, lists, numbers, text and NumPy arrays.

A pickle can call any function on load. Here the only names that it can reach
are stand-ins for NumPy's own, and the operations are checked before any is
carried out, so that a damaged or malicious file can fail but nothing else.
Every list, tuple and dictionary may occur in one place only: what is loaded is a
tree with fewer items than the file has bytes, where shared ones could stand for
more items than there are atoms (`a = [b, b], b = [c, c], ...`).
"""

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from emojax.data.readers.files import arrays, bounded
from emojax.data.readers.files.problems import DataError

# Operations that protocols 2 to 4 need for plain data.
_OPERATIONS = frozenset(
  """PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE
  INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT
  STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
  BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
  EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
  EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT
  MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD""".split()
)


# What stays on top of the stack is no container after these.
_PLAIN_RESULTS = frozenset(
  """NONE NEWTRUE NEWFALSE INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT
  BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
  BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
  GLOBAL STACK_GLOBAL REDUCE""".split()
)
_SMALL = 1 << 28
_PUT = frozenset('PUT BINPUT LONG_BINPUT MEMOIZE'.split())
_GET = frozenset('GET BINGET LONG_BINGET'.split())


class _Dtype:
  """Stands in for numpy.dtype: numbers of fixed size only."""

  def __init__(self, kind: str | bytes, *_):
    kind = kind.decode('ascii') if isinstance(kind, bytes) else kind
    if not re.fullmatch('[|<>]?([iu][1248]|f[48]|b1)', kind):
      raise pickle.UnpicklingError(f'array of type {kind!r}')
    self.dtype = np.dtype(kind)

  def __setstate__(self, state: tuple):
    order = state[1].decode() if isinstance(state[1], bytes) else state[1]
    if order in ('<', '>'):
      self.dtype = self.dtype.newbyteorder(order)


class _Array:
  """Stands in for numpy.ndarray until its state is known."""

  def __init__(self, *_):
    self.array: np.ndarray = np.zeros(0)

  def __setstate__(self, state: tuple):
    _, shape, dtype, fortran, raw = state
    self.array = _from_buffer(raw, dtype, shape, 'F' if fortran else 'C').array


def _from_buffer(raw: bytes, dtype: _Dtype, shape: tuple, order: str) -> _Array:
  result = _Array()
  flat = np.frombuffer(raw, dtype.dtype)
  result.array = flat.reshape(shape, order='F' if order == 'F' else 'C')
  return result


def _encode(text: str, encoding: str) -> bytes:
  return text.encode('latin1') if encoding == 'latin1' else text.encode()


def _empty() -> bytes:
  return b''


class _Callable:
  """A name that a pickle may call, and do nothing else with.

  BUILD would write attributes of a function or class for the whole process.
  """

  def __init__(self, function: Callable[..., Any]):
    self._function = function

  def __call__(self, *args: Any) -> Any:
    return self._function(*args)

  def __setstate__(self, state: Any):
    raise pickle.UnpicklingError('a state of what has none')


_NAMES = {
  ('numpy', 'dtype'): _Dtype,
  ('numpy', 'ndarray'): _Array,
  # How protocol 2 writes bytes, and empty ones.
  ('_codecs', 'encode'): _encode,
  ('__builtin__', 'bytes'): _empty,
  **{
    (f'numpy.{core}.{module}', name): stand_in
    for core in ('core', '_core')
    for module, name, stand_in in (
      ('multiarray', '_reconstruct', _Array),
      ('numeric', '_frombuffer', _from_buffer),
    )
  },
}


class _Unpickler(pickle.Unpickler):
  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _NAMES:
      raise pickle.UnpicklingError(f'{module}.{name} is not allowed')
    return _Callable(_NAMES[module, name])


def loads(data: bytes, file: str) -> Any:
  """Returns the first object of a pickle, with text of Python 2 as bytes."""
  return _load(io.BytesIO(data), file)


def load(file: str) -> Any:
  """Reads one pickled object from a file.

  Raises:
    DataError: The file is cut short, no pickle, or holds other objects.
  """
  return loads(bounded.read(file), file)


def load_torch(file: str) -> Any:
  """Reads what torch.save wrote, if it holds plain data and NumPy arrays only."""
  data = bounded.read(file)
  if not data.startswith(b'PK'):
    # The older format: magic number, version, system, then the object.
    buffer = io.BytesIO(data)
    return [_load(buffer, file) for _ in range(4)][3]
  try:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
      arrays.check_unpacked(archive)
      names = [n for n in archive.namelist() if n.endswith('/data.pkl')]
      content = archive.read(names[0])
  except Exception as error:  # damaged archives raise errors of many types
    found = f'{type(error).__name__}: {error}'
    raise DataError(found, 'a file of torch.save', file) from error
  return loads(content, file)


def _load(buffer: io.BytesIO, file: str) -> Any:
  try:
    _check(buffer)
    return _plain(_Unpickler(buffer, encoding='bytes').load())
  except Exception as error:  # a damaged pickle raises errors of many types
    found = f'no safe pickle ({type(error).__name__}: {error})'
    expected = 'a pickle of numbers, text, lists and arrays'
    raise DataError(found, expected, file) from error


def _check(buffer: io.BytesIO):
  """Refuses what a tree of plain data does not need.

  These are other operations, memo numbers that would eat the memory, second
  uses of a container, and texts that are encoded into more bytes than the file
  has (each time anew).
  """
  start, size = buffer.tell(), len(buffer.getbuffer())
  plain: dict[int, bool] = {}  # by number in the memo
  top_is_plain, longest, calls = False, 0, 0
  argument: Any  # what an operation has: a number, a text or nothing
  for operation, argument, _ in pickletools.genops(buffer):
    name = operation.name
    if name not in _OPERATIONS:
      raise pickle.UnpicklingError(f'operation {name}')
    if name in _PUT:
      number = len(plain) if name == 'MEMOIZE' else int(argument)
      if number > size:
        raise pickle.UnpicklingError(f'memo number {number}')
      plain[number] = top_is_plain
    elif name in _GET:
      top_is_plain = plain.get(int(argument), True)
      if not top_is_plain:
        raise pickle.UnpicklingError('a list, tuple or dictionary used twice')
    else:
      top_is_plain = name in _PLAIN_RESULTS
    calls += name == 'REDUCE'
    longest = max(longest, len(argument) if isinstance(argument, str) else 0)
  if longest * calls > max(16 * size, _SMALL):
    raise pickle.UnpicklingError('long text that is encoded many times')
  buffer.seek(start)


def _plain(value: Any) -> Any:
  """Replaces the stand-ins by their arrays, in dictionaries and lists."""
  if isinstance(value, _Array):
    return value.array
  if isinstance(value, dict):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, list):
    return [_plain(item) for item in value]
  return value
