"""Pages to look at: posed faces, and clips with hidden frames."""

import dataclasses

import numpy as np

from emojax import tasks
from emojax.data.embedded import affect
from emojax.data.embedded import hidden as hiding
from emojax.data.embedded.parameters import (
  CLIPS_PER_SUBJECT,
  posteriors,
  sample_clip_parameters,
)
from emojax.data.embedded.render import render
from emojax.data.prepare.contact_sheet import contact_sheet


def sheet(
  seed: int = 0,
  size: int = 96,
  people: int = 6,
  strength: float = 0.9,
  path=None,
  scale: int = 1,
) -> np.ndarray:
  """Draws every expression of `tasks.AFFWILD2` by several people, in rows.

  Args:
    seed: Whom to show.
    size: Side of the rendered images.
    people: Number of rows.
    strength: Of the expressions, in [0, 1].
    path: See `contact_sheet`.
    scale: See `contact_sheet`.

  Returns:
    The page, uint8 [H, W, 3].
  """
  params = sample_clip_parameters(
    seed, people * CLIPS_PER_SUBJECT, len(tasks.AFFWILD2), split='sheet'
  )
  posed = np.broadcast_to(
    np.float32(strength * affect.PROTOTYPES), params.channels.shape
  )
  open_eyes = params.motion | {'blink': 0 * params.motion['blink']}
  params = dataclasses.replace(params, channels=posed, motion=open_eyes)
  image = render(params, size)[::CLIPS_PER_SUBJECT]
  return contact_sheet(
    image.reshape(-1, size, size, 3),
    tasks.AFFWILD2 * people,
    len(tasks.AFFWILD2),
    path,
    scale,
  )


def clip_sheet(
  seed: int = 0,
  size: int = 96,
  clips: int = 6,
  frames: int = 12,
  hidden: float = 0.5,
  path=None,
  scale: int = 1,
) -> np.ndarray:
  """Draws clips of different people in rows, as a network sees them.

  Under every frame is the likeliest expression of the clip there, hidden or not.

  Args:
    seed: Which clips to show.
    size: Side of the rendered images.
    clips: Number of rows.
    frames: Frames of a clip, 7.5 a second.
    hidden: Share of frames that are hidden.
    path: See `contact_sheet`.
    scale: See `contact_sheet`.

  Returns:
    The page, uint8 [H, W, 3].
  """
  params = sample_clip_parameters(
    seed,
    clips * CLIPS_PER_SUBJECT,
    frames,
    split='sheet',
    frame_rate=7.5,
  )
  image = render(params, size)
  hiding.hide(image, params, hiding.sample(params, hidden))
  likeliest = posteriors(params)['expr'].argmax(-1)[::CLIPS_PER_SUBJECT]
  names = [tasks.AFFWILD2[i] for i in likeliest.reshape(-1)]
  flat = image[::CLIPS_PER_SUBJECT].reshape(-1, size, size, 3)
  return contact_sheet(flat, names, frames, path, scale)
