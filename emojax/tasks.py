"""Task schema: what is predicted, under which names and in which order.

Everything that orders labels lives here; files, models, metrics, reports and
exports all refer to these tuples by name.

Shape letters used in the code base: M members, S samples of the predictive
distribution, N clips, B clips of a batch, L frames of a clip, H/W/C image,
A action units, E expressions, K bins, T temperature.
"""

import dataclasses
import re
from typing import Any, NamedTuple

import numpy as np

# Action units of ABAW 2021 (paper 000) and ABAW 2020 (paper 001).
AU12 = tuple('AU1 AU2 AU4 AU6 AU7 AU10 AU12 AU15 AU23 AU24 AU25 AU26'.split())
AU8 = tuple('AU1 AU2 AU4 AU6 AU12 AU15 AU20 AU25'.split())

# Expression orders, each as its data set's files number them.
AFFWILD2 = (
  'neutral',
  'anger',
  'disgust',
  'fear',
  'happiness',
  'sadness',
  'surprise',
)
FER2013 = (
  'anger',
  'disgust',
  'fear',
  'happiness',
  'sadness',
  'surprise',
  'neutral',
)
FERPLUS = (
  'neutral',
  'happiness',
  'surprise',
  'sadness',
  'anger',
  'disgust',
  'fear',
  'contempt',
)
AFFECTNET = (
  'neutral',
  'happiness',
  'sadness',
  'surprise',
  'fear',
  'disgust',
  'anger',
  'contempt',
)
RAFDB = (
  'surprise',
  'fear',
  'disgust',
  'happiness',
  'sadness',
  'anger',
  'neutral',
)
EXPW = (
  'anger',
  'disgust',
  'fear',
  'happiness',
  'sadness',
  'surprise',
  'neutral',
)
CIFAR10 = (
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
)
FASHION_MNIST = (
  't-shirt/top',
  'trouser',
  'pullover',
  'dress',
  'coat',
  'sandal',
  'shirt',
  'sneaker',
  'bag',
  'ankle boot',
)

NUM_BINS = 20
# What data sets and models of strangers may have: names of tasks and labels become
# columns and headings.
MAX_TASKS, MAX_LABELS, MAX_NAME = 16, 4096, 1000
NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]{0,99}')
BIN_VALUES = ('ends', 'centres')  # see `bin_values`


@dataclasses.dataclass(frozen=True)
class Task:
  """One prediction task.

  Attributes:
    name: Key of the task in every dictionary ('au', 'expr', 'va').
    kind: 'binary' (independent labels, sigmoid), 'categorical' (one softmax)
      or 'binned' (one softmax of `bins` bins over [-1, 1] per label).
    labels: Names of the labels, in order.
    bins: Number of bins of a 'binned' task, else 0.
  """

  name: str
  kind: str
  labels: tuple[str, ...]
  bins: int = 0

  def __post_init__(self) -> None:
    if self.kind not in ('binary', 'categorical', 'binned'):
      raise ValueError(
        f'task {self.name!r}: kind {self.kind!r} is none of binary, '
        'categorical, binned'
      )

  @property
  def num_outputs(self) -> int:
    """Number of logits that a head of this task has."""
    return len(self.labels) * max(1, self.bins)

  def to_json(self) -> dict[str, Any]:
    return {
      'name': self.name,
      'kind': self.kind,
      'labels': list(self.labels),
      'bins': self.bins,
    }


Schema = tuple[Task, ...]


def is_label(name: Any) -> bool:
  """Whether a value may name a label: printable, in one line, not too long.

  Terminals, tables and archives take control characters for something else,
  and lone surrogates can be written nowhere.
  """
  text = isinstance(name, str) and 0 < len(name) <= MAX_NAME
  return text and name.isprintable()


def au_task(labels: tuple[str, ...] = AU12) -> Task:
  """Action unit detection: independent binary labels."""
  return Task('au', 'binary', labels)


def expr_task(labels: tuple[str, ...] = AFFWILD2) -> Task:
  """Categorical classification (expressions, or any other classes)."""
  return Task('expr', 'categorical', labels)


def va_task(bins: int = NUM_BINS) -> Task:
  """Valence and arousal in [-1, 1], each as a softmax over `bins` bins."""
  return Task('va', 'binned', ('valence', 'arousal'), bins)


ABAW2021: Schema = (au_task(), expr_task(), va_task())
ABAW2020: Schema = (au_task(AU8), expr_task(), va_task())


def schema_from_json(items: list[dict[str, Any]]) -> Schema:
  """Inverse of `Task.to_json` over a schema."""
  return tuple(
    Task(item['name'], item['kind'], tuple(item['labels']), item['bins'])
    for item in items
  )


class Target(NamedTuple):
  """Targets of one task.

  Attributes:
    value: float32. 'binary' [..., A]: probabilities (hard labels are 0 or 1);
      'categorical' [..., E]: a distribution (hard labels are one-hot);
      'binned' [..., D]: scalars in [-1, 1].
    mask: float32, 1 where `value` counts and 0 where the label is missing.
      'binary' and 'binned' [..., number of labels]; 'categorical' [...].
  """

  value: Any
  mask: Any


Targets = dict[str, Target]


def empty_targets(schema: Schema, shape: tuple[int, ...]) -> Targets:
  """Returns NumPy targets of the given leading shape with everything missing."""
  targets = {}
  for task in schema:
    full = (*shape, len(task.labels))
    mask = shape if task.kind == 'categorical' else full
    targets[task.name] = Target(
      np.zeros(full, np.float32), np.zeros(mask, np.float32)
    )
  return targets


def take(targets: Targets, index: Any) -> Targets:
  """Returns the targets at an index into their leading axes."""
  return {
    name: Target(value[index], mask[index])
    for name, (value, mask) in targets.items()
  }


def split_logits(task: Task, logits: Any) -> Any:
  """Reshapes a head's [..., num_outputs] logits to the task's own shape.

  'binned' becomes [..., number of labels, bins]; the others stay as they are.
  """
  if task.kind != 'binned':
    return logits
  return logits.reshape(*logits.shape[:-1], len(task.labels), task.bins)


def bin_values(bins: int = NUM_BINS, kind: str = 'ends') -> np.ndarray:
  """Values of the bins over [-1, 1], float32 [bins].

  Args:
    bins: Number of bins.
    kind: 'ends' is linspace(-1, 1, bins) with both ends, as the code of papers
      000-002 has it; 'centres' are the centres of equal bins (their texts).
  """
  if kind == 'ends':
    return np.linspace(-1, 1, bins, dtype=np.float32)
  if kind == 'centres':
    edges = np.linspace(-1, 1, bins + 1)
    return ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
  known = ', '.join(BIN_VALUES)
  raise ValueError(f'bin values {kind!r}: expected one of {known}')


def reorder(source: tuple[str, ...], target: tuple[str, ...]) -> np.ndarray:
  """Index map of class numbers from one label order to another, by name.

  Returns:
    int32 [len(source)]: `reorder(AFFECTNET, AFFWILD2)[c]` is the number that
    AffectNet's class `c` has in Aff-Wild2's order; -1 where it has none.
  """
  index = {name: i for i, name in enumerate(target)}
  return np.array([index.get(name, -1) for name in source], np.int32)


def check_schema(
  found: list[dict[str, Any]], expected: Schema, where: str
) -> None:
  """Raises ValueError if stored label names differ from the expected ones."""
  want = [task.to_json() for task in expected]
  if found != want:
    raise ValueError(
      f'{where}: label schema differs.\n  found:    {found}\n'
      f'  expected: {want}\nUse the data set or configuration that the file '
      'was made with.'
    )
