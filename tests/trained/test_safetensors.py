"""The safetensors format: round trips, the library's reader, damage."""

import json
import struct

import hypothesis
import hypothesis.extra.numpy as strategies
import numpy as np
import pytest
from hypothesis import strategies as st

from emojax.trained import safetensors

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
  found, metadata = safetensors.decode(
    safetensors.encode(arrays, {'format': 'test'})
  )
  assert metadata == {'format': 'test'}
  assert set(found) == set(arrays)
  for name, array in arrays.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


def test_layout_is_that_of_the_specification():
  data = safetensors.encode({'a': np.array([[1, 2]], np.float32)})
  (size,) = struct.unpack('<Q', data[:8])
  assert size % 8 == 0
  assert json.loads(data[8 : 8 + size]) == {
    'a': {'dtype': 'F32', 'shape': [1, 2], 'data_offsets': [0, 8]}
  }
  assert data[8 + size :] == struct.pack('<ff', 1, 2)


def test_the_library_reads_it(tmp_path):
  library = pytest.importorskip(
    'safetensors.numpy', reason='pip install safetensors'
  )
  arrays = {'a/b': np.arange(6.0).reshape(2, 3), 'c': np.zeros((), np.int32)}
  path = tmp_path / 'x.safetensors'
  path.write_bytes(safetensors.encode(arrays))
  np.testing.assert_equal(library.load_file(path), arrays)


DATA = safetensors.encode({'a': np.arange(4, dtype=np.float32)})


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
  ],
)
def test_damage_is_noticed(tmp_path, data):
  path = tmp_path / 'x.safetensors'
  path.write_bytes(data)
  with pytest.raises(safetensors.FormatError, match=r'x\.safetensors'):
    safetensors.read(path)


def test_other_dtypes_are_refused():
  with pytest.raises(ValueError, match='a: dtype complex128'):
    safetensors.encode({'a': np.zeros(1, complex)})
