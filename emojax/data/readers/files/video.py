"""Frames of video files with their times, decoded with PyAV (optional)."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from emojax.data.readers.files import containers, display
from emojax.data.readers.files.containers import available
from emojax.data.readers.files.frame_order import FrameOrder
from emojax.data.readers.files.problems import DataError
from emojax.data.readers.records import Frame

__all__ = ['VIDEOS', 'VideoFrame', 'available', 'frames', 'rate']

VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg')
_WHOLE = (
  'a whole video (frames after it, up to the next key frame, can show traces '
  'of the damage)'
)


class Picture(NamedTuple):
  """A frame of a video: its number, its time and its pixels.

  Attributes:
    index: Number of the frame, from 0, in order of display.
    time: Seconds after frame 0, as the file's time stamps say.
    image: uint8 [H, W, 3], RGB, turned as it is displayed.
  """

  index: int
  time: float
  image: np.ndarray


def frames(
  file: str | os.PathLike,
  report: Callable[[DataError], object] | None = None,
  wanted: Callable[[int, float], bool] | None = None,
) -> Iterator[Picture]:
  """Decodes a video from its first frame to its last.

  The file is read once from its start, without seeking, and a few frames are
  held at a time. Where damage costs frames, the numbers and times of those
  that follow stay what they are.

  Args:
    file: A video file.
    report: Called with a description of every run of frames that are lost,
      before the frame that follows them: `errors.append` collects them. None
      raises the first instead.
    wanted: Says of (index, time) of a frame, in order, whether it is to be
      given; the others are decoded and not made pictures of. None is all.

  Yields:
    (index, time, image) of every frame that can be decoded; see `Picture`.

  Raises:
    DataError: PyAV is not installed, the file is no video, or (without
      `report`) a frame is lost.
  """
  lost: list[_Lost] = []
  for found in _decoded(os.fspath(file), wanted or _all):
    if isinstance(found, _Lost):
      lost = [*lost[:1], found]  # the first and the last tell where
      continue
    if lost:
      _report(lost, file, report)
      lost = []
    if found is not None:
      yield found
  if lost:
    _report(lost, file, report)


class _Lost(NamedTuple):
  """A frame that cannot be decoded."""

  index: int
  time: float
  why: str


def _report(lost: list[_Lost], file, report):
  error = _damage(lost[0], lost[-1], file)
  if report is None:
    raise error
  report(error)


def _damage(first: _Lost, last: _Lost, file) -> DataError:
  where = f'frame {first.index} at {first.time:.3f} s'
  if last.index > first.index:
    where = (
      f'frames {first.index} to {last.index} at {first.time:.3f} to '
      f'{last.time:.3f} s'
    )
  return DataError(f'no picture of {where} ({first.why})', _WHOLE, file)


def _all(index: int, time: float) -> bool:
  return True


def _decoded(
  file: str, wanted: Callable[[int, float], bool] = _all
) -> Iterator[Picture | _Lost | None]:
  """Yields every frame of a video, lost ones as well, none left out.

  What is not wanted is None, and nothing where it is lost.
  """
  with containers.opened(file) as container:
    stream = containers.pictures(container, file)
    # Threads that decode several frames at once give a damaged packet's error
    # to another packet, or give a frame out that is none (VP8).
    stream.thread_type = 'SLICE'
    order, state = FrameOrder(), _State()
    seconds = _clock(order, stream)
    for packet in containers.packets(container, stream, failed=state.failed):
      if containers.displayed(packet):
        stamp = order.expect(packet.pts, packet.dts)
        if packet.is_corrupt:
          state.cut.add(stamp)
      for frame in state.decode(packet):
        lost, own = order.take(frame.pts)
        for index, stamp in lost:
          if wanted(index, seconds(index, stamp)):
            yield _Lost(index, seconds(index, stamp), state.why)
        if own is not None:
          time = seconds(*own)
          asked = wanted(own[0], time)
          yield state.picture(frame, own, time) if asked else None
    for index, stamp in order.rest():
      if wanted(index, seconds(index, stamp)):
        yield _Lost(index, seconds(index, stamp), state.why)


def _clock(order: FrameOrder, stream) -> Callable[[int, int], float]:
  """Returns the function of (number, stamp) to seconds after frame 0."""
  per_frame = 1 / containers.frame_rate(stream)

  def seconds(index: int, stamp: int) -> float:
    if order.counted or order.origin is None:
      return float(index * per_frame)
    return float((stamp - order.origin) * stream.time_base)

  return seconds


class _State:
  """What decoding has met: the latest error, and packets that are cut."""

  def __init__(self):
    self.why = 'the decoder gave none'
    self.cut: set[int] = set()

  def failed(self, error: Exception):
    self.why = containers.reason(error)

  def decode(self, packet) -> list:
    from av.error import FFmpegError

    try:
      return packet.decode()
    except (FFmpegError, ValueError) as error:
      self.failed(error)
      return []

  def picture(self, frame, own: tuple[int, int], time: float):
    """The picture of a decoded frame, unless it is known to be damaged."""
    index, stamp = own
    if frame.is_corrupt or stamp in self.cut:
      self.cut.discard(stamp)
      return _Lost(index, time, 'the decoder fills damaged parts in')
    try:
      return Picture(index, time, _pixels(frame))
    except DataError as error:
      return _Lost(index, time, error.found)


def _pixels(frame) -> np.ndarray:
  from av.sidedata.sidedata import SideDataContainer, Type

  if frame.width * frame.height > (Image.MAX_IMAGE_PIXELS or math.inf):
    limit = f'at most {Image.MAX_IMAGE_PIXELS:,} pixels: scale it down'
    raise DataError('a frame of more', limit)
  # `frame.side_data` would stay in the frame and point back to it: pictures are
  # held until the garbage collector looks for circles, hundreds of MiB later.
  # Its annotation lacks the constructor.
  side = SideDataContainer(frame)  # pyright: ignore[reportCallIssue]
  matrix = side.get(Type.DISPLAYMATRIX)
  image = frame.to_ndarray(format='rgb24')
  return display.upright(image, None if matrix is None else bytes(matrix))


def rate(file: str | os.PathLike) -> float | None:
  """Returns the frames per second of a video file, as exact as it says.

  Rounding 29.97, as the published code of paper 000 does, would put the sound
  of the frames after ten minutes off by 0.6 s.
  """
  with containers.opened(file) as container:
    found = containers.pictures(container, file).average_rate
    return float(found) if found else None


@dataclasses.dataclass(frozen=True)
class VideoFrame(Frame):
  """Frame number `index` (0-based, in order of display) of a video file."""

  file: str
  index: int

  def image(self) -> Image.Image:
    return Image.fromarray(_decoder(self.file).image(self.index))


@functools.lru_cache(maxsize=1)
def _decoder(file: str) -> '_Decoder':
  return _Decoder(file)


class _Decoder:
  """Decodes on from the last frame asked for; going back starts again.

  Frames that are lost and what lies behind the end are no reason to: each
  would cost the whole video once more.
  """

  def __init__(self, file: str):
    self.file = file
    self._restart()

  def _restart(self):
    self.frames = _decoded(self.file)
    self.last: Any = None  # the picture that was decoded last
    self.count, self.lost = 0, {}

  def image(self, index: int) -> np.ndarray:
    if index not in self.lost and index < self.count - 1:
      self._restart()
    while self.count <= index:
      self._advance(index)
    if index in self.lost:
      lost = self.lost[index]
      raise _damage(lost, lost, self.file)
    return self.last.image

  def _advance(self, wanted: int):
    found = next(self.frames, None)
    if found is None:
      found = f'no frame {wanted}: the video has {self.count}'
      raise DataError(found, 'a video with more frames', self.file)
    self.count += 1
    if isinstance(found, _Lost):
      self.lost[found.index] = found
    else:
      self.last = found
