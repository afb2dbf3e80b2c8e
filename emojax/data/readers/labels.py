"""Label names in files, target arrays, and maps between label orders by name."""

from collections.abc import Mapping

import numpy as np

from emojax import tasks
from emojax.data.readers.files.problems import DataError
from emojax.data.readers.records import Listing

# Spellings met in file headers and folder names -> names of tasks.py.
_ALIASES = {
  'angry': 'anger',
  'contemptuous': 'contempt',
  'disgusted': 'disgust',
  'fearful': 'fear',
  'happy': 'happiness',
  'sad': 'sadness',
  'suprise': 'surprise',
  'surprised': 'surprise',
}


def canonical(name: str) -> str:
  """Returns the name that tasks.py uses for an expression, case ignored."""
  name = name.strip().lower()
  return _ALIASES.get(name, name)


def expression_order(
  cells: list[str], allowed: tuple[str, ...]
) -> tuple[str, ...]:
  """Reads expression names from a header, in any order.

  Raises:
    DataError: A name is none of `allowed`, or occurs twice.
  """
  names = tuple(canonical(cell) for cell in cells)
  check_columns(names, allowed)
  return names


def check_columns(names: tuple[str, ...], allowed: tuple[str, ...]):
  """Raises DataError unless every name is allowed and occurs once."""
  unknown = [name for name in names if name not in allowed]
  if unknown:
    expected = f'names among {", ".join(allowed)}'
    raise DataError(f'column {unknown[0]!r}', expected)
  if len(set(names)) != len(names):
    raise DataError(f'columns {", ".join(names)}', 'every name only once')


def class_number(name: str, order: tuple[str, ...]) -> int:
  """Returns the number of a class name; raises DataError if it has none."""
  for candidate in (name, canonical(name)):
    if candidate in order:
      return order.index(candidate)
  expected = f'one of {", ".join(order)}, or option classes'
  raise DataError(f'class {name!r}', expected)


def one_hot(number: int, count: int) -> tasks.Target:
  """Returns the hard categorical target of one still, [1, count] and [1]."""
  value = np.zeros((1, count), np.float32)
  value[0, number] = 1
  return tasks.Target(value, np.ones(1, np.float32))


def hard_targets(numbers: np.ndarray, count: int) -> tasks.Target:
  """Returns categorical targets [L, count] of class numbers [L]; -1: missing."""
  value = np.zeros((len(numbers), count), np.float32)
  rows = np.flatnonzero(numbers >= 0)
  value[rows, numbers[rows]] = 1
  return tasks.Target(value, (numbers >= 0).astype(np.float32))


def masked(value: np.ndarray, valid: np.ndarray) -> tasks.Target:
  """Returns a target with `value` zeroed where it is not valid."""
  value = np.where(valid, value, 0).astype(np.float32)
  return tasks.Target(value, valid.astype(np.float32))


def note_classes(
  listing: Listing, official: Mapping[str, tuple[int, ...]], hint: str = ''
):
  """Notes splits that are complete but have other classes than officially.

  Args:
    listing: Listing of one categorical task.
    official: Split to the number of items of each class.
    hint: What may be the matter.
  """
  (task,) = listing.schema
  for split, wanted in official.items():
    numbers = [
      int(record.targets[task.name].value[0].argmax())
      for record in listing.records
      if record.split == split
    ]
    found = np.bincount(numbers, minlength=len(wanted)).tolist()
    if len(numbers) == sum(wanted) and tuple(found) != tuple(wanted):
      pairs = ', '.join(
        f'{name} {a:,} ({b:,})'
        for name, a, b in zip(task.labels, found, wanted)
        if a != b
      )
      listing.problems.note(
        f'{split}: classes unlike the official ones (in brackets): {pairs}'
        + (f'; {hint}' if hint else '')
      )


def labelled(targets: tasks.Targets) -> np.ndarray:
  """Returns bool [L]: the frame has at least one label."""
  masks = [t.mask.reshape(len(t.mask), -1).any(1) for t in targets.values()]
  return np.any(masks, axis=0)
