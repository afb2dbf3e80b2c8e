"""The contract between the readers of data sets and all that consumes them.

    listing = base.scan('rafdb', folder, noise_file='noise01.txt')
    print(listing.problems.summary())
    for record in listing.records:        # descriptions: small and picklable
      record, images, bad = base.load_valid(record)   # in any process

`scan` reads label files and lists folders but decodes no pixels. `load` and
`load_valid` decode, crop and encode the frames of one record; both are free
functions of a picklable argument and so fit a process pool.
"""

import abc
import dataclasses
import importlib
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from emojax import tasks
from emojax.data.readers import options as options_lib
from emojax.data.readers.problems import DataError, Problem, Problems

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

SPLITS = ('train', 'validation', 'test')


class Frame(abc.ABC):
  """Where one image comes from; nothing is read before it is asked for.

  Subclasses (frames.py) are small frozen dataclasses: an image file with a
  crop, a row of a CSV, an item of a pickle or idx file, a frame of a video.

  Attributes:
    file: Path of the file that holds the image, for messages.
  """

  file: str

  @abc.abstractmethod
  def image(self) -> Image.Image:
    """Returns the decoded and cropped image, mode 'L' or 'RGB'.

    Raises:
      DataError: The file is missing, cut short or no image.
    """

  def encoded(self) -> bytes:
    """Returns the image as PNG or JPEG bytes (the file's own when uncropped)."""
    buffer = io.BytesIO()
    self.image().save(buffer, format='PNG')
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Record:
  """One video, clip or still image (L = 1) of a data set.

  Attributes:
    video_id: Name of the clip; unique within its split.
    subject_id: Name of the person; `video_id` where the data set names none.
    split: 'train', 'validation' or 'test'.
    frames: L frame sources, in order of time.
    targets: Targets of every task of the listing's schema, NumPy with a
      leading axis L, missing labels with mask 0.
    frame_index: int32 [L], 0-based number of each frame in the video. Gaps
      are frames for which there is no image or no label.
    votes: float32 [L, V], annotators' votes for `Listing.vote_labels`, or
      None when this record has none.
    clean_targets: As `targets`, with the labels before noise was added; None
      when `targets` are the data set's own labels.
    fps: Frames per second of the video, None when unknown.
    audio_path: Sound or video file with the sound of the clip, or None.
  """

  video_id: str
  subject_id: str
  split: str
  frames: Sequence[Frame]
  targets: tasks.Targets
  frame_index: np.ndarray
  votes: np.ndarray | None = None
  clean_targets: tasks.Targets | None = None
  fps: float | None = None
  audio_path: str | None = None

  def __len__(self) -> int:
    return len(self.frames)

  @property
  def key(self) -> str:
    """Unique within a listing; one video can be in two splits (Aff-Wild2)."""
    return f'{self.split}/{self.video_id}'

  @property
  def groups(self) -> tuple[str, ...]:
    """Names of the tasks for which at least one frame has a label."""
    return tuple(k for k, t in self.targets.items() if np.any(t.mask))

  def take(self, index: Sequence[int]) -> 'Record':
    """Returns the record of some of the frames, in the order of `index`."""
    index = np.asarray(index, np.int64)
    clean = self.clean_targets
    return dataclasses.replace(
      self,
      frames=tuple(self.frames[i] for i in index),
      targets=_take(self.targets, index),
      frame_index=self.frame_index[index],
      votes=None if self.votes is None else self.votes[index],
      clean_targets=None if clean is None else _take(clean, index),
    )


def _take(targets: tasks.Targets, index: np.ndarray) -> tasks.Targets:
  return {
    name: tasks.Target(target.value[index], target.mask[index])
    for name, target in targets.items()
  }


@dataclasses.dataclass
class Listing:
  """What a scan found.

  Attributes:
    name: Data set name, a key of `READERS`.
    schema: Tasks, with the label names in the order of the target arrays.
    records: Descriptions of all videos and stills, of all splits.
    problems: What was left out and why, and notes.
    vote_labels: Names of the V columns of `Record.votes`; () without votes.
    info: JSON-able facts: 'source', 'options', 'counts' (records per split).
  """

  name: str
  schema: tasks.Schema
  records: list[Record]
  problems: Problems
  vote_labels: tuple[str, ...] = ()
  info: dict[str, Any] = dataclasses.field(default_factory=dict)

  def counts(self) -> dict[str, int]:
    """Number of records of every split that occurs."""
    splits = [record.split for record in self.records]
    return {s: splits.count(s) for s in SPLITS if s in splits}


def options(name: str) -> dict[str, options_lib.Option]:
  """Documented options of a reader: name, default and help (for --help)."""
  return options_lib.introspect(_module(name).scan)


def scan(
  name: str, source: str | os.PathLike, *, strict: bool = False, **kwargs
) -> Listing:
  """Lists a data set from its official on-disk layout.

  Args:
    name: A key of `READERS`.
    source: The data set's folder.
    strict: Stop at the first problem instead of leaving it out.
    **kwargs: The reader's own options (see `options(name)`); values may be
      strings, as they come from a command line.

  Raises:
    DataError: The folder is not this data set, nothing usable is in it, an
      option is unknown or wrong, or (strict) anything at all is wrong.
  """
  module = _module(name)
  known = options_lib.introspect(module.scan)
  kwargs = options_lib.parse(known, kwargs, f'reader {name!r}')
  source = pathlib.Path(source)
  if not source.exists():
    raise DataError('nothing', f'the folder of data set {name!r}', source)
  problems = Problems(strict)
  try:
    listing = module.scan(source, problems, **kwargs)
  except OSError as error:
    raise DataError(str(error), 'a readable file', source) from error
  if not listing.records:
    raise DataError(
      f'no usable record ({problems.summary() or "no problem recorded"})',
      f'the layout of {name!r} that docs/datasets.md shows',
      source,
    )
  counts = listing.counts()
  facts = {'source': str(source), 'options': kwargs, 'counts': counts}
  listing.info = {**facts, **listing.info}
  return listing


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
