"""Small videos whose frames tell their number and which way up they are.

Every picture has four corners of known colours; six fields in the middle, black
or white, are the bits of the frame's number.
"""

import fractions
import re
import struct

import numpy as np
import pytest

av = pytest.importorskip('av', reason='video files: pip install av')

HEIGHT, WIDTH = 48, 64
CORNERS = 'RGBW'  # top left, top right, bottom left, bottom right
_COLOURS = {
  'R': (230, 20, 20),
  'G': (20, 200, 20),
  'B': (20, 20, 230),
  'W': (235, 235, 235),
}
_BITS = 6


def picture(number):
  """uint8 [48, 64, 3], for numbers 0..63."""
  colours = np.array([_COLOURS[c] for c in CORNERS], np.uint8)
  corners = colours.reshape(2, 2, 3).repeat(HEIGHT // 2, 0)
  image = corners.repeat(WIDTH // 2, 1)
  for bit in range(_BITS):
    image[16:32, 8 + 8 * bit : 16 + 8 * bit] = 235 * (number >> bit & 1)
  return image


def number(image):
  """The number that an upright picture shows."""
  fields = (image[24, 12 + 8 * bit].mean() > 120 for bit in range(_BITS))
  return sum(bool(on) << bit for bit, on in enumerate(fields))


def corners(image):
  """Letters of the corners' colours, left to right and top to bottom."""
  height, width = image.shape[:2]
  found = ''
  for y in (4, height - 5):
    for x in (4, width - 5):
      seen = image[y, x].astype(int)
      far = {k: np.abs(seen - v).sum() for k, v in _COLOURS.items()}
      found += min(far, key=far.get)
  return found


def write(
  path,
  count=12,
  codec='libx264',
  rate=25,
  times=None,
  options=None,
  sound=None,
  cover=False,
  curve=None,
):
  """Writes a video.

  Args:
    path: File; its name gives the container.
    count: Number of frames.
    codec: Encoder.
    rate: Frames per second.
    times: Milliseconds of every frame, else by the rate.
    options: Of the encoder.
    sound: float32 [n] samples at 48 kHz, or None.
    cover: Add a cover picture.
    curve: Transfer characteristics to name.
  """
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.thread_count = 2  # encoders slice pictures by it: as on two cores
    stream.width, stream.height = WIDTH, HEIGHT
    stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
    if curve:
      stream.codec_context.color_trc = curve
    if times is not None:
      stream.codec_context.time_base = fractions.Fraction(1, 1000)
    track = None
    if sound is not None:
      pcm = str(path).endswith('.mkv')
      layout = 'mono'
      name = 'pcm_s16le' if pcm else 'aac'
      track = container.add_stream(name, rate=48000, layout=layout)
    still = _cover(container) if cover else None
    for i in range(count):
      frame = av.VideoFrame.from_ndarray(picture(i), format='rgb24')
      if times is not None:
        frame.pts, frame.time_base = times[i], fractions.Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
    if track is not None:
      _sound(container, track, sound)
    if still is not None:
      grey = np.full((32, 32, 3), 128, np.uint8)
      frame = av.VideoFrame.from_ndarray(grey, format='rgb24')
      container.mux(still.encode(frame.reformat(format='yuvj420p')))
      container.mux(still.encode())
  return path


def _cover(container):
  still = container.add_stream('mjpeg', rate=1)
  still.width, still.height, still.pix_fmt = 32, 32, 'yuvj420p'
  still.disposition = av.stream.Disposition.attached_pic
  return still


def _sound(container, track, samples):
  data = (np.asarray(samples) * 32767).astype(np.int16)[None]
  frame = av.AudioFrame.from_ndarray(data, 's16', 'mono')
  frame.sample_rate, frame.pts = 48000, 0
  fifo = av.AudioFifo()
  fifo.write(frame)
  size = track.codec_context.frame_size or 1024
  while (part := fifo.read(size, partial=True)) is not None:
    container.mux(track.encode(part))
  container.mux(track.encode())


def write_sound(path, samples, cover=False):
  """Writes a file of sound alone."""
  with av.open(str(path), 'w') as container:
    track = container.add_stream('aac', rate=48000, layout='mono')
    still = _cover(container) if cover else None
    _sound(container, track, samples)
    if still is not None:
      grey = np.full((32, 32, 3), 128, np.uint8)
      frame = av.VideoFrame.from_ndarray(grey, format='rgb24')
      container.mux(still.encode(frame.reformat(format='yuvj420p')))
      container.mux(still.encode())
  return path


def patch(path, start, data):
  """Replaces bytes of a file."""
  whole = bytearray(path.read_bytes())
  whole[start : start + len(data)] = data
  path.write_bytes(whole)
  return path


def set_matrix(path, matrix):
  """Writes (a, b, c, d), a display matrix, into the track of an MP4 or MOV."""
  a, b, c, d = (65536 * value for value in matrix)
  values = (round(v) for v in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
  at = path.read_bytes().index(b'tkhd') + 44
  return patch(path, at, struct.pack('>9i', *values))


def set_edit(path, first, count, rate=25):
  """Makes an MP4 show `count` frames from frame `first` on."""
  data = path.read_bytes()
  ticks = struct.unpack_from('>I', data, data.index(b'mdhd') + 16)[0]
  scale = struct.unpack_from('>I', data, data.index(b'mvhd') + 16)[0]
  at = data.index(b'elst') + 12
  start = struct.unpack_from('>i', data, at + 4)[0] + first * ticks // rate
  return patch(path, at, struct.pack('>Ii', count * scale // rate, start))


def cover_first(path):
  """Moves the cover picture of an MP4 before its tracks."""
  data = path.read_bytes()
  at = data.index(b'moov') - 4
  size = struct.unpack_from('>I', data, at)[0]
  boxes, inside = [], at + 8
  while inside < at + size:
    length = struct.unpack_from('>I', data, inside)[0]
    boxes.append(data[inside : inside + length])
    inside += length
  boxes.sort(key=lambda box: [b'mvhd', b'udta', b'trak'].index(box[4:8]))
  return patch(path, at + 8, b''.join(boxes))


def packets(path, kind='video'):
  """(position, size, time stamp, key frame) of every packet, in file order."""
  with av.open(str(path)) as container:
    stream = getattr(container.streams, kind)[0]
    return [
      (p.pos, p.size, p.pts, p.is_keyframe)
      for p in container.demux(stream)
      if p.size
    ]


def damage(path, which, kind='video', skip=0):
  """Zeroes a packet but for its first bytes; returns its rank in display."""
  found = packets(path, kind)
  position, size, stamp, _ = found[which]
  if not re.search(r'\.(mp4|mov|avi)$', str(path)):
    raise ValueError('the position is that of the block, not of its bytes')
  patch(path, position + skip, bytes(size - skip))
  return sorted(p[2] for p in found).index(stamp)
