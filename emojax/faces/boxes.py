"""Boxes of a user's own, from a CSV file."""

import os
import pathlib
import posixpath
from collections.abc import Iterable, Mapping

import numpy as np

from emojax.data.readers.files import tables
from emojax.data.readers.files.problems import DataError, Problems
from emojax.faces.faces import Faces, faces, none, ordered

_NEEDED = ('file', 'x', 'y', 'w', 'h')
_OPTIONAL = ('frame', 'face')
_COLUMNS = 'file,x,y,w,h and, if there are, frame and face'
_FAR = 1e6  # pixels
_LAST = 2**31 - 1


class Boxes:
  """Boxes by file and frame, without scores and landmarks.

  Args:
    rows: The boxes of every (file, frame).
  """

  def __init__(self, rows: Mapping[tuple[str, int], Faces]):
    self._rows = {(_key(file), i): found for (file, i), found in rows.items()}
    self._files = {_key(file): file for file, _ in rows}
    self._frames: dict[str, list[int]] = {}
    for file, i in sorted(self._rows):
      self._frames.setdefault(file, []).append(i)

  @property
  def files(self) -> tuple[str, ...]:
    """The names in the column `file`, in order of first appearance."""
    return tuple(self._files.values())

  def of(self, file: str, index: int) -> Faces:
    """Returns the boxes of a frame; none where the table has none."""
    return self._rows.get((_key(file), index), none())

  def frames(self, file: str) -> list[int]:
    """Returns the frames of a file that the table has boxes for, in order."""
    return self._frames.get(_key(file), [])

  def missing(self, names: Iterable[str]) -> list[str]:
    """Returns the files of the table that are not among those names."""
    there = {_key(name) for name in names}
    return [file for key, file in self._files.items() if key not in there]


def read(path: str | os.PathLike) -> Boxes:
  """Reads `file,x,y,w,h[,frame][,face]`, in this or another order.

  `file` is the name as it is shown (`sources.Source.name`), x, y, w and h are
  pixels of the upright picture, `frame` counts from 0 (0 where there is none).
  The faces of a frame are in the order of `face` or, without it, of
  `faces.ordered`.

  Raises:
    DataError: With file and line of the first row that is wrong: a box that is
      empty or no numbers, a face that is there twice, a column that is unknown.
  """
  path = pathlib.Path(path)
  try:
    number, names = tables.header(path)
    columns = _columns(names, path, number)
    found: dict[tuple[str, int], list] = {}
    lines: dict[tuple, int] = {}
    spelt: dict[str, str] = {}
    problems = Problems(strict=True)
    for line, row in tables.rows(path, problems, len(names), after=number):
      with problems.at(path, line):
        file, frame, face, box = _row(row, columns)
        _once(lines, (_key(file), frame, box if face is None else face), line)
        file = spelt.setdefault(_key(file), file)
        found.setdefault((file, frame), []).append((face, box))
  except OSError as error:
    why = error.strerror or str(error)
    raise DataError(why, f'a CSV file with {_COLUMNS}', path) from error
  if not found:
    raise DataError('no boxes', f'rows with {_COLUMNS}', path)
  return Boxes({key: _faces(rows) for key, rows in found.items()})


def _columns(names: list[str], path, line: int) -> dict[str, int]:
  """Column numbers by name."""
  wrong = {*_NEEDED} - {*names} or {*names} - {*_NEEDED, *_OPTIONAL}
  if wrong or len({*names}) < len(names):
    # A misspelt 'frame' that is passed over would put all rows on frame 0.
    found = f'the columns {tables.shorten(",".join(names), 80)}'
    raise DataError(found, _COLUMNS, path, line)
  return {name: i for i, name in enumerate(names)}


def _row(row: list[str], columns: dict[str, int]):
  """(file, frame, face or None, box) of a row; raises DataError."""
  cell = {name: row[i] for name, i in columns.items()}
  file = tables.file_name(cell['file'])
  if not file:
    raise DataError('a row without a file', 'the name of a picture or video')
  corner = [tables.real(cell[k], -_FAR, _FAR, f'pixels {k}') for k in 'xy']
  extent = [tables.real(cell[k], 0, _FAR, f'pixels {k}') for k in 'wh']
  if not np.all(np.array(extent, np.float32) > 0):
    raise DataError('an empty box', 'w and h of more than 0 pixels')
  frame = tables.integer(cell.get('frame', '0'), 0, _LAST, 'frame')
  face = cell.get('face')
  if face is not None:
    face = tables.integer(face, 0, _LAST, 'face')
  return file, frame, face, (*corner, *extent)


def _once(lines: dict[tuple, int], key: tuple, line: int):
  if key in lines:
    found = f'a face of the same file and frame as in line {lines[key]}'
    raise DataError(found, 'every face once, or numbers in a column `face`')
  lines[key] = line


def _faces(rows: list) -> Faces:
  if rows[0][0] is None:
    return ordered(faces([box for _, box in rows]))
  return faces([box for _, box in sorted(rows)])


def _key(file: str) -> str:
  """./a.jpg and a.jpg are one file."""
  return posixpath.normpath(file.replace(os.sep, '/'))
