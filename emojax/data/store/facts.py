"""What a prepared data set says of itself, checked before it is believed.

Data sets are passed on. `emojax.json` and the files beside it are data: nothing
in them is imported, no name leads out of the folder, and what does not fit
together is refused. (TensorFlow Datasets imports the classes that
`features.json` names. emojax does not open the folder with it, and refuses names
that it would not have written itself.)
"""

import json
import pathlib
import re
from typing import Any, NamedTuple, NoReturn

from emojax import tasks
from emojax.data.readers.records import SPLITS
from emojax.data.store import store
from emojax.host import files

MAX_BYTES = 64 * 2**20  # of a JSON file
MAX_SIZE = 4096
MAX_BINS = 1024
AUDIO = (None, 'log_mel', 'mfcc')
CLASSES = 'tensorflow_datasets.core.features.'
DIGEST = re.compile(r'[0-9a-f]{64}')
SHARD = re.compile(r'\.array_record-(\d{5})-of-(\d{5})')


class Facts(NamedTuple):
  """A prepared data set, as its files describe it.

  Attributes:
    spec: What its records hold.
    counts: Split to its numbers of records, frames and labels.
    shards: Split to the names of its shards, in order.
    sizes: Name of a shard to its bytes.
    digests: Name of a shard or label file to its SHA-256; {} where the data set
      was prepared before they were kept.
    generated: Whether its images were drawn by a program.
  """

  spec: store.Spec
  counts: dict[str, dict[str, Any]]
  shards: dict[str, list[str]]
  sizes: dict[str, int]
  digests: dict[str, str]
  generated: bool


def read(folder: pathlib.Path) -> Facts:
  """Reads and checks the description of a data set and the sizes of its files.

  Raises:
    StoreError: It is not finished, of another format, or damaged; names the
      file and what is wrong in it.
  """
  path = folder / store.FILE
  if not path.exists():
    raise store.StoreError(
      f'{folder} holds no finished data set ({store.FILE} is missing): '
      'make it with python -m emojax.data.prepare'
    )
  tree = _Node(path, '', _load(path))
  _check_format(folder, tree)
  spec = _spec(tree.object('spec'))
  counts = {
    split: _counts(spec, node) for split, node in _splits(tree.object('splits'))
  }
  sizes = {name: node.integer(1) for name, node in tree.object('files').items()}
  shards = {split: _shards(spec.name, split, tree, sizes) for split in counts}
  if sum(map(len, shards.values())) < len(sizes):
    tree.object('files').wrong(sorted(sizes), 'shards of its splits only')
  found = Facts(
    spec, counts, shards, sizes, _digests(tree, sizes, counts), _generated(tree)
  )
  _check_described(folder, spec)
  _check_files(folder, sizes)
  return found


def _check_format(folder: pathlib.Path, tree: '_Node'):
  found = tree.object('settings').get('format').value
  if type(found) is not int or found != store.FORMAT:
    raise store.StoreError(
      f'{folder} has format {repr(found)[:200]}, this version reads format '
      f'{store.FORMAT}: prepare the data set again'
    )


def _load(path: pathlib.Path) -> Any:
  """JSON of a file that may be anything."""
  try:
    return json.loads(files.read_bounded(path, MAX_BYTES).decode())
  except (OSError, RecursionError, ValueError) as error:
    raise store.StoreError(
      f'{path} cannot be read ({type(error).__name__}: {error}); restore the '
      'file or prepare the data set again'
    ) from error


class _Node:
  """A value of a JSON file that knows where it is."""

  def __init__(self, path: pathlib.Path, place: str, value: Any):
    self.path, self.place, self.value = path, place, value

  def wrong(self, found: Any, expected: str) -> NoReturn:
    text = repr(found)
    text = text if len(text) < 200 else f'{text[:200]}...'
    raise store.StoreError(
      f'{self.path}: {self.place or "the file"} is {text}, expected {expected}; '
      'restore the file or prepare the data set again'
    )

  def require(self, holds: bool, expected: str) -> Any:
    if not holds:
      self.wrong(self.value, expected)
    return self.value

  def get(self, key: str) -> '_Node':
    self.require(isinstance(self.value, dict), 'an object')
    place = f'{self.place}.{key}' if self.place else key
    if key not in self.value:
      raise store.StoreError(
        f'{self.path}: {place} is missing; restore the file or prepare the data '
        'set again'
      )
    return _Node(self.path, place, self.value[key])

  def object(self, key: str) -> '_Node':
    found = self.get(key)
    found.require(isinstance(found.value, dict), 'an object')
    return found

  def items(self):
    return [(key, self.get(key)) for key in self.value]

  def list(self, key: str, most: int) -> list['_Node']:
    found = self.get(key)
    held = isinstance(found.value, list) and len(found.value) <= most
    found.require(held, f'a list of at most {most}')
    return [
      _Node(self.path, f'{found.place}[{i}]', value)
      for i, value in enumerate(found.value)
    ]

  def integer(self, low: int, high: int = 2**63) -> int:
    right = type(self.value) is int and low <= self.value <= high
    return self.require(right, f'a whole number from {low} to {high}')

  def text(self) -> str:
    return self.require(tasks.is_label(self.value), 'a printable name')

  def name(self) -> str:
    right = isinstance(self.value, str) and tasks.NAME.fullmatch(self.value)
    return self.require(bool(right), 'a name of letters, digits and _')

  def one_of(self, options) -> Any:
    known = any(
      type(self.value) is type(o) and self.value == o for o in options
    )
    return self.require(known, f'one of {", ".join(map(repr, options))}')


def _spec(node: _Node) -> store.Spec:
  schema = tuple(_task(task) for task in node.list('schema', tasks.MAX_TASKS))
  names = [task.name for task in schema]
  node.get('schema').require(
    0 < len(set(names)) == len(names), 'tasks of different names'
  )
  answers = _names(node, 'vote_labels')
  for task in schema:
    if answers and task.kind == 'categorical':
      # Sets that were prepared with --option expressions=... before votes followed.
      node.get('vote_labels').require(
        answers[: len(task.labels)] == task.labels,
        f'the classes of {task.name} first, in their order: its votes would be '
        'taken for those of other classes',
      )
  return store.Spec(
    name=node.get('name').name(),
    schema=schema,
    size=node.get('size').integer(1, MAX_SIZE),
    channels=node.get('channels').one_of((1, 3)),
    vote_labels=answers,
    clean=node.get('clean').one_of((False, True)),
    audio=node.get('audio').one_of(AUDIO),
  )


def _task(node: _Node) -> tasks.Task:
  node.require(isinstance(node.value, dict), 'an object')
  kind = node.get('kind').one_of(('binary', 'categorical', 'binned'))
  labels = _names(node, 'labels')
  node.get('labels').require(bool(labels), 'at least one label')
  low, high = (2, MAX_BINS) if kind == 'binned' else (0, 0)
  bins = node.get('bins').integer(low, high)
  return tasks.Task(node.get('name').name(), kind, labels, bins)


def _names(node: _Node, key: str) -> tuple[str, ...]:
  found = tuple(item.text() for item in node.list(key, tasks.MAX_LABELS))
  node.get(key).require(len(set(found)) == len(found), 'different names')
  return found


def _splits(node: _Node):
  known = node.value and not set(node.value) - set(SPLITS)
  node.require(bool(known), f'some of {", ".join(SPLITS)}')
  return node.items()


def _counts(spec: store.Spec, node: _Node) -> dict[str, Any]:
  """Counts of a split: numbers, and by task one for every label."""
  for key in ('records', 'frames'):
    node.get(key).integer(1)
  for task in spec.schema:
    found = node.object(task.name)
    found.require(
      tuple(found.value) == task.labels,
      f'counts of {", ".join(task.labels)} in this order',
    )
  return node.value


def _shards(
  name: str, split: str, tree: _Node, sizes: dict[str, int]
) -> list[str]:
  """Names of a split's shards, all of which must be listed."""
  start, node = f'{name}-{split}', tree.object('files')
  found = {
    file: SHARD.fullmatch(file, len(start))
    for file in sizes
    if file.startswith(f'{start}.')
  }
  numbers = [tuple(map(int, m.groups())) for m in found.values() if m]
  total = len(found)
  if not total or sorted(numbers) != [(i, total) for i in range(total)]:
    node.wrong(sorted(found), f'all shards {start}.array_record-*-of-*')
  return sorted(found)


def _digests(tree: _Node, sizes, counts) -> dict[str, str]:
  if 'digests' not in tree.value:
    return {}  # prepared before they were kept
  node = tree.object('digests')
  expected = {*sizes, *(store.labels_name(split) for split in counts)}
  node.require(set(node.value) == expected, 'a SHA-256 of every file')
  for _, item in node.items():
    right = isinstance(item.value, str) and DIGEST.fullmatch(item.value)
    item.require(bool(right), 'a SHA-256')
  return node.value


def _generated(tree: _Node) -> bool:
  return tree.object('reader').value.get('generated', False) is True


def _check_files(folder: pathlib.Path, sizes: dict[str, int]):
  for name, size in sizes.items():
    path = folder / name
    held = path.stat().st_size if path.is_file() else None
    if held != size:
      state = 'missing' if held is None else f'{held} bytes'
      raise store.StoreError(
        f'{path}: {state}, expected {size} bytes; restore the file or '
        'prepare the data set again'
      )


def _check_described(folder: pathlib.Path, spec: store.Spec):
  """What other programs read must say the same, and name nothing foreign."""
  path = folder / 'features.json'
  tree = _Node(path, '', _load(path))
  _check_classes(path, tree.value)
  dictionary, features = 'featuresDict', 'features'
  targets = tree.object(dictionary).object(features).object('targets')
  for task in spec.schema:
    node = targets.object(dictionary).object(features).object(task.name)
    node = node.object(dictionary).object(features).object('value')
    node = node.get('description')
    if isinstance(node.value, dict):
      node = node.get('desc')
    expected = ', '.join(task.labels)
    node.require(
      node.value == expected, f'{expected!r}, as {store.FILE} has the labels'
    )
  info = folder / 'dataset_info.json'
  if info.exists():
    _check_templates(info, _load(info))


def _walk(tree: Any):
  """Yields all (key, value) pairs of a tree of any depth."""
  waiting = [tree]
  while waiting:
    node = waiting.pop()
    if isinstance(node, dict):
      yield from node.items()
      waiting += node.values()
    elif isinstance(node, list):
      waiting += node


def _check_classes(path: pathlib.Path, tree: Any):
  for key, value in _walk(tree):
    known = isinstance(value, str) and value.startswith(CLASSES)
    if key == 'pythonClassName' and not known:
      _Node(path, key, value).wrong(value, f'a class of {CLASSES[:-1]}')


def _check_templates(path: pathlib.Path, tree: Any):
  for key, value in _walk(tree):
    inside = isinstance(value, str) and not re.search(r'[/\\]|\.\.', value)
    if key == 'filepathTemplate' and not inside:
      _Node(path, key, value).wrong(value, 'names of files in the same folder')
