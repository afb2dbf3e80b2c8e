"""Single splits for the evaluation of models that are trained already.

Unlike `load.from_config`, nothing but the split that is asked for has to exist.
"""

import dataclasses
import difflib
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from emojax import tasks
from emojax.data import embedded, load
from emojax.data.clips import index as clip_index
from emojax.data.clips import pipeline
from emojax.data.clips.clips import Clips
from emojax.data.store.store import Spec, StoreError
from emojax.data.store.stored import Store, StoredClips

EMBEDDED_SPLITS = {'val': 'val', 'validation': 'val', 'test': 'test'}
FRAME_RATE = 7.5


class Split(NamedTuple):
  """A split of a data set.

  Attributes:
    clips: Its clips; those of prepared data stay on disk.
    spec: What its images and labels are.
    name: Name of the split.
  """

  clips: Clips | StoredClips
  spec: Spec
  name: str


def open_split(data, split: str) -> Split:
  """Makes or opens a split of the data set that `config.data` describes.

  Args:
    data: Settings of the data, as `load.from_config` takes them.
    split: Name of the split.

  Raises:
    StoreError: If there is no such data set or split.
    ValueError: If the data set has no sound but `data.audio` is set.
  """
  if data.name == 'embedded':
    return _embedded(data, split)
  if data.name == 'prepared':
    return _prepared(data, split)
  raise ValueError(
    f"data.name {data.name!r}: expected 'embedded' or 'prepared'"
  )


def _embedded(data, split: str) -> Split:
  if split not in EMBEDDED_SPLITS:
    raise StoreError(_no_split('the embedded data set', split, EMBEDDED_SPLITS))
  key = EMBEDDED_SPLITS[split]
  params = embedded.sample_clip_parameters(
    data.seed,
    data[f'{key}_clips'],
    _length(data),
    split=key,
    group='',
    frame_rate=FRAME_RATE,
    imbalance=True,
  )
  sound = 'log_mel' if data.audio else None
  clips = embedded.make_clips(
    params,
    data.image_size,
    sound,
    hidden=data.get('hidden', 0.0),
    voices=data.get('voice', 'face'),
  )
  size, schema = data.image_size, tasks.ABAW2021
  spec = Spec('embedded', schema, size, load.CHANNELS, audio=sound)
  return Split(clips, spec, split)


def _prepared(data, split: str) -> Split:
  if not data.path:
    raise ValueError('the data set is named by its folder, but there is none')
  store = Store(data.path)
  if split not in store.splits:
    raise StoreError(_no_split(data.path, split, store.splits))
  if data.audio and store.spec.audio is None:
    raise ValueError(
      f'{store.path} has no sound, which the model listens to: prepare it '
      'with --audio log_mel, or use a run without data.audio'
    )
  every = data.get('unlabelled', False) and split == data.test_split
  options = _options(data, clip_index.EVERY if every else clip_index.ANY)
  # Stills are clips of one frame, not of one frame and much padding.
  longest = max(len(frames) for *_, frames in store.table(split).videos())
  options['clip_length'] = min(options['clip_length'], longest)
  clips = pipeline.open_clips(store, split, **options)
  return Split(clips, store.spec, split)


def _length(data) -> int:
  """Frames of the clips that are evaluated."""
  return data.get('eval_clip_length', 0) or data.clip_length


def _options(data, group) -> dict[str, Any]:
  """As `load.from_config` opens the clips that it evaluates."""
  return {
    'clip_length': _length(data),
    'groups': {'all': group},
    'tail': data.get('eval_tail', 'pad'),
    'gaps': data.get('gaps', 'jump'),
    'image_size': data.image_size,
    'channels': load.CHANNELS,
    'audio': data.audio,
  }


def _no_split(where, split: str, names) -> str:
  near = difflib.get_close_matches(split, list(names), 1)
  hint = f'; did you mean {near[0]}?' if near else ''
  return f'{where} has no split {split!r}, it has {", ".join(names)}{hint}'


def out_of_domain(
  data,
  spec: Spec,
  schema: tasks.Schema,
  names: Sequence[str | os.PathLike] | None,
) -> dict[str, Any]:
  """Clips that are none of the domain, by name, without labels.

  Args:
    data: Settings of the data.
    spec: What the images of the domain are.
    schema: What the (missing) labels are of.
    names: 'digits', 'textures' (drawn as they are needed) or folders of
      prepared data; None for those of the settings.

  Raises:
    StoreError: If a name is neither, or the folder no prepared data set.
  """
  if names is None:
    folders = load.folders(data.get('ood_path', ''))
    names = [*load.OOD, *(store.path for store in folders.values())]
  spec = dataclasses.replace(spec, schema=schema)
  sets = {}
  for name in names:
    if isinstance(name, str) and name in load.OOD:
      sets[name] = load.drawn(name, data, spec)
    else:
      store = _store(name)
      options = _options(data, clip_index.ANY)
      clips = pipeline.foreign(store, spec, options, memory_bytes=0)
      limit = data.get('ood_limit', 0)
      sets[store.name] = load.at_most(clips, limit)
  return sets


def _store(folder) -> Store:
  try:
    return Store(folder)
  except StoreError as error:
    names = ' nor '.join(load.OOD)
    raise StoreError(
      f'out-of-distribution data {str(folder)!r}: neither {names}, nor a '
      f'prepared data set: {error}'
    ) from error
