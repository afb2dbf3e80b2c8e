"""Which data set a folder looks like, for messages about the wrong name."""

import pathlib

from emojax.data.readers.files.problems import DataError

# Paths (with wildcards) that only the official layout of a data set has.
MARKS = {
  'affwild2': ('AU_Set', 'EXPR_Set', 'VA_Set'),
  'ferplus': ('fer2013new.csv', 'FER2013Train', 'data/FER2013Train'),
  'fer2013': ('fer2013.csv', 'icml_face_data.csv'),
  'rafdb': ('EmoLabel',),
  'affectnet': (
    'Manually_Annotated_Images',
    'Manually_Annotated_compressed',
    'train_set/annotations',
    'val_set/annotations',
  ),
  'expw': ('label/label.lst',),
  'afewva': ('01/*/*.json', '12/*/*.json'),
  'disfa': ('ActionUnit_Labels',),
  'cifar10': ('cifar-10-batches-py', 'data_batch_1'),
  'fashion_mnist': ('train-images-idx3-ubyte*', 't10k-images-idx3-ubyte*'),
}

# The reader itself says which of its files is missing beside these.
BUILT_ON = {'ferplus': 'fer2013'}


def refuse_others(name: str, source: pathlib.Path):
  """Raises DataError for a folder that looks like another data set only."""
  if not source.is_dir() or _looks_like(source, name):
    return
  for other in MARKS:
    if other != BUILT_ON.get(name) and _looks_like(source, other):
      raise DataError(
        f'the layout of {other!r}',
        f'that of {name!r} (see docs/datasets.md): give the name {other!r} or '
        'another folder',
        source,
      )


def sought(name: str) -> str:
  """What was looked for in a source that has no record and no problem."""
  places = MARKS.get(name, ('CLASS/IMAGE', 'labels.csv', 'labels.tsv'))
  return f'looked for {", ".join(places)}: not there, or without any row'


def _looks_like(source: pathlib.Path, name: str) -> bool:
  return any(next(source.glob(mark), None) for mark in MARKS.get(name, ()))
