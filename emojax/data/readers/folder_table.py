"""A user's own table of labels, CSV or TSV with a header.

Columns, in any order: `path` (an image, a folder of frames or a video file,
relative to the table), and any of `expression` (a name, or a number if the
option `classes` gives the order), `AU<n>` (0, 1 or a probability), `valence`
and `arousal` (-1..1), `split`, `subject`, `clip` (rows of one clip) and
`frame` (number within the clip, in the name of a folder's file, or of a video's
frame from 0). Empty cells are missing.
"""

import dataclasses
import functools
import pathlib
import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files import media, tables
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Frame, Record

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
MISSING = ('', 'na', 'nan')
VA = ('valence', 'arousal')


class Row(NamedTuple):
  """One row. Missing cells are '' or None; `numbers` are AUs and VA by name."""

  line: int
  path: str
  split: str
  subject: str
  clip: str
  frame: int | None
  expression: str
  numbers: dict[str, float]
  columns: tuple[str, ...]


def read(
  path: pathlib.Path, ignore: set[str], unlabelled: bool, problems: Problems
) -> list[Row]:
  """Reads the table; rows without any label are problems unless wanted."""
  delimiter = '\t' if path.suffix.lower() == '.tsv' else ','
  after, cells = tables.header(path, delimiter)
  columns = _columns(path, cells, ignore)
  rows = []
  for line, row in tables.rows(path, problems, len(columns), delimiter, after):
    with problems.at(path, line):
      parsed = _row(line, columns, row)
      if not (unlabelled or parsed.expression or parsed.numbers):
        expected = 'at least one label per row, or option unlabelled=true'
        raise DataError('no label', expected)
      rows.append(parsed)
  return rows


def _columns(
  path: pathlib.Path, cells: list[str], ignore: set[str]
) -> tuple[str, ...]:
  """Returns the canonical name of every column, '' for ignored ones."""
  columns = []
  for cell in cells:
    name = cell.lower()
    unit = re.fullmatch(r'au_?0*([1-9][0-9]?)', name)
    column = f'AU{unit[1]}' if unit else NAMES.get(name, '')
    if name in ignore:
      column = ''
    elif not column:
      expected = f'{", ".join(NAMES)}, AU<n>, or option ignore={cell}'
      raise DataError(f'column {cell!r}', expected, path, 1)
    elif column in columns:
      raise DataError(f'column {cell!r} again', 'each once', path, 1)
    columns.append(column)
  if 'path' not in columns:
    found = f'columns {", ".join(cells)}'
    raise DataError(found, "a column 'path'", path, 1)
  return tuple(columns)


def _row(line: int, columns: tuple[str, ...], cells: list[str]) -> Row:
  text = {
    column: '' if cell.lower() in MISSING else cell
    for column, cell in zip(columns, cells)
  }
  for column, cell in text.items():
    if column:
      tables.text(cell, column)
  if not text['path']:
    raise DataError('no path', 'the path of an image or clip')
  split = media.SPLIT_NAMES.get((text.get('split') or 'train').lower())
  if split is None:
    raise DataError(f'split {text["split"]!r}', ', '.join(media.SPLIT_NAMES))
  frame, number = text.get('frame'), None
  if frame:
    digits = frame.lstrip('0') or '0'
    number = tables.integer(digits, 0, 10**8, 'a frame number')
  numbers = {
    column: tables.real(cell, -1 if column in VA else 0, 1, column)
    for column, cell in text.items()
    if cell and (column in VA or column.startswith('AU'))
  }
  subject, clip = text.get('subject', ''), text.get('clip', '')
  expression = text.get('expression', '')
  return Row(
    line,
    posixpath.normpath(text['path']),  # './a.png' is 'a.png'
    split,
    subject,
    clip,
    number,
    expression,
    numbers,
    columns,
  )


def records(
  path: pathlib.Path,
  rows: list[Row],
  order: tuple[str, ...],
  fps: float,
  problems: Problems,
) -> tuple[tasks.Schema, list[Record]]:
  """Returns the schema of the table's columns, and its records."""
  schema = _schema(rows, order)
  _note_shared_files(rows, problems)
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    groups.setdefault((row.split, row.clip or row.path), []).append(row)
  found = []
  for (_, name), group in groups.items():
    with problems.at(path, group[0].line):
      found.append(_record(path, name, group, schema, fps, problems))
  return schema, found


def _note_shared_files(rows: list[Row], problems: Problems):
  """Warns of files that a model would be trained and tested on."""
  splits: dict[str, set[str]] = {}
  for row in rows:
    splits.setdefault(row.path, set()).add(row.split)
  shared = [name for name, where in splits.items() if len(where) > 1]
  if shared:
    problems.note(
      f'files in more than one split: {len(shared)}, such as {shared[0]!r}'
    )


def _schema(rows: list[Row], order: tuple[str, ...]) -> tasks.Schema:
  columns = rows[0].columns if rows else ()
  units = {name for name in columns if name.startswith('AU')}
  aus = next(
    (known for known in (tasks.AU12, tasks.AU8) if set(known) == units),
    tuple(sorted(units, key=lambda name: int(name[2:]))),
  )
  return (
    *([tasks.au_task(aus)] if aus else []),
    *([tasks.expr_task(order)] if 'expression' in columns and order else []),
    *([tasks.va_task()] if {*VA} & {*columns} else []),
  )


def _record(
  path: pathlib.Path,
  name: str,
  group: list[Row],
  schema: tasks.Schema,
  fps: float,
  problems: Problems,
) -> Record:
  """Joins the rows of one clip, or of one image, folder or video."""
  subjects = {row.subject for row in group if row.subject}
  if len(subjects) > 1:
    several = ', '.join(sorted(subjects))
    raise DataError(f'subjects {several} in {name!r}', 'one per clip')
  subject = subjects.pop() if subjects else name
  first, split = path.parent / group[0].path, group[0].split
  if len(group) == 1 and group[0].frame is None:
    clip = media.open_clip(first, fps)
    clip.report(problems, first)
    targets = tasks.empty_targets(schema, (len(clip.frames),))
    _fill(targets, slice(None), group[0], schema)
    return clip.record(name, subject, split, targets)
  places = tables.Unique()
  for position, row in enumerate(group):
    with problems.at(path, row.line):
      number, frame = _place(path, row, position, fps)
      targets = tasks.empty_targets(schema, (1,))
      _fill(targets, 0, row, schema)
      places.add(number, row.line, (frame, targets))
  about, times = {'fps': fps or None}, None
  if media.is_clip(first) and not group[0].clip:
    clip = _container(first, fps)
    about = {'fps': clip.fps, 'audio_path': clip.audio_path}
    times = clip.times
    clip.report(problems, first)
    clip.compare(problems, first, [r.frame for r in group])
  record = _joined(name, subject, split, places.found, about)
  if times is None:
    return record
  return dataclasses.replace(record, frame_time=times[record.frame_index])


def _place(
  path: pathlib.Path, row: Row, position: int, fps: float
) -> tuple[int, Frame]:
  """Returns frame number and frame of one row of a clip."""
  target = path.parent / row.path
  if not media.is_clip(target):
    frames: Sequence[Frame] = media.open_clip(target).frames
    if not row.clip:
      raise DataError(f'{row.path} again', 'an image once, or a column clip')
    return position if row.frame is None else row.frame, frames[0]
  if row.frame is None or row.clip:
    raise DataError(f'{row.path} again', 'one row, or a column frame')
  clip = _container(target, fps)
  if row.frame not in clip.index:
    found = f'frame {row.frame}'
    raise DataError(found, f'a frame in {clip.index[0]}..{clip.index[-1]}')
  return row.frame, clip.frames[clip.index.index(row.frame)]


# All rows of a video follow each other: open it once.
_container = functools.lru_cache(maxsize=1)(media.open_clip)


def _joined(
  name: str, subject: str, split: str, found: dict, about: dict
) -> Record:
  """Joins {frame number: (frame, targets)} in order of the numbers."""
  if not found:
    raise DataError(f'no usable row of {name!r}', 'at least one')
  numbers = sorted(found)
  frames = tuple(found[n][0] for n in numbers)
  parts = [found[n][1] for n in numbers]
  targets = {
    task: tasks.Target(*map(np.concatenate, zip(*(p[task] for p in parts))))
    for task in parts[0]
  }
  index = np.array(numbers, np.int32)
  return Record(name, subject, split, frames, targets, index, **about)


def _fill(targets: tasks.Targets, place, row: Row, schema: tasks.Schema):
  """Writes the labels of one row into the frames `place`."""
  for task in schema:
    value, mask = targets[task.name]
    if task.kind == 'categorical':
      if row.expression:
        value[place, labels.class_number(row.expression, task.labels)] = 1
        mask[place] = 1
      continue
    for i, label in enumerate(task.labels):
      if label in row.numbers:
        value[place, i], mask[place, i] = row.numbers[label], 1
