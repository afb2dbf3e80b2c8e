"""FER+: ten annotators' votes for every face of FER2013.

fer2013.csv  fer2013new.csv              (joined by row), or
[data/]FER2013Train|Valid|Test/label.csv with the images fer*.png beside
it, or with fer2013.csv and fer2013new.csv to take the pixels from
"""

import collections
import dataclasses
import pathlib

import numpy as np

from emojax import tasks
from emojax.data.readers import duplicates as duplicates_lib
from emojax.data.readers import fer_csv, ferplus_rules
from emojax.data.readers import ferplus_files as files
from emojax.data.readers.files import folders
from emojax.data.readers.files.crops import Box
from emojax.data.readers.files.frames import ImageFile
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Frame, Listing, Record

FULL = (0, 0, fer_csv.SIZE, fer_csv.SIZE)
# Faces with a label in train, validation and test, by file and rule.
OFFICIAL = {
  'label_csv': {
    'majority': (25045, 3191, 3137),
    'probability': (27947, 3508, 3507),
    'multi_target': (27667, 3472, 3466),
  },
  'fer2013new': {
    'majority': (25060, 3199, 3153),
    'probability': (27956, 3505, 3505),
    'multi_target': (27671, 3472, 3472),
    'plurality': (28389, 3553, 3546),
    'raw': (28559, 3579, 3573),
  },
}
for _rules in OFFICIAL.values():
  _rules['crossentropy'] = _rules['probability']


@dataclasses.dataclass(frozen=True, slots=True)
class Face:
  """One face with its votes; `digest` identifies its pixels."""

  name: str
  split: str
  frame: Frame
  votes: np.ndarray
  digest: bytes
  constant: bool = False


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  rule: str = 'majority',
  eval_rule: str = 'majority',
  labels: str = 'fer2013new',
  duplicates: str = 'keep',
  unlabelled: bool = False,
  unlabelled_train: bool = False,
  votes: int = 0,
  votes_seed: int = 0,
) -> Listing:
  """Lists the faces to which the rule gives an emotion.

  Args:
    rule: How votes become the target of a training face: majority,
      probability, crossentropy, multi_target, plurality (the most frequent
      answer) or raw (all votes for emotions). Probability and crossentropy
      have the same targets; the former draws one label per visit.
    eval_rule: The same, of the same rules, for validation and test faces; the
      published code always takes majority.
    labels: fer2013new (fer2013new.csv) or label_csv (FER2013Train/label.csv
      and its siblings, which the published training code reads).
    duplicates: keep (with a note of their number), or drop: every image once,
      evaluation splits before training, without constant images and without
      training images of conflicting labels; or drop_training: the same for
      training images, while the other splits stay whole.
    unlabelled: Keep validation and test faces to which the rule gives no
      emotion, without a label, to judge predictions by their votes.
    unlabelled_train: Keep such training faces, too: students learn from what
      their teachers say of them.
    votes: Votes that the rule is given of every training face, drawn once
      without putting them back; 0 for all. The record keeps the others to judge
      by. Rule raw or plurality only; 1 is paper 000's one label per face.
    votes_seed: Seed of that draw.
  """
  ferplus_rules.check_rule('rule', rule)
  ferplus_rules.check_rule('eval_rule', eval_rule)
  ferplus_rules.check_draw(rule, votes, votes_seed)
  if labels not in ('fer2013new', 'label_csv'):
    raise DataError(f'option labels={labels!r}', 'fer2013new or label_csv')
  if labels == 'fer2013new':
    faces = _by_row(source, problems)
  else:
    faces = _by_name(source, problems)
  rules = {'train': rule, 'validation': eval_rule, 'test': eval_rule}
  labelled = [_label_face(f, rules[f.split], votes, votes_seed) for f in faces]
  keep = {'train': unlabelled_train, 'validation': unlabelled}
  keep['test'] = unlabelled
  chosen = [(f, t) for f, t in labelled if t is not None or keep[f.split]]
  without = sum(t is None for _, t in labelled)
  problems.note(
    f'{without} of {len(faces)} faces get no emotion by rule={rule}, '
    f'eval_rule={eval_rule}; {len(faces) - len(chosen)} of them are left out'
  )
  records = _records(chosen, duplicates, problems)
  listing = Listing(
    'ferplus', (tasks.expr_task(tasks.FERPLUS),), records, problems
  )
  listing.vote_labels = (*tasks.FERPLUS, *ferplus_rules.VOTE_LABELS)
  if duplicates == 'keep' and not (unlabelled or unlabelled_train or votes):
    problems.compare(listing.counts(), _official(labels, rule, eval_rule))
  return listing


def _official(labels: str, rule: str, eval_rule: str) -> dict[str, int]:
  """Counts of the splits, as far as they are known."""
  rules = {'train': rule, 'validation': eval_rule, 'test': eval_rule}
  return {
    split: OFFICIAL[labels][name][place]
    for place, (split, name) in enumerate(rules.items())
    if name in OFFICIAL[labels]
  }


def _by_row(source: pathlib.Path, problems: Problems) -> list[Face]:
  """Faces of fer2013.csv with the votes in the same row of fer2013new.csv."""
  path = _votes_file(source)
  rows = fer_csv.read(fer_csv.find(source), problems)
  pairs = files.join(rows, files.read_new(path, problems), path)
  files.check_agreement(pairs, path)
  faces = [
    Face(
      f'fer{i:07d}',
      row.split,
      row.frame,
      ballot.votes,
      row.digest,
      row.constant,
    )
    for i, (row, ballot) in enumerate(pairs)
    if fer_csv.is_good(row) and ballot.votes is not None and ballot.name
  ]
  removed = sum(b.votes is not None and not b.name for _, b in pairs)
  counts = collections.Counter(b.name for _, b in pairs if b.name)
  repeated = sum(count > 1 for count in counts.values())
  problems.note(
    f'{removed} faces without an image name (removed by FER+) are left out; '
    f'{repeated} image names repeat (all their rows are kept)'
  )
  return faces


def _votes_file(source: pathlib.Path) -> pathlib.Path:
  path = source / 'fer2013new.csv'
  if path.is_file():
    return path
  raise DataError(
    'no such file',
    'the votes: put fer2013new.csv of the FERPlus release '
    '(github.com/microsoft/FERPlus) beside fer2013.csv. Without it, '
    '`prepare fer2013` reads fer2013.csv as it is, and option '
    'labels=label_csv reads FER2013Train/label.csv and its siblings',
    path,
  )


def _by_name(source, problems: Problems) -> list[Face]:
  """Faces of the label.csv files with image files, or pixels by name."""
  root = source / 'data' if (source / 'data').is_dir() else source
  present = {f: s for f, s in files.FOLDERS.items() if (root / f).is_dir()}
  if not present:
    expected = f'folders {", ".join(files.FOLDERS)} with a label.csv each'
    raise DataError('none of them', expected, root)
  rows = _named_rows(source, problems)
  faces = []
  for folder, split in present.items():
    images = folders.names_in(root / folder, ['.png'])
    with problems.at(root / folder / 'label.csv'):
      labels = files.read_label_csv(root / folder, problems)
      for name, (line, box, votes) in labels.items():
        with problems.at(root / folder / 'label.csv', line):
          path = str(root / folder / name) if name in images else None
          frame, row = _frame(name, path, box, rows)
          if row is not None and path is None:
            seen = row.digest, row.constant
          else:  # of what is stored, which need not be the row of that name
            seen = fer_csv.identity(np.asarray(frame.image()))
          faces.append(Face(name[:-4], split, frame, votes, *seen))
  return faces


def _frame(
  name: str, path: str | None, box, rows: dict[str, fer_csv.GoodFace]
) -> tuple[Frame, fer_csv.GoodFace | None]:
  """Returns the frame of one named face and its row of fer2013.csv, if any."""
  row = rows.get(name)
  if path is not None:
    return ImageFile(path, None if box == FULL else Box(*box)), row
  if row is None or box != FULL:
    expected = 'the image beside label.csv, or fer2013.csv and fer2013new.csv'
    raise DataError(f'no image {name!r}', f'{expected} to take it from')
  return row.frame, row


def _named_rows(source, problems: Problems) -> dict[str, fer_csv.GoodFace]:
  """{image name: row of fer2013.csv}; a name that repeats means its last row,

  which is the one that the published script leaves on disk.
  """
  path = source / 'fer2013new.csv'
  if not path.is_file() or not any(
    (source / n).is_file() for n in fer_csv.NAMES
  ):
    return {}
  rows = fer_csv.read(fer_csv.find(source), problems)
  pairs = files.join(rows, files.read_new(path, problems), path)
  files.check_agreement(pairs, path)
  return {
    ballot.name: row
    for row, ballot in pairs
    if ballot.name and fer_csv.is_good(row)
  }


def _label_face(
  face: Face, rule: str, votes: int, seed: int
) -> tuple[Face, np.ndarray | None]:
  """A face with the votes that judge it, and the target of the others, if any."""
  if not votes or face.split != 'train':
    return face, ferplus_rules.target(face.votes, rule)
  # By its pixels: an image that repeats is labelled alike.
  drawn, others = ferplus_rules.draw(face.votes, votes, seed, face.digest)
  face = dataclasses.replace(face, votes=others)
  return face, ferplus_rules.target(drawn, rule)


def _records(
  chosen: list[tuple[Face, np.ndarray | None]],
  duplicates: str,
  problems: Problems,
) -> list[Record]:
  items = [
    duplicates_lib.Item(f.digest, f.split, _label(t), f.constant)
    for f, t in chosen
  ]
  kept = duplicates_lib.select(items, duplicates, problems)
  return [_record(f, t) for (f, t), keep in zip(chosen, kept) if keep]


def _label(value: np.ndarray | None) -> int:
  return -1 if value is None else int(value.argmax())


def _record(face: Face, value: np.ndarray | None) -> Record:
  mask = np.full(1, value is not None, np.float32)
  if value is None:
    value = np.zeros(len(tasks.FERPLUS), np.float32)
  target = tasks.Target(value[None], mask)
  index = np.zeros(1, np.int32)
  record = Record(
    face.name, face.name, face.split, (face.frame,), {'expr': target}, index
  )
  return dataclasses.replace(record, votes=face.votes[None])
