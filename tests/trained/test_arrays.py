"""Files of named arrays: round trips, the format, damage."""

import json
import struct

import hypothesis
import hypothesis.extra.numpy as strategies
import numpy as np
import pytest
from hypothesis import strategies as st

from emojax.trained import arrays as files

ARRAYS = st.dictionaries(
  st.text(min_size=1, max_size=8).filter(lambda x: x != '__metadata__'),
  strategies.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_]),
    strategies.array_shapes(min_dims=0, max_dims=3, max_side=3, min_side=0),
  ),
  max_size=4,
)


@hypothesis.given(arrays=ARRAYS)
@hypothesis.settings(max_examples=60, deadline=None)
def test_round_trip(arrays):
  found, metadata = files.decode(files.encode(arrays, {'format': 'test'}))
  assert metadata == {'format': 'test'}
  assert set(found) == set(arrays)
  for name, array in arrays.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


def test_layout_is_that_of_the_specification():
  data = files.encode({'a': np.array([[1, 2]], np.float32)})
  (size,) = struct.unpack('<Q', data[:8])
  assert size % 8 == 0
  assert json.loads(data[8 : 8 + size]) == {
    'a': {'dtype': 'F32', 'shape': [1, 2], 'data_offsets': [0, 8]}
  }
  assert data[8 + size :] == struct.pack('<ff', 1, 2)


DATA = files.encode({'a': np.arange(4, dtype=np.float32)})


def raw(header, size: int = 16) -> bytes:
  """A file with any header and so many bytes of arrays."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack('<Q', len(text)) + text + bytes(size)


def entry(start, end, dtype='F32', shape=None):
  shape = [(end - start) // 4] if shape is None else shape
  return {'dtype': dtype, 'shape': shape, 'data_offsets': [start, end]}


TWICE = ','.join(f'"a":{json.dumps(entry(*x))}' for x in ((0, 8), (8, 16)))
TWICE = f'{{{TWICE}}}'.encode()


@pytest.mark.parametrize(
  'data',
  [
    b'',
    DATA[:7],
    DATA[:30],
    DATA[:-1],
    DATA + b'0',
    b'\xff' * 8 + DATA[8:],
    DATA.replace(b'F32', b'F99'),
    DATA.replace(b'[4]', b'[5]'),
    DATA.replace(b'"shape"', b'"shupe"'),
    raw({'a': entry(0, 16), 'b': entry(0, 16)}),  # overlap
    raw({'a': entry(0, 4), 'b': entry(8, 16)}),  # a hole
    raw({'a': entry(4, 16)}),
    raw({'a': entry(0, 12)}),  # bytes of no array
    raw(TWICE),
    raw({'a': entry(0, 16, shape=[-4])}),
    raw({'a': entry(0, 16, shape=[1 << 62, 8])}),
    raw({'a': entry(0, 16, 'BF16', [8])}),
    raw({'a': entry(0, 16, 'F8_E4M3', [16])}),
    raw({'a': entry(0, 16, 'U16', [8])}),
    raw({'a': entry(0, 16), '__metadata__': {'x': 1}}),
    raw({'a': entry(0, 16), '__metadata__': None}),
    raw({'a': entry(0, 16), '__metadata__': []}),
    raw({'a': {**entry(0, 16), 'dtype': None}}),
    raw(b'[' * 100_000),
    raw(b'{"a":' * 100_000),
    raw(b'[]'),
    raw(b'null'),
    raw(json.dumps({'a': entry(0, 16)}).encode() + b' ' * (files.MAX_HEADER)),
  ],
)
def test_damage_is_noticed(data):
  with pytest.raises(files.FormatError):
    files.decode(data)


def test_other_dtypes_are_refused():
  with pytest.raises(ValueError, match='a: dtype complex128'):
    files.encode({'a': np.zeros(1, complex)})


def test_files_of_former_versions_are_read():
  """They had no padding of the same length, and names in another order."""
  text = json.dumps({'b': entry(0, 8), 'a/c': entry(8, 16)}).encode()
  data = raw(text, 0) + np.arange(4, dtype='<f4').tobytes()
  found, metadata = files.decode(data)
  assert metadata == {}
  np.testing.assert_equal(
    found, {'b': np.float32([0, 1]), 'a/c': np.float32([2, 3])}
  )


def test_equal_arrays_and_texts_are_equal_bytes():
  """The library keeps texts in a table whose order is drawn anew."""
  arrays_ = {'b': np.arange(3.0), 'a': np.ones((2, 2), np.float32)}
  texts = {f'key {i}': 'ä' * i for i in range(8)}
  data = {files.encode(arrays_, texts) for _ in range(20)}
  assert len(data) == 1
  found, said = files.decode(data.pop())
  assert said == texts
  assert all(np.array_equal(found[k], v) for k, v in arrays_.items())
