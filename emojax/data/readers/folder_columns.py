"""Columns of a user's own table, and of the tables that OpenFace writes."""

import pathlib
import re
from collections.abc import Collection
from typing import NamedTuple

from emojax.data.readers.files import tables
from emojax.data.readers.files.problems import DataError, Problems, brief

NAMES = {
  **dict.fromkeys(('path', 'image', 'file', 'filename'), 'path'),
  **dict.fromkeys(('expression', 'emotion', 'label', 'class'), 'expression'),
  **dict.fromkeys(('split', 'usage', 'set'), 'split'),
  **dict.fromkeys(('subject', 'subject_id', 'person'), 'subject'),
  **dict.fromkeys(('clip', 'clip_id', 'video'), 'clip'),
  **dict.fromkeys(('frame', 'frame_id'), 'frame'),
  'valence': 'valence',
  'arousal': 'arousal',
}
# What OpenFace says of a frame, and what is no label of ours.
OPENFACE_NAMES = {'confidence': 'confidence', 'success': 'success'}
OPENFACE_IGNORED = r'timestamp|face(_id)?|(gaze|eye_lmk|pose|p)_.*|[xyz]_[0-9]+'
UNIT = re.compile(r'au_?0*([1-9][0-9]?)(_[rc])?')
SEPARATORS = {',': 'commas', ';': 'semicolons', '\t': 'tabs'}


class Columns(NamedTuple):
  """The columns of a table.

  Attributes:
    line: Number of the header's line.
    names: Canonical name of every column, '' for ignored ones.
    openface: Whether OpenFace wrote them: frames count from 1, and success
      and confidence say whether there was a face.
  """

  line: int
  names: tuple[str, ...]
  openface: bool

  @property
  def units(self) -> set[str]:
    return {name for name in self.names if name.startswith('AU')}


def delimiter(path: pathlib.Path) -> str:
  """What stands between the columns, by the suffix of the file."""
  return '\t' if path.suffix.lower() == '.tsv' else ','


def read(
  path: pathlib.Path,
  ignore: Collection[str],
  au_threshold: float,
  problems: Problems,
) -> Columns:
  """Reads the header of a table.

  Args:
    path: The table.
    ignore: Columns to ignore, in lower case.
    au_threshold: Of the option: above 0, OpenFace's intensities are read
      instead of its presences.
    problems: Where notes go.

  Raises:
    DataError: A column is unknown or there twice, or the path is missing.
  """
  line, cells = tables.header(path, delimiter(path))
  _check_separator(path, line, cells)
  found = [cell.lower() for cell in cells]
  units = {cell: UNIT.fullmatch(cell) for cell in found if cell not in ignore}
  kinds = {match[2] for match in units.values() if match and match[2]}
  if kinds and not au_threshold and '_c' not in kinds:
    raise DataError(
      "OpenFace's intensities AU<n>_r without its presences AU<n>_c",
      'option au_threshold, the lowest intensity (0..5) that is a positive',
      path,
      line,
    )
  names: list[str] = []
  for cell, name in zip(cells, found):
    column = _canonical(
      name, ignore, bool(kinds), '_r' if au_threshold else '_c'
    )
    if column is None:
      expected = f'{", ".join(NAMES)}, AU<n>, or option ignore={cell}'
      raise DataError(f'column {brief(cell)}', expected, path, line)
    if column and column in names:
      raise DataError(f'column {brief(cell)} again', 'each once', path, line)
    names.append(column)
  columns = Columns(line, tuple(names), bool(kinds))
  _note_unread(columns, units, problems)
  if 'path' not in names and not (kinds and 'frame' in names):
    raise DataError(
      f'columns {", ".join(cells)}', "a column 'path'", path, line
    )
  return columns


def _canonical(
  name: str, ignore: Collection[str], openface: bool, kind: str
) -> str | None:
  """Name of a column, '' for one to ignore, None for an unknown one."""
  unit = UNIT.fullmatch(name)
  if name in ignore or (unit and unit[2] and unit[2] != kind):
    return ''
  if unit:
    return f'AU{unit[1]}'
  if openface and name in OPENFACE_NAMES:
    return OPENFACE_NAMES[name]
  if openface and re.fullmatch(OPENFACE_IGNORED, name):
    return ''
  return NAMES.get(name)


def _note_unread(columns: Columns, units: dict, problems: Problems):
  """Notes units for which the table has no column of the kind that is read."""
  every = {f'AU{match[1]}' for match in units.values() if match}
  if missing := sorted(every - columns.units):
    problems.note(
      f'{", ".join(missing)}: no column of the kind that is read (AU<n>_r with '
      'option au_threshold, else AU<n>_c)'
    )


def _check_separator(path: pathlib.Path, line: int, cells: list[str]):
  """Names what stands between the columns, if that is something else."""
  used = delimiter(path)
  other = [mark for mark in SEPARATORS if mark != used and mark in cells[0]]
  if len(cells) == 1 and other:
    fix = ' or name it .tsv' if other[0] == '\t' else ''
    raise DataError(
      f'{SEPARATORS[other[0]]} between the columns',
      f'{SEPARATORS[used]}, and points in numbers: save it so (pandas: '
      f"to_csv(..., sep={used!r}, decimal='.')){fix}",
      path,
      line,
    )
