"""DISFA: intensities of action units for 27 subjects.

    ActionUnit_Labels/SN001/SN001_au1.txt ...    rows `frame,intensity`
    LeftVideoSN001_comp/LeftVideoSN001_comp_aligned/..._000001.bmp

Frames are numbered from 1 in both. They are joined by that number, so missing
images do not shift the labels. An intensity (0..5) of at least 2 is a
positive. There is no official split.
"""

import pathlib

import numpy as np

from emojax import tasks
from emojax.data.readers import labels, splits
from emojax.data.readers.files import folders, tables
from emojax.data.readers.files.frames import ImageFiles
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

SUBJECTS = 27
NUMBER = '.*?([0-9]{1,9})'


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  images: str = '',
  threshold: int = 2,
  validation_fraction: float = 0.0,
  seed: int = 0,
) -> Listing:
  """Lists one video per subject.

  Args:
    images: Folder of the LeftVideo* folders, if not the source.
    threshold: Lowest intensity (1..5) that counts as a positive.
    validation_fraction: Share of the subjects that goes to the validation
      split, drawn at random (paper 001's code: 6 of 27, 0.22).
    seed: Seed of that draw.
  """
  if not 1 <= threshold <= 5:
    raise DataError(f'option threshold={threshold}', 'an intensity in 1..5')
  root = folders.first_existing(source / 'ActionUnit_Labels')
  records: list[Record] = []
  for folder in folders.subfolders(root):
    with problems.at(folder):
      rows = _intensities(folder, problems)
      video = _images(source / images, folder.name)
      records.append(_record(folder.name, video, rows, threshold, problems))
  if len(records) != SUBJECTS:
    problems.note(f'{len(records)} subjects found, {SUBJECTS} in the release')
  records = splits.by_subject(records, validation_fraction, seed)
  return Listing('disfa', (tasks.au_task(tasks.AU8),), records, problems)


def _intensities(
  folder: pathlib.Path, problems: Problems
) -> list[dict[int, int]]:
  """Returns {frame number: intensity} per action unit; {} without a file."""
  found = []
  for name in tasks.AU8:
    path = folder / f'{folder.name}_au{name[2:]}.txt'
    rows: dict[int, int] = {}
    if not path.is_file():
      problems.add(path, None, 'no such file', f'the labels of {name}')
    else:
      _read(path, rows, problems)
    found.append(rows)
  if not any(found):
    raise DataError('no labels', f'files {folder.name}_au1.txt, ...')
  return found


def _read(path: pathlib.Path, rows: dict[int, int], problems: Problems):
  for line, (frame, intensity) in tables.rows(path, problems, 2):
    with problems.at(path, line):
      number = tables.integer(frame, 1, 999_999_999, 'a frame number')
      if number in rows:
        # Which of the two rows is right cannot be known.
        rows[number] = -1
        raise DataError(f'frame {number} again', 'every frame only once')
      rows[number] = -1
      rows[number] = tables.integer(intensity, 0, 5, 'an intensity')


def _images(root: pathlib.Path, subject: str) -> pathlib.Path:
  """The folder of the left camera's aligned images of a subject."""
  video = f'LeftVideo{subject}_comp'
  nested = root / video / f'{video}_aligned'
  return folders.first_existing(nested, root / f'{video}_aligned', root / video)


def _record(
  subject: str,
  folder: pathlib.Path,
  rows: list[dict[int, int]],
  threshold: int,
  problems: Problems,
) -> Record:
  files = folders.numbered(folder, problems, NUMBER)
  levels = np.array(
    [[row.get(number, -1) for row in rows] for number in files], np.int32
  ).reshape(-1, len(rows))
  missing = sorted({number for row in rows for number in row} - set(files))
  if missing:
    problems.add(
      folder,
      None,
      f'no image of {len(missing)} labelled frames, the first is {missing[0]}',
      'an image of every labelled frame',
    )
  target = labels.masked(levels >= threshold, levels >= 0)
  index = np.array(list(files), np.int32) - 1
  frames = ImageFiles(folder, list(files.values()))
  record = Record(subject, subject, 'train', frames, {'au': target}, index)
  keep = np.flatnonzero((levels >= 0).any(-1) & (index >= 0))
  if len(keep) < len(files):
    problems.note(
      f'{subject}: {len(files) - len(keep)} of {len(files)} images have no '
      'label and are left out'
    )
  if not len(keep):
    raise DataError('no image with a label', 'labelled images')
  return record.take(keep)
