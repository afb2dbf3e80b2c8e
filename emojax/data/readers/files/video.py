"""Frames of video files, decoded with PyAV (optional: pip install av)."""

import dataclasses
import functools
import importlib.util
import os

from PIL import Image

from emojax.data.readers.files.problems import DataError
from emojax.data.readers.records import Frame

VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg')


def available() -> bool:
  """Whether PyAV is installed."""
  return importlib.util.find_spec('av') is not None


def _open(file: str):
  if not available():
    raise DataError(
      'a video file, and PyAV is not installed',
      'PyAV (pip install av), or the frames as image files in a folder',
      file,
    )
  import av

  try:
    container = av.open(file)
    stream = container.streams.video[0]
  except (av.error.FFmpegError, OSError, IndexError) as error:
    raise DataError(str(error), 'a video that FFmpeg reads', file) from error
  stream.thread_type = 'AUTO'
  return container, stream


def probe(file: str | os.PathLike) -> tuple[int, float | None]:
  """Returns (number of frames, frames per second or None) of a video file.

  Packets are counted, not the container's own claim, which can be absent.

  Raises:
    DataError: PyAV is not installed, or the file is no video.
  """
  file = os.fspath(file)
  container, stream = _open(file)
  import av

  with container:
    rate = stream.average_rate
    try:
      count = sum(1 for packet in container.demux(stream) if packet.size)
    except av.error.FFmpegError as error:
      raise DataError(str(error), 'a whole video file', file) from error
  return count, float(rate) if rate else None


def rate(file: str | os.PathLike) -> float | None:
  """Returns the frames per second of a video file, as exact as it says.

  Rounding 29.97, as the published code of paper 000 does, would put the sound
  of the frames after ten minutes off by 0.6 s.
  """
  container, stream = _open(os.fspath(file))
  with container:
    found = stream.average_rate
    return float(found) if found else None


@dataclasses.dataclass(frozen=True)
class VideoFrame(Frame):
  """Frame number `index` (0-based, in order of display) of a video file."""

  file: str
  index: int

  def image(self) -> Image.Image:
    return _decoder(self.file).image(self.index)


@functools.lru_cache(maxsize=1)
def _decoder(file: str) -> '_Decoder':
  return _Decoder(file)


class _Decoder:
  """Decodes on from the last frame asked for; going back starts again."""

  def __init__(self, file: str):
    self.file = file
    self._restart()

  def _restart(self):
    container, stream = _open(self.file)
    self.frames, self.next = container.decode(stream), 0

  def image(self, index: int) -> Image.Image:
    if index < self.next:
      self._restart()
    frame = None
    while self.next <= index:
      frame = self._advance()
    image = frame.to_image()
    rotation = getattr(frame, 'rotation', 0)
    return image.rotate(rotation, expand=True) if rotation else image

  def _advance(self):
    import av

    try:
      frame = next(self.frames)
    except (av.error.FFmpegError, StopIteration) as error:
      self._restart()
      found = f'{error or "the end"} after frame {self.next}'
      raise DataError(found, 'a video with more frames', self.file) from error
    self.next += 1
    return frame
