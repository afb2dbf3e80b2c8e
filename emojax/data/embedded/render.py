"""Rendering of clip parameters to images."""

import concurrent.futures
import os

import numpy as np

from emojax.data.embedded import affect, face, skin
from emojax.data.embedded.occlusion import paint_occlusion
from emojax.data.embedded.parameters import Parameters
from emojax.data.embedded.shapes import Part

BLOCK_PIXELS = 65536  # painted together: the planes should stay in the cache


def render(
  params: Parameters, size: int, threads: int | None = None
) -> np.ndarray:
  """Renders all frames, uint8 [N, L, size, size, 3].

  Args:
    params: See `parameters.sample_clip_parameters`.
    size: Side of the images, >= 32.
    threads: Number of threads, by default that of the cores. The images do
      not depend on it.
  """
  if size < 32:
    raise ValueError(f'size {size}: expected at least 32 pixels')
  shape = params.channels.shape[:2]
  frames = np.zeros((shape[0] * shape[1], size, size, 3), np.uint8)
  fields, noise = _fields(params, size), _noise_keys(params)
  block = max(1, BLOCK_PIXELS // size**2)

  def work(start):
    part = slice(start, start + block)
    some = {name: value[..., part, :, :] for name, value in fields.items()}
    _camera(_paint(some, size), some, noise[part], frames[part])

  with concurrent.futures.ThreadPoolExecutor(threads or os.cpu_count()) as pool:
    list(pool.map(work, range(0, len(frames), block)))
  return frames.reshape(*shape, size, size, 3)


def noiseless(params: Parameters, size: int) -> np.ndarray:
  """All frames as they were without sensor noise and rounding.

  float32 [N, L, size, size, 3], of 0 to 255. Not in blocks: for few frames.
  """
  fields = _fields(params, size)
  image = _paint(fields, size)
  _expose(image, fields)
  shape = *params.channels.shape[:2], size, size, 3
  return np.moveaxis(np.clip(image, 0, 255), 0, -1).reshape(shape)


def _fields(params: Parameters, size: int) -> dict[str, np.ndarray]:
  """Parameters of all frames, float32 [F, 1, 1] or for colours [3, F, 1, 1]."""
  length = params.channels.shape[1]
  fields = {
    name: params.channels[..., i].reshape(-1, 1, 1)
    for i, name in enumerate(affect.CHANNELS)
  }
  for name, value in params.motion.items():
    fields[name] = value.reshape(-1, 1, 1)
  for name, value in params.traits.items():
    frames = np.repeat(value, length, 0).T
    fields[name] = np.ascontiguousarray(frames)[..., None, None]
  fields['soft'] = (1 + 0.5 * fields['soft']) * np.float32(2 / size)
  return fields | _colors(fields['skin'], fields['hair'])


def _colors(skin_color, hair) -> dict[str, np.ndarray]:
  def fixed(*rgb):
    return np.zeros_like(hair) + np.array(rgb, np.float32).reshape(3, 1, 1, 1)

  return {
    'white': fixed(0.93, 0.92, 0.9),
    'black': fixed(0.05, 0.05, 0.06),
    'inside': fixed(0.28, 0.07, 0.08),
    'teeth': fixed(0.93, 0.91, 0.86),
    'lash': 0.25 * hair + 0.12 * skin_color,
    'brow': np.minimum(0.65 * hair + 0.05 * skin_color, 0.5 * skin_color),
  }


def _paint(p, size: int) -> np.ndarray:
  """Paints one block of frames, float32 [3, F, size, size] around [0, 1]."""
  axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
  x, y = axis[None, None, :], axis[None, :, None]
  u, v = _face_coordinates(x, y, p)
  image = np.empty((3, *u.shape), np.float32)
  outline = Part(image, u, v, np.abs(u))
  # A turned head: the features move against the outline.
  u, v = u + 0.12 * p['yaw'], v + 0.1 * p['pitch']
  features = Part(image, u, v, np.abs(u))
  face.paint_background(outline, p, x, y)
  face.paint_face(outline, p, skin.shading(features, p))
  face.paint_eyes(features, p)
  face.paint_brows(features, p)
  face.paint_mouth(features, p)
  face.paint_hair(outline, p)
  paint_occlusion(features, p)
  return image


def _face_coordinates(x, y, p):
  # A rational rotation: sines may round differently for other batch sizes.
  t = np.float32(0.5) * p['roll']
  unit = 1 / (p['scale'] * (1 + t * t))
  cos, sin = (1 - t * t) * unit, 2 * t * unit
  x, y = x - p['shift_x'], y - p['shift_y']
  return cos * x + sin * y, cos * y - sin * x


def _noise_keys(params: Parameters) -> list[tuple[int, int]]:
  """The stream and the place in it of every frame's sensor noise."""
  length = params.channels.shape[1]
  return [(int(s), i) for s in params.noise_seed for i in range(length)]


def _expose(image, p) -> None:
  """Exposure and colour cast, in place: from [0, 1] to bytes."""
  scale = np.float32(255) * p['exposure'] * p['cast']
  for channel, plane in enumerate(image):
    plane *= scale[channel]


def _camera(image, p, noise, frames) -> None:
  """Exposure, colour cast, sensor noise; writes uint8 [F, H, W, 3]."""
  _expose(image, p)
  grain = _noise(noise, image[:, 0].size)
  grain = grain.reshape(len(frames), 3, *image.shape[2:])
  level = p['noise'] * np.float32(255 / 104.5)
  for channel, plane in enumerate(image):
    plane += level * grain[:, channel]
    plane += 0.5
    np.clip(plane, 0, 255, out=plane)
    np.copyto(frames[..., channel], plane, casting='unsafe')


def _noise(keys, count: int) -> np.ndarray:
  """Differences of two random bytes, int16 [F, count], deviation 104.5.

  Frames of a clip lie one after the other in the clip's own Philox stream,
  whose counter counts 32 bytes.
  """
  steps = -(-2 * count // 32)
  noise = np.empty((len(keys), count), np.int16)
  start = 0
  while start < len(keys):
    seed, frame = keys[start]
    stop = start + 1
    while stop < len(keys) and keys[stop][0] == seed:
      stop += 1
    bits = np.random.Philox(key=seed, counter=[frame * steps, 0, 0, 1])
    words = bits.random_raw((stop - start) * steps * 4).astype(
      '<u8', copy=False
    )
    raw = words.view(np.uint8).reshape(stop - start, -1)
    noise[start:stop] = raw[:, :count]
    noise[start:stop] -= raw[:, count : 2 * count]
    start = stop
  return noise
