"""Who is in the picture and how it was taken: the nuisance variables."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_SKIN = np.array(
  [[250, 216, 194], [234, 188, 158], [205, 150, 115], [158, 105, 72]]
  + [[105, 66, 44]]
)
_HAIR = np.array(
  [[28, 22, 20], [38, 28, 24], [66, 42, 28], [110, 74, 44], [140, 62, 36]]
  + [[110, 74, 44], [190, 150, 90], [150, 148, 146], [60, 58, 58]]
)
_EYES = np.array([[80, 50, 28], [60, 92, 120], [70, 100, 66], [38, 26, 18]])


def _tone(rng, palette) -> np.ndarray:
  """A colour between two neighbours of a palette, [3] in [0, 1]."""
  at = rng.random() * (len(palette) - 1)
  low = int(at)
  color = palette[low] + (at - low) * (palette[low + 1] - palette[low])
  return np.clip(color / 255 + rng.normal(0, 0.015, 3), 0, 1)


def _dull(rng) -> np.ndarray:
  """A colour halfway to grey, as most surroundings have, [3] in [0, 1]."""
  return 0.55 * rng.random() + 0.45 * rng.random(3)


def person(rng) -> dict[str, np.ndarray]:
  """Traits of one subject.

  Lengths are in units of half the image's side; colours are [3] in [0, 1].
  """
  skin = _tone(rng, _SKIN)
  hair = _tone(rng, _HAIR) * rng.uniform(0.7, 1.2)
  lips = skin * [0.86, 0.6, 0.6] + [0.06, 0, 0.02] * rng.random(3)
  uniform = rng.uniform
  return {
    'skin': skin,
    'hair': np.clip(hair, 0, 1),
    'lips': lips,
    'iris': _EYES[rng.integers(len(_EYES))] / 255,
    'face_width': uniform(0.66, 0.78),
    'face_height': uniform(0.9, 1.0),
    'jaw': uniform(0.02, 0.22),
    'eye_space': uniform(0.31, 0.37),
    'eye_size': uniform(0.9, 1.15),
    'eye_tilt': uniform(-0.02, 0.025),
    'brow_height': uniform(0.0, 0.05),
    'brow_thick': uniform(0.028, 0.052),
    'brow_arch': uniform(0.0, 0.04),
    'nose_width': uniform(0.085, 0.125),
    'nose_length': uniform(-0.03, 0.04),
    'mouth_width': uniform(0.25, 0.31),
    'lip_full': uniform(0.75, 1.35),
    'hairline': uniform(-0.95, -0.76),
    'hair_side': uniform(0.0, 0.3),
    'beard': uniform(0.15, 0.5) * (rng.random() < 0.22),
    'resting_smile': rng.normal(0, 0.018),
    'voice': uniform(95, 230),
  }


def gains(rng, channels: int) -> np.ndarray:
  """How strongly a subject uses each facial action, [channels] around 1."""
  return np.exp(rng.normal(0, 0.12, channels))


def scene(rng) -> dict[str, np.ndarray | float]:
  """Lighting, background, camera and occlusion of one clip."""
  angle = rng.uniform(0, 2 * np.pi)
  strength = rng.uniform(0, 0.32)
  return {
    'light_x': np.cos(angle) * strength,
    'light_y': np.sin(angle) * strength * 0.5,
    'exposure': rng.uniform(0.75, 1.04),
    'cast': 1 + rng.normal(0, 0.03, 3),
    'back_a': _dull(rng),
    'back_b': _dull(rng),
    'shirt': _dull(rng),
    'soft': rng.choice([0.0, rng.uniform(0, 1), rng.uniform(1, 3)]),
    'noise': rng.uniform(0.005, 0.03),
    **_occlusion(rng),
  }


def _occlusion(rng) -> dict[str, np.ndarray | float]:
  kind = rng.choice(5, p=[0.76, 0.13, 0.02, 0.045, 0.045])
  return {
    'glasses': float(kind in (1, 2)),
    'dark_glass': float(kind == 2),
    'hand': float(kind == 3),
    'block': float(kind == 4),
    'block_side': rng.choice([-1.0, 1.0]),
    'block_at': rng.uniform(0.35, 0.6),
    'block_color': _dull(rng),
    'hand_x': rng.uniform(-0.2, 0.2),
  }


def visibility(view: Mapping[str, Any]) -> np.ndarray:
  """How much of brows, eyes and mouth the scene shows, [3].

  A block hides one half of a symmetric face and therefore no action.
  """
  return np.array([1, 1 - 0.9 * view['dark_glass'], 1 - 0.9 * view['hand']])


def clarity(view: Mapping[str, Any]) -> float:
  """How much evidence blur and noise leave, in (0.6, 1]."""
  return 1 - 0.1 * view['soft'] - 3 * view['noise']
