"""Sampling of everything that determines the frames of a clip."""

import dataclasses
import zlib

import numpy as np

from emojax import tasks
from emojax.data.embedded import affect, annotator, people

CLIPS_PER_SUBJECT = 4
# A close crop, as aligned faces are published: the face, with little of the hair
# and the background.
ZOOM = 1.3


@dataclasses.dataclass(frozen=True, eq=False)
class Parameters:
  """Parameters of N clips of L frames; see `sample_clip_parameters`.

  Attributes:
    channels: float32 [N, L, 15] intensities of `affect.CHANNELS` in [0, 1].
    motion: Per-frame nuisances by name, float32 [N, L]: blink, gaze_x, gaze_y,
      shift_x, shift_y, roll, yaw, pitch, scale; talk, the amount of talking,
      and syllables, the number of them since some start, drive the voice.
    traits: Per-clip traits of the person and the scene by name, float32 [N]
      or, for colours, [N, 3].
    visible: float32 [N, 3], how much of brows, eyes and mouth can be seen.
    clarity: float32 [N], how sharp the picture is.
    noise_seed: uint64 [N], of the sensor noise and the labels.
    clip_id, subject_id: [N] strings.
    frame_rate: Frames per second.
  """

  channels: np.ndarray
  motion: dict[str, np.ndarray]
  traits: dict[str, np.ndarray]
  visible: np.ndarray
  clarity: np.ndarray
  noise_seed: np.ndarray
  clip_id: np.ndarray
  subject_id: np.ndarray
  frame_rate: float

  @property
  def au(self) -> np.ndarray:
    """Intensities of the 12 labelled action units, float32 [N, L, 12]."""
    return self.channels[..., :12]


def generator(seed: int, name: str, *numbers: int) -> np.random.Generator:
  """An independent random stream for every (seed, name, numbers)."""
  words = [seed, zlib.crc32(name.encode()), *numbers]
  return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def sample_clip_parameters(
  seed: int,
  num_clips: int,
  clip_length: int,
  *,
  split: str = 'train',
  group: str = '',
  frame_rate: float = 30.0,
  imbalance: bool = True,
  first_clip: int = 0,
) -> Parameters:
  """Samples clips `first_clip ... first_clip + num_clips - 1` of a stream.

  Clip i depends on i and the arguments other than the two counts of clips.
  CLIPS_PER_SUBJECT consecutive clips show one subject; subjects depend on the
  seed and the split alone, so that the groups of a split share subjects and
  splits never do.

  Args:
    seed: Non-negative integer.
    num_clips: N.
    clip_length: L >= 1.
    split: Name of the pool of subjects.
    group: Name of the stream of clips within the split.
    frame_rate: Frames per second; expressions last 1.5 to 4 s.
    imbalance: Draw expressions and actions about as often as Aff-Wild2 has
      them; else about equally often. The posteriors given a face are the same.
    first_clip: Number of the first clip.
  """
  if num_clips < 0 or clip_length < 1 or frame_rate <= 0:
    raise ValueError(
      'expected num_clips >= 0, clip_length >= 1 and frame_rate > 0, got '
      f'{num_clips}, {clip_length} and {frame_rate}'
    )
  times = np.arange(clip_length) / frame_rate
  clips = [
    _sample_clip(seed, split, group, number, times, imbalance)
    for number in range(first_clip, first_clip + max(num_clips, 1))
  ]
  stacked = _stack(clips, num_clips)
  return Parameters(**stacked, frame_rate=frame_rate)


def _sample_clip(seed, split, group, number, times, imbalance):
  subject = number // CLIPS_PER_SUBJECT
  rng = generator(seed, f'subject/{split}', subject)
  traits, gain = people.person(rng), people.gains(rng, len(affect.CHANNELS))
  rng = generator(seed, f'clip/{split}/{group}', number)
  view = people.scene(rng)
  prior = affect.EXPRESSION_PRIOR if imbalance else affect.BALANCED_PRIOR
  rate = affect.INCIDENTAL_RATE if imbalance else affect.BALANCED_RATE
  weights = affect.expression_weights(rng, times, prior / prior.sum())
  talk, syllables = affect.speech(rng, times, weights)
  other = affect.incidental_actions(rng, times, rate)
  channels = affect.combine(weights, other, talk, syllables, gain)
  motion = _motion(rng, times) | {'talk': talk, 'syllables': syllables}
  prefix = f'{split}/{group}' if group else split
  return {
    'channels': channels,
    'motion': motion,
    'traits': traits | view,
    'visible': people.visibility(view),
    'clarity': people.clarity(view),
    'noise_seed': rng.integers(2**63),
    'clip_id': f'{prefix}/{number:06d}',
    'subject_id': f'{split}/subject{subject:05d}',
  }


def _wander(rng, times, size: float):
  """A slow random movement around a random place, [L]."""
  speed, phase = rng.uniform(0.1, 0.5), rng.random()
  place = rng.normal(0, size)
  return place + 0.4 * size * np.sin(2 * np.pi * (speed * times + phase))


def _motion(rng, times) -> dict[str, np.ndarray]:
  period, phase = rng.uniform(2, 6), rng.random()
  since = ((times / period + phase) % 1) * period  # seconds since a blink
  motion = {'blink': np.clip(1 - np.abs(since - 0.12) / 0.12, 0, 1)}
  sizes = dict(gaze_x=0.3, gaze_y=0.2, shift_x=0.035, shift_y=0.035)
  sizes |= dict(roll=0.07, yaw=0.3, pitch=0.25)
  for name, size in sizes.items():
    motion[name] = np.clip(_wander(rng, times, size), -3 * size, 3 * size)
  motion['scale'] = ZOOM + np.clip(_wander(rng, times, 0.03), -0.09, 0.09)
  return motion


def _stack(clips: list[dict], count: int) -> dict:
  """Stacks dictionaries of arrays; one clip stands in where there are none."""
  stacked = {}
  for key, example in clips[0].items():
    values = [clip[key] for clip in clips]
    if isinstance(example, dict):
      stacked[key] = _stack(values, count)
    elif isinstance(example, str):
      stacked[key] = np.array(values, np.str_)[:count]
    elif key == 'noise_seed':
      stacked[key] = np.array(values, np.uint64)[:count]
    else:
      stacked[key] = np.array(values, np.float32)[:count]
  return stacked


def clip_rng(params: Parameters, number: int, name: str):
  """The random stream `name` of clip `number` (of these parameters)."""
  return generator(int(params.noise_seed[number]), name)


def posteriors(params: Parameters) -> dict[str, np.ndarray]:
  """The distributions that the labels of all frames are drawn from.

  Returns:
    float32 'au' [N, L, 12] probabilities, 'expr' [N, L, 7] in the order of
    tasks.AFFWILD2, and 'va' [N, L, 2, 20] over tasks.bin_values().
  """
  shape = params.channels.shape[:2]
  return annotator.posteriors(
    params.channels.astype(float),
    np.broadcast_to(params.visible[:, None].astype(float), (*shape, 3)),
    np.broadcast_to(params.clarity[:, None].astype(float), shape),
  )


def draw_labels(params: Parameters, truth=None) -> tasks.Targets:
  """Draws hard labels of all tasks for every frame from the posteriors.

  Frames are drawn independently, as if every frame had its own annotator: the
  labels of a clip are correlated through its faces only.
  """
  truth = posteriors(params) if truth is None else truth
  drawn = [
    annotator.draw(
      {name: p[i] for name, p in truth.items()}, clip_rng(params, i, 'labels')
    )
    for i in range(len(params.noise_seed))
  ]
  if not drawn:
    return tasks.empty_targets(tasks.ABAW2021, params.channels.shape[:2])
  return {
    name: tasks.Target(
      np.stack([targets[name].value for targets in drawn]),
      np.stack([targets[name].mask for targets in drawn]),
    )
    for name in drawn[0]
  }
