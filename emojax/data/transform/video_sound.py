"""The sound of video files, decoded with PyAV (optional: pip install av)."""

import pathlib
from typing import NamedTuple

import numpy as np

from emojax.data.readers.files import containers, probing
from emojax.data.readers.files.problems import DataError

# Of time stamps, in seconds: codecs are off by less, broken files by more.
_SMALLEST_GAP, _LARGEST_GAP = 0.05, 3600.0


class Damage(NamedTuple):
  """A stretch of sound that cannot be decoded; silence stands for it.

  Attributes:
    start: Seconds after the first picture.
    stop: Its end.
    why: What the decoder said.
  """

  start: float
  stop: float
  why: str

  def __str__(self) -> str:
    return f'no sound from {self.start:.2f} to {self.stop:.2f} s ({self.why})'


def read(path: pathlib.Path) -> tuple[np.ndarray, int, list[Damage]]:
  """Reads the first sound stream of a video, or of a file of sound alone.

  Returns:
    float32 [n] samples from the first picture on, channels averaged; samples
    per second; the stretches that cannot be decoded.

  Raises:
    ValueError: There is no sound, or the file cannot be read.
  """
  try:
    with containers.opened(path) as container:
      if not container.streams.audio:
        raise ValueError('the file has no sound')
      stream = container.streams.audio[0]
      if stream.codec_context is None or not stream.rate:
        raise ValueError('the sound is of no format that FFmpeg knows')
      track = _Track(stream, probing.start(path))
      track.read(container)
      return *track.samples(), track.damage
  except DataError as error:
    raise ValueError(f'{path}: cannot be decoded ({error.found})') from error
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


class _Track:
  """Sound as it is decoded.

  Sound that begins later, and gaps in its time stamps, are filled with zeros:
  without them all that follows would be heard too early.
  """

  def __init__(self, stream, origin: float | None):
    import av

    self.stream, self.origin = stream, origin
    self.rate, self.damage = stream.rate, []
    self.convert = av.AudioResampler(format='fltp')
    self.parts, self.first, self.count = [], 0, 0
    self.why, self.missing = '', 0.0  # since the last frame that was decoded

  def read(self, container):
    from av.error import FFmpegError

    def failed(error):
      self.why = containers.reason(error)

    packets = containers.packets(container, self.stream, failed=failed)
    for packet in packets:
      try:
        frames = packet.decode()
      except FFmpegError as error:
        failed(error)
        self.missing += float((packet.duration or 0) * packet.time_base)
        continue
      for frame in frames:
        self._add(frame)
    self._append(_mono(self.convert.resample(None)))
    if self.why:
      self._fill(round(self.missing * self.rate))

  def samples(self) -> tuple[np.ndarray, int]:
    parts = [np.zeros(0, np.float32), *self.parts]
    return np.concatenate(parts)[-self.first :], self.rate

  def _add(self, frame):
    at = self.count + round(self.missing * self.rate)
    if self.origin is not None and frame.time is not None:
      at = round((frame.time - self.origin) * self.rate)
    if not self.parts:
      self.first = self.count = min(at, 0)
    self._fill(at - self.count)
    self._append(_mono(self.convert.resample(frame)))

  def _fill(self, samples: int):
    """Puts silence for what is missing, and says where that is damage."""
    if samples > _LARGEST_GAP * self.rate:
      raise ValueError(
        f'{samples / self.rate:.0f} seconds without sound by the time stamps: '
        'extract the sound with ffmpeg to .wav'
      )
    samples = max(samples, 0)
    if self.why:
      ends = self.count / self.rate, (self.count + samples) / self.rate
      self.damage.append(Damage(*ends, self.why))
    if self.why or samples > _SMALLEST_GAP * self.rate:
      self._append([np.zeros(samples, np.float32)])
    self.why, self.missing = '', 0.0

  def _append(self, parts: list[np.ndarray]):
    self.parts += parts
    self.count += sum(map(len, parts))


def _mono(frames) -> list[np.ndarray]:
  return [frame.to_ndarray().mean(0) for frame in frames]
