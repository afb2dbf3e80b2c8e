"""Input pipeline: prepared data sets as clips, in memory or streamed.

    data = pipeline.load_dataset('DATA/affwild2', clip_length=16)
    for clips in pipeline.batches(data.train, 15, seed=0, epochs=2):
      ...

A split is held in memory if it fits, else read from disk; both hand out the
same bytes. Batches come from Grain: shuffled by seed, prefetched by threads,
resumable (`iterator.get_state()`), and the same for any number of processes.
(The engine reads what its own plan says, through Grain: `engine/sources.py`.)
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np

from emojax import tasks
from emojax.data.clips import index as clip_index
from emojax.data.clips.clips import Clips, Dataset
from emojax.data.store.store import Spec
from emojax.data.store.stored import Store, StoredClips

MEMORY_BYTES = 4 * 2**30


def open_clips(
  path: str | os.PathLike | Store,
  split: str,
  *,
  clip_length: int = 1,
  groups: Mapping[str, Sequence[str] | None] | None = None,
  stride: int | None = None,
  tail: str = 'drop',
  gaps: str = 'jump',
  own_labels: bool = True,
  schema: tasks.Schema | None = None,
  image_size: int | None = None,
  channels: int | None = None,
  audio: bool = True,
  clean: bool = False,
  threads: int = 2,
) -> StoredClips:
  """Opens a split of a prepared data set as clips that stay on disk.

  Args:
    path: Folder of the data set, or an open `Store`.
    split: 'train', 'validation' or 'test'.
    clip_length: Frames of a clip, L; 1 for stills.
    groups: See `clip_index.build`; None is one group per task.
    stride: See `windows.cut`, as for `tail` and `gaps`.
    tail: 'drop', 'end' or 'pad'.
    gaps: 'jump', 'discard' or 'split'.
    own_labels: See `clip_index.build`.
    schema: What the labels must be, None for whatever they are.
    image_size: Size to which images are brought; as stored if None.
    channels: 1 or 3; as stored if None.
    audio: Whether to read the sound, where there is any.
    clean: Take the labels before noise was added.
    threads: Threads that decode.
  """
  data = path if isinstance(path, Store) else Store(path, schema)
  table = data.table(split)
  if groups is None:
    groups = clip_index.task_groups(table, data.spec.schema)
  index = clip_index.build(
    table,
    data.spec.schema,
    groups or {'all': clip_index.ANY},
    clip_length,
    stride=stride,
    tail=tail,
    gaps=gaps,
    own_labels=own_labels,
  )
  return StoredClips(
    data,
    split,
    index,
    table,
    image_size=image_size,
    channels=channels,
    audio=audio,
    clean=clean,
    threads=threads,
  )


def load_dataset(
  path: str | os.PathLike | Store,
  *,
  clip_length: int = 1,
  eval_clip_length: int | None = None,
  groups: Mapping[str, Sequence[str] | None] | None = None,
  stride: int | None = None,
  tail: str = 'drop',
  eval_tail: str = 'pad',
  gaps: str = 'jump',
  own_labels: bool = True,
  val: str = 'validation',
  test: str = 'test',
  val_fraction: float = 0.0,
  val_seed: int = 0,
  unlabelled: bool = False,
  unlabelled_train: bool = False,
  ood: Mapping[str, str | os.PathLike | Store] | None = None,
  schema: tasks.Schema | None = None,
  image_size: int | None = None,
  channels: int | None = None,
  audio: bool = True,
  memory_bytes: int = MEMORY_BYTES,
  threads: int = 2,
) -> Dataset:
  """Opens a prepared data set as everything that one experiment reads.

  Args:
    path: Folder of the data set, or an open `Store`.
    clip_length: Frames of a training clip.
    eval_clip_length: Frames of an evaluation clip; `clip_length` if None.
    groups: Groups of the training clips, see `open_clips`.
    stride: Stride of the training clips.
    tail: Tail policy of the training clips.
    eval_tail: That of the others; 'pad' scores every frame exactly once,
      'drop' is what the published code of paper 000 does.
    gaps: Gap policy of all clips.
    own_labels: See `clip_index.build`.
    val: Split for validation.
    test: Split for the test; if it is `val`, both are one and the same object.
    val_fraction: If above 0, validation is that share of the subjects of
      'train' instead of a split of its own, so that nothing is chosen on the
      split that is tested on.
    val_seed: Seed of their choice, which depends on nothing else.
    unlabelled: Whether the test has its frames without any label, too.
    unlabelled_train: Whether training clips are cut from all frames, those
      without any label, too; they are one group then.
    ood: Name to folder of out-of-distribution data sets, of which the test
      split (else the last one) is used, without labels.
    schema: What the labels must be, None for whatever they are.
    image_size: Size to which images are brought; as stored if None.
    channels: 1 or 3; as stored if None.
    audio: Whether to read the sound, where there is any.
    memory_bytes: Splits whose images take more than this stay on disk; the
      results are the same.
    threads: Threads that decode.

  Returns:
    A `Dataset` whose splits are `Clips` or `StoredClips`.
  """
  data = path if isinstance(path, Store) else Store(path, schema)
  image: dict[str, Any] = {
    'image_size': image_size or data.spec.size,
    'channels': channels or data.spec.channels,
    'audio': audio,
    'threads': threads,
  }
  evaluate: dict[str, Any] = {
    'clip_length': eval_clip_length or clip_length,
    'groups': {'all': clip_index.ANY},
    'tail': eval_tail,
    'gaps': gaps,
    **image,
  }
  if unlabelled_train:
    groups = {'all': clip_index.EVERY}
  train = open_clips(
    data,
    'train',
    clip_length=clip_length,
    groups=groups,
    stride=stride,
    tail=tail,
    gaps=gaps,
    own_labels=own_labels,
    **image,
  )
  every: dict[str, Any] = (
    {'groups': {'all': clip_index.EVERY}} if unlabelled else {}
  )
  splits = {
    split: open_clips(
      data, split, **evaluate | (every if split == test else {})
    )
    for split in ({test} if val_fraction else {val, test})
  }
  if val_fraction:
    train, splits['carved'] = carve(
      train, open_clips(data, 'train', **evaluate), val_fraction, val_seed
    )
    val = 'carved'
  splits = {key: fetch(clips, memory_bytes) for key, clips in splits.items()}
  return Dataset(
    train=fetch(train, memory_bytes),
    groups=train.groups,
    val=splits[val],
    test=splits[test],
    ood={
      name: foreign(folder, data.spec, evaluate, memory_bytes)
      for name, folder in (ood or {}).items()
    },
    schema=data.spec.schema,
    name=data.name,
  )


def carve(
  train: StoredClips, whole: StoredClips, fraction: float, seed: int
) -> tuple[StoredClips, StoredClips]:
  """Parts a split by subject: (training, validation).

  Args:
    train: The split cut into training clips.
    whole: The same split cut into evaluation clips.
    fraction: Share of the subjects that go to validation.
    seed: Seed of their choice.

  Raises:
    ValueError: One side would be empty.
  """
  subjects = np.unique(whole.subject_id)
  count = round(fraction * len(subjects))
  if not 0 < count < len(subjects):
    raise ValueError(
      f'val_fraction {fraction} of {len(subjects)} subjects leaves one side '
      'empty: expected a share in (0, 1) of two subjects or more'
    )
  chosen = np.random.default_rng(seed).permutation(subjects)[:count]
  return (
    train.part(~np.isin(train.subject_id, chosen)),
    whole.part(np.isin(whole.subject_id, chosen)),
  )


def fetch(clips: StoredClips, memory_bytes: int) -> Clips | StoredClips:
  """Reads the clips into memory if they need no more than `memory_bytes`.

  Raises:
    StoreError: A file is damaged, or not the one that was prepared.
  """
  if clips.nbytes > memory_bytes:
    return clips
  found = clips.take(np.arange(len(clips)))
  return dataclasses.replace(found, origin=clips.exact_origin())


def foreign(
  path, spec: Spec, evaluate: dict[str, Any], memory_bytes: int
) -> Clips | StoredClips:
  """A data set of other labels, all of which are missing under `spec.schema`.

  Its clips are not longer than its longest video: stills are clips of one frame
  and not of one frame and much padding.
  """
  data = path if isinstance(path, Store) else Store(path)
  if evaluate['audio'] and data.spec.audio != spec.audio:
    raise ValueError(
      f'{path} has sound {data.spec.audio!r}, {spec.name} has {spec.audio!r}: '
      'prepare them with the same --audio, or go without sound'
    )
  split = 'test' if 'test' in data.splits else data.splits[-1]
  longest = max(len(frames) for *_, frames in data.table(split).videos())
  length = min(evaluate['clip_length'], longest)
  clips = open_clips(data, split, **evaluate | {'clip_length': length})
  shape = clips.frame_mask.shape
  clips.schema = spec.schema
  clips.targets = tasks.empty_targets(spec.schema, shape)
  return fetch(clips, memory_bytes)


def batches(
  clips: Clips | StoredClips,
  batch_size: int,
  *,
  seed: int | None = None,
  epochs: int | None = None,
  process_index: int = 0,
  process_count: int = 1,
  threads: int = 1,
  prefetch: int = 2,
) -> grain.IterDataset:
  """Batches of clips; the incomplete last one of an epoch is left out.

  Args:
    clips: Where they come from.
    batch_size: Clips of a global batch, over all processes.
    seed: Seed of the order, anew in every epoch; None keeps the order.
    epochs: Number of epochs; None goes on for ever.
    process_index: Which part of every batch is read: as many processes read
      one global batch together as one process reads alone.
    process_count: Number of parts.
    threads: Batches that are read at the same time.
    prefetch: Batches that are read ahead.

  Returns:
    A Grain data set of `Clips`. Its iterators have `get_state()` and
    `set_state(state)`.
  """
  if batch_size % process_count:
    raise ValueError(
      f'batch_size {batch_size} is not a multiple of {process_count} processes'
    )
  if batch_size > len(clips):
    raise ValueError(f'batch_size {batch_size}: there are {len(clips)} clips')
  order = grain.MapDataset.range(len(clips))
  if seed is not None:
    order = order.seed(seed).shuffle()
  order = order.batch(batch_size, drop_remainder=True)
  part = batch_size // process_count
  mine = slice(process_index * part, (process_index + 1) * part)
  order = order.map(lambda index: np.asarray(index)[mine])
  if epochs != 1:
    order = order.repeat(epochs)
  return order.map(clips.take).to_iter_dataset(
    grain.ReadOptions(
      num_threads=threads, prefetch_buffer_size=max(threads, prefetch)
    )
  )
