"""What a video's packets say before anything is decoded."""

import os
from typing import NamedTuple

import numpy as np

from emojax.data.readers.files import containers
from emojax.data.readers.files.frame_order import FrameOrder

# Transfer characteristics of ITU-T H.273 whose pictures are not for SDR.
_HDR = {16: 'PQ', 18: 'HLG'}
# Seconds that may be missing at the end of a file: containers round.
_SHORT = 0.5
# Seconds without a frame that are worth a remark.
_GAP = 0.5
# Frames nearer than this to a constant rate are at one: WebM rounds to 1 ms.
_STEADY = 0.005


class Remark(NamedTuple):
  """Something worth knowing about a file that is read nevertheless."""

  kind: str
  detail: str


class Video(NamedTuple):
  """What `probe` finds.

  Attributes:
    times: float64 [n], seconds of every displayed frame after the first, in
      order of display.
    fps: Frames per second on average; None when unknown.
    start: Time of frame 0 on the file's clock, which its sound has, too; None
      when unknown.
    remarks: What the user of the video should know.
  """

  times: np.ndarray
  fps: float | None
  start: float | None
  remarks: tuple[Remark, ...]

  @property
  def steady(self) -> bool:
    """Whether frame i is at i / fps."""
    if not self.fps:
      return False
    expected = np.arange(len(self.times)) / self.fps
    return bool(np.all(np.abs(self.times - expected) < _STEADY))


def probe(file: str | os.PathLike) -> Video:
  """Reads all packets of a video file, without decoding any.

  Packets are counted, not the container's own claim, which can be absent or
  count what an edit list cuts away.

  Raises:
    DataError: PyAV is not installed, or the file is no video.
  """
  errors: list[Exception] = []
  with containers.opened(file) as container:
    stream = containers.pictures(container, file)
    order, stamps, end = FrameOrder(), [], 0.0
    for packet in containers.packets(container, failed=errors.append):
      stamp = packet.dts if packet.pts is None else packet.pts
      if packet.size and stamp is not None:
        stop = stamp + (packet.duration or 0)
        end = max(end, float(stop * packet.time_base))
      if packet.stream is stream and containers.displayed(packet):
        stamps.append(order.expect(packet.pts, packet.dts))
    fps = float(stream.average_rate) if stream.average_rate else None
    base = stream.time_base
    if order.counted:
      base = 1 / containers.frame_rate(stream)
    first = min(stamps, default=0)
    ticks = np.sort(np.array(stamps, np.int64) - first)
    times = ticks * base.numerator / base.denominator
    start = float(first * base) if stamps and not order.counted else None
    remarks = [*_cut(container, stream, times, end, errors), *_look(stream)]
  found = Video(times, fps, start, ())
  return found._replace(remarks=(*remarks, *_timing(found)))


def start(file: str | os.PathLike) -> float | None:
  """Returns the time of frame 0 on the file's clock, None without a video."""
  with containers.opened(file) as container:
    if not containers.videos(container):
      return None
  return probe(file).start


def looks(file: str | os.PathLike) -> tuple[Remark, ...]:
  """Those of the remarks for which no packet is read: what pictures look like.

  Raises:
    DataError: As `probe`.
  """
  with containers.opened(file) as container:
    return tuple(_look(containers.pictures(container, file)))


def _cut(container, stream, times, end: float, errors) -> list[Remark]:
  """Says that a file ends before the time or number that its header names."""
  remarks = []
  if errors:
    text = f'{len(errors)} times: {containers.reason(errors[0])}'
    remarks.append(Remark('damaged files, read as far as possible', text))
  name, frames = container.format.name, stream.frames
  if 'avi' in name and frames > len(times) + 1:
    detail = f'{len(times)} of {frames} frames'
    remarks.append(Remark('videos that are cut or damaged', detail))
  start = (container.start_time or 0) / 1e6
  promised = start + (container.duration or 0) / 1e6
  # The other containers keep no duration; FFmpeg guesses it.
  if {'mov', 'matroska'} & {*name.split(',')} and promised > end + _SHORT:
    detail = f'ends at {end - start:.2f} of {promised - start:.2f} s'
    remarks.append(Remark('videos that are cut or damaged', detail))
  return remarks


def _timing(video: Video) -> list[Remark]:
  if video.steady or len(video.times) < 2:
    return []
  steps = np.diff(video.times)
  if np.ptp(steps) < 2 * _STEADY:  # a rate that the file rounds
    return []
  longest, usual = int(steps.argmax()), float(np.median(steps))
  kind = 'videos whose frame rate varies: sound follows their time stamps'
  detail = f'{steps.min():.3f} to {steps.max():.3f} s between frames'
  remarks = [Remark(kind, detail)]
  if steps[longest] > max(_GAP, 10 * usual):
    gap = (
      f'{steps[longest]:.2f} s after frame {longest} '
      f'({video.times[longest]:.2f} s)'
    )
    remarks.append(
      Remark('videos with a gap, where frames may be lost, uncounted', gap)
    )
  return remarks


def _look(stream) -> list[Remark]:
  remarks = []
  curve = _HDR.get(int(stream.codec_context.color_trc or 0))
  if curve:
    kind = 'HDR videos, read as SDR: paler than they are shown'
    remarks.append(Remark(kind, curve))
  shape = stream.sample_aspect_ratio
  if shape and shape != 1:
    kind = 'videos whose pixels are not square, read as they are stored'
    remarks.append(Remark(kind, f'{shape.numerator}:{shape.denominator}'))
  return remarks
