"""Opens files of video and sound with PyAV (optional: pip install av)."""

import contextlib
import fractions
import importlib.util
import itertools
import os
import struct
from collections.abc import Iterator

from emojax.data.readers.files.problems import DataError
from emojax.host import files

# FFmpeg looks at the content, not at the name: a playlist that is called a.mp4
# would open other files and addresses.
_FORMATS = (
  'mov,avi,matroska,mpeg,mpegts,mpegvideo,m4v,h264,hevc,mjpeg,flv,asf,ogg,mxf,'
  'mp3,aac,ac3,eac3,wav,w64,flac,aiff,au,amr,caf,dv,ivf,obu'
)
_OPTIONS = {'format_whitelist': _FORMATS, 'protocol_whitelist': 'file'}
# What MP4 and MOV files begin with.
_MP4 = (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip')
# Its parts may be 8 bytes long. A file that is recorded in fragments has its index
# in front of them, and others have few.
_MOST_BOXES = 1 << 16
# Errors in a row after which a damaged file is not read on.
_MOST_FAILURES = 16


def available() -> bool:
  """Whether PyAV is installed."""
  return importlib.util.find_spec('av') is not None


@contextlib.contextmanager
def opened(file: str | os.PathLike) -> Iterator:
  """Opens a file for reading; a context manager of PyAV's container.

  Raises:
    DataError: PyAV is not installed, or the file is none that FFmpeg reads.
  """
  if not available():
    raise DataError(
      'a video file, and PyAV is not installed',
      'PyAV (pip install av), or the frames as image files in a folder',
      file,
    )
  import av
  from av.error import FFmpegError

  # A whole path: 'concat:a|b' in a relative one is no name for FFmpeg.
  path = os.path.abspath(os.fspath(file))
  _check_whole(path, file)
  try:
    container = av.open(path, options=_OPTIONS, metadata_errors='replace')
  except (FFmpegError, OSError, ValueError) as error:
    expected = 'a whole file of video or sound that FFmpeg reads'
    raise DataError(reason(error), expected, file) from error
  with container:
    yield container


def reason(error: Exception) -> str:
  """What an error of FFmpeg says, without its number and the file."""
  return getattr(error, 'strerror', None) or str(error)


def _check_whole(path: str, file: str | os.PathLike):
  """Refuses files whose beginning shows that too little is there.

  FFmpeg opens an MP4 whose index is cut, with the tracks that are left.
  """
  found = ''
  try:
    if not os.path.getsize(path):
      found = 'an empty file'
    with open(path, 'rb', opener=files.open_ending) as stream:
      first = stream.read(8)[4:]
    boxes = itertools.islice(_boxes(path), _MOST_BOXES)
    if first in _MP4 and b'moov' not in boxes:
      found = (
        'an MP4 or MOV file without its whole index (moov) among its first '
        f'{_MOST_BOXES:,} parts: it was cut, or its recording never ended'
      )
  except files.StrangeFileError as error:  # FFmpeg would wait for it
    found = str(error.strerror)
  except (OSError, ValueError):
    pass  # FFmpeg says why
  if found:
    raise DataError(found, 'a whole file of video or sound', file)


def _boxes(path: str) -> Iterator[bytes]:
  """Types of the outermost boxes of an MP4 file, as far as they are whole."""
  end, at = os.path.getsize(path), 0
  with open(path, 'rb') as file:
    while at < end:
      file.seek(at)
      head = file.read(16)
      if len(head) < 8:
        return
      size, kind = struct.unpack('>I4s', head[:8])
      if size == 1 and len(head) == 16:
        (size,) = struct.unpack('>Q', head[8:])
      size = size or end - at
      if size < 8 or at + size > end:
        return
      yield kind
      at += size


def videos(container) -> list:
  """Returns the video streams of a container that are no still pictures."""
  from av.stream import Disposition

  still = Disposition.attached_pic | Disposition.timed_thumbnails
  return [s for s in container.streams.video if not s.disposition & still]


def pictures(container, file: str | os.PathLike):
  """Returns the video stream of a container; a cover picture is none.

  Raises:
    DataError: There is no video, or none that FFmpeg decodes.
  """
  streams, found = container.streams, videos(container)
  if not found:
    cover = ' and a cover picture' if streams.video else ''
    what = f'sound{cover}' if streams.audio else f'no stream of video{cover}'
    raise DataError(f'a file with {what} only', 'a file with a video', file)
  # Among several, the one that FFmpeg's own players choose.
  best = streams.best('video') if len(found) > 1 else found[0]
  chosen = next((s for s in found if s is best), found[0])
  if chosen.codec_context is None:
    raise DataError('a codec that FFmpeg does not know', 'another codec', file)
  return chosen


def frame_rate(stream) -> fractions.Fraction:
  """Frames per second of a stream without time stamps."""
  return fractions.Fraction(stream.average_rate or 25)  # as FFmpeg assumes


def packets(container, *streams, failed=lambda error: None) -> Iterator:
  """Yields the packets of some streams (of all without any), past damage.

  Args:
    container: What `opened` gives.
    *streams: Streams to read.
    failed: Called with every error of FFmpeg.
  """
  from av.error import FFmpegError

  failures = 0
  while failures < _MOST_FAILURES:
    try:
      for packet in container.demux(*streams):
        yield packet
        failures = 0
      return
    except FFmpegError as error:
      failures += 1
      failed(error)


def displayed(packet) -> bool:
  """Whether a packet of video holds a frame that is displayed.

  Edit lists cut frames away that others need; VP8 has frames that only serve
  as references (RFC 6386, 9.1: the flag `show_frame`).
  """
  if not packet.size or packet.is_discard:
    return False
  hidden = packet.stream.codec_context.name == 'vp8'
  return not hidden or bool(memoryview(packet)[0] & 0x10)
