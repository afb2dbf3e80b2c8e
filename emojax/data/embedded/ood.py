"""Out-of-distribution clips that need no download: digits and textures."""

from typing import Any

import numpy as np

from emojax import tasks
from emojax.data.clips.clips import Clips
from emojax.data.embedded import voice
from emojax.data.embedded.parameters import generator

KINDS = ('digits', 'textures')
TEXTURES = ('noise', 'stripes', 'checker', 'blobs')


def digits(
  seed: int, num_clips: int, clip_length: int, size: int
) -> np.ndarray:
  """Real handwritten digits, uint8 [N, L, size, size, 3].

  The 8 x 8 images of `sklearn.datasets.load_digits`, in a random order that
  repeats after 1,797; resampled bilinearly, grey on all channels, and drifting
  slowly over the frames of a clip.
  """
  import sklearn.datasets

  # Annotated as a tuple, which it is with `return_X_y` alone.
  digits_set: Any = sklearn.datasets.load_digits()
  source = digits_set.images / 16
  order = generator(seed, 'digits').permutation(len(source))
  frames = [
    _drift(
      source[order[i % len(order)]],
      generator(seed, 'drift', i),
      clip_length,
      size,
    )
    for i in range(num_clips)
  ]
  grey = np.array(frames).reshape(num_clips, clip_length, size, size, 1)
  return np.repeat(np.rint(grey * 255).astype(np.uint8), 3, -1)


def _drift(image, rng, clip_length: int, size: int) -> np.ndarray:
  """One image moving by at most half a source pixel, [L, size, size]."""
  end = rng.uniform(-0.5, 0.5, 2)
  shift = np.linspace(0, 1, clip_length)[:, None] * end
  rows, columns = (
    [_bilinear(len(image), size, s) for s in shift[:, axis]] for axis in (0, 1)
  )
  return np.stack([r @ image @ c.T for r, c in zip(rows, columns)])


def _bilinear(length: int, size: int, shift: float) -> np.ndarray:
  """Interpolation matrix [size, length] with the border repeated."""
  at = (np.arange(size) + 0.5) * length / size - 0.5 + shift
  distance = np.abs(np.clip(at, 0, length - 1)[:, None] - np.arange(length))
  return np.maximum(1 - distance, 0)


def textures(seed: int, num_clips: int, clip_length: int, size: int):
  """Procedural colour textures, uint8 [N, L, size, size, 3].

  Clip i is of family `TEXTURES[i % 4]`; its pattern moves slowly.
  """
  shape = (num_clips, clip_length, size, size, 3)
  image = np.zeros(shape, np.uint8)
  for i in range(num_clips):
    rng = generator(seed, 'texture', i)
    value = _FAMILIES[i % len(_FAMILIES)](rng, *_grid(rng, clip_length, size))
    low, high = rng.random((2, 3))
    color = low + np.clip(value, 0, 1)[..., None] * (high - low)
    image[i] = np.rint(255 * color)
  return image


def _grid(rng, clip_length: int, size: int):
  """Rotated coordinates [L, size, size] in about [-1, 1] that drift."""
  axis = (np.arange(size) + 0.5) * 2 / size - 1
  angle = rng.uniform(0, np.pi)
  drift = rng.uniform(-0.02, 0.02, 2)
  time = np.arange(clip_length)[:, None, None]
  x, y = axis[None, None, :], axis[None, :, None]
  u = np.cos(angle) * x + np.sin(angle) * y + drift[0] * time
  return u, np.cos(angle) * y - np.sin(angle) * x + drift[1] * time


def _noise(rng, u, v):
  """Octaves of smooth noise: products of sines with random phases."""
  value = 0.5
  for octave in range(5):
    a, b, c, d = rng.uniform(0.6, 1.4, 4) * 2**octave * 1.5
    p, q = rng.uniform(0, 2 * np.pi, 2)
    value = value + 0.5**octave * 0.5 * np.sin(a * u + b * v + p) * np.sin(
      c * v - d * u + q
    )
  return value


def _stripes(rng, u, v):
  wave = np.sin(rng.uniform(6, 40) * u + rng.uniform(0, 1.5) * v)
  return 0.5 + rng.uniform(0.5, 4) * wave


def _checker(rng, u, v):
  scale = rng.uniform(5, 25)
  return 0.5 + rng.uniform(1, 8) * np.sin(scale * u) * np.sin(scale * v)


def _blobs(rng, u, v):
  value = 0
  for _ in range(rng.integers(4, 16)):
    x, y = rng.uniform(-1, 1, 2)
    radius = rng.uniform(0.08, 0.4)
    value = value + np.exp(-(((u - x) ** 2 + (v - y) ** 2) / radius**2))
  return value


_FAMILIES = (_noise, _stripes, _checker, _blobs)


def ood_clips(
  kind: str,
  seed: int,
  num_clips: int,
  clip_length: int,
  size: int,
  audio_kind: str | None = None,
  frame_rate: float = 7.5,
) -> Clips:
  """Clips of kind 'digits' or 'textures'; every label is masked.

  With an `audio_kind` ('log_mel' or 'mfcc') they sound like coloured noise of a
  random level.
  """
  if kind not in KINDS:
    raise ValueError(f'kind {kind!r}: expected one of {", ".join(KINDS)}')
  make = digits if kind == 'digits' else textures
  image = make(seed, num_clips, clip_length, size)
  sound = None
  if audio_kind:
    rng = generator(seed, f'sound of {kind}')
    sound = voice.noise_features(
      rng, num_clips, clip_length, frame_rate, audio_kind
    )
  shape = image.shape[:2]
  names = np.array([f'{kind}/{i:06d}' for i in range(num_clips)], np.str_)
  return Clips(
    image=image,
    audio=sound,
    targets=tasks.empty_targets(tasks.ABAW2021, shape),
    frame_mask=np.ones(shape, np.float32),
    clip_id=names,
    subject_id=names,
  )
