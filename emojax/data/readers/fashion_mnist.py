"""Fashion-MNIST in its idx files, compressed (.gz) or not.

train-images-idx3-ubyte[.gz]  train-labels-idx1-ubyte[.gz]
t10k-images-idx3-ubyte[.gz]   t10k-labels-idx1-ubyte[.gz]
"""

import pathlib

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files import arrays, folders
from emojax.data.readers.files.frames import ArrayItem
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

OFFICIAL = {'train': 60_000, 'test': 10_000}
PREFIXES = {'train': 'train', 't10k': 'test'}
NUM = len(tasks.FASHION_MNIST)


def scan(source: pathlib.Path, problems: Problems) -> Listing:
  """Lists the images of both splits, or of the one that is there."""
  records = []
  for prefix, split in PREFIXES.items():
    images, numbers = (
      f'{prefix}-{name}-ubyte' for name in ('images-idx3', 'labels-idx1')
    )
    if any(
      (source / f'{name}{end}').is_file()
      for name in (images, numbers)
      for end in ('', '.gz')
    ):
      with problems.at(source / images):
        records += _split(source, images, numbers, split, problems)
  schema = (tasks.expr_task(tasks.FASHION_MNIST),)
  listing = Listing('fashion_mnist', schema, records, problems)
  problems.compare(listing.counts(), OFFICIAL)
  labels.note_classes(
    listing,
    {split: (count // NUM,) * NUM for split, count in OFFICIAL.items()},
    'the files of MNIST have the same names and hold digits',
  )
  return listing


def _split(
  source: pathlib.Path, images: str, names: str, split: str, problems: Problems
) -> list[Record]:
  paths = [
    str(folders.first_existing(source / name, source / f'{name}.gz'))
    for name in (images, names)
  ]
  shape, numbers = arrays.read_idx(paths[0]).shape, arrays.read_idx(paths[1], 1)
  if shape[0] != len(numbers) or 0 in shape:
    found = f'images {shape} and {len(numbers)} labels'
    raise DataError(found, 'as many labels as images', paths[1])
  records = []
  for i, number in enumerate(numbers.tolist()):
    with problems.at(paths[1]):
      if number >= NUM:
        raise DataError(f'label {number} of image {i}', 'a class in 0..9')
      records.append(_record(paths[0], i, split, number))
  return records


def _record(file: str, i: int, split: str, number: int) -> Record:
  name = f'{split}_{i:05d}'
  frame = ArrayItem(file, i, arrays.read_idx)
  targets = {'expr': labels.one_hot(number, NUM)}
  return Record(name, name, split, (frame,), targets, np.zeros(1, np.int32))
