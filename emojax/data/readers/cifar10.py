"""CIFAR-10, python version, with human labels where the files are there.

    [cifar-10-batches-py/]data_batch_1 ... data_batch_5, test_batch
    [cifar-10-batches-py/]batches.meta           (optional: label names)
    CIFAR-10_human.npz or .pt                    (optional: CIFAR-10N)
    cifar10h-counts.npy                          (optional: CIFAR-10H)

CIFAR-10N has labels of the training images by one annotator or several
(Wei et al., 2022), CIFAR-10H about 50 votes for every test image (Peterson et
al., 2019). There may be fewer batches than five.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files import arrays, folders, pickles
from emojax.data.readers.files.frames import ArrayItem
from emojax.data.readers.files.problems import DataError, Problems, brief
from emojax.data.readers.records import Listing, Record

OFFICIAL = {'train': 50_000, 'test': 10_000}
BATCH = 10_000
NUM = len(tasks.CIFAR10)
NOISE = {
  'aggregate': 'aggre_label',
  'random1': 'random_label1',
  'random2': 'random_label2',
  'random3': 'random_label3',
  'worst': 'worse_label',
}
HUMAN = ('CIFAR-10_human.npz', 'CIFAR-10_human.pt')


class _Batch(NamedTuple):
  """Labels of one file; `first` is the official number of its first image."""

  path: pathlib.Path
  split: str
  first: int
  labels: list[Any]


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  noise: str = 'clean',
  test_votes: bool = False,
) -> Listing:
  """Lists the images of the batches that are there.

  Args:
    noise: Training labels: clean, or those of CIFAR-10N: aggregate, random1,
      random2, random3 or worst. The clean ones are kept beside them.
    test_votes: Take the distribution of CIFAR-10H's votes as the target of
      the test images instead of the data set's class.
  """
  if noise != 'clean' and noise not in NOISE:
    names = ', '.join(['clean', *NOISE])
    raise DataError(f'option noise={noise!r}', f'one of {names}')
  folder = source / 'cifar-10-batches-py'
  folder = folder if folder.is_dir() else source
  order = _class_order(folder / 'batches.meta')
  records, batches = [], _batches(folder, problems)
  for batch in batches:
    for i, label in enumerate(batch.labels):
      with problems.at(batch.path):
        records.append(_record(batch, i, label, order))
  if noise != 'clean':
    records = _noisy(records, batches, source, noise, problems)
  listing = Listing(
    'cifar10', (tasks.expr_task(tasks.CIFAR10),), records, problems
  )
  problems.compare(listing.counts(), OFFICIAL)
  return _with_votes(listing, source / 'cifar10h-counts.npy', test_votes)


def read_images(file: str) -> np.ndarray:
  """Returns the images of a batch file, uint8 [N, 32, 32, 3]."""
  return _read(file)[0]


def _read(file: str) -> tuple[np.ndarray, list[Any]]:
  """Returns images and labels of a batch file; raises DataError."""
  batch = pickles.load(file)
  if not isinstance(batch, dict):
    raise DataError(type(batch).__name__, 'a dictionary', file)
  data, found = (_get(batch, key) for key in ('data', 'labels'))
  good = isinstance(data, np.ndarray) and data.dtype == np.uint8
  if not good or data.ndim != 2 or data.shape[1] != 3072:
    raise DataError('no images', "'data': uint8 [N, 3072]", file)
  if not isinstance(found, list) or len(found) != len(data):
    raise DataError('no labels', f"'labels': a list of {len(data)}", file)
  return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), found


def _get(batch: dict, key: str) -> Any:
  """Python 2 wrote the keys as bytes."""
  return batch.get(key, batch.get(key.encode()))


def _batches(folder: pathlib.Path, problems: Problems) -> list[_Batch]:
  names = {f'data_batch_{i + 1}': ('train', i * BATCH) for i in range(5)}
  names['test_batch'] = ('test', 0)
  found = []
  for name, (split, first) in names.items():
    if (folder / name).is_file():
      with problems.at(folder / name):
        _, numbers = _read(str(folder / name))
        found.append(_Batch(folder / name, split, first, numbers))
  return found


def _class_order(path: pathlib.Path) -> np.ndarray:
  """Returns the place in tasks.CIFAR10 of every class number, by name."""
  if not path.is_file():
    return np.arange(NUM)
  meta = pickles.load(str(path))
  names = _get(meta, 'label_names') if isinstance(meta, dict) else None
  if not isinstance(names, list):
    raise DataError('no names', "'label_names': a list", path)
  names = tuple(map(_text, names))
  if sorted(names) != sorted(tasks.CIFAR10):
    found = f'label names {brief(", ".join(names), 200)}'
    raise DataError(found, ', '.join(tasks.CIFAR10), path)
  return tasks.reorder(names, tasks.CIFAR10)


def _text(name: Any) -> str:
  if isinstance(name, bytes):
    return name.decode(errors='replace')
  return name if isinstance(name, str) else brief(name)


def _name(batch: _Batch, i: int) -> str:
  return f'{batch.split}_{batch.first + i:05d}'


def _record(batch: _Batch, i: int, label: Any, order: np.ndarray) -> Record:
  if type(label) is not int or not 0 <= label < NUM:
    found = f'label {brief(label, 20)} of image {i}'
    raise DataError(found, 'a class in 0..9')
  name = _name(batch, i)
  target = labels.one_hot(order[label], NUM)
  frame = ArrayItem(str(batch.path), i, read_images)
  index = np.zeros(1, np.int32)
  return Record(name, name, batch.split, (frame,), {'expr': target}, index)


def _noisy(
  records: list[Record],
  batches: list[_Batch],
  source: pathlib.Path,
  noise: str,
  problems: Problems,
) -> list[Record]:
  """Puts CIFAR-10N labels in the place of the training labels."""
  path = folders.first_existing(*(source / name for name in HUMAN))
  found = _numbers(path)
  numbers, clean = _human(found, NOISE[noise], path), None
  if _of_human(found, 'clean_label') is not None:
    clean = _human(found, 'clean_label', path)
  train = [r for r in records if r.split == 'train']
  place = _places(train, batches, len(numbers), path)
  own = np.array([r.targets['expr'].value[0].argmax() for r in train])
  if clean is not None and len(clean) != len(numbers):
    what = f'{len(clean)} clean labels beside {len(numbers)} of {noise}'
    raise DataError(what, 'as many', path)
  if clean is not None and not np.array_equal(clean[place], own):
    raise DataError('other clean labels', 'those of the batches', path)
  share = np.mean(numbers[place] != own)
  problems.note(f'{noise}: {share:.2%} of the training labels are not clean')
  changed = [_replace(r, numbers[k]) for r, k in zip(train, place)]
  return changed + [r for r in records if r.split != 'train']


def _places(train: list[Record], batches: list[_Batch], count: int, path):
  """Row of every training image in a file of `count` labels.

  A file of all 50,000 is in the official order; a shorter one has the images
  of the batches that are there.
  """
  names = [
    _name(batch, i)
    for batch in batches
    if batch.split == 'train'
    for i in range(len(batch.labels))
  ]
  if count == OFFICIAL['train']:
    return [int(record.video_id[6:]) for record in train]
  if count != len(names):
    found = f'{count} labels for {len(names)} training images'
    raise DataError(found, 'as many, or all 50,000', path)
  row = {name: k for k, name in enumerate(names)}
  return [row[record.video_id] for record in train]


def _numbers(path: pathlib.Path) -> Mapping[str, Any]:
  """Returns what a CIFAR-10N file holds, by name."""
  if path.suffix != '.pt':
    return arrays.load_npz(path)
  found = pickles.load_torch(str(path))
  return found if isinstance(found, dict) else {}


def _of_human(numbers: Mapping[str, Any], key: str) -> Any:
  return numbers.get(key, numbers.get(f'cifar10n_{key}'))


def _human(
  numbers: Mapping[str, Any], key: str, path: pathlib.Path
) -> np.ndarray:
  """Returns class numbers [N] of `_numbers`."""
  found = np.asarray(_of_human(numbers, key))
  if found.ndim != 1 or found.dtype.kind not in 'iu':
    what = f'{key!r}: {found.dtype} of shape {found.shape}'
    raise DataError(what, 'class numbers [N], integers', path)
  beyond = np.flatnonzero((found < 0) | (found >= NUM))
  if len(beyond):
    what = f'{key!r}: {found[beyond[0]]} for image {beyond[0]}'
    raise DataError(what, f'class numbers in 0..{NUM - 1}', path)
  return found.astype(np.int64)


def _replace(record: Record, number: int) -> Record:
  targets = {'expr': labels.one_hot(int(number), NUM)}
  return dataclasses.replace(
    record, targets=targets, clean_targets=record.targets
  )


def _with_votes(listing: Listing, path: pathlib.Path, targets: bool) -> Listing:
  """Adds CIFAR-10H's votes to the test images."""
  count = listing.counts().get('test', 0)
  if not path.is_file() or not count:
    if targets:
      raise DataError('no votes', 'CIFAR-10H, or option test_votes=false', path)
    return listing
  votes = arrays.load_npy(path)
  if votes.shape != (OFFICIAL['test'], NUM) or votes.dtype.kind not in 'iuf':
    found = f'{votes.dtype} of shape {votes.shape}'
    raise DataError(found, 'numbers of votes [10000, 10]', path)
  good = np.isfinite(votes).all(-1) & (votes >= 0).all(-1) & votes.any(-1)
  if not good.all():
    row = int(np.argmin(good))
    found = f'{votes[row].tolist()} for image {row}'
    raise DataError(found, 'at least one vote, none negative or NaN', path)
  listing.vote_labels = tasks.CIFAR10
  listing.records = [
    _voted(r, votes, targets) if r.split == 'test' else r
    for r in listing.records
  ]
  return listing


def _voted(record: Record, votes: np.ndarray, targets: bool) -> Record:
  row = votes[int(record.video_id[5:])][None].astype(np.float32)
  record = dataclasses.replace(record, votes=row)
  if not targets:
    return record
  target = tasks.Target(row / row.sum(), np.ones(1, np.float32))
  return dataclasses.replace(record, targets={'expr': target})
