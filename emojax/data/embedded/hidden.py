"""Frames that show nothing of the face, while the clip goes on.

A frame is hidden with all of its neighbours for some tenths of a second: something
passes in front of the camera, or the camera loses its focus. Labels and posteriors
are those of the clip, as if nothing were hidden. What a hidden frame shows depends
on the person, the scene and chance, never on an action, so that a frame alone is
worth the prior (`frame_posteriors`), and only neighbours or a voice tell more.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from emojax.data.embedded import annotator, parameters

HIDDEN_SECONDS = (0.4, 1.2)
SAMPLES = 1000  # clips of one frame that stand for all that could be hidden


class Hidden(NamedTuple):
  """What is hidden of N clips of L frames.

  Attributes:
    frames: bool [N, L].
    blurred: bool [N, L], out of focus; the other hidden frames are covered.
  """

  frames: np.ndarray
  blurred: np.ndarray


def sample(params: parameters.Parameters, share: float) -> Hidden:
  """Draws runs of hidden frames, by each clip's own random stream.

  Args:
    params: The clips.
    share: Share of time that is hidden, in [0, 1).

  Raises:
    ValueError: If it is not.
  """
  if not 0 <= share < 1:
    raise ValueError(f'hidden: expected a share in [0, 1), got {share}')
  shape = params.channels.shape[:2]
  found = Hidden(np.zeros(shape, bool), np.zeros(shape, bool))
  times = np.arange(shape[1]) / params.frame_rate
  for i in range(shape[0] if share else 0):
    rng = parameters.clip_rng(params, i, 'hidden')
    found.frames[i], found.blurred[i] = _runs(rng, times, share)
  return found


def _runs(rng, times, share: float):
  """Whether each moment is hidden and blurred, bool [L] both.

  Seen and hidden times alternate. The first frame is at a random place of the
  sequence, far from its start, so that every frame is hidden equally often.
  """
  low, high = HIDDEN_SECONDS
  mean_seen = (low + high) / 2 * (1 - share) / share
  cycle = mean_seen + (low + high) / 2
  count = int((times[-1] + 12 * cycle) / (low + 0.5 * mean_seen)) + 1
  seen = rng.uniform(0.5, 1.5, count) * mean_seen
  hidden = rng.uniform(low, high, count)
  blurred = rng.random(count) < 0.5
  at = times + rng.uniform(4, 12) * cycle
  end = np.cumsum(seen + hidden)
  run = np.searchsorted(end, at, 'right')
  inside = at >= end[run] - hidden[run]
  return inside, inside & blurred[run]


def hide(image: np.ndarray, params: parameters.Parameters, hidden: Hidden):
  """Paints over the hidden frames of images uint8 [N, L, H, W, 3], in place."""
  traits = {k: v.astype(float) for k, v in params.traits.items()}
  for i in np.flatnonzero(hidden.frames.any(1)).tolist():
    rng = parameters.clip_rng(params, i, 'hidden image')
    cover = 0.2 + 0.6 * rng.random(3)
    for j, covered in enumerate(hidden.frames[i]):
      if not covered:
        continue
      shape = image.shape[2:]
      if hidden.blurred[i, j]:
        x, y = (float(params.motion[f'shift_{axis}'][i, j]) for axis in 'xy')
        one = {k: v[i] for k, v in traits.items()}
        picture = _out_of_focus(shape[0], x, y, one)
      else:
        picture = np.broadcast_to(cover, shape)
      picture = picture * traits['exposure'][i] * traits['cast'][i]
      grain = rng.normal(0, traits['noise'][i], shape)
      image[i, j] = np.clip(np.rint(255 * (picture + grain)), 0, 255)


def _out_of_focus(size: int, shift_x, shift_y, traits) -> np.ndarray:
  """A blot of the skin's colour before the background, [size, size, 3]."""
  axis = (np.arange(size) + 0.5) * 2 / size - 1
  x = (axis[None, :] - shift_x) / (1.1 * traits['face_width'])
  y = (axis[:, None] - shift_y) / (1.1 * traits['face_height'])
  face = np.exp(-(x**2 + y**2))[..., None]
  back = 0.5 * (traits['back_a'] + traits['back_b'])
  return face * traits['skin'] + (1 - face) * back


def frame_posteriors(
  params: parameters.Parameters,
  hidden: Hidden,
  truth: dict[str, np.ndarray],
  imbalance: bool = True,
  samples: int = SAMPLES,
) -> dict[str, np.ndarray]:
  """The best answer of whoever sees one frame at a time, and no neighbour.

  In a frame that is seen: `truth`. In a hidden one: the mean of the posteriors
  over the actions that people have at any moment, for the scene's lighting and
  occlusion (which may be seen); a Monte Carlo mean over as many other clips.

  Args:
    params: The clips.
    hidden: What is hidden of them.
    truth: `parameters.posteriors` of the clips.
    imbalance: As the clips were sampled with.
    samples: Of the mean.

  Returns:
    As `truth`, float32.
  """
  pool = (
    parameters.sample_clip_parameters(
      0, samples, 1, split='prior', imbalance=imbalance
    )
    .channels[:, 0]
    .astype(float)
  )
  found = {name: p.copy() for name, p in truth.items()}
  for i in np.flatnonzero(hidden.frames.any(1)):
    scene = np.broadcast_to(params.visible[i].astype(float), (len(pool), 3))
    clarity = np.full(len(pool), float(params.clarity[i]))
    prior = annotator.posteriors(pool, scene, clarity)
    for name, p in prior.items():
      found[name][i, hidden.frames[i]] = p.mean(0, dtype=float)
  return found


def spoken(params: parameters.Parameters, hidden: Hidden):
  """The clips with people who talk for as long as they cannot be seen.

  For their voices only: what the face does and what it means stay as they are.
  """
  talk = np.where(hidden.frames, np.float32(1), params.motion['talk'])
  return dataclasses.replace(params, motion=params.motion | {'talk': talk})
