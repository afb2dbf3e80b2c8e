"""FER2013: fer2013.csv with the columns emotion, pixels and Usage.

Training, PublicTest and PrivateTest are the splits train, validation and
test; a file may lack some of them. Columns are found by name, so Kaggle's
icml_face_data.csv (another order) reads as well.
"""

import pathlib

import numpy as np

from emojax import tasks
from emojax.data.readers import duplicates as duplicates_lib
from emojax.data.readers import fer_csv, labels
from emojax.data.readers.files.problems import Problems
from emojax.data.readers.records import Listing, Record


def scan(
  source: pathlib.Path, problems: Problems, *, duplicates: str = 'keep'
) -> Listing:
  """Lists the faces of fer2013.csv.

  Args:
    duplicates: keep (with a note of their number), or drop: every image once,
      evaluation splits before training, without constant images and without
      training images of conflicting labels; or drop_training: the same for
      training images, while the other splits stay whole.
  """
  path = fer_csv.find(source)
  faces = [f for f in fer_csv.read(path, problems) if fer_csv.is_good(f)]
  items = [
    duplicates_lib.Item(face.digest, face.split, face.emotion, face.constant)
    for face in faces
  ]
  kept = duplicates_lib.select(items, duplicates, problems)
  records = [_record(face) for face, keep in zip(faces, kept) if keep]
  schema = (tasks.expr_task(tasks.FER2013),)
  listing = Listing('fer2013', schema, records, problems)
  problems.compare(listing.counts(), fer_csv.OFFICIAL)
  labels.note_classes(listing, fer_csv.OFFICIAL_CLASSES)
  return listing


def _record(face: fer_csv.GoodFace) -> Record:
  # The name is the row of the official file, 0-based after its header.
  name = f'fer{face.line - 2:07d}'
  target = labels.one_hot(face.emotion, len(tasks.FER2013))
  index = np.zeros(1, np.int32)
  return Record(name, name, face.split, (face.frame,), {'expr': target}, index)
