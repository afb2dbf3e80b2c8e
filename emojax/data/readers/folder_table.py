"""A user's own table of labels, CSV or TSV with a header.

Columns, in any order: `path` (an image, a folder of frames or a video file,
relative to the table), and any of `expression` (a name, or a number if the
option `classes` gives the order), `AU<n>` (0, 1 or a probability, or an
intensity with the option `au_threshold`), `valence` and `arousal` (-1..1),
`split`, `subject`, `clip` (rows of one clip) and `frame` (number within the
clip, in the name of a folder's file, or of a video's frame from 0). Empty cells
are missing. The tables of OpenFace serve as they are (folder_columns.py); their
frames count from 1.
"""

import dataclasses
import functools
import os
import pathlib
import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers import folder_columns, labels
from emojax.data.readers.files import folders, media, tables
from emojax.data.readers.files.problems import DataError, Problems, brief
from emojax.data.readers.folder_columns import Columns
from emojax.data.readers.folder_paths import Finder, composed
from emojax.data.readers.records import Frame, Record

MISSING = ('', 'na', 'nan', 'n/a', '<na>', 'null')
VA = ('valence', 'arousal')
ALIGNED = '_aligned'  # OpenFace's folder of crops, numbered as its frames


class Row(NamedTuple):
  """One row. Missing cells are '' or None; `numbers` are AUs and VA by name.

  `table` is the file with the row; `path` is relative to the folder that all
  tables of a data set share.
  """

  table: pathlib.Path
  line: int
  path: str
  split: str
  subject: str
  clip: str
  frame: int | None
  expression: str
  numbers: dict[str, float]
  columns: Columns


class Settings(NamedTuple):
  """Options of the reader that concern single rows (see folder.scan)."""

  ignore: frozenset[str]
  unlabelled: bool
  au_threshold: float
  min_confidence: float


def read(
  path: pathlib.Path,
  root: pathlib.Path,
  settings: Settings,
  problems: Problems,
) -> list[Row]:
  """Reads the table; rows without any label are problems unless wanted."""
  threshold = settings.au_threshold
  columns = folder_columns.read(path, settings.ignore, threshold, problems)
  _check_options(path, columns, settings)
  finder = Finder(root)
  below = posixpath.relpath(path.parent.as_posix(), root.as_posix())
  clip = '' if 'path' in columns.names else _openface_clip(path)
  rows, faceless = [], 0
  for line, cells in tables.rows(
    path,
    problems,
    len(columns.names),
    folder_columns.delimiter(path),
    columns.line,
  ):
    text = _cells(columns, cells)
    if not threshold:
      _refuse_intensities(path, line, text)
    with problems.at(path, line):
      if not _has_face(text, settings.min_confidence):
        faceless += 1
        continue
      text |= {'path': clip} if clip else {}
      row = _row(path, line, columns, text, threshold)
      row = row._replace(path=finder.find(posixpath.join(below, row.path)))
      if not (settings.unlabelled or row.expression or row.numbers):
        expected = 'at least one label per row, or option unlabelled=true'
        raise DataError('no label', expected)
      rows.append(row)
  if faceless:
    problems.note(
      f'{path.name}: {faceless} rows left out in which OpenFace found no face '
      f'(success 0, or confidence below {settings.min_confidence:g})'
    )
  finder.note(problems)
  return rows


def check_paths(
  source: pathlib.Path,
  root: pathlib.Path,
  rows: list[Row],
  outside: bool,
  problems: Problems,
):
  """Looks at where paths lead.

  Args:
    source: The data set's folder.
    root: The folder from which paths lead.
    rows: Of all tables.
    outside: Whether they may lead out of the data set, which is noted.
    problems: Where notes go.

  Raises:
    DataError: At the first path that leads out and may not.
  """
  found = [row for row in rows if not folders.is_below(source, root / row.path)]
  if found and not outside:
    first = found[0]
    raise DataError(
      f'{brief(first.path, 200)}, outside of {source}',
      'a path below it, or option outside=true if the table is your own',
      first.table,
      first.line,
    )
  if found:
    problems.note(
      f'files outside of {source}: {len({row.path for row in found})}, such as '
      f'{found[0].path!r}'
    )


def _check_options(path: pathlib.Path, columns: Columns, settings: Settings):
  """Refuses options that say nothing of this table."""
  if settings.au_threshold and not columns.units:
    found = f'option au_threshold={settings.au_threshold:g}'
    raise DataError(found, 'columns AU<n> with it', path)
  if settings.min_confidence and 'confidence' not in columns.names:
    found = f'option min_confidence={settings.min_confidence:g}'
    raise DataError(found, "OpenFace's column confidence with it", path)


def _openface_clip(path: pathlib.Path) -> str:
  """What OpenFace's table of one clip is about: it does not say so."""
  names = [path.stem + ALIGNED, path.stem]
  names += [path.stem + suffix for suffix in media.VIDEOS]
  for name in names:
    if media.is_clip(path.parent / name):
      return name
  expected = f'{", ".join(names[:3])}, ... beside it, or a column path'
  raise DataError(
    "OpenFace's table of a clip that is not there", expected, path
  )


def _cells(columns: Columns, cells: list[str]) -> dict[str, str]:
  """Cells by column; codes of missing values become ''."""
  return {
    column: '' if cell.lower() in MISSING else cell
    for column, cell in zip(columns.names, cells)
    if column
  }


def _refuse_intensities(
  path: pathlib.Path, line: int, text: dict[str, str]
) -> None:
  """Raises DataError for an AU above 1: then 1 is no presence but a trace.

  It concerns the whole table, whose other rows would mean something else.
  """
  for column, cell in text.items():
    if not column.startswith('AU'):
      continue
    if re.fullmatch(r'[1-5](\.[0-9]*)?', cell) and 1 < float(cell) <= 5:
      raise DataError(
        f'{column} {cell}',
        f'{column} in 0..1, or for intensities (0..5) option au_threshold, the '
        'lowest one that is a positive (2 in papers on DISFA)',
        path,
        line,
      )


def _has_face(text: dict[str, str], min_confidence: float) -> bool:
  """What OpenFace says of a row; True in other tables."""
  if tables.real(text.get('success') or '1', 0, 1, 'success') == 0:
    return False
  confidence = text.get('confidence') or '1'
  return tables.real(confidence, 0, 1, 'confidence') >= min_confidence


def _row(
  table: pathlib.Path,
  line: int,
  columns: Columns,
  text: dict[str, str],
  threshold: float,
) -> Row:
  for column, cell in text.items():
    tables.text(cell, column)
  if not text['path']:
    raise DataError('no path', 'the path of an image or clip')
  split = media.SPLIT_NAMES.get((text.get('split') or 'train').lower())
  if split is None:
    found = f'split {brief(text["split"])}'
    raise DataError(found, ', '.join(media.SPLIT_NAMES))
  numbers = {
    column: _number(column, cell, threshold)
    for column, cell in text.items()
    if cell and (column in VA or column.startswith('AU'))
  }
  return Row(
    table,
    line,
    text['path'],
    split,
    _name(text.get('subject', '')),
    _name(text.get('clip', '')),
    _frame(columns, text),
    composed(text.get('expression', '')),
    numbers,
    columns,
  )


def _name(text: str) -> str:
  """Of a person or a clip; pandas writes 3 as 3.0 beside empty cells."""
  whole = re.fullmatch(r'([0-9]+)\.0*', text)
  return whole[1] if whole else composed(text)


def _number(column: str, cell: str, threshold: float) -> float:
  """Valence, arousal, or an action unit: 1 for intensities of the threshold."""
  if column in VA:
    return tables.real(cell, -1, 1, column)
  if threshold:
    return float(
      tables.real(cell, 0, 5, f'{column}, an intensity') >= threshold
    )
  return tables.real(cell, 0, 1, column)


def _frame(columns: Columns, text: dict[str, str]) -> int | None:
  frame = text.get('frame')
  image = text['path'].lower().endswith(folders.IMAGES)
  if not frame or (columns.openface and image and not text.get('clip')):
    return None  # OpenFace counts images, too
  # pandas writes 3 as 3.0 where the column has empty cells.
  whole = re.fullmatch(r'([0-9]+)\.0*', frame)
  digits = (whole[1] if whole else frame).lstrip('0') or '0'
  return tables.integer(digits, 0, 10**8, 'a frame number')


def records(
  root: pathlib.Path,
  rows: list[Row],
  order: tuple[str, ...],
  fps: float,
  problems: Problems,
) -> tuple[tasks.Schema, list[Record]]:
  """Returns the schema of the tables' columns, and their records."""
  schema = _schema(rows, order)
  if rows and not schema:
    expected = (
      'labels in a column expression, AU<n>, valence or arousal; images without '
      'any, e.g. foreign ones, can be a folder of one class, SOURCE/CLASS/IMAGE'
    )
    raise DataError('no label in any row', expected, rows[0].table)
  _note_shared_files(root, rows, problems)
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    groups.setdefault((row.split, row.clip or row.path), []).append(row)
  found = []
  for (_, name), group in groups.items():
    with problems.at(group[0].table, group[0].line):
      found.append(_record(root, name, group, schema, fps, problems))
  return schema, found


def _note_shared_files(root: pathlib.Path, rows: list[Row], problems: Problems):
  """Warns of files that a model would be trained and tested on, and of those that
  have several names: links, or a folder and a picture in it."""
  names: dict[str, list[str]] = {}
  # Folders are followed once, as tables name millions of files.
  follow = functools.cache(_followed)
  for name in dict.fromkeys(row.path for row in rows):
    path = os.path.abspath(root / name)
    folder, last = os.path.split(path)
    link = os.path.islink(path)
    real = follow(path) if link else os.path.join(follow(folder), last)
    names.setdefault(real, []).append(name)
  whole = {os.path.dirname(real) for real in names} & names.keys()
  inside = [real for real in names if os.path.dirname(real) in whole]
  for real in sorted(
    inside, key=len, reverse=True
  ):  # folders after what they hold
    names[os.path.dirname(real)] += names.pop(real)
  files = {name: real for real, every in names.items() for name in every}
  splits: dict[str, set[str]] = {}
  for row in rows:
    splits.setdefault(files[row.path], set()).add(row.split)
  shared = [names[real][0] for real, where in splits.items() if len(where) > 1]
  if shared:
    problems.note(
      f'files in more than one split: {len(shared)}, such as {shared[0]!r}'
    )
  several = [every for every in names.values() if len(every) > 1]
  if several:
    problems.note(
      f'pictures that rows name in several ways, and that count as often: '
      f'{len(several)}, such as {several[0][0]!r} and {several[0][1]!r}'
    )


def _followed(path: str) -> str:
  try:
    return os.path.realpath(path)
  except (OSError, ValueError):  # a name too long, or with a NUL
    return path


def _schema(rows: list[Row], order: tuple[str, ...]) -> tasks.Schema:
  every = {row.columns for row in rows}
  columns = {name for found in every for name in found.names}
  units = {name for name in columns if name.startswith('AU')}
  aus = next(
    (known for known in (tasks.AU12, tasks.AU8) if set(known) == units),
    tuple(sorted(units, key=lambda name: int(name[2:]))),
  )
  return (
    *([tasks.au_task(aus)] if aus else []),
    *([tasks.expr_task(order)] if 'expression' in columns and order else []),
    *([tasks.va_task()] if {*VA} & columns else []),
  )


def _record(
  root: pathlib.Path,
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
  first, split = root / group[0].path, group[0].split
  if len(group) == 1 and group[0].frame is None:
    clip = media.open_clip(first, fps)
    clip.report(problems, first)
    targets = tasks.empty_targets(schema, (len(clip.frames),))
    _fill(targets, slice(None), group[0], schema)
    return clip.record(name, subject, split, targets)
  if len(group) == 1 and not group[0].clip and not media.is_clip(first):
    found = f'frame {group[0].frame} of {group[0].path!r}, a picture by itself'
    raise DataError(found, 'its clip in a column clip, or no frame')
  places = tables.Unique()
  numbered = any(row.frame is not None for row in group)
  for position, row in enumerate(group):
    with problems.at(row.table, row.line):
      number, frame = _place(root, row, None if numbered else position, fps)
      targets = tasks.empty_targets(schema, (1,))
      _fill(targets, 0, row, schema)
      places.add(number, row.line, (frame, targets), row.table)
  about, times = {'fps': fps or None}, None
  if media.is_clip(first) and not group[0].clip:
    clip = _container(first, fps)
    about = {'fps': clip.fps, 'audio_path': clip.audio_path}
    times = clip.times
    clip.report(problems, first)
    clip.compare(problems, first, [_from_zero(r) for r in group])
  record = _joined(name, subject, split, places.found, about)
  if times is None:
    return record
  return dataclasses.replace(record, frame_time=times[record.frame_index])


def _place(
  root: pathlib.Path, row: Row, position: int | None, fps: float
) -> tuple[int, Frame]:
  """Returns frame number and frame of one row of a clip.

  `position` is the number of a row without one; None in clips where others have
  one, between which a place would be a guess.
  """
  target = root / row.path
  if not media.is_clip(target):
    frames: Sequence[Frame] = media.open_clip(target).frames
    if not row.clip:
      raise DataError(f'{row.path} again', 'an image once, or a column clip')
    number = position if row.frame is None else row.frame
    if number is None:
      expected = 'a frame in all rows of a clip, or in none'
      raise DataError(f'no frame of clip {row.clip!r}', expected)
    return number, frames[0]
  if row.frame is None or row.clip:
    raise DataError(f'{row.path} again', 'one row, or a column frame')
  clip = _container(target, fps)
  if _by_place(row):
    if not 1 <= row.frame <= len(clip.index):
      found = f'frame {row.frame}'
      raise DataError(found, f'a frame in 1..{len(clip.index)} of {row.path}')
    return clip.index[row.frame - 1], clip.frames[row.frame - 1]
  if not clip.numbered:
    raise DataError(
      f'frame {row.frame} of files whose last numbers do not tell them apart',
      'one number at the end of each name, such as 0001.png, and no other file; '
      'or a row for each file, with columns path and clip',
    )
  if row.frame not in clip.index:
    found = f'frame {row.frame}'
    raise DataError(found, f'a frame in {clip.index[0]}..{clip.index[-1]}')
  return row.frame, clip.frames[clip.index.index(row.frame)]


def _by_place(row: Row) -> bool:
  """Whether OpenFace counts the clip's frames, from 1."""
  return row.columns.openface and not row.path.endswith(ALIGNED)


def _from_zero(row: Row) -> int | None:
  """A frame's number as those of a video are, from 0."""
  if row.frame is None:
    return None
  return row.frame - 1 if _by_place(row) else row.frame


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
