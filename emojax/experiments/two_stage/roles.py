"""Which clips supervise which task: subsets, external data, balancing.

Paper 001, section III-A, and paper 002, section 2.1: Aff-Wild2's subsets are
thinned out, merged with a data set that is labelled for the same task, and
resampled. In the embedded data, balanced stills of other people play the part
of the external data sets.
"""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from ml_collections import ConfigDict

from emojax import tasks
from emojax.data import embedded
from emojax.data.clips import evaluation_sets, pipeline
from emojax.data.clips import index as clip_index
from emojax.data.clips.clips import Clips
from emojax.data.clips.joined import JoinedClips
from emojax.data.store.stored import Store
from emojax.experiments.two_stage import balancing

MAIN = 'main'
HELD_OUT = ('val', 'test')
CONDITIONS = ('baseline', 'imbalanced', 'balanced')
OTHER_PEOPLE = 1000  # added to the seed of the external embedded stills
Groups = dict[str, np.ndarray]


class Subsets(NamedTuple):
  """What batches draw from.

  Attributes:
    groups: Indices of every subset; those of a balanced one repeat.
    smallest: Items of the smallest subset before resampling, which make an
      epoch (papers 001 and 002).
  """

  groups: list[np.ndarray]
  smallest: int


@dataclasses.dataclass(frozen=True, eq=False)
class Roles:
  """What an experiment trains and tests on.

  Attributes:
    name: Name of the data set.
    schema: The tasks.
    stills: Frames of the main videos and external stills, a `ClipSource` with
      targets, clips of one frame.
    groups: Condition ('baseline': main videos alone; 'imbalanced': with
      external data; 'balanced': resampled, too) and subset to indices into
      `stills`. The baseline lacks subsets that only external data have.
    clips: The main videos as clips of many frames, for the recurrent stage.
    clip_groups: Subset to indices into `clips`.
    val: Validation clips.
    test: Test clips.
  """

  name: str
  schema: tasks.Schema
  stills: Any
  groups: dict[str, Groups]
  clips: Any
  clip_groups: Groups
  val: Any
  test: Any

  def sets(self) -> dict[str, Any]:
    """The parts of the data by name."""
    return {
      'train': self.stills,
      'clips': self.clips,
      'val': self.val,
      'test': self.test,
    }

  def subsets(self, condition: str, names: Sequence[str]) -> Subsets:
    """Subsets of stills in some order.

    Raises:
      ValueError: On an unknown condition.
    """
    if condition not in self.groups:
      raise ValueError(
        f'condition {condition!r}: expected one of {", ".join(CONDITIONS)}'
      )
    found = [self.groups[condition][name] for name in names]
    before = 'imbalanced' if condition == 'balanced' else condition
    return Subsets(found, min(len(self.groups[before][name]) for name in names))


def subset_name(names: Sequence[str]) -> str:
  """('expr', 'va') is 'expr_va'."""
  return '_'.join(names)


def from_config(config, schema: tasks.Schema, subsets) -> Roles:
  """Makes or opens the data that `config.data` describes.

  Args:
    config: Resolved configuration.
    schema: The tasks.
    subsets: Tasks of every subset, e.g. (('expr',), ('va',), ('expr', 'va')).
      Subsets of several tasks come from external data alone.

  Raises:
    ValueError: On an unknown name, or a subset without a clip.
  """
  makers = {'embedded': _embedded, 'prepared': _prepared}
  if config.data.name not in makers:
    raise ValueError(
      f"config.data.name {config.data.name!r}: expected 'embedded' or "
      "'prepared'"
    )
  found = makers[config.data.name](config.data, schema, subsets)
  return assemble(*found, config.data, schema, subsets, config.seed)


def assemble(
  name: str,
  main: Any,
  external: Mapping[str, Sequence[Any]],
  clips: Any,
  val: Any,
  test: Any,
  data,
  schema: tasks.Schema,
  subsets,
  seed: int,
) -> Roles:
  """Joins, thins out and balances.

  Args:
    name: Name of the data set.
    main: The main videos as stills.
    external: Subset to sources of stills that are labelled for it.
    clips: The main videos as clips.
    val: Validation clips.
    test: Test clips.
    data: `config.data`: `keep`, `va_every`, `balance`.
    schema: The tasks.
    subsets: Tasks of every subset.
    seed: Seed of the resampling.
  """
  sources = {MAIN: restricted(main, schema)}
  for subset, parts in external.items():
    for i, part in enumerate(parts):
      sources[f'{subset}/{i}'] = restricted(part, schema)
  joined = JoinedClips(sources, schema)
  groups: dict[str, Groups] = {condition: {} for condition in CONDITIONS}
  for names in subsets:
    subset = subset_name(names)
    found = {}
    if len(names) == 1:
      found[MAIN] = labelled(sources[MAIN], names)
      groups['baseline'][subset] = joined.group(found)
      found[MAIN] = balancing.thinned(
        sources[MAIN], found[MAIN], names[0], data, schema
      )
    found |= {
      source: labelled(clips, names)
      for source, clips in sources.items()
      if source.partition('/')[0] == subset
    }
    if not sum(map(len, found.values())):
      raise ValueError(
        f'no training clip has labels of {" and ".join(names)}: name a data '
        f'set in config.data.external.{subset}, or make embedded clips'
      )
    merged = joined.group(found)
    groups['imbalanced'][subset] = merged
    groups['balanced'][subset] = balancing.balanced(
      joined.targets, merged, names, schema, data.balance, seed
    )
  clips = restricted(clips, schema)
  return Roles(
    name=name,
    schema=schema,
    stills=joined,
    groups=groups,
    clips=clips,
    clip_groups={subset_name(n): labelled(clips, n) for n in subsets},
    val=restricted(val, schema),
    test=restricted(test, schema),
  )


def restricted(clips, schema: tasks.Schema):
  """`Clips` or `StoredClips` with the targets of the schema's tasks only."""
  names = [task.name for task in schema]
  targets = {n: t for n, t in clips.targets.items() if n in names}
  if isinstance(clips, Clips):
    return dataclasses.replace(
      clips, targets=targets, truth=None, frame_truth=None, votes=None
    )
  found = copy.copy(clips)
  found.targets, found.schema = targets, schema
  return found


def labelled(clips, names: Sequence[str]) -> np.ndarray:
  """Clips in which some frame is labelled for all of some tasks, int32."""
  found = clips.frame_mask > 0
  for name in names:
    if name not in clips.targets:
      return np.zeros(0, np.int32)
    mask = clips.targets[name].mask
    found = found & (mask if mask.ndim == 2 else mask.max(-1)).astype(bool)
  return np.flatnonzero(found.any(axis=1)).astype(np.int32)


def stills_of(clips: Clips) -> Clips:
  """Every frame as a clip of its own."""

  def fold(array):
    return array.reshape(-1, 1, *array.shape[2:])

  length = clips.clip_length
  names = np.repeat(clips.clip_id, length)
  frame = np.tile(np.arange(length), len(clips))
  return Clips(
    image=fold(clips.image),
    audio=None,
    targets={
      name: tasks.Target(fold(value), fold(mask))
      for name, (value, mask) in clips.targets.items()
    },
    frame_mask=fold(clips.frame_mask),
    clip_id=np.array([f'{n}+{i}' for n, i in zip(names, frame)], np.str_),
    subject_id=np.repeat(clips.subject_id, length),
  )


def _embedded(data, schema, subsets):
  del schema
  made = embedded.make(
    seed=data.seed,
    size=data.image_size,
    clip_length=data.clip_length,
    num_train=dict(data.train_clips),
    num_val=data.val_clips,
    num_test=data.test_clips,
    num_ood=1,
    hidden=data.get('hidden', 0.0),
  )
  # Groups 'balanced_expr', ..., and 'full' for several tasks at once.
  wanted = {
    'full' if len(n) > 1 else f'balanced_{n[0]}': subset_name(n)
    for n in subsets
  }
  stills = dict(data.external_stills)
  external = embedded.make(
    seed=data.seed + OTHER_PEOPLE,
    size=data.image_size,
    clip_length=1,
    num_train={group: stills.get(group, 0) for group in wanted},
    num_val=1,
    num_test=1,
    num_ood=1,
  )
  parts = {
    subset: [external.train.take(external.groups[group])]
    for group, subset in wanted.items()
    if len(external.groups[group])
  }
  main = stills_of(cast(Clips, made.train))  # what is made is in memory
  return 'embedded', main, parts, made.train, made.val, made.test


def _prepared(data, schema, subsets):
  del subsets
  if not data.path:
    raise ValueError(
      'config.data.path is empty: name the folder of Aff-Wild2 that `python -m '
      'emojax.data.prepare` has written, as --config.data.path=FOLDER'
    )
  store = Store(data.path)
  image = _images(data)
  main = pipeline.open_clips(store, 'train', **image)
  external = {}
  for subset, path in dict(data.external).items():
    if path:
      extra = Store(path)
      # Joined by number from here on: other orders would teach other classes.
      for task in schema:
        extra.has(task)
      external[subset] = [
        pipeline.open_clips(extra, split, **image) for split in extra.splits
      ]
  return (
    store.spec.name,
    main,
    external,
    *(
      _videos(store, data, s)
      for s in ('train', data.val_split, data.test_split)
    ),
  )


def _images(data) -> dict[str, Any]:
  """Each frame once, with all of its labels."""
  return {
    'groups': {'all': clip_index.ANY},
    'image_size': data.image_size,
    'channels': 3,
    'audio': False,
  }


def _videos(store: Store, data, split: str):
  """The videos of a split as clips of many frames."""
  length = data.clip_length
  return pipeline.open_clips(
    store, split, clip_length=length, tail='pad', **_images(data)
  )


def schema_from_config(config, names: tuple[str, ...]) -> tasks.Schema:
  """The data set's tasks of some names, in that order.

  Raises:
    ValueError: If the data set lacks one.
  """
  schema = tasks.ABAW2021
  if config.data.name == 'prepared' and config.data.path:
    schema = Store(config.data.path).spec.schema
  found = {task.name: task for task in schema}
  missing = [name for name in names if name not in found]
  if missing:
    raise ValueError(
      f'{config.data.path} has no task {missing[0]!r}, only {sorted(found)}'
    )
  return tuple(found[name] for name in names)


def is_apart(data) -> bool:
  """Whether scores are of other clips than those that chose the epochs."""
  return data.name == 'embedded' or data.test_split != data.val_split


def held_out(data, schema: tasks.Schema) -> dict[str, Any]:
  """Validation and test clips of `from_config`, without the training data."""
  if data.name == 'embedded':
    splits = {name: open_embedded(data, name) for name in HELD_OUT}
  else:
    store = Store(data.path)
    names = {'val': data.val_split, 'test': data.test_split}
    splits = {k: _videos(store, data, name) for k, name in names.items()}
  return {k: restricted(clips, schema) for k, clips in splits.items()}


def open_embedded(data, split: str) -> Any:
  """A split of the embedded videos as `embedded.make` draws it."""
  plain = ConfigDict({'eval_clip_length': 0, 'audio': False, **data.to_dict()})
  return evaluation_sets.open_split(plain, split).clips
