"""The two label files of FER+ and how they find their faces.

`fer2013new.csv` has one row per row of fer2013.csv and is joined by row, never
by image name (the number in the name is not the row, removed faces have no
name, a few names repeat). `FER2013Train/label.csv` and its siblings, which the
published training code reads, name image files; their votes differ from those
of fer2013new.csv for about one face in twenty-five.
"""

import collections
import dataclasses
import pathlib
import re

import numpy as np

from emojax import tasks
from emojax.data.readers import fer_csv, labels
from emojax.data.readers.files import bounded, tables
from emojax.data.readers.files.problems import DataError, Problems

VOTES = (*tasks.FERPLUS, 'unknown', 'nf')
HEADER = ('usage', 'image name', *VOTES)
FOLDERS = {
  'FER2013Train': 'train',
  'FER2013Valid': 'validation',
  'FER2013Test': 'test',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Ballot:
  """Votes for one face; name '' means that the face was removed.

  `votes` and `split` are None where they are unreadable.
  """

  line: int
  split: str | None = None
  name: str = ''
  votes: np.ndarray | None = None


def read_new(path: pathlib.Path, problems: Problems) -> list[Ballot]:
  """Reads fer2013new.csv; broken rows keep their place."""
  after, names = tables.header(path)
  columns = tuple(name.lower() for name in names)
  try:
    labels.check_columns(columns, HEADER)
    tables.expect_columns(names, len(HEADER))
  except DataError as error:
    expected = f'the header {",".join(HEADER)}'
    raise DataError(error.found, expected, path) from None
  order = [columns.index(name) for name in HEADER]
  return [
    _ballot(path, raw, number, order, problems)
    for number, raw in enumerate(tables.split(bounded.read(path)), 1)
    if number > after and raw.strip()
  ]


def _ballot(path, raw: bytes, line: int, order, problems: Problems) -> Ballot:
  ballot = Ballot(line)
  with problems.at(path, line):
    row = tables.cells(tables.decode(raw))
    tables.expect_columns(row, len(order))
    usage, name, *votes = (row[i] for i in order)
    if usage not in fer_csv.USAGES:
      found = f'Usage {tables.shorten(usage)}'
      raise DataError(found, f'one of {", ".join(fer_csv.USAGES)}')
    ballot = Ballot(line, fer_csv.USAGES[usage])
    ballot = Ballot(line, ballot.split, name, parse_votes(votes))
  return ballot


def parse_votes(row: list[str]) -> np.ndarray:
  """Returns float32 [10]; some faces have nine votes instead of ten."""
  votes = [tables.integer(cell, 0, 10, 'a number of votes') for cell in row]
  if not 1 <= sum(votes) <= 10:
    raise DataError(f'{sum(votes)} votes', '1 to 10 votes for a face')
  return np.array(votes, np.float32)


def join(
  faces: list[fer_csv.Face], ballots: list[Ballot], path: pathlib.Path
) -> list[tuple[fer_csv.Face, Ballot]]:
  """Pairs the rows of the two files.

  Files of equal length pair row by row. A fer2013.csv that lacks a split
  pairs within each split, if every split it has is complete.

  Raises:
    DataError: The rows cannot be paired with certainty.
  """
  if len(faces) == len(ballots):
    pairs = list(zip(faces, ballots))
    for face, ballot in pairs:
      if None not in (face.split, ballot.split) and face.split != ballot.split:
        raise DataError(
          f'Usage {ballot.split} beside {face.split}',
          'the same order',
          path,
          ballot.line,
        )
    return pairs
  have = collections.Counter(face.split for face in faces)
  want = collections.Counter(ballot.split for ballot in ballots)
  if None in have or None in want or any(have[s] != want[s] for s in have):
    raise DataError(
      f'rows: {_counts(want)}, for the faces of fer2013.csv: {_counts(have)}',
      'as many rows as fer2013.csv in every split that it has: FER+ is joined '
      'row by row, so restore the original files',
      path,
    )
  queues = {s: iter([b for b in ballots if b.split == s]) for s in have}
  return [(face, next(queues[face.split])) for face in faces]


def _counts(splits: collections.Counter) -> str:
  return ', '.join(
    f'{split or "unreadable"} {count}' for split, count in splits.items()
  )


def check_agreement(pairs, path: pathlib.Path):
  """Raises DataError if FER's labels do not follow the votes.

  They agree for about 71 % of the faces; shifted rows agree by chance.
  """
  index = tasks.reorder(tasks.FER2013, tasks.FERPLUS)
  same = [
    index[face.emotion] == ballot.votes[:8].argmax()
    for face, ballot in pairs
    if face.good and ballot.votes is not None and ballot.votes[:8].sum()
  ]
  if len(same) >= 1000 and np.mean(same) < 0.5:
    raise DataError(
      f'votes that agree with {np.mean(same):.0%} of the labels in fer2013.csv',
      'about 71 %: the rows are in another order, restore the original files',
      path,
    )


def read_label_csv(
  folder: pathlib.Path, problems: Problems
) -> dict[str, tuple[int, tuple[int, ...], np.ndarray]]:
  """Reads FER2013*/label.csv: {image name: (line, face box, votes)}."""
  path, unique = folder / 'label.csv', tables.Unique()
  for line, row in tables.rows(path, problems, 12):
    with problems.at(path, line):
      name, box = (
        row[0],
        re.fullmatch(r'\((\d+), (\d+), (\d+), (\d+)\)', row[1]),
      )
      if not re.fullmatch(r'\w+\.png', name):
        raise DataError(f'name {tables.shorten(name)}', 'fer0000000.png, ...')
      if box is None:
        raise DataError(f'box {row[1]!r}', 'a box "(0, 0, 48, 48)"')
      corners = tuple(tables.integer(n, 0, 10000) for n in box.groups())
      unique.add(name, line, (line, corners, parse_votes(row[2:])))
  return unique.found
