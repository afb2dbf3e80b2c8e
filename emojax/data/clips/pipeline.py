"""Prepared data sets as clips, in memory or on disk.

    data = pipeline.load_dataset('DATA/affwild2', pipeline.Windows(16))
    clips = data.train.take(indices)

A split is held in memory if it fits, else read from disk; both hand out the
same bytes. Which clips make up a batch is the engine's to say
(`engine/plan.py`), and Grain reads them ahead (`engine/sources.py`).
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks
from emojax.data.clips import index as clip_index
from emojax.data.clips.clips import Clips, Dataset
from emojax.data.store.store import Spec
from emojax.data.store.stored import Store, StoredClips

MEMORY_BYTES = 4 * 2**30
CARVED = 'carved'  # validation that is a part of the training split


@dataclasses.dataclass(frozen=True)
class Windows:
  """How videos become clips.

  Attributes:
    clip_length: Frames of a training clip.
    eval_clip_length: Frames of an evaluation clip; `clip_length` if None.
    groups: Groups of the training clips, see `open_clips`.
    stride: Stride of the training clips.
    tail: Tail policy of the training clips.
    eval_tail: That of the others; 'pad' scores every frame exactly once, 'drop'
      is what the published code of paper 000 does.
    gaps: Gap policy of all clips.
    own_labels: See `clip_index.build`.
  """

  clip_length: int = 1
  eval_clip_length: int | None = None
  groups: Mapping[str, Sequence[str] | None] | None = None
  stride: int | None = None
  tail: str = 'drop'
  eval_tail: str = 'pad'
  gaps: str = 'jump'
  own_labels: bool = True

  def training(self) -> dict[str, Any]:
    """Arguments of `open_clips` for clips to learn from."""
    names = ('clip_length', 'groups', 'stride', 'tail', 'gaps', 'own_labels')
    return {name: getattr(self, name) for name in names}

  def evaluation(self) -> dict[str, Any]:
    """Arguments of `open_clips` for clips to score."""
    return {
      'clip_length': self.eval_clip_length or self.clip_length,
      'groups': {'all': clip_index.ANY},
      'tail': self.eval_tail,
      'gaps': self.gaps,
    }


@dataclasses.dataclass(frozen=True)
class Splits:
  """Which frames are for training, validation and test.

  Attributes:
    val: Split for validation.
    test: Split for the test; if it is `val`, both are one and the same object.
    val_fraction: If above 0, validation is that share of the subjects of
      'train' instead of a split of its own, so that nothing is chosen on the
      split that is tested on.
    val_seed: Seed of their choice, which depends on nothing else.
    unlabelled: Whether the test has its frames without any label, too.
    unlabelled_train: Whether training clips are cut from all frames, those
      without any label, too; they are one group then.
  """

  val: str = 'validation'
  test: str = 'test'
  val_fraction: float = 0.0
  val_seed: int = 0
  unlabelled: bool = False
  unlabelled_train: bool = False


@dataclasses.dataclass(frozen=True)
class Inputs:
  """What is read of every clip.

  Attributes:
    image_size: Size to which images are brought; as stored if None.
    channels: 1 or 3; as stored if None.
    audio: Whether to read the sound, where there is any.
    threads: Threads that decode.
  """

  image_size: int | None = None
  channels: int | None = None
  audio: bool = True
  threads: int = 2

  def of(self, spec: Spec) -> dict[str, Any]:
    """Arguments of `open_clips`, the same for all data sets of a run."""
    return {
      'image_size': self.image_size or spec.size,
      'channels': self.channels or spec.channels,
      'audio': self.audio,
      'threads': self.threads,
    }


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
  windows: Windows = Windows(),
  splits: Splits = Splits(),
  inputs: Inputs = Inputs(),
  *,
  ood: Mapping[str, str | os.PathLike | Store] | None = None,
  schema: tasks.Schema | None = None,
  memory_bytes: int = MEMORY_BYTES,
) -> Dataset:
  """Opens a prepared data set as everything that one experiment reads.

  Args:
    path: Folder of the data set, or an open `Store`.
    windows: How videos become clips.
    splits: What is for training, validation and test.
    inputs: What is read of a clip.
    ood: Name to folder of out-of-distribution data sets, of which the test
      split (else the last one) is used, without labels.
    schema: What the labels must be, None for whatever they are.
    memory_bytes: Splits whose images take more than this stay on disk; the
      results are the same.

  Returns:
    A `Dataset` whose splits are `Clips` or `StoredClips`.
  """
  data = path if isinstance(path, Store) else Store(path, schema)
  given = inputs.of(data.spec)
  if splits.unlabelled_train:
    windows = dataclasses.replace(windows, groups={'all': clip_index.EVERY})
  evaluate = windows.evaluation() | given
  train = open_clips(data, 'train', **windows.training(), **given)
  train, held = _held_out(data, train, splits, evaluate)
  held = {key: fetch(clips, memory_bytes) for key, clips in held.items()}
  return Dataset(
    train=fetch(train, memory_bytes),
    groups=train.groups,
    val=held[CARVED if splits.val_fraction else splits.val],
    test=held[splits.test],
    ood={
      name: foreign(folder, data.spec, evaluate, memory_bytes)
      for name, folder in (ood or {}).items()
    },
    schema=data.spec.schema,
    name=data.name,
  )


def _held_out(
  data: Store, train: StoredClips, splits: Splits, evaluate: dict[str, Any]
) -> tuple[StoredClips, dict[str, StoredClips]]:
  """What is left for training, and the splits for validation and test."""
  every: dict[str, Any] = (
    {'groups': {'all': clip_index.EVERY}} if splits.unlabelled else {}
  )
  names = {splits.test} if splits.val_fraction else {splits.val, splits.test}
  held = {
    name: open_clips(
      data, name, **evaluate | (every if name == splits.test else {})
    )
    for name in names
  }
  if splits.val_fraction:
    whole = open_clips(data, 'train', **evaluate)
    train, held[CARVED] = carve(
      train, whole, splits.val_fraction, splits.val_seed
    )
  return train, held


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
