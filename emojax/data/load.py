"""Data sets by configuration: the embedded one, or a prepared folder."""

import dataclasses

import numpy as np

from emojax import tasks
from emojax.data import embedded
from emojax.data.clips import pipeline
from emojax.data.clips.clips import Clips, Dataset
from emojax.data.store.stored import Store
from emojax.data.transform import images

OOD = ('digits', 'textures')
EVAL_TAILS = ('pad', 'drop')
CHANNELS = 3  # of the models; grey images are repeated


def from_config(data) -> Dataset:
  """Makes or opens the data set that `config.data` describes.

  Raises:
    ValueError: On an unknown name, or one that lacks its path.
  """
  if data.name == 'embedded':
    return _embedded(data)
  if data.name == 'prepared':
    return _prepared(data)
  raise ValueError(
    f"config.data.name {data.name!r}: expected 'embedded' or 'prepared'"
  )


def _embedded(data) -> Dataset:
  return embedded.make(
    seed=data.seed,
    size=data.image_size,
    clip_length=data.clip_length,
    num_train=dict(data.train_clips),
    num_val=data.val_clips,
    num_test=data.test_clips,
    num_ood=data.ood_clips,
    audio=data.audio,
    eval_clip_length=data.eval_clip_length or None,
    hidden=data.get('hidden', 0.0),
    voices=data.get('voice', 'face'),
  )


def _prepared(data) -> Dataset:
  if not data.path:
    raise ValueError(
      'config.data.path is empty: name the folder that `python -m '
      'emojax.data.prepare` has written, as --config.data.path=FOLDER'
    )
  eval_tail = data.get('eval_tail', 'pad')
  if eval_tail not in EVAL_TAILS:
    raise ValueError(
      f'config.data.eval_tail {eval_tail!r}: expected one of '
      f'{", ".join(EVAL_TAILS)} (clips that overlap would count frames twice)'
    )
  store = Store(data.path)
  if data.audio and store.spec.audio is None:
    raise ValueError(
      f'config.data.audio is set, but {data.path} has no sound: prepare it '
      'with --audio log_mel, or choose a model without sound'
    )
  _check_trained(store)
  foreign = folders(data.ood_path)
  for other in foreign.values():
    if other.spec.channels > store.spec.channels:
      raise ValueError(
        f'{other.path} is in colour and {data.path} is grey, so that colour '
        'alone would tell them apart: prepare it with --channels 1'
      )
  dataset = pipeline.load_dataset(
    store,
    windows=pipeline.Windows(
      clip_length=data.clip_length,
      eval_clip_length=data.eval_clip_length or None,
      stride=data.get('stride', 0) or None,
      tail=data.get('tail', 'drop'),
      eval_tail=eval_tail,
      gaps=data.get('gaps', 'jump'),
    ),
    splits=pipeline.Splits(
      val=data.val_split,
      test=data.test_split,
      val_fraction=data.get('val_fraction', 0.0),
      val_seed=data.seed,
      unlabelled=data.get('unlabelled', False),
      unlabelled_train=data.get('unlabelled_train', False),
    ),
    inputs=pipeline.Inputs(
      image_size=data.image_size, channels=CHANNELS, audio=data.audio
    ),
    ood=foreign,
    memory_bytes=int(data.memory_gib * 2**30),
  )
  _check_chosen(store, data, dataset.val)
  limit = data.get('ood_limit', 0)
  found = {name: at_most(clips, limit) for name, clips in dataset.ood.items()}
  made = {kind: drawn(kind, data, store.spec) for kind in OOD}
  return dataclasses.replace(dataset, ood={**made, **found})


def _check_trained(store: Store) -> None:
  """Raises ValueError if training lacks a whole subset, before images are read."""
  targets = store.table('train').targets
  missing = [name for name, target in targets.items() if not target.mask.any()]
  if missing:
    there = ', '.join(sorted(set(targets) - set(missing)))
    raise ValueError(
      f'{store.path}: no training image has a label of {", ".join(missing)}; '
      f'its labels are of {there or "nothing else either"}. '
      f'{store.path / "summary.txt"} says what was left out: complete the '
      'source (for Aff-Wild2, the annotations *_Set/Train_Set and the images '
      'of their videos in cropped_aligned) and prepare it again'
    )


def _check_chosen(store: Store, data, val) -> None:
  """Raises ValueError if validation has no label: the first epoch would be kept."""
  if not any(target.mask.any() for target in val.targets.values()):
    split = data.val_split or 'train'
    raise ValueError(
      f'{store.path}: no image of config.data.val_split={split!r} that is for '
      'validation has a label, so that nothing tells which epoch is best: name '
      'another split, or take config.data.val_fraction of the training subjects'
    )


def folders(paths: str) -> dict[str, Store]:
  """Prepared data sets by name, from their folders with commas between."""
  stores = [Store(path.strip()) for path in paths.split(',') if path.strip()]
  found = {store.spec.name: store for store in stores}
  if len(found) < len(stores):
    raise ValueError(
      f'config.data.ood_path names a data set twice: {paths}; found '
      f'{", ".join(store.spec.name for store in stores)}'
    )
  return found


def at_most(clips, limit: int):
  """Evenly spaced clips if there are more than `limit` (0: no limit)."""
  if not 0 < limit < len(clips):
    return clips
  return clips.take(np.arange(limit) * len(clips) // limit)


def drawn(kind: str, data, spec) -> Clips:
  """Out-of-distribution clips that need no files, as the data set's are."""
  clips = embedded.ood_clips(
    kind,
    data.seed,
    data.ood_clips,
    data.eval_clip_length or data.clip_length,
    data.image_size,
    spec.audio if data.audio else None,
  )
  shape = clips.frame_mask.shape
  targets = tasks.empty_targets(spec.schema, shape)
  image = clips.image if spec.channels == CHANNELS else _grey(clips.image)
  return dataclasses.replace(clips, image=image, targets=targets)


def _grey(image: np.ndarray) -> np.ndarray:
  """Takes the colour out, or colour alone would tell foreign frames apart."""
  return np.repeat(images.grey(image), CHANNELS, -1)


def summary(dataset: Dataset) -> str:
  """One line about a data set for the terminal."""
  parts = ', '.join(
    f'{len(clips)} {name}'
    for name, clips in (
      ('training', dataset.train),
      ('validation', dataset.val),
      ('test', dataset.test),
      *((f'OOD {name}', clips) for name, clips in dataset.ood.items()),
    )
  )
  return f'{dataset.name}: clips: {parts}'
