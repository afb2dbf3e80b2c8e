"""Whether a record holds the labels that its data set's table says it has.

Labels are stored twice: in `labels-*.npz`, from which clips are cut and scores
are computed, and beside the images. A table that was exchanged differs from the
records; they are compared as records are read.
"""

from typing import Any

import numpy as np

from emojax.data.store import store
from emojax.data.store.frame_table import FrameTable


class RecordError(ValueError):
  """Says what is wrong with a record."""


def check(example: Any, spec: store.Spec, table: FrameTable, number: int):
  """Compares a parsed record with the table.

  Args:
    example: The record, from `store.parse`.
    spec: What the records of the data set hold.
    table: The labels of the split.
    number: Number of the record in the split.

  Raises:
    RecordError: They differ, or the record lacks something.
  """
  length = int(table.length[number])
  first = int(table.length[:number].sum())
  rows = slice(first, first + length)
  feature = example.features.feature
  for name in ('video_id', 'subject_id'):
    _same(name, _text(feature[name]), str(getattr(table, name)[number]))
  found = np.array(feature['frame_index'].int64_list.value, np.int64)
  _same('frame_index', found.tolist(), table.frame_index[rows].tolist())
  for name, array in table.arrays().items():
    if '/' in name or name == 'votes':
      found = np.array(feature[name].float_list.value, np.float32)
      _same_numbers(name, found, array[rows])
  count = len(store.encoded_images(example))
  if count != length:
    raise RecordError(f'it has {count} images, expected {length}')
  if spec.audio is not None:
    _check_sound(example, length)


def _text(feature: Any) -> str | None:
  values = feature.bytes_list.value
  return values[0].decode(errors='replace') if len(values) == 1 else None


def _same(name: str, found: Any, expected: Any):
  if found != expected:
    raise RecordError(
      f'its {name} is {_short(found)}, the table of labels says '
      f'{_short(expected)}'
    )


def _same_numbers(name: str, found: np.ndarray, expected: np.ndarray):
  if not np.array_equal(found, expected.ravel()):
    raise RecordError(f'its {name} is not what the table of labels says')


def _short(value: Any) -> str:
  text = repr(value)
  return text if len(text) < 80 else f'{text[:80]}...'


def _check_sound(example: Any, length: int):
  try:
    sound = store.audio_of(example)
  except (IndexError, ValueError) as error:
    raise RecordError(f'its sound cannot be read ({error})') from error
  last = sound.spectrum.shape[1] - store.AUDIO_WINDOW
  inside = (sound.start >= 0).all() and (sound.start <= last).all()
  if sound.start.shape != (length,) or not inside:
    raise RecordError('its frames are outside of its sound')
  if not np.isfinite(sound.spectrum).all():
    raise RecordError('its sound is not finite')
