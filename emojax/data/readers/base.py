"""The contract between the readers of data sets and all that consumes them.

    listing = base.scan('rafdb', folder, noise_file='noise01.txt')
    print(listing.problems.summary())
    for record in listing.records:        # descriptions: small and picklable
      record, images, bad = base.load_valid(record)   # in any process

`scan` reads label files and lists folders but decodes no pixels. `load` and
`load_valid` decode, crop and encode the frames of one record; both are free
functions of a picklable argument and so fit a process pool.
"""

import importlib
import os
import pathlib

from emojax import tasks
from emojax.data.readers import layouts
from emojax.data.readers import options as options_lib
from emojax.data.readers import project as project_lib
from emojax.data.readers.files import tables
from emojax.data.readers.files.problems import (
  DataError,
  Problem,
  Problems,
  one_line,
)
from emojax.data.readers.records import SPLITS, Frame, Listing, Record

__all__ = [
  'READERS',
  'SPLITS',
  'DataError',
  'Frame',
  'Listing',
  'Problem',
  'Problems',
  'Record',
  'load',
  'load_valid',
  'options',
  'scan',
]

# Data set name -> module with `scan(source, problems, **options) -> Listing`.
READERS: dict[str, str] = {
  name: f'emojax.data.readers.{name}'
  for name in (
    'affwild2',
    'fer2013',
    'ferplus',
    'rafdb',
    'affectnet',
    'expw',
    'afewva',
    'disfa',
    'cifar10',
    'fashion_mnist',
    'folder',
  )
}


def options(name: str) -> dict[str, options_lib.Option]:
  """Documented options of a reader: name, default and help (for --help).

  These are the keyword arguments of its module's `scan`, and after them those
  that all readers have (`project.project`).
  """
  return {
    **options_lib.introspect(_module(name).scan),
    **options_lib.introspect(project_lib.project),
  }


def scan(
  name: str, source: str | os.PathLike, *, strict: bool = False, **kwargs
) -> Listing:
  """Lists a data set from its official on-disk layout.

  Args:
    name: A key of `READERS`.
    source: The data set's folder.
    strict: Stop at the first problem instead of leaving it out.
    **kwargs: Options (see `options(name)`); values may be strings, as they
      come from a command line.

  Raises:
    DataError: The folder is not this data set, nothing usable is in it, an
      option is unknown or wrong, or (strict) anything at all is wrong.
  """
  kwargs = options_lib.parse(options(name), kwargs, f'reader {name!r}')
  shared = {k: kwargs[k] for k in options_lib.introspect(project_lib.project)}
  own = {k: v for k, v in kwargs.items() if k not in shared}
  source, problems = pathlib.Path(source), Problems(strict)
  if not source.exists():
    raise DataError('nothing', f'the folder of data set {name!r}', source)
  if name != 'folder':  # which asks once it knows that there is no table
    layouts.refuse_others(name, source)
  try:
    listing = _module(name).scan(source, problems, **own)
  except OSError as error:
    raise DataError(str(error), 'a readable file', source) from error
  listing = project_lib.project(listing, **shared)
  for task in listing.schema:  # which is written once all images are
    _check_labels(task)
  listing.records = [r for r in listing.records if _storable(r, problems)]
  if not listing.records:
    why = ' '.join(problems.summary().split()) or layouts.sought(name)
    raise DataError(
      f'no usable record ({why})',
      f'the layout of {name!r} that docs/datasets.md shows',
      source,
    )
  _note_shared_subjects(listing)
  counts = listing.counts()
  facts = {'source': one_line(str(source)), 'options': kwargs}
  facts['counts'] = counts
  listing.info = {**facts, **listing.info}
  return listing


def _check_labels(task: tasks.Task):
  """Refuses labels that a prepared data set would be refused for."""
  wrong = [label for label in task.labels if not tasks.is_label(label)]
  if wrong:
    found = f'the name {tables.shorten(wrong[0])} of a class or label'
    expected = f'printable text of at most {tasks.MAX_NAME:,} characters'
    raise DataError(found, f'{expected}: rename it')
  if len(task.labels) > tasks.MAX_LABELS:
    found = f'{len(task.labels):,} labels of {task.name}'
    raise DataError(found, f'at most {tasks.MAX_LABELS:,}')


def _storable(record: Record, problems: Problems) -> bool:
  """Whether the record's names are text; files may be named in any bytes."""
  with problems.at(None):
    for name in (record.video_id, record.subject_id):
      tables.file_name(name)
    return True
  return False


def _note_shared_subjects(listing: Listing):
  """Warns of persons whom a model would be trained and tested on."""
  splits: dict[str, set[str]] = {}
  for record in listing.records:
    splits.setdefault(record.subject_id, set()).add(record.split)
  shared = sorted(name for name, where in splits.items() if len(where) > 1)
  if shared:
    listing.problems.note(
      f'subjects in more than one split: {len(shared)}, '
      + ', '.join(shared[:5])
      + ('' if len(shared) < 6 else ', ...')
    )


def load(record: Record) -> list[bytes]:
  """Returns the encoded image (PNG or JPEG) of every frame of a record.

  Raises:
    DataError: A frame cannot be read; `load_valid` leaves it out instead.
  """
  return [frame.encoded() for frame in record.frames]


def load_valid(record: Record) -> tuple[Record, list[bytes], list[Problem]]:
  """As `load`, but unreadable frames are left out of record and images alike.

  Returns:
    The record of the readable frames (possibly none), their encoded images,
    and the problems met.
  """
  problems, images, index = Problems(keep=len(record)), [], []
  for i, frame in enumerate(record.frames):
    with problems.at(frame.file):
      images.append(frame.encoded())
      index.append(i)
  if problems.count:
    record = record.take(index)
  return record, images, problems.items


def _module(name: str):
  if name not in READERS:
    raise DataError(f'data set {name!r}', f'one of {", ".join(READERS)}')
  return importlib.import_module(READERS[name])
