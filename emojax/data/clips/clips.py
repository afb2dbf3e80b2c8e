"""Containers for data sets in memory: `Clips` and `Dataset`."""

import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emojax import tasks
from emojax.data.store.digest import Origin

if TYPE_CHECKING:
  from emojax.data.store.stored import StoredClips

# In memory, or on disk until they are taken.
AnyClips: TypeAlias = 'Clips | StoredClips'

AUDIO_SHAPE = (
  64,
  64,
)  # (mel bands, frames); see emojax/data/transform/audio.py
POSTERIORS = ('truth', 'frame_truth')


@dataclasses.dataclass(frozen=True, eq=False)
class Clips:
  """N clips of L frames each. A still image is a clip with L = 1.

  Attributes:
    image: uint8 [N, L, H, W, C].
    audio: float32 [N, L, 64, 64] (mel bands x time around each frame) or None.
    targets: `tasks.Targets` with leading shape [N, L].
    frame_mask: float32 [N, L], 0 where the frame is padding or has no face.
    clip_id: [N] array of strings, unique.
    subject_id: [N] array of strings; splits must not share subjects.
    truth: Posteriors that the labels were drawn from, where they are known
      (embedded data only): 'au' float32 [N, L, A] probabilities, 'expr'
      [N, L, E] distributions, 'va' [N, L, 2, K] distributions over bins.
    frame_truth: The best answer of whoever sees one frame at a time, like `truth`,
      where that differs (embedded frames that are hidden), or None.
    votes: float32 [N, L, V], how many annotators gave each answer, or None.
    origin: The prepared split that all of them were read from, or None.
  """

  image: np.ndarray
  audio: np.ndarray | None
  targets: tasks.Targets
  frame_mask: np.ndarray
  clip_id: np.ndarray
  subject_id: np.ndarray
  truth: dict[str, np.ndarray] | None = None
  votes: np.ndarray | None = None
  origin: Origin | None = None
  frame_truth: dict[str, np.ndarray] | None = None

  def __len__(self) -> int:
    return self.image.shape[0]

  @property
  def clip_length(self) -> int:
    """L, padding included."""
    return self.image.shape[1]

  @property
  def has_audio(self) -> bool:
    """Whether there is sound."""
    return self.audio is not None

  @property
  def num_frames(self) -> int:
    """Number of valid frames in all clips."""
    return int(self.frame_mask.sum())

  def take(self, indices) -> 'Clips':
    """Returns the clips at `indices` (integers or a mask), in that order."""
    found = self._map(lambda array: array[indices])
    return dataclasses.replace(found, origin=self.origin)

  def _map(self, function) -> 'Clips':
    return _from_arrays({key: function(a) for key, a in _arrays(self).items()})

  def check(self, schema: tasks.Schema) -> 'Clips':
    """Returns self; raises ValueError that names the array that is wrong."""
    _check_inputs(self)
    if set(self.targets) != {task.name for task in schema}:
      raise ValueError(
        f'clips.targets has tasks {sorted(self.targets)}, the schema has '
        f'{sorted(task.name for task in schema)}; fill in missing ones with '
        'tasks.empty_targets'
      )
    for task in schema:
      _check_target(task, self.targets[task.name], self.image.shape[:2])
      for kind in POSTERIORS:
        if (known := getattr(self, kind)) is not None:
          _check_truth(kind, task, known, self.image.shape[:2])
    return self


def concatenate(parts: list[Clips]) -> Clips:
  """Joins clips of equal length, size and schema, in order.

  `audio`, `truth` and `votes` must be there in all parts or in none.
  """
  if not parts:
    raise ValueError('concatenate: expected at least one Clips, got none')
  for name in ('audio', 'truth', 'frame_truth', 'votes'):
    if len({getattr(part, name) is None for part in parts}) > 1:
      raise ValueError(f'concatenate: only some of the parts have {name}')
  arrays = [_arrays(part) for part in parts]
  joined = {
    key: np.concatenate([array[key] for array in arrays]) for key in arrays[0]
  }
  return _from_arrays(joined)


def _arrays(clips: Clips) -> dict[tuple[str, ...], np.ndarray]:
  """Flat view of all arrays, keyed by path."""
  fields = ('image', 'audio', 'frame_mask', 'clip_id', 'subject_id', 'votes')
  arrays: dict[tuple[str, ...], np.ndarray | None] = {
    (name,): getattr(clips, name) for name in fields
  }
  for name, target in clips.targets.items():
    arrays['targets', name, 'value'] = target.value
    arrays['targets', name, 'mask'] = target.mask
  for kind in POSTERIORS:
    for name, array in (getattr(clips, kind) or {}).items():
      arrays[kind, name] = array
  return {key: array for key, array in arrays.items() if array is not None}


def _from_arrays(arrays: dict[tuple[str, ...], np.ndarray]) -> Clips:
  names = [key[1] for key in arrays if key[0] == 'targets' and key[2] == 'mask']
  known: dict[str, Any] = {
    kind: {key[1]: arrays[key] for key in arrays if key[0] == kind} or None
    for kind in POSTERIORS
  }
  return Clips(
    image=arrays[('image',)],
    audio=arrays.get(('audio',)),
    targets={
      name: tasks.Target(
        arrays['targets', name, 'value'], arrays['targets', name, 'mask']
      )
      for name in names
    },
    frame_mask=arrays['frame_mask',],
    clip_id=arrays['clip_id',],
    subject_id=arrays['subject_id',],
    votes=arrays.get(('votes',)),
    **known,
  )


def _require(condition, name: str, expected: str, found) -> None:
  if not condition:
    raise ValueError(f'clips.{name}: expected {expected}, found {found}')


def _check_array(name: str, array, dtype, shape: tuple[int, ...]) -> None:
  _require(isinstance(array, np.ndarray), name, 'a NumPy array', type(array))
  _require(array.dtype == dtype, name, np.dtype(dtype).name, array.dtype)
  _require(array.shape == shape, name, f'shape {shape}', array.shape)
  if array.dtype.kind == 'f':
    bad = int((~np.isfinite(array)).sum())
    _require(not bad, name, 'finite numbers', f'{bad} NaN or infinite values')


def _check_range(name: str, array, low: float, high: float) -> None:
  if array.size:
    found = f'[{array.min():g}, {array.max():g}]'
    inside = array.min() >= low - 1e-5 and array.max() <= high + 1e-5
    _require(inside, name, f'values in [{low:g}, {high:g}]', found)


def _check_binary(name: str, array) -> None:
  odd = array[(array != 0) & (array != 1)]
  _require(not odd.size, name, 'only 0 and 1', f'{odd[:3].tolist()}')


def _check_inputs(clips: Clips) -> None:
  image = clips.image
  _require(isinstance(image, np.ndarray), 'image', 'a NumPy array', type(image))
  _require(image.ndim == 5, 'image', 'shape [N, L, H, W, C]', image.shape)
  _require(image.dtype == np.uint8, 'image', 'uint8 in 0..255', image.dtype)
  shape = image.shape[:2]
  if clips.audio is not None:
    _check_array('audio', clips.audio, np.float32, (*shape, *AUDIO_SHAPE))
  _check_array('frame_mask', clips.frame_mask, np.float32, shape)
  _check_binary('frame_mask', clips.frame_mask)
  if clips.votes is not None:
    width = clips.votes.shape[-1:]
    _check_array('votes', clips.votes, np.float32, (*shape, *width))
    _check_range('votes', clips.votes, 0, np.inf)
  for name in ('clip_id', 'subject_id'):
    array = np.asarray(getattr(clips, name))
    _require(array.shape == shape[:1], name, f'shape {shape[:1]}', array.shape)
    _require(array.dtype.kind in 'UOT', name, 'strings', array.dtype)
  ids, counts = np.unique(np.asarray(clips.clip_id), return_counts=True)
  twice = ids[counts > 1][:3].tolist()
  _require(not twice, 'clip_id', 'unique names', f'repeated {twice}')


def _check_target(task: tasks.Task, target: tasks.Target, shape) -> None:
  name, full = f'targets[{task.name!r}]', (*shape, len(task.labels))
  mask_shape = shape if task.kind == 'categorical' else full
  _check_array(f'{name}.value', target.value, np.float32, full)
  _check_array(f'{name}.mask', target.mask, np.float32, mask_shape)
  _check_binary(f'{name}.mask', target.mask)
  low = -1 if task.kind == 'binned' else 0
  _check_range(f'{name}.value', target.value[target.mask > 0], low, 1)
  if task.kind == 'categorical':
    _check_sums(f'{name}.value', target.value[target.mask > 0])


def _check_truth(kind: str, task: tasks.Task, truth, shape) -> None:
  name = f'{kind}[{task.name!r}]'
  _require(task.name in truth, name, 'an array for every task', sorted(truth))
  bins = (task.bins,) if task.kind == 'binned' else ()
  full = (*shape, len(task.labels), *bins)
  _check_array(name, truth[task.name], np.float32, full)
  _check_range(name, truth[task.name], 0, 1)
  if task.kind != 'binary':
    _check_sums(name, truth[task.name])


def _check_sums(name: str, array) -> None:
  if array.size:
    worst = float(np.abs(array.sum(-1) - 1).max())
    _require(
      worst < 1e-3, name, 'distributions that sum to 1', f'off by {worst:.3g}'
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """Everything that one experiment reads.

  Attributes:
    train: Training clips of all groups.
    groups: Named subsets of `train`, int32 [n] clip indices ('au', 'expr',
      'va', 'shared', ...). Groups may overlap.
    val: Validation clips.
    test: Test clips.
    ood: Out-of-distribution clips by name; their targets are all masked.
    schema: The tasks, in order.
    name: Name of the data set in reports.
  """

  train: AnyClips
  groups: dict[str, np.ndarray]
  val: AnyClips
  test: AnyClips
  ood: dict[str, AnyClips]
  schema: tasks.Schema
  name: str

  def check(self) -> 'Dataset':
    """Returns self; raises ValueError naming the split that is wrong."""
    splits = {'train': self.train, 'val': self.val, 'test': self.test}
    splits |= {f'ood[{name!r}]': clips for name, clips in self.ood.items()}
    for name, clips in splits.items():
      try:
        clips.check(self.schema)
      except ValueError as error:
        raise ValueError(f'{self.name}, {name}: {error}') from error
    for name, indices in self.groups.items():
      _check_group(f'{self.name}, groups[{name!r}]', indices, len(self.train))
    _check_subjects(self)
    return self


def _check_group(where: str, indices, num_clips: int) -> None:
  if indices.dtype != np.int32 or indices.ndim != 1:
    raise ValueError(
      f'{where}: expected int32 [n], found {indices.dtype} {indices.shape}'
    )
  if indices.size and not 0 <= indices.min() <= indices.max() < num_clips:
    raise ValueError(
      f'{where}: expected clip indices in [0, {num_clips}), found '
      f'[{indices.min()}, {indices.max()}]'
    )


def _check_subjects(data: Dataset) -> None:
  splits = {'train': data.train, 'val': data.val, 'test': data.test}
  names = list(splits)
  for i, first in enumerate(names):
    for second in names[i + 1 :]:
      both = set(splits[first].subject_id) & set(splits[second].subject_id)
      if both:
        raise ValueError(
          f'{data.name}: {first} and {second} share subjects '
          f'{sorted(both)[:3]}; assign every subject to one split'
        )
