"""RAF-DB, single-label subset.

    EmoLabel/list_patition_label.txt         (sic) rows `train_00001.jpg 5`
    EmoLabel/noise01.txt ...                 (optional noisy training labels)
    Image/aligned/train_00001_aligned.jpg    or Image/original/train_00001.jpg

Labels 1..7 are surprise, fear, disgust, happiness, sadness, anger, neutral.
The split is the first part of the image name.
"""

import dataclasses
import pathlib
import re

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files import folders, tables
from emojax.data.readers.files.frames import ImageFile
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

OFFICIAL = {'train': 12271, 'test': 3068}
OFFICIAL_CLASSES = {
  'train': (1290, 281, 717, 4772, 1982, 705, 2524),
  'test': (329, 74, 160, 1185, 478, 162, 680),
}


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  labels_file: str = 'EmoLabel/list_patition_label.txt',
  noise_file: str = '',
  aligned: bool = True,
) -> Listing:
  """Lists the images of the label file.

  Args:
    labels_file: File of the clean labels, below the source.
    noise_file: File of the training labels to use instead (same format, for
      example EmoLabel/noise01.txt); test labels stay clean, and the clean
      training labels are kept beside the noisy ones.
    aligned: Read Image/aligned (100 x 100), else Image/original.
  """
  clean = _read(folders.first_existing(source / labels_file), problems)
  noisy = dict(clean)
  if noise_file:
    path = folders.first_existing(source / noise_file)
    noisy = _noisy(clean, path, problems)
  folder = source / 'Image' / ('aligned' if aligned else 'original')
  present = folders.names_in(folder)
  records, unnamed = [], present.copy()
  for name, (line, number) in clean.items():
    image = name.replace('.jpg', '_aligned.jpg') if aligned else name
    unnamed.discard(image)
    with problems.at(source / labels_file, line):
      if image not in present:
        raise DataError(f'no image {image!r}', f'every image in {folder}')
      if name in noisy:
        frame = ImageFile(str(folder / image))
        record = _record(name, frame, noisy[name][1])
        records.append(_with_clean(record, number) if noise_file else record)
  schema = (tasks.expr_task(tasks.RAFDB),)
  listing = Listing('rafdb', schema, records, problems)
  problems.compare(listing.counts(), OFFICIAL)
  if not noise_file:
    labels.note_classes(listing, OFFICIAL_CLASSES)
  if unnamed:
    problems.note(
      f'{len(unnamed)} images in {folder} have no usable label in '
      f'{labels_file}, such as {min(unnamed)}'
    )
  return listing


def _read(path: pathlib.Path, problems: Problems) -> dict[str, tuple[int, int]]:
  """Reads {image name: (line, class number from 0)}."""
  unique = tables.Unique()
  for line, (name, label) in tables.rows(path, problems, 2, ' '):
    with problems.at(path, line):
      if not re.fullmatch(r'(train|test)_\w+\.jpg', name):
        found_name = f'name {tables.shorten(name)}'
        raise DataError(found_name, 'train_NNNNN.jpg or test_NNNN.jpg')
      number = tables.integer(label, 1, len(tasks.RAFDB), 'a label')
      unique.add(name, line, (line, number - 1))
  return unique.found


def _noisy(clean: dict, path: pathlib.Path, problems: Problems) -> dict:
  """Training labels of the noise file with the clean test labels."""
  read = _read(path, problems)
  for name, (line, _) in read.items():
    if name not in clean:
      problems.add(path, line, name, 'names of the clean label file')
  for name in clean:
    if name.startswith('train') and name not in read:
      problems.add(path, None, f'no label of {name}', 'all training images')
  rows = {name: row for name, row in read.items() if name in clean}
  train = {k: v for k, v in rows.items() if k.startswith('train')}
  changed = sum(row[1] != clean[name][1] for name, row in train.items())
  share = changed / max(len(train), 1)
  problems.note(
    f'{path.name}: {changed} of {len(train)} training labels ({share:.2%}) '
    'differ from the clean ones'
  )
  test = {k: v for k, v in clean.items() if k.startswith('test')}
  return {**train, **test}


def _record(name: str, frame: ImageFile, number: int) -> Record:
  target = labels.one_hot(number, len(tasks.RAFDB))
  key, split = name[:-4], name.split('_')[0]
  index = np.zeros(1, np.int32)
  return Record(key, key, split, (frame,), {'expr': target}, index)


def _with_clean(record: Record, number: int) -> Record:
  clean = {'expr': labels.one_hot(number, len(tasks.RAFDB))}
  return dataclasses.replace(record, clean_targets=clean)
