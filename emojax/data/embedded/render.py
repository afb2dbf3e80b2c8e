"""Rendering of clip parameters to images."""

import concurrent.futures
import os

import numpy as np

from emojax.data.embedded import affect, face
from emojax.data.embedded.parameters import Parameters

BLOCK_PIXELS = 1 << 16  # of frames painted together: fits a core's cache


def render(params: Parameters, size: int, threads: int | None = None):
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
  fields = _fields(params, size)
  block = max(1, BLOCK_PIXELS // size**2)

  def work(start):
    part = slice(start, min(start + block, len(frames)))
    frames[part] = _paint({k: v[part] for k, v in fields.items()}, size)

  with concurrent.futures.ThreadPoolExecutor(threads or os.cpu_count()) as pool:
    list(pool.map(work, range(0, len(frames), block)))
  return frames.reshape(*shape, size, size, 3)


def _fields(params: Parameters, size: int) -> dict[str, np.ndarray]:
  """Parameters of every frame, broadcast against images; float32."""
  num_clips, length = params.channels.shape[:2]
  fields = {
    name: params.channels[..., i].reshape(-1, 1, 1)
    for i, name in enumerate(affect.CHANNELS)
  }
  for name, value in params.motion.items():
    fields[name] = value.reshape(-1, 1, 1)
  for name, value in params.traits.items():
    value = np.repeat(value, length, 0)
    fields[name] = value.reshape(-1, *value.shape[1:], 1, 1)
  fields['soft'] = (1.0 + 0.5 * fields['soft']) * np.float32(2 / size)
  fields['noise_seed'] = np.repeat(params.noise_seed, length)
  fields['frame'] = np.tile(np.arange(length), num_clips)
  return fields | _colors(fields)


def _colors(p) -> dict[str, np.ndarray]:
  def fixed(*rgb):
    return np.array(rgb, np.float32).reshape(1, 3, 1, 1) + 0 * p['skin']

  return {
    'white': fixed(0.93, 0.92, 0.9),
    'black': fixed(0.05, 0.05, 0.06),
    'inside': fixed(0.28, 0.07, 0.08),
    'teeth': fixed(0.95, 0.93, 0.88),
    'lash': 0.25 * p['hair'] + 0.12 * p['skin'],
    'brow': 0.65 * p['hair'] + 0.05 * p['skin'],
  }


def _paint(p, size: int) -> np.ndarray:
  """Paints one block of frames, uint8 [F, size, size, 3]."""
  axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
  x, y = axis[None, None, :], axis[None, :, None]
  u, v = _face_coordinates(x, y, p)
  image = np.empty((len(u), 3, size, size), np.float32)
  whole = face.Part(image, u, v)
  face.paint_background(whole, p, x, y)
  inner = face.Part(image, u + np.float32(0.12) * p['yaw'], v)
  inner = face.Part(image, inner.u, v + np.float32(0.1) * p['pitch'])
  skin = face.shading(inner, p)[:, None] * p['skin']
  image += face.face_mask(u, v, p)[:, None] * (skin - image)
  face.paint_eyes(_rows(inner, -0.6, 0.2, size), p)
  face.paint_brows(_rows(inner, -0.95, 0.0, size), p)
  face.paint_mouth(_rows(inner, 0.1, 1.0, size), p)
  face.paint_hair(_rows(whole, -1.0, -0.2, size), p)
  face.paint_occlusion(inner, p)
  return _camera(image, p)


def _face_coordinates(x, y, p):
  x = (x - p['shift_x']) / p['scale']
  y = (y - p['shift_y']) / p['scale']
  cos, sin = np.cos(p['roll']), np.sin(p['roll'])
  return cos * x + sin * y, cos * y - sin * x


def _rows(part: face.Part, low: float, high: float, size: int) -> face.Part:
  """The image rows between two heights of an upright face, as views."""
  rows = slice(
    max(0, int((low + 1) * size / 2)), min(size, int((high + 1) * size / 2) + 1)
  )
  return face.Part(part.image[:, :, rows], part.u[:, rows], part.v[:, rows])


def _camera(image, p) -> np.ndarray:
  """Exposure, colour cast, sensor noise and quantisation."""
  image *= p['exposure'][:, None] * p['cast'] * 255
  image += (p['noise'] * 255)[:, None] * _noise(p, image.shape)
  np.clip(image, 0, 255, out=image)
  return np.rint(image).astype(np.uint8).transpose(0, 2, 3, 1)


def _noise(p, shape) -> np.ndarray:
  """Sensor noise of unit variance: a triangular distribution from bytes."""
  noise = np.empty(shape, np.float32)
  count = noise[0].size
  for i, (seed, frame) in enumerate(zip(p['noise_seed'], p['frame'])):
    bits = np.random.Philox(key=int(seed), counter=[0, 0, int(frame), 2])
    raw = np.random.Generator(bits).bytes(2 * count)
    pair = np.frombuffer(raw, np.uint8).reshape(2, *shape[1:])
    np.subtract(pair[0], pair[1], out=noise[i], dtype=np.float32)
  noise *= np.float32(1 / 104.5)
  return noise
