"""The embedded data set: assembly of splits and label subsets."""

import dataclasses

import numpy as np

from emojax import tasks
from emojax.data.clips.clips import Clips, Dataset, concatenate
from emojax.data.embedded import hidden as hiding
from emojax.data.embedded import ood, parameters, voice
from emojax.data.embedded.render import render

VOICES = ('face', 'hidden')  # see `make`
NUM_TRAIN = {'au': 96, 'expr': 96, 'va': 96, 'shared': 16}
# Which tasks are labelled, by group of training clips.
LABELLED = {
  'au': ('au',),
  'expr': ('expr',),
  'va': ('va',),
  'shared': ('expr', 'va'),
  'full': ('au', 'expr', 'va'),
  'balanced_au': ('au',),
  'balanced_expr': ('expr',),
  'balanced_va': ('va',),
}


def make(
  seed: int = 0,
  size: int = 48,
  clip_length: int = 8,
  num_train: dict[str, int] | None = None,
  num_val: int = 64,
  num_test: int = 64,
  num_ood: int = 32,
  audio: bool = False,
  *,
  eval_clip_length: int | None = None,
  audio_kind: str = 'log_mel',
  frame_rate: float = 7.5,
  imbalance: bool = True,
  label_noise: float = 0.0,
  invalid_rate: float = 0.0,
  hidden: float = 0.0,
  voices: str = 'face',
  threads: int | None = None,
) -> Dataset:
  """Makes a data set of procedural face clips with known posteriors.

  All counts are clips. Clip i of a group does not change when more clips are
  made. Subjects are disjoint between the splits.

  Args:
    seed: Non-negative integer; everything follows from it.
    size: Side of the images in pixels, >= 32.
    clip_length: Frames per clip, L.
    num_train: Clips of each training group: 'au', 'expr', 'va' (labels of the
      other tasks masked, as in Aff-Wild2), 'shared' (expressions, valence and
      arousal), 'full' (all tasks), 'balanced_au', 'balanced_expr' and
      'balanced_va' (one task; expressions and actions about equally often, in
      the role of external data). Missing keys are groups without clips.
    num_val: Fully labelled clips of the validation split.
    num_test: Those of the test split.
    num_ood: Clips of each out-of-distribution set, 'digits' and 'textures'.
    audio: Also synthesise voices and compute their features (needs librosa).
    eval_clip_length: Frames of the clips that are not for training, if not L.
    audio_kind: 'log_mel' or 'mfcc'; see `data.audio`.
    frame_rate: Frames per second; 7.5 is 30 fps video with a stride of 4.
    imbalance: Class frequencies like those of Aff-Wild2 (paper 000, appendix
      A); False makes all groups and splits balanced.
    label_noise: Share of training labels replaced by uniformly drawn ones.
      `truth` stays the posterior without this noise.
    invalid_rate: Share of frames without a face: black, all masks 0.
    hidden: Share of frames in [0, 1) that show nothing of the face, in runs, while
      labels and `truth` stay those of the clip; see `embedded.hidden`.
    voices: 'face': people sound while their mouths talk, 'hidden': also as long
      as they cannot be seen, and clearly; see `voice.waveform`.
    threads: Threads that render; the result does not depend on it.
  """
  num_train = dict(NUM_TRAIN if num_train is None else num_train)
  _check_arguments(num_train, label_noise, invalid_rate)
  sound = audio_kind if audio else None
  lengths = {'train': clip_length}
  eval_length = eval_clip_length or clip_length

  def clips(split: str, group: str, count: int) -> Clips:
    params = parameters.sample_clip_parameters(
      seed,
      count,
      lengths.get(split, eval_length),
      split=split,
      group=group,
      frame_rate=frame_rate,
      imbalance=imbalance and not group.startswith('balanced'),
    )
    options = {'hidden': hidden, 'voices': voices, 'threads': threads}
    options['score_frames'] = split != 'train'  # which is never scored
    options['imbalance'] = imbalance and not group.startswith('balanced')
    return make_clips(params, size, sound, invalid_rate, **options)

  train, groups = _make_train(clips, num_train, label_noise, seed)
  ood_options = seed, num_ood, eval_length, size, sound, frame_rate
  return Dataset(
    train=train,
    groups=groups,
    val=clips('val', '', num_val),
    test=clips('test', '', num_test),
    ood={kind: ood.ood_clips(kind, *ood_options) for kind in ood.KINDS},
    schema=tasks.ABAW2021,
    name='embedded',
  )


def _make_train(make_group, num_train, label_noise: float, seed: int):
  """Makes the training clips and the indices of their groups."""
  parts, groups, start = [], {}, 0
  for group, count in num_train.items():
    clips = make_group('train', group, count)
    clips = _add_label_noise(clips, label_noise, seed, group)
    parts.append(_keep_labels(clips, LABELLED[group]))
    groups[group] = np.arange(start, start + count, dtype=np.int32)
    start += count
  return concatenate(parts), groups


def _check_arguments(num_train, label_noise, invalid_rate) -> None:
  unknown = sorted(set(num_train) - set(LABELLED))
  if unknown or not num_train:
    raise ValueError(
      f'num_train: expected some of {sorted(LABELLED)}, got {unknown or "none"}'
    )
  for name, rate in (
    ('label_noise', label_noise),
    ('invalid_rate', invalid_rate),
  ):
    if not 0 <= rate <= 1:
      raise ValueError(f'{name}: expected a share in [0, 1], got {rate}')


def make_clips(
  params: parameters.Parameters,
  size: int,
  audio_kind: str | None = None,
  invalid_rate: float = 0.0,
  threads: int | None = None,
  *,
  hidden: float = 0.0,
  voices: str = 'face',
  imbalance: bool = True,
  score_frames: bool = True,
) -> Clips:
  """Renders and labels clips; all tasks are labelled in all valid frames.

  Args:
    params: See `parameters.sample_clip_parameters`.
    size: As in `make`.
    invalid_rate: As in `make`.
    threads: As in `make`.
    audio_kind: 'log_mel' or 'mfcc', or None for no sound.
    hidden: As in `make`.
    voices: As in `make`.
    imbalance: As the parameters were sampled with.
    score_frames: Whether to have `frame_truth` of clips with hidden frames.
  """
  truth = parameters.posteriors(params)
  image = render(params, size, threads)
  gaps = hiding.sample(params, hidden)
  hiding.hide(image, params, gaps)
  valid = _valid_frames(params, invalid_rate)
  image *= valid[..., None, None, None].astype(np.uint8)
  targets = parameters.draw_labels(params, truth)
  return Clips(
    image=image,
    audio=_voices(params, gaps, voices, audio_kind) if audio_kind else None,
    targets={
      name: tasks.Target(*(array * _like(valid, array) for array in target))
      for name, target in targets.items()
    },
    frame_mask=valid,
    clip_id=params.clip_id,
    subject_id=params.subject_id,
    truth=truth,
    frame_truth=hiding.frame_posteriors(params, gaps, truth, imbalance)
    if hidden and score_frames
    else None,
  )


def _voices(params, gaps: hiding.Hidden, kind: str, features: str):
  if kind == 'face':
    return voice.frame_features(params, features)
  if kind not in VOICES:
    raise ValueError(f'voices {kind!r}: expected one of {", ".join(VOICES)}')
  return voice.frame_features(hiding.spoken(params, gaps), features, clear=True)


def _like(mask, array):
  """Adds trailing axes of size 1 to `mask` until it broadcasts."""
  return mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))


def _valid_frames(params, rate: float) -> np.ndarray:
  shape = params.channels.shape[:2]
  valid = np.ones(shape, np.float32)
  for i in range(shape[0]):
    rng = parameters.clip_rng(params, i, 'invalid')
    valid[i] = rng.random(shape[1]) >= rate
  return valid


def _keep_labels(clips: Clips, names: tuple[str, ...]) -> Clips:
  kept = tasks.empty_targets(tasks.ABAW2021, clips.image.shape[:2])
  kept |= {name: clips.targets[name] for name in names}
  return dataclasses.replace(clips, targets=kept)


def _add_label_noise(clips: Clips, rate: float, seed: int, group: str) -> Clips:
  """Replaces a share of the labels by uniformly drawn ones."""
  noisy = {}
  for task in tasks.ABAW2021:
    value, mask = clips.targets[task.name]
    wrong = np.empty(mask.shape, bool)
    drawn = np.empty_like(value)
    for i in range(len(clips)):
      rng = parameters.generator(seed, f'label noise/{group}/{task.name}', i)
      wrong[i] = rng.random(mask.shape[1:]) < rate
      drawn[i] = _uniform_labels(rng, task, value.shape[1:])
    value = np.where(_like(wrong, value), drawn, value) * _like(mask, value)
    noisy[task.name] = tasks.Target(value, mask)
  return dataclasses.replace(clips, targets=noisy)


def _uniform_labels(rng, task: tasks.Task, shape) -> np.ndarray:
  if task.kind == 'binary':
    return rng.integers(2, size=shape).astype(np.float32)
  if task.kind == 'binned':
    return rng.choice(tasks.bin_values(task.bins), shape)
  classes = rng.integers(shape[-1], size=shape[:-1])
  return np.eye(shape[-1], dtype=np.float32)[classes]
