"""AffectNet, manually annotated images, in both versions that are around.

csv: `training.csv` (with header) and `validation.csv` (without), directly or
in Manually_Annotated_file_lists/, and the images in Manually_Annotated_Images/
(or Manually_Annotated_compressed/Manually_Annotated_Images/).
npy: `train_set/` and `val_set/`, each with images/N.jpg and annotations/
N_exp.npy, N_val.npy, N_aro.npy, N_lnd.npy (see affectnet_npy.py).

Expressions are numbered neutral, happiness, sadness, surprise, fear, disgust,
anger, contempt, none, uncertain, no face; the last three have no class.
Valence and arousal are -2 where they are missing.
"""

import functools
import pathlib
import re
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers import affectnet_npy, labels
from emojax.data.readers.files import folders, tables
from emojax.data.readers.files.crops import Box, LandmarkSquare, points_from
from emojax.data.readers.files.frames import ImageFile
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

COLUMNS = (
  'subdirectory_filepath',
  'face_x',
  'face_y',
  'face_width',
  'face_height',
  'facial_landmarks',
  'expression',
  'valence',
  'arousal',
)
FILES = {'training.csv': 'train', 'validation.csv': 'validation'}
SCHEMA = (tasks.expr_task(tasks.AFFECTNET), tasks.va_task())
NO_CLASS = {8: 'none', 9: 'uncertain', 10: 'no face'}


class Face(NamedTuple):
  """One annotated face; missing values are None."""

  name: str
  split: str
  frame: ImageFile
  expression: int
  va: tuple[float, float] | None


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  version: str = 'auto',
  crop: str = 'own',
  keep_unclassified: bool = False,
) -> Listing:
  """Lists the annotated faces.

  Args:
    version: csv, npy, or auto (csv where training.csv or validation.csv is).
    crop: own (the face box of the csv; npy images are cropped already),
      landmarks (a square around the 68 landmarks, as paper 002's code has it)
      or none.
    keep_unclassified: Keep faces without an expression class (none,
      uncertain, no face) that have valence and arousal.
  """
  if crop not in ('own', 'landmarks', 'none'):
    raise DataError(f'option crop={crop!r}', 'own, landmarks or none')
  paths = _csv_files(source)
  if version not in ('auto', 'csv', 'npy'):
    raise DataError(f'option version={version!r}', 'auto, csv or npy')
  if version == 'csv' or (version == 'auto' and paths):
    faces = _from_csv(source, paths, crop, problems)
  else:
    faces = [
      Face(*row)
      for row in affectnet_npy.read(source, crop == 'landmarks', problems)
    ]
  records = []
  left_out = {name: 0 for name in NO_CLASS.values()}
  for face in faces:
    known = face.expression not in NO_CLASS
    if known or (keep_unclassified and face.va is not None):
      records.append(_record(face))
    else:
      left_out[NO_CLASS[face.expression]] += 1
  text = ', '.join(f'{name} {count}' for name, count in left_out.items())
  problems.note(f'left out, without an expression class: {text}')
  return Listing('affectnet', SCHEMA, records, problems)


def _record(face: Face) -> Record:
  targets = tasks.empty_targets(SCHEMA, (1,))
  if face.expression not in NO_CLASS:
    targets['expr'] = labels.one_hot(face.expression, len(tasks.AFFECTNET))
  if face.va is not None:
    value = np.array([face.va], np.float32)
    targets['va'] = tasks.Target(value, np.ones((1, 2), np.float32))
  index = np.zeros(1, np.int32)
  picture = re.sub(r'#[0-9]+$', '', face.name)  # whose faces are no strangers
  return Record(face.name, picture, face.split, (face.frame,), targets, index)


def _csv_files(source: pathlib.Path) -> dict[str, pathlib.Path]:
  """{split: csv file} of the lists that are there."""
  places = (source, source / 'Manually_Annotated_file_lists')
  found = {}
  for name, split in FILES.items():
    paths = [place / name for place in places if (place / name).is_file()]
    if paths:
      found[split] = paths[0]
  return found


def _from_csv(source, paths: dict, crop: str, problems: Problems) -> list[Face]:
  if not paths:
    raise DataError('neither', ' or '.join(FILES), source)
  folder = 'Manually_Annotated_Images'
  root = folders.first_existing(
    source / folder, source / 'Manually_Annotated_compressed' / folder
  )
  names_in = functools.lru_cache(maxsize=None)(folders.names_in)
  unique = tables.Unique()
  for split, path in paths.items():
    after, columns = _columns(path, crop)
    for line, row in tables.rows(path, problems, len(columns), ',', after):
      with problems.at(path, line):
        cells = dict(zip(columns, row))
        face = _face(root, split, cells, crop)
        image = pathlib.Path(face.frame.file)
        there = image.name in names_in(image.parent)
        if not (there and folders.is_below(root, image)):
          raise DataError(f'no image {face.name!r}', f'an image in {root}')
        unique.add((split, face.name, face.frame.crop), line, face)
  return _numbered(list(unique.found.values()))


def _columns(path: pathlib.Path, crop: str) -> tuple[int, tuple[str, ...]]:
  """Returns how many lines the header takes, and the names of the columns."""
  number, cells = tables.header(path)
  names = tuple(cell.lower() for cell in cells)
  if 'expression' not in names:
    return number - 1, COLUMNS
  try:
    labels.check_columns(names, COLUMNS)
  except DataError as error:
    raise DataError(error.found, error.expected, path) from None
  boxes = {'own': COLUMNS[1:5], 'landmarks': COLUMNS[5:6], 'none': ()}[crop]
  absent = {COLUMNS[0], *boxes, *COLUMNS[6:]} - set(names)
  if absent:
    expected = f'columns {", ".join(COLUMNS)}'
    raise DataError(f'no column {min(absent)!r}', expected, path)
  return number, names


def _face(root: pathlib.Path, split: str, cells: dict, crop: str) -> Face:
  name = cells['subdirectory_filepath']
  expression = tables.integer(cells['expression'], 0, 10, 'an expression')
  va = affectnet_npy.parse_va(cells['valence'], cells['arousal'])
  frame = ImageFile(str(root / name), _crop(cells, crop))
  return Face(name, split, frame, expression, va)


def _crop(cells: dict, crop: str) -> Box | LandmarkSquare | None:
  if crop == 'none':
    return None
  if crop == 'landmarks':
    numbers = cells['facial_landmarks'].split(';')
    tables.expect_columns(numbers, 136)
    points = [tables.real(n, -1e5, 1e5, 'a landmark') for n in numbers]
    return LandmarkSquare(points_from(points))
  x, y, width, height = (
    int(tables.real(cells[key], -1e5, 1e5, 'a box in pixels'))
    for key in COLUMNS[1:5]
  )
  if width <= 0 or height <= 0:
    raise DataError(f'box {width} x {height}', 'a box of at least one pixel')
  return Box(x, y, x + width, y + height)


def _numbered(faces: list[Face]) -> list[Face]:
  """Tells several faces of one image apart by '#1', '#2', ... in their names."""
  seen: dict[tuple[str, str], int] = {}
  result = []
  for face in faces:
    count = seen[face.split, face.name] = (
      seen.get((face.split, face.name), -1) + 1
    )
    name = f'{face.name}#{count}' if count else face.name
    result.append(face._replace(name=name))
  return result
