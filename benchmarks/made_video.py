"""A video of faces that are drawn, whose frames tell their number.

Faces of the embedded generator move over a moving background, in scenes with
none to three of them, at a frame rate that varies as a phone's does. Sixteen
fields in the lower left corner, black or white, are the bits of the frame's
number, and those below them their opposites: what is written of a frame can be
held against the frame itself, even where something is drawn over it.
"""

import fractions
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from emojax.data import embedded

WIDTH, HEIGHT = 1280, 720
SCENE = 10.0  # seconds
FACES = (1, 2, 0, 1, 3)  # of the scenes, in turns
SIDES = (130, 260)  # pixels of the squares that faces are drawn in
STEPS = (33, 33, 33, 50, 50, 67, 100)  # milliseconds between frames
BITS, FIELD = 16, 16  # of the number, and pixels of one of them
_DARK, _LIGHT = 20, 235
_NEAR = 30  # what a field is off at most, unless something is drawn over it


class Plan(NamedTuple):
  """What the video shows; the same for the same seconds and seed.

  Attributes:
    stamps: int64 [n], milliseconds of every frame.
    scenes: int64 [n], number of its scene.
    seed: Of everything that is drawn.
  """

  stamps: np.ndarray
  scenes: np.ndarray
  seed: int

  @property
  def times(self) -> np.ndarray:
    """Seconds after frame 0, float64 [n]."""
    return self.stamps / 1000

  @property
  def num_faces(self) -> np.ndarray:
    """Faces in every frame, int64 [n]."""
    return np.array(FACES)[self.scenes % len(FACES)]


def plan(seconds: float, seed: int = 0, scene: float = SCENE) -> Plan:
  """Draws the times of a video of that length, in scenes of some seconds."""
  rng = np.random.default_rng([seed, 0])
  steps = rng.choice(STEPS, int(1000 * seconds / min(STEPS)) + 1)
  stamps = np.concatenate([[0], np.cumsum(steps)])
  stamps = stamps[stamps < 1000 * seconds]
  if len(stamps) >= 1 << BITS:
    raise ValueError(f'{seconds} s are more frames than {BITS} bits can count')
  return Plan(stamps, np.int64(stamps / 1000 // scene), seed)


def write(path: pathlib.Path, made: Plan):
  """Encodes the video: H.264, its time stamps in milliseconds."""
  import av

  with av.open(str(path), 'w', format='mp4') as container:
    stream = container.add_stream('libx264', rate=30)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    stream.codec_context.thread_count = 1  # the same file on any machine
    stream.options = {'preset': 'veryfast', 'crf': '23'}
    for stamp, image in zip(made.stamps.tolist(), frames(made)):
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts, frame.time_base = stamp, fractions.Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def frames(made: Plan) -> Iterator[np.ndarray]:
  """Yields the frames, uint8 [720, 1280, 3]."""
  background = _background(made.seed)
  for scene in np.unique(made.scenes):
    numbers = np.flatnonzero(made.scenes == scene)
    faces = _faces(made.seed, int(scene), made.stamps[numbers])
    for i, number in enumerate(numbers):
      x, y = number % WIDTH, number // 2 % HEIGHT
      image = background[y : y + HEIGHT, x : x + WIDTH].copy()
      for (left, top), pixels in ((at[i], drawn[i]) for at, drawn in faces):
        side = len(pixels)
        image[top : top + side, left : left + side] = pixels
      _sign(image, int(number))
      yield image


def number(image: np.ndarray) -> int | None:
  """The number that a frame of the video shows; None if it is covered."""
  corner = image[-2 * FIELD :, : BITS * FIELD].astype(float)
  means = corner.reshape(2, FIELD, BITS, FIELD, 3).mean((1, 3))
  light = np.abs(means - _LIGHT).max(-1) < _NEAR
  dark = np.abs(means - _DARK).max(-1) < _NEAR
  if not (light ^ dark).all() or (light[0] == light[1]).any():
    return None
  light = light[0]
  return int(light @ (1 << np.arange(BITS)))


def _sign(image: np.ndarray, count: int):
  bits = count >> np.arange(BITS) & 1
  fields = np.stack([bits, 1 - bits]).repeat(FIELD, 0).repeat(FIELD, 1)
  where = image[-2 * FIELD :, : BITS * FIELD]
  where[:] = np.where(fields, _LIGHT, _DARK)[..., None]


def _background(seed: int) -> np.ndarray:
  """A smooth pattern, large enough to move the picture about in it."""
  rng = np.random.default_rng([seed, 1])
  blocks = rng.integers(30, 220, (9, 16, 3)).astype(np.uint8)
  large = Image.fromarray(blocks).resize((2 * WIDTH, 2 * HEIGHT))
  return np.asarray(large)


def _faces(seed: int, scene: int, stamps: np.ndarray):
  """(corners [L, 2], pictures [L, side, side, 3]) of the faces of a scene."""
  count = FACES[scene % len(FACES)]
  made = []
  for k in range(count):
    rng = np.random.default_rng([seed, 2, scene, k])
    side = int(rng.integers(*SIDES))
    rate = 1000 * len(stamps) / max(1, np.ptp(stamps))
    params = embedded.sample_clip_parameters(
      seed, 1, len(stamps), frame_rate=rate, first_clip=100 * scene + 10 * k
    )
    drawn = embedded.render(params, side)[0]
    made.append((_path(rng, k, count, side, stamps), drawn))
  return made


def _path(rng, k: int, count: int, side: int, stamps: np.ndarray) -> np.ndarray:
  """Left upper corners, in a column of the picture that is the face's own."""
  room = np.array([WIDTH // count - side, HEIGHT - 2 * FIELD - side])
  speed, phase = rng.uniform(0.05, 0.2, 2), rng.random(2)
  turns = stamps[:, None] / 1000 * speed + phase
  place = np.rint(room * (0.5 + 0.5 * np.sin(2 * np.pi * turns)))
  return place.astype(int) + [k * WIDTH // count, 0]
