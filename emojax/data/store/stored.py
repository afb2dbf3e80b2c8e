"""Clips read from a prepared data set by index, decoded when asked for."""

import collections
import copy
import functools
import os
import pathlib
from concurrent import futures

import numpy as np

from emojax import tasks
from emojax.data.clips import index as clip_index
from emojax.data.clips.clips import Clips
from emojax.data.store import (
  codec,
  digest,
  facts,
  frame_table,
  record_checks,
  store,
)


class Store:
  """A finished data set on disk.

  Args:
    path: The folder that `emojax.data.prepare` wrote.
    schema: What its labels must be; None takes them as they are.

  Attributes:
    path: The folder.
    spec: What its records hold.
    splits: Names of its splits.
    name: Its name in reports; says if it was generated.

  Raises:
    StoreError: It is not finished, or files are missing, cut short or say what
      cannot be.
    ValueError: Its labels are not those of `schema`.
  """

  def __init__(
    self, path: str | os.PathLike, schema: tasks.Schema | None = None
  ):
    self.path = pathlib.Path(path)
    self._facts = facts.read(self.path)
    self.spec = self._facts.spec
    self.splits = tuple(self._facts.counts)
    self.name = ('generated ' * self._facts.generated) + self.spec.name
    if schema is not None:
      found = [task.to_json() for task in self.spec.schema]
      tasks.check_schema(found, schema, str(self.path))

  def has(self, task: tasks.Task) -> bool:
    """Whether it has a task.

    Raises:
      ValueError: It has one of that name with other labels, or in another order.
    """
    mine = {other.name: other for other in self.spec.schema}.get(task.name)
    if mine is not None and mine != task:
      raise ValueError(
        f'{self.path}: task {task.name!r} has labels {", ".join(mine.labels)}; '
        f'expected {", ".join(task.labels)}; prepare it with --option '
        'expressions=... or action_units=..., in this order'
      )
    return mine is not None

  def table(self, split: str) -> frame_table.FrameTable:
    """The labels of all frames of a split."""
    if split not in self.splits:
      raise store.StoreError(
        f'{self.path} has no split {split!r}; it has {", ".join(self.splits)}'
      )
    name = store.labels_name(split)
    return frame_table.load_checked(
      self.path / name,
      self.spec,
      self._facts.counts[split],
      self._bytes(split),
      self._facts.digests.get(name),
    )

  def _bytes(self, split: str) -> int:
    """Of its records."""
    return sum(self._facts.sizes[name] for name in self._facts.shards[split])

  def records(self, split: str) -> 'Records':
    """The records of a split.

    Raises:
      StoreError: There are more or less than labels.
    """
    files = [self.path / name for name in self._facts.shards[split]]
    found, expected = Records(files), self._facts.counts[split]['records']
    if len(found) != expected:
      raise store.StoreError(
        f'{self.path}: {len(found)} records of split {split!r}, labels of '
        f'{expected}; restore the files or prepare the data set again'
      )
    return found

  def origin(
    self, split: str, table: frame_table.FrameTable, exact: bool = False
  ) -> digest.Origin:
    """What identifies a split.

    Args:
      split: Its name.
      table: Its labels.
      exact: Read all shards, instead of believing the digests that were taken
        when they were written.

    Raises:
      StoreError: A shard is not the one that was written (`exact` only).
    """
    names, known = self._facts.shards[split], self._facts.digests
    found = [known[name] for name in names if name in known]
    if exact:
      found = [store.file_digest(self.path / name) for name in names]
      for name, value in zip(names, found):
        if known.get(name, value) != value:
          raise store.StoreError(
            f'{self.path / name} is not the file that was written when the data '
            'set was prepared: restore it or prepare the data set again'
          )
    return digest.Origin(
      split=split,
      frames=len(table),
      table=table.digest(),
      bytes=self._bytes(split),
      shards=digest.text(found) if len(found) == len(names) else None,
    )


class Records:
  """Serialised records by number, with errors that name the file."""

  def __init__(self, files: list[pathlib.Path]):
    self._source = store.Shards(files)
    self._files = [os.fspath(file) for file in files]
    self._end = np.cumsum(self._source.lengths)

  def __len__(self) -> int:
    return len(self._source)

  def where(self, number: int) -> str:
    """The file and the place in it of a record, for messages."""
    shard = int(np.searchsorted(self._end, number, side='right'))
    first = self._end[shard - 1] if shard else 0
    return f'{self._files[shard]}, record {number - first}'

  def __getitem__(self, number: int):
    """Returns the parsed record; raises StoreError if it is damaged."""
    try:
      return store.parse(self._source[number])
    except Exception as error:  # the reader's C++ errors have many types
      raise self.damaged(number, error) from error

  def damaged(self, number: int, error: Exception) -> store.StoreError:
    return store.StoreError(
      f'{self.where(number)} is damaged ({error}); restore the file or prepare '
      'the data set again'
    )


class StoredClips:
  """The clips of a split, read from disk when they are taken.

  It stands in for `Clips`: `take` returns the same bytes as taking the same
  clips from memory, and the labels are in memory anyway. It may be used from
  several threads.

  Args:
    data: The data set.
    split: Name of the split.
    index: Its clips, from `clip_index.build`.
    table: Its labels, `data.table(split)`.
    image_size: Size to which images are brought; as stored if None.
    channels: 1 or 3; as stored if None.
    audio: Whether to read the sound, where there is any.
    clean: Take the labels before noise was added.
    threads: Threads that decode.

  Attributes:
    schema: The tasks.
    targets: `tasks.Targets` with leading shape [N, L].
    frame_mask: float32 [N, L].
    clip_id: [N] array of strings.
    subject_id: [N] array of strings.
    groups: Name to int32 [n], clip indices.
    votes: float32 [N, L, V], or None.
    truth: None; posteriors of real labels are not known.
    has_audio: Whether there is sound.
  """

  truth = None

  def __init__(
    self,
    data: Store,
    split: str,
    index: clip_index.ClipIndex,
    table: frame_table.FrameTable,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    audio: bool = True,
    clean: bool = False,
    threads: int = 2,
  ):
    spec = data.spec
    if clean and table.clean is None:
      raise ValueError(f'{data.path} stores no labels from before noise')
    self.schema = spec.schema
    self.size = image_size or spec.size
    self.channels = channels or spec.channels
    self.has_audio = audio and spec.audio is not None
    self.groups = index.groups
    self.clip_id, self.subject_id = index.clip_id, index.subject_id
    self.frame_mask = index.mask
    self.targets = _targets(
      table.clean if clean else table.targets, index, spec
    )
    self.votes = None if table.votes is None else table.votes[index.frames]
    self._record, self._place = table.locate(index.frames)
    self._data, self._split, self._table = data, split, table
    self._records = data.records(split)
    self._checked = np.zeros(len(table.length), bool)  # shared by parts
    self._threads = threads
    self._pool: futures.ThreadPoolExecutor | None = None

  def __len__(self) -> int:
    return len(self.clip_id)

  @property
  def clip_length(self) -> int:
    """L, padding included."""
    return self.frame_mask.shape[1]

  @property
  def num_frames(self) -> int:
    """Number of valid frames in all clips."""
    return int(self.frame_mask.sum())

  @property
  def nbytes(self) -> int:
    """Size in memory of the images and sounds of all clips."""
    frame = self.size * self.size * self.channels
    frame += self.has_audio * 4 * store.MELS * store.AUDIO_WINDOW
    return self.frame_mask.size * frame

  @functools.cached_property
  def origin(self) -> digest.Origin:
    """The split that the clips are of; its shards are not read for it."""
    return self._data.origin(self._split, self._table)

  def exact_origin(self) -> digest.Origin:
    """The same, with all shards read through; raises StoreError if they changed."""
    return self._data.origin(self._split, self._table, exact=True)

  def check(self, schema: tasks.Schema) -> 'StoredClips':
    """Returns self; raises ValueError if the labels are of another schema."""
    tasks.check_schema([t.to_json() for t in self.schema], schema, 'clips')
    return self

  def take(self, indices) -> Clips:
    """Reads the clips at `indices` (integers or a mask), in that order.

    Raises:
      StoreError: A file is damaged; the message names it.
    """
    indices = np.arange(len(self))[indices]
    shape = (len(indices), self.clip_length)
    image = np.empty((*shape, self.size, self.size, self.channels), np.uint8)
    audio = None
    if self.has_audio:
      audio = np.empty((*shape, store.MELS, store.AUDIO_WINDOW), np.float32)
    self._fill(indices, image, audio)
    return Clips(
      image=image,
      audio=audio,
      targets=tasks.take(self.targets, indices),
      frame_mask=self.frame_mask[indices],
      clip_id=self.clip_id[indices],
      subject_id=self.subject_id[indices],
      votes=None if self.votes is None else self.votes[indices],
      origin=self.origin,
    )

  def part(self, keep: np.ndarray) -> 'StoredClips':
    """Returns the clips where `keep`, bool [N], and what is left of groups."""
    found = copy.copy(self)
    found.__dict__.update(self.__getstate__())
    place = np.cumsum(keep) - 1
    found.groups = {
      name: place[group[keep[group]]].astype(np.int32)
      for name, group in self.groups.items()
    }
    found.targets = tasks.take(self.targets, keep)
    arrays = ['clip_id', 'subject_id', 'frame_mask', '_record', '_place']
    arrays += [] if self.votes is None else ['votes']
    for name in arrays:
      setattr(found, name, getattr(self, name)[keep])
    return found

  def _fill(self, indices, image, audio):
    """Reads every record that is needed once, spread over the threads."""
    wanted = collections.defaultdict(lambda: collections.defaultdict(list))
    for n, clip in enumerate(indices):
      for frame, (record, place) in enumerate(
        zip(self._record[clip].tolist(), self._place[clip].tolist())
      ):
        wanted[record][place].append((n, frame))

    def read(records):
      for record in records:
        self._read(record, wanted[record], image, audio)

    records = sorted(wanted)
    if self._pool is None:
      self._pool = futures.ThreadPoolExecutor(self._threads)
    parts = [records[i :: self._threads] for i in range(self._threads)]
    for _ in self._pool.map(read, parts):
      pass

  def _read(self, record, places, image, audio):
    """Decodes some frames of a record into all the places they are for."""
    example = self._records[record]
    self._check(record, example)
    encoded = store.encoded_images(example)
    sound = store.audio_of(example) if audio is not None else None
    for place, targets in places.items():
      try:
        pixels = codec.decode(
          encoded[place], self.size, self.channels, self._data.spec.size
        )
      except codec.DecodeError as error:
        raise self._records.damaged(record, error) from error
      for target in targets:
        image[target] = pixels
        if sound is not None and audio is not None:
          start = sound.start[place]
          stop = start + store.AUDIO_WINDOW
          audio[target] = sound.spectrum[:, start:stop]

  def _check(self, number: int, example):
    """Compares a record with the labels when it is read for the first time."""
    if self._checked[number]:
      return
    try:
      record_checks.check(example, self._data.spec, self._table, number)
    except record_checks.RecordError as error:
      raise self._records.damaged(number, error) from error
    self._checked[number] = True

  def __getstate__(self):
    # Threads do not travel to other processes.
    return {**self.__dict__, '_pool': None}


def _targets(targets, index, spec) -> tasks.Targets:
  """Targets of the clips, masked where they do not count."""
  found = {}
  for number, task in enumerate(spec.schema):
    value, mask = (array[index.frames] for array in targets[task.name])
    count = index.mask * index.use[:, number, None]
    count = count if mask.ndim == 2 else count[..., None]
    found[task.name] = tasks.Target(value, (mask * count).astype(np.float32))
  return found
