"""The on-disk format of a prepared data set: TFDS with ArrayRecord shards.

A folder holds, beside what TensorFlow Datasets writes (`dataset_info.json`,
`features.json`, `NAME-SPLIT.array_record-00000-of-00012`):

- `emojax.json`: the schema, how the data set was made and digests of the other
  files; written last, so a folder without it is not finished. `facts.py` reads it.
- `labels-SPLIT.npz`: the labels and frame numbers of all frames once more, so
  that windows are cut and samples balanced without reading any image.

One record is a `Segment`: some consecutive frames of a video (or one still
image) as encoded JPEG or PNG bytes with their labels. Sound is stored as the
stretch of spectrogram that the segment needs; each frame's 64 x 64 window is a
slice of it. Everything is written and read without TensorFlow. Other programs may
read it with

    tfds.builder_from_directory(folder).as_data_source('train')[0]

which emojax itself does not do: TFDS imports whatever `features.json` names.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import (
  array_record_data_source,
  array_record_module,  # pyright: ignore[reportAttributeAccessIssue]  # compiled
)
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.proto import tf_example_pb2

from emojax import tasks
from emojax.host import terminal

FORMAT = 1
FILE = 'emojax.json'
PARTIAL = '.part'
MELS = AUDIO_WINDOW = 64
MAX_TEXT = 4000  # characters of an error


class StoreError(ValueError):
  """A prepared data set is not finished, damaged or of another kind.

  Args:
    text: May name what a stranger's file holds; it becomes one line.
  """

  def __init__(self, text: str = ''):
    super().__init__(terminal.one_line(text, MAX_TEXT))


@dataclasses.dataclass(frozen=True)
class Spec:
  """What every record of a data set holds.

  Attributes:
    name: Name of the data set.
    schema: Its tasks.
    size: Height and width of the images.
    channels: 1 or 3.
    vote_labels: Columns of the annotators' votes; () without votes.
    clean: Whether the labels before noise was added are stored as well.
    audio: Kind of the audio features ('log_mel', 'mfcc') or None.
  """

  name: str
  schema: tasks.Schema
  size: int
  channels: int
  vote_labels: tuple[str, ...] = ()
  clean: bool = False
  audio: str | None = None

  def to_json(self) -> dict[str, Any]:
    schema = [task.to_json() for task in self.schema]
    return {**dataclasses.asdict(self), 'schema': schema}


class Audio(NamedTuple):
  """Sound of a segment: frame i hears spectrum[:, start[i] : start[i] + 64]."""

  spectrum: np.ndarray
  start: np.ndarray


class Segment(NamedTuple):
  """L frames of one video.

  Attributes:
    video_id: Name of the video, unique within the split.
    subject_id: Name of the person.
    frame_index: int32 [L], numbers of the frames in the video.
    images: Encoded images, L of them.
    targets: `tasks.Targets` with leading axis L.
    clean: The same before noise was added; None if `Spec.clean` is False.
    votes: float32 [L, V]; None without votes.
    audio: float32 spectrum [64, T] and int32 start [L]; None without sound.
  """

  video_id: str
  subject_id: str
  frame_index: np.ndarray
  images: Sequence[bytes]
  targets: tasks.Targets
  clean: tasks.Targets | None = None
  votes: np.ndarray | None = None
  audio: Audio | None = None


def features(spec: Spec) -> tfds.features.FeaturesDict:
  """The TFDS features of a record."""
  lib = tfds.features
  shape = (spec.size, spec.size, spec.channels)
  tree = {
    'video_id': lib.Text(),
    'subject_id': lib.Text(),
    'frame_index': lib.Tensor(shape=(None,), dtype=np.int32),
    'image': lib.Sequence(lib.Image(shape=shape)),
    'targets': _target_features(spec.schema),
  }
  if spec.clean:
    tree['clean'] = _target_features(spec.schema)
  if spec.vote_labels:
    width = len(spec.vote_labels)
    names = lib.Documentation(desc=', '.join(spec.vote_labels))
    tree['votes'] = lib.Tensor(shape=(None, width), dtype=np.float32, doc=names)
  if spec.audio:
    # As bytes: a list of floats would be parsed number by number.
    tree['spectrum'] = lib.Tensor(
      shape=(MELS, None), dtype=np.float32, encoding='bytes'
    )
    tree['audio_start'] = lib.Tensor(shape=(None,), dtype=np.int32)
  return lib.FeaturesDict(tree)


def _target_features(schema: tasks.Schema):
  """Values and masks; other programs find the labels' names in the doc."""
  lib, tree = tfds.features, {}
  for task in schema:
    width = len(task.labels)
    mask = (None,) if task.kind == 'categorical' else (None, width)
    names = lib.Documentation(desc=', '.join(task.labels))
    tree[task.name] = {
      'value': lib.Tensor(shape=(None, width), dtype=np.float32, doc=names),
      'mask': lib.Tensor(shape=mask, dtype=np.float32),
    }
  return tree


def serialize(layout: tfds.features.FeaturesDict, segment: Segment) -> bytes:
  """Serialises a segment as the `features` of its data set lay it out."""
  example = {
    'video_id': segment.video_id,
    'subject_id': segment.subject_id,
    'frame_index': np.asarray(segment.frame_index, np.int32),
    'image': [io.BytesIO(image) for image in segment.images],
    'targets': _as_dicts(segment.targets),
  }
  if segment.clean is not None:
    example['clean'] = _as_dicts(segment.clean)
  if segment.votes is not None:
    example['votes'] = np.asarray(segment.votes, np.float32)
  if segment.audio is not None:
    example['spectrum'] = np.asarray(segment.audio.spectrum, np.float32)
    example['audio_start'] = np.asarray(segment.audio.start, np.int32)
  serialized: Any = layout.get_serialized_info()
  writer = example_serializer.ExampleSerializer(serialized)
  message = writer.get_tf_example(layout.encode_example(example))
  # The order of a protobuf map differs from process to process otherwise.
  return message.SerializeToString(deterministic=True)


def _as_dicts(targets: tasks.Targets):
  return {name: target._asdict() for name, target in targets.items()}


def parse(record: bytes) -> Any:
  """Parses a record, a TensorFlow `Example`; StoreError if it is damaged."""
  # Protobuf makes the class as its module is imported: no annotation has it.
  kind = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
  try:
    return kind.FromString(record)
  except Exception as error:  # protobuf's error class differs by backend
    raise StoreError(f'a record cannot be parsed ({error})') from error


def encoded_images(example: Any) -> Sequence[bytes]:
  """The encoded images of a parsed record."""
  return example.features.feature['image'].bytes_list.value


def audio_of(example: Any) -> Audio:
  """The sound of a parsed record."""
  feature = example.features.feature
  spectrum = np.frombuffer(feature['spectrum'].bytes_list.value[0], np.float32)
  start = np.array(feature['audio_start'].int64_list.value, np.int32)
  return Audio(spectrum.reshape(MELS, -1), start)


def shard_path(
  folder: pathlib.Path, name: str, split: str, number: int, total: int
) -> pathlib.Path:
  """Path of a shard, as TFDS names it."""
  return folder / f'{name}-{split}.array_record-{number:05d}-of-{total:05d}'


def labels_name(split: str) -> str:
  """Name of the file with the labels of a split."""
  return f'labels-{split}.npz'


class _Whole(NamedTuple):
  """All records of a shard, as `ArrayRecordDataSource` is told of them."""

  filename: str
  take: int
  examples_in_shard: int
  skip: int = 0


class Shards:
  """Serialised records of some shards by number; usable from threads.

  Args:
    paths: The shards, in order.

  Attributes:
    lengths: Number of records of every shard.

  Raises:
    StoreError: A shard cannot be opened; the message names it.
  """

  def __init__(self, paths: Sequence[pathlib.Path]):
    self.lengths = [_count_records(path) for path in paths]
    whole: Any = [
      _Whole(os.fspath(p), n, n) for p, n in zip(paths, self.lengths)
    ]
    self._source = array_record_data_source.ArrayRecordDataSource(whole)

  def __len__(self) -> int:
    return sum(self.lengths)

  def __getitem__(self, number: int) -> bytes:
    return self._source[number]


def _count_records(path: pathlib.Path) -> int:
  try:
    reader = array_record_module.ArrayRecordReader(os.fspath(path))
    count = reader.num_records()
    reader.close()
  except Exception as error:  # the reader's C++ errors have many types
    raise StoreError(
      f'{path} is damaged ({error}); restore the file or prepare the data set '
      'again'
    ) from error
  return count


def open_records(folder: str | os.PathLike, split: str) -> Shards:
  """The records of a split that this program has written, finished or not."""
  names = pathlib.Path(folder).glob(f'*-{split}.array_record-*-of-*')
  return Shards(sorted(names))


def partial_path(path: pathlib.Path) -> pathlib.Path:
  """Where a process writes a file before it gets its name."""
  return path.with_name(f'.{path.name}.{os.getpid()}{PARTIAL}')


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> int:
  """Writes a shard; returns the sum of the records' sizes.

  The file appears under its name only when it is whole.

  Raises:
    StoreError: It cannot be written, as on a full disk.
  """
  part, size = partial_path(path), 0
  try:
    # Images are compressed already; group_size:1 gives access by record.
    writer = _written(
      path,
      array_record_module.ArrayRecordWriter,
      os.fspath(part),
      'group_size:1,uncompressed',
    )
    try:
      for record in records:
        _written(path, writer.write, record)
        size += len(record)
    finally:
      _written(path, writer.close)
    with writing(path):
      _settle(part, path)
  finally:
    part.unlink(missing_ok=True)  # what a full disk needs back
  return size


def _settle(part: pathlib.Path, path: pathlib.Path):
  """Names a whole file, which is on the disk then, also after a power cut."""
  with open(part, 'rb+') as file:
    os.fsync(file.fileno())
  os.replace(part, path)


def _written(path: pathlib.Path, call: Callable[..., Any], *arguments) -> Any:
  """Calls; ArrayRecord reports what the system refuses as RuntimeError."""
  with writing(path):
    return call(*arguments)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """Says what to do where the system refuses to write, as on a full disk.

  Raises:
    StoreError: In place of its error.
  """
  try:
    yield
  except (OSError, RuntimeError) as error:
    raise StoreError(
      f'{path} cannot be written ({error}): see that there is room, and run '
      'the same command again to go on'
    ) from error


def write_bytes(path: pathlib.Path, data: bytes) -> None:
  """Writes a file that appears under its name only when it is whole."""
  part = partial_path(path)
  with writing(path):
    try:
      part.write_bytes(data)
      _settle(part, path)
    finally:
      part.unlink(missing_ok=True)


def file_digest(path: pathlib.Path) -> str:
  """SHA-256 of a file."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def write_json(path: pathlib.Path, tree: Any) -> None:
  """Writes JSON, atomically."""
  write_bytes(path, (json.dumps(tree, indent=1) + '\n').encode())


def write_info(
  folder: pathlib.Path,
  spec: Spec,
  description: str,
  splits: dict[str, tuple[list[int], int]],
) -> None:
  """Writes `dataset_info.json` and `features.json`, as TFDS does.

  Args:
    folder: Folder of the data set.
    spec: What its records hold.
    description: One paragraph.
    splits: For every split, the number of records of each shard and the sum
      of the records' sizes.
  """
  from tensorflow_datasets.core import dataset_info

  data_dir: Any = folder  # `epath` takes any path for one of its own
  template = tfds.core.ShardedFileTemplate(
    dataset_name=spec.name, data_dir=data_dir, filetype_suffix='array_record'
  )
  identity = dataset_info.DatasetIdentity(
    name=spec.name,
    version=tfds.core.Version('1.0.0'),
    data_dir=os.fspath(folder),
    module_name='emojax.data.store',
  )
  info = tfds.core.DatasetInfo(
    builder=identity, features=features(spec), description=description
  )
  info.set_file_format('array_record')
  info.set_splits(
    tfds.core.SplitDict(
      [
        tfds.core.SplitInfo(
          name=split,
          shard_lengths=lengths,
          num_bytes=size,
          filename_template=template.replace(split=split),
        )
        for split, (lengths, size) in splits.items()
      ]
    )
  )
  info.write_to_directory(folder)
