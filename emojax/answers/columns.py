"""The columns of the table of answers: names, units and what they mean.

A layout is made of a model's schema; the data dictionary is written from it, so
that no column is without a meaning. Every row is a face in a frame; a frame
without a face is one row with nothing in the columns of a face.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers.files import tables

# Whole numbers may be missing, so that they are kept as numbers with NaN.
TYPES = {
  'text': object,
  'integer': np.float64,
  'seconds': np.float64,
  'number': np.float32,
  'flag': bool,
}
EMPTY = {'text': '', 'integer': np.nan, 'seconds': np.nan, 'number': np.nan}
EMPTY['flag'] = False
MASS = (0.05, 0.95)  # of a binned distribution, below its interval's ends
REASONS = {
  'blurred': 'the picture of the face is not sharp',
  'small': 'the face has few pixels',
  'profile': 'the face is turned away',
  'foreign': "the members disagree as they do on what is not like the model's "
  'training data',
}


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of the table.

  Attributes:
    name: Its name, different from all others.
    kind: One of `TYPES`.
    unit: Unit and range, or ''.
    meaning: What it says.
  """

  name: str
  kind: str
  unit: str
  meaning: str

  def empty(self, count: int) -> np.ndarray:
    """An array of rows that say nothing."""
    return np.full(count, EMPTY[self.kind], TYPES[self.kind])


PLACE = (
  Column('file', 'text', '', 'the picture or video, as it was named or found'),
  Column('frame', 'integer', 'from 0', 'number of the frame in the file'),
  Column('time', 'seconds', 's', 'time of the frame after the first one'),
)
FACE = (
  Column('face', 'integer', 'from 0', 'number of the face in the frame'),
  Column(
    'track', 'integer', 'from 0',
    'faces of a video that overlap from frame to frame have one number; it '
    'says nothing about who they are',
  ),
  Column('x', 'number', 'pixels', 'left side of the box around the face'),
  Column('y', 'number', 'pixels', 'upper side of the box around the face'),
  Column('w', 'number', 'pixels', 'width of the box'),
  Column('h', 'number', 'pixels', 'height of the box'),
  Column('score', 'number', '0 to 1', "the detector's score of the face"),
  Column(
    'sharpness', 'number', '>= 0',
    'how sharp the picture of the face is (docs/predict.md)',
  ),
)  # fmt: skip
TAIL = (
  Column(
    'unsure', 'flag', 'true or false',
    'the uncertainty is above the limit, or there is a reason; false where '
    'there is no face',
  ),
  Column(
    'reason', 'text', '', 'why the answer is not to be trusted, with ; between: '
    + '; '.join(f'{name}: {text}' for name, text in REASONS.items())
    + '. Unsure without a reason: the labels themselves are close',
  ),
)  # fmt: skip


SMOOTHED = Column(
  'smoothed', 'seconds', 's',
  'over how long the probabilities are averaged; nothing where they are not',
)  # fmt: skip


class Sets(NamedTuple):
  """Answer sets of a model (docs/guarantees.md).

  Attributes:
    coverage: Share of new people's images whose set holds what was said of them.
    of_labels: Tasks whose sets hold the label.
    of_votes: Tasks whose labels were shares of votes: the sets hold a vote.
  """

  coverage: float
  of_labels: frozenset[str] = frozenset()
  of_votes: frozenset[str] = frozenset()

  def meaning(self, task: tasks.Task) -> str:
    """What a set of a task says."""
    share = f'{self.coverage:.0%}'
    promise = f'at least {share} of such sets hold the label'
    if task.name in self.of_votes:
      promise = (
        f"such sets hold at least {share} of the annotators' votes (votes, not "
        'majorities)'
      )
    return (
      f'labels of {task.name}, with | between; in the mean over new people from '
      f"the source of the model's calibration, {promise}; see docs/guarantees.md"
    )


@dataclasses.dataclass(frozen=True)
class Layout:
  """The columns that a model's answers have.

  Attributes:
    schema: The model's tasks.
    sets: Their answer sets; None for models without any.
    smooth: Seconds over which probabilities are averaged (`smoothing.py`).
    favour_rare: How much rare classes are favoured as answers, from 0 to 1.
  """

  schema: tasks.Schema
  sets: Sets | None = None
  smooth: float = 0.0
  favour_rare: float = 0.0

  @property
  def columns(self) -> tuple[Column, ...]:
    """All of them, in order."""
    found = (*PLACE, *FACE, *self._labels(), *self._tasks(), *TAIL)
    if self.smooth:
      found = (*found, SMOOTHED)
    check_names(found)
    return found

  @property
  def names(self) -> tuple[str, ...]:
    return tuple(column.name for column in self.columns)

  def main(self) -> tasks.Task | None:
    """The task whose answer is the column `answer`: one of classes, if any."""
    for kind in ('categorical', 'binary'):
      for task in self.schema:
        if task.kind == kind:
          return task
    return None

  def label(self, task: tasks.Task, name: str) -> str:
    """The column of a label; the task is named where names would repeat."""
    if name in self._ambiguous:
      return f'{task.name}.{name}'
    return written(task, name)

  @functools.cached_property
  def _ambiguous(self) -> frozenset[str]:
    """Labels that are no names of columns."""
    counts = collections.Counter(n for t in self.schema for n in t.labels)
    fixed = {column.name for column in (*PLACE, *FACE, *TAIL)}
    twice = {name for name, count in counts.items() if count > 1}
    return frozenset(twice | fixed | {'answer', 'answer_set'})

  def answer(self, task: tasks.Task, ending: str = 'answer') -> str:
    """The column of a task's answer, or (`answer_set`) of its set."""
    return ending if task == self.main() else f'{task.name}_{ending}'

  def has_set(self, task: tasks.Task) -> bool:
    """Whether a task has a column of answer sets: one of classes, calibrated."""
    return (
      self.sets is not None
      and task.kind == 'categorical'
      and task.name in self.sets.of_labels | self.sets.of_votes
    )

  def empty(self, count: int) -> dict[str, np.ndarray]:
    """Rows that say nothing yet."""
    return {column.name: column.empty(count) for column in self.columns}

  def _labels(self) -> Iterable[Column]:
    for task in self.schema:
      for label in task.labels:
        name = self.label(task, label)
        for column in _label_columns(task, label, name):
          if self.smooth and column.name == name:
            said = f'{column.meaning}; smoothed over {self.smooth:g} s'
            column = dataclasses.replace(column, meaning=said)
          yield column

  def _tasks(self) -> Iterable[Column]:
    for task in self.schema:
      if task.kind != 'binned':
        yield from self._answers(task)
      yield from _doubt(task.name, f'of {task.name}')
    if len(self.schema) > 1:
      yield from _doubt('mean', 'mean over the tasks')

  def _answers(self, task: tasks.Task) -> Iterable[Column]:
    yield Column(self.answer(task), 'text', '', self._meaning(task))
    if self.sets is not None and self.has_set(task):
      name = self.answer(task, 'answer_set')
      yield Column(name, 'text', '', self.sets.meaning(task))

  def _meaning(self, task: tasks.Task) -> str:
    if task.kind == 'binary':
      return f'the labels of {task.name} that are present, with + between'
    if not self.favour_rare:
      return f'the most probable label of {task.name}'
    return (
      f'the label of {task.name} that is most probable beside its share of the '
      f'labels to the power of {self.favour_rare:g}'
    )


def written(task: tasks.Task, label: str) -> str:
  """A label in a cell or a header, with its task where it would be a formula."""
  return f'{task.name}.{label}' if label[0] in tables.FORMULA else label


def _label_columns(task: tasks.Task, label: str, name: str):
  if task.kind == 'binned':
    yield Column(name, 'number', '-1 to 1', f'expected {label}')
    for end, mass in zip(('low', 'high'), MASS):
      meaning = f'{label} below which {mass:.0%} of the probability lies'
      yield Column(f'{name}_{end}', 'number', '-1 to 1', meaning)
    return
  text = 'is present' if task.kind == 'binary' else 'is what people would say'
  meaning = f'probability that {label} {text}, mean of the members'
  yield Column(name, 'number', '0 to 1', meaning)
  meaning = f"standard deviation of the members' probabilities of {label}"
  yield Column(f'{name}_sd', 'number', '0 to 1', meaning)


def _doubt(name: str, of: str) -> Iterable[Column]:
  kinds = {
    'total': f'uncertainty {of}: normalised entropy of the mean',
    'aleatoric': f'the part of it that the members agree on: people would '
    f'disagree about the face ({of})',
    'epistemic': f'the part of it that is their disagreement ({of})',
  }
  for kind, meaning in kinds.items():
    yield Column(f'{name}_{kind}', 'number', '0 to 1', meaning)


def check_names(found: Iterable[Column], style: str = ''):
  """Raises ValueError where two columns have one name; says whose style it is."""
  names = collections.Counter(column.name for column in found)
  twice = sorted(name for name, count in names.items() if count > 1)
  if twice:
    of = f' of --style {style}' if style else ''
    other = f', or leave out --style {style}' if style else ''
    raise ValueError(
      f'the labels of the model make two columns {twice[0]!r}{of}: its table '
      f'would be ambiguous. Rename the label where the model was trained{other}'
    )


def dictionary(columns: Iterable[Column], title: str) -> str:
  """The data dictionary as a Markdown table."""
  lines = [
    f'# {title}',
    '',
    'One row for each face in each frame. A frame without a face is one row '
    'with nothing in the columns of the face.',
    '',
    '| column | type | unit | meaning |',
    '|---|---|---|---|',
  ]
  for column in columns:
    cells = (f'`{column.name}`', column.kind, column.unit, column.meaning)
    lines.append('| ' + ' | '.join(c.replace('|', '\\|') for c in cells) + ' |')
  return '\n'.join(lines) + '\n'
