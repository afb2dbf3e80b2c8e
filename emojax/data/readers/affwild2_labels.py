"""Label files of Aff-Wild2: a header, then one line per video frame.

Rows find their images by counting, so one lost line end would shift every
label after it. Where a broken row leaves that possible (its number of columns
is wrong, or it may be two rows run together) the rest of the file is left
out; a row that is merely out of range costs that row alone.
"""

import pathlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files import bounded, tables
from emojax.data.readers.files.problems import DataError, Problems

AUS = tuple(sorted({*tasks.AU12, *tasks.AU8}, key=lambda name: int(name[2:])))
# Later releases number an eighth class, which these papers do not use.
EXPRESSIONS = (*tasks.AFFWILD2, 'other')
REST = '; the rest of the file is left out, since its frames are uncertain'


class Annotation(NamedTuple):
  """Labels of one file: names of the columns and a target with leading [N]."""

  labels: tuple[str, ...]
  target: tasks.Target


def read_aus(path: pathlib.Path, problems: Problems) -> Annotation:
  """Reads 0/1 per action unit; -1 is a missing label."""
  after, names = tables.header(path)
  names = tuple(re.sub(r'AU0*(?=\d)', 'AU', name.upper()) for name in names)
  labels.check_columns(names, AUS)
  if set(names) not in (set(tasks.AU12), set(tasks.AU8)):
    wanted = ' or '.join(', '.join(aus) for aus in (tasks.AU12, tasks.AU8))
    raise DataError(f'columns {", ".join(names)}', wanted)

  def parse(text: str) -> tuple[float, ...]:
    row = tables.cells(text)
    tables.expect_columns(row, len(names))
    return tuple(_au(cell) for cell in row)

  missing = (-1.0,) * len(names)
  value = _array(_rows(path, problems, after, parse, missing), len(names))
  return Annotation(names, labels.masked(value, value >= 0))


def _au(cell: str) -> float:
  value = tables.real_or(cell, 0, 1, -1, 'an action unit')
  if value not in (-1, 0, 1):
    raise DataError(repr(cell), 'an action unit: 0 or 1, or -1 for missing')
  return value


def read_expressions(path: pathlib.Path, problems: Problems) -> Annotation:
  """Reads the number of a class, in the order of the header; -1 is missing."""
  after, names = tables.header(path)
  names = labels.expression_order(names, EXPRESSIONS)
  if not set(tasks.AFFWILD2) <= set(names):
    expected = f'a header that names {", ".join(tasks.AFFWILD2)}'
    raise DataError(f'classes {", ".join(names)}', expected)

  def parse(text: str) -> tuple[int]:
    what = 'a class number (-1: missing)'
    return (tables.integer(text, -1, len(names) - 1, what),)

  numbers = _array(_rows(path, problems, after, parse, (-1,)), 1)[:, 0]
  index = np.append(tasks.reorder(names, tasks.AFFWILD2), -1)
  numbers = index[numbers.astype(int)]
  return Annotation(tasks.AFFWILD2, labels.hard_targets(numbers, 7))


def read_va(path: pathlib.Path, problems: Problems) -> Annotation:
  """Reads valence and arousal in [-1, 1]; -5 in either drops the frame."""
  after, cells = tables.header(path)
  names = tuple(cell.lower() for cell in cells)
  labels.check_columns(names, ('valence', 'arousal'))

  def parse(text: str) -> tuple[float, ...]:
    row = tables.cells(text)
    tables.expect_columns(row, 2)
    return tuple(tables.real_or(cell, -1, 1, -5, 'a value') for cell in row)

  tables.expect_columns(cells, 2)
  value = _array(_rows(path, problems, after, parse, (-5.0, -5.0)), 2)
  valid = np.repeat((value > -5).all(-1, keepdims=True), 2, -1)
  order = [names.index(name) for name in ('valence', 'arousal')]
  target = labels.masked(value, valid)
  return Annotation(
    ('valence', 'arousal'), target._replace(value=target.value[:, order])
  )


READ: dict[str, Callable[[pathlib.Path, Problems], Annotation]] = {
  'au': read_aus,
  'expr': read_expressions,
  'va': read_va,
}


def _array(rows: Iterator[tuple[float, ...]], columns: int) -> np.ndarray:
  return np.array(list(rows), np.float32).reshape(-1, columns)


def _rows(
  path: pathlib.Path,
  problems: Problems,
  after: int,
  parse: Callable[[str], tuple[float, ...]],
  missing: tuple[float, ...],
) -> Iterator[tuple[float, ...]]:
  """Yields a tuple per frame, `missing` for rows that are out of range."""
  # Most rows repeat: each text is parsed once.
  cache: dict[bytes, tuple[float, ...]] = {}
  raw_lines = tables.split(bounded.read(path).rstrip())
  for number, raw in enumerate(raw_lines[after:], after + 1):
    row = cache.get(raw)
    if row is None:
      text = raw.decode(errors='replace').strip()
      aligned = _aligned(text, len(missing))
      row = missing
      try:
        row = cache[raw] = parse(text)
      except DataError as error:
        expected = error.expected if aligned else error.expected + REST
        problems.add(path, number, error.found, expected)
        if not aligned:
          return
    yield row


def _aligned(text: str, columns: int) -> bool:
  """Whether a broken row certainly is one row, not two that ran together."""
  if columns > 1:
    return text.count(',') == columns - 1
  return re.fullmatch('-?[0-9]|nan', text.lower()) is not None
