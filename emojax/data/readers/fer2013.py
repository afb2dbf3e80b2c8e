"""FER2013: fer2013.csv with the columns emotion, pixels and Usage.

Training, PublicTest and PrivateTest are the splits train, validation and
test; a file may lack some of them. Columns are found by name, so Kaggle's
icml_face_data.csv (another order) reads as well. The votes of FER+ for the same
faces (fer2013new.csv) can be kept beside the labels.
"""

import pathlib

import numpy as np

from emojax import tasks
from emojax.data.readers import duplicates as duplicates_lib
from emojax.data.readers import fer_csv, ferplus_files, ferplus_rules, labels
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

# FER2013's classes first, as all that reads votes expects.
LEFT = tuple(x for x in tasks.FERPLUS if x not in tasks.FER2013)
VOTE_LABELS = (*tasks.FER2013, *LEFT, *ferplus_rules.VOTE_LABELS)


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  duplicates: str = 'keep',
  votes: bool = False,
) -> Listing:
  """Lists the faces of fer2013.csv.

  Args:
    duplicates: keep (with a note of their number), or drop: every image once,
      evaluation splits before training, without constant images and without
      training images of conflicting labels; or drop_training: the same for
      training images, while the other splits stay whole.
    votes: Keep FER+'s votes of fer2013new.csv, which lies beside, to judge
      uncertainties by; labels stay FER2013's.
  """
  path = fer_csv.find(source)
  rows = fer_csv.read(path, problems)
  ballots = _votes(path, rows, problems) if votes else [None] * len(rows)
  pairs = [
    (face, ballot)
    for face, ballot in zip(rows, ballots, strict=True)
    if fer_csv.is_good(face)
  ]
  faces = [face for face, _ in pairs]
  items = [
    duplicates_lib.Item(face.digest, face.split, face.emotion, face.constant)
    for face in faces
  ]
  kept = duplicates_lib.select(items, duplicates, problems)
  records = [_record(*pair) for pair, keep in zip(pairs, kept) if keep]
  schema = (tasks.expr_task(tasks.FER2013),)
  listing = Listing('fer2013', schema, records, problems)
  if votes:
    listing.vote_labels = VOTE_LABELS
  problems.compare(listing.counts(), fer_csv.OFFICIAL)
  labels.note_classes(listing, fer_csv.OFFICIAL_CLASSES)
  return listing


def _votes(
  path: pathlib.Path, rows: list[fer_csv.Face], problems: Problems
) -> list[np.ndarray]:
  """Votes [V] of every row; zeros where they are unreadable."""
  beside = path.with_name('fer2013new.csv')
  if not beside.is_file():
    expected = 'the votes of the FERPlus release, or option votes=false'
    raise DataError('no such file', expected, beside)
  found = ferplus_files.read_new(beside, problems)
  pairs = ferplus_files.join(rows, found, beside)
  ferplus_files.check_agreement(pairs, beside)
  given = (*tasks.FERPLUS, *ferplus_rules.VOTE_LABELS)
  order = [given.index(name) for name in VOTE_LABELS]
  none = np.zeros(len(VOTE_LABELS), np.float32)
  return [
    none if ballot.votes is None else ballot.votes[order] for _, ballot in pairs
  ]


def _record(face: fer_csv.GoodFace, votes: np.ndarray | None) -> Record:
  # The name is the row of the official file, 0-based after its header.
  name = f'fer{face.line - 2:07d}'
  target = labels.one_hot(face.emotion, len(tasks.FER2013))
  index = np.zeros(1, np.int32)
  return Record(
    name,
    name,
    face.split,
    (face.frame,),
    {'expr': target},
    index,
    votes=None if votes is None else votes[None],
  )
