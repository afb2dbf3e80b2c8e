"""ExpW: label/label.lst and image/origin.

Rows `image_name face_id top left right bottom confidence label`; one image can
hold several faces, each a record of its own named by image and face. Boxes are
not aligned. There is no official split.
"""

import pathlib

import numpy as np

from emojax import tasks
from emojax.data.readers import labels, splits
from emojax.data.readers.files import folders, tables
from emojax.data.readers.files.crops import Box
from emojax.data.readers.files.frames import ImageFile
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

OFFICIAL = {'train': 91793}
LIMIT = 100_000  # no photograph has more pixels on a side


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  images: str = 'image/origin',
  min_confidence: float = 0.0,
  validation_fraction: float = 0.0,
  seed: int = 0,
) -> Listing:
  """Lists the faces of label.lst.

  Args:
    images: Folder of the images, below the source.
    min_confidence: Leave out faces whose box has a lower confidence.
    validation_fraction: Share of the images (with all their faces) that goes
      to the validation split, drawn at random.
    seed: Seed of that draw.
  """
  path = folders.first_existing(source / 'label/label.lst')
  present = folders.names_in(source / images)
  unique, low = tables.Unique(), 0
  for line, row in tables.rows(path, problems, 8, ' '):
    with problems.at(path, line):
      record, confidence = _record(source / images, present, row)
      low += confidence < min_confidence
      unique.add(record.video_id, line, (record, confidence))
  found = unique.found.values()
  records = [record for record, value in found if value >= min_confidence]
  if low:
    problems.note(f'{low} faces have a confidence below {min_confidence}')
  schema = (tasks.expr_task(tasks.EXPW),)
  listing = Listing('expw', schema, records, problems)
  problems.compare(listing.counts(), OFFICIAL)
  listing.records = splits.by_subject(records, validation_fraction, seed)
  return listing


def _record(folder: pathlib.Path, present: set[str], row: list[str]):
  """Returns the record of one row and the confidence of its box."""
  name, face, *numbers, confidence, label = row
  if name not in present:
    raise DataError(f'no image {name!r}', f'an image in {folder}')
  face = tables.integer(face, 0, LIMIT, 'a face number')
  top, left, right, bottom = (
    tables.integer(n, -LIMIT, LIMIT, 'a corner of the box') for n in numbers
  )
  if not (left < right and top < bottom):
    found = f'box {" ".join(row[2:6])}'
    raise DataError(found, 'top left right bottom, left < right, top < bottom')
  certain = tables.real(confidence, 0, float('inf'), 'a confidence')
  number = tables.integer(label, 0, len(tasks.EXPW) - 1, 'a label')
  target = labels.one_hot(number, len(tasks.EXPW))
  frame = ImageFile(str(folder / name), Box(left, top, right, bottom))
  index = np.zeros(1, np.int32)
  # The subject is the image: its faces must not be in two splits.
  key = f'{name}#{face}'
  return Record(key, name, 'train', (frame,), {'expr': target}, index), certain
