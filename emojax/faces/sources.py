"""Pictures, videos and webcams as a stream of frames.

Every file goes through the checks of `emojax/data/readers/files/`: formats are
those of a list, whatever the name says, playlists open nothing, and what
decoders would make up in silence is a problem instead. Of pictures: alpha is
left out (the colours under it are seen), palettes and CMYK become RGB, 16 bits
become 8, grey becomes three equal channels, EXIF turns, and animations or
several pages are refused, but for the photograph of a phone's MPO.
"""

import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from emojax.data.readers.files import (
  bounded,
  containers,
  folders,
  media,
  pictures,
  probing,
  tables,
  video,
)
from emojax.data.readers.files.problems import DataError, PathLike, one_line
from emojax.host import files

PICTURES = (*folders.IMAGES, '.gif', '.ppm', '.pgm', '.avif', '.jp2', '.dib')
VIDEOS = (*video.VIDEOS, '.mpeg', '.ts', '.mts', '.wmv', '.flv', '.3gp')
_FORMATS = (*pictures.FORMATS, 'AVIF', 'JPEG2000')
_KINDS = f'a picture ({", ".join(PICTURES)}) or a video ({", ".join(VIDEOS)})'
# What `probing` says of time stamps concerns sound.
_NO_MATTER = ('videos whose frame rate varies',)
_PART = ('videos that are cut or damaged',)

Report = Callable[[str], object]


class Source(NamedTuple):
  """Something with frames.

  Attributes:
    path: Where it is opened; the number of a webcam.
    name: The name shown to the user, the same in every run: the path as it was
      given, or below the folder that was given, with slashes.
    kind: 'picture', 'video' or 'webcam'.
  """

  path: str
  name: str
  kind: str


class Frame(NamedTuple):
  """A picture, or one frame of a video.

  Attributes:
    file: Name of its source.
    index: Number of the frame, from 0; 0 for pictures.
    time: Seconds after frame 0, as the file's time stamps say; 0.0 for pictures.
    image: uint8 [H, W, 3], RGB, upright.
  """

  file: str
  index: int
  time: float
  image: np.ndarray


def find(
  paths: Sequence[PathLike], leave_out: Callable[[str], bool] | None = None
) -> tuple[list[Source], list[str]]:
  """Returns the pictures and videos of files and folders.

  Folders are walked with all below them, links to folders included; files
  before folders, in natural order of their names ('f9' before 'f10'). What is
  hidden (a dot in front) is left out. What is named twice is taken once.

  Args:
    paths: Files and folders, in the order in which they are to come. A file
      that is named may have any name, those of a folder are known by theirs.
    leave_out: Whether a folder below a named one is not looked into.

  Returns:
    Sources, and a line for everything that is none.
  """
  found: dict[str, Source] = {}
  problems: list[str] = []
  for given in paths:
    for path in _below(os.fspath(given), problems, leave_out):
      try:
        source = _source(path, path == os.fspath(given))
      except DataError as error:
        problems.append(str(error))
        continue
      found.setdefault(_place(path), source)
  return list(found.values()), problems


def webcam(number: int = 0) -> Source:
  """Returns the source of a webcam.

  Raises:
    ValueError: The number is negative.
  """
  if number < 0:
    raise ValueError(f'webcams are numbered from 0, not {number}')
  return Source(str(number), f'webcam {number}', 'webcam')


def frames(
  source: Source,
  every: int = 1,
  start: float | None = None,
  stop: float | None = None,
  skip_to: int | None = None,
  problems: Report | None = None,
) -> Iterator[Frame]:
  """Yields the frames of a source, one at a time.

  Videos are decoded from their first frame on, without seeking: numbers and
  times are the same whatever is asked for. Pictures have no time; `start`,
  `stop` and `every` leave them.

  Args:
    source: What to read.
    every: Only frames whose number is a multiple of it.
    start: Only frames at this second or later.
    stop: Only frames before this second.
    skip_to: Only frames with this number or a later one: where a killed run
      goes on.
    problems: Called with a line for everything that cannot be read (`frames`
      then goes on or ends) or is not read as it is shown; None raises DataError
      where something cannot be read.

  Raises:
    ValueError: A number is out of its range.
  """
  if every < 1 or (skip_to or 0) < 0:
    raise ValueError('every is 1 or more, skip_to 0 or more')
  wanted = _Wanted(every, start or 0.0, stop, skip_to or 0)
  read = {'picture': _picture, 'video': _video, 'webcam': _webcam}[source.kind]
  try:
    yield from read(source, wanted, problems)
  except DataError as error:
    _report(error, problems)


class _Wanted(NamedTuple):
  """Which frames are asked for."""

  every: int
  start: float
  stop: float | None
  first: int

  def __call__(self, index: int, time: float) -> bool:
    turn = index >= self.first and index % self.every == 0
    return turn and time >= self.start and not self.over(time)

  def over(self, time: float) -> bool:
    return self.stop is not None and time >= self.stop

  def nothing(self, path: str, last: float | None = None) -> DataError:
    """That none of a video's frames is asked for, whose last is at a time."""
    if last is not None and last < self.start:
      found = f'a video that ends at {last:.1f} s'
      return DataError(found, f'frames from {self.start:g} s on', path)
    stop = '' if self.stop is None else f' and before {self.stop:g} s'
    found = 'no such frame'
    every = f', 1 of {self.every}' if self.every > 1 else ''
    expected = f'frames from {self.start:g} s on{stop}{every}'
    return DataError(found, expected, path)


def _report(error: DataError, problems: Report | None):
  if problems is None:
    raise error
  problems(str(error))


def _below(
  given: str, problems: list[str], leave_out: Callable[[str], bool] | None
) -> Iterator[str]:
  """Yields a file, or the files below a folder in order."""
  if not _is_dir(given):
    yield given
    return
  seen, waiting = set(), [given]
  while waiting:
    place = waiting.pop()
    if os.path.realpath(place) in seen:  # links can form a circle
      continue
    seen.add(os.path.realpath(place))
    if leave_out is not None and place != given and leave_out(place):
      continue
    try:
      names = [name for name in os.listdir(place) if name[0] != '.']
    except OSError as error:
      expected = 'a folder that can be read'
      problems.append(str(DataError(_why(error), expected, place)))
      continue
    names.sort(key=lambda name: (media.natural(name), name))
    inside = [os.path.join(place, name) for name in names]
    yield from (path for path in inside if not _is_dir(path))
    # A stack: the first folder, with all below it, comes first.
    waiting += [path for path in reversed(inside) if _is_dir(path)]


def _place(path: str) -> str:
  """Where a file is, the same however it is named; a link to a file is another.

  `link/..` is where the folder behind the link is, not where the link is.
  """
  folder, name = os.path.split(path)
  return os.path.join(os.path.realpath(folder), name)


def _is_dir(path: str) -> bool:
  try:
    return os.path.isdir(path)
  except ValueError:  # a NUL in the name
    return False


def _source(path: str, named: bool) -> Source:
  """The source of a file; raises DataError where it is none."""
  try:
    plain = os.path.isfile(path)
    there = plain or os.path.lexists(path)
  except ValueError:
    plain = there = False
  if not plain:
    found = 'no plain file' if there else 'no such file or folder'
    raise DataError(found, _KINDS, path)
  tables.file_name(path)
  name = pathlib.Path(path).as_posix()
  if name[0] in tables.FORMULA:
    name = f'./{name}'
  suffix = os.path.splitext(path)[1].lower()
  if suffix in PICTURES:
    return Source(path, name, 'picture')
  if suffix in VIDEOS:
    return Source(path, name, 'video')
  if not named:
    raise DataError(f'a file {suffix or "without an ending"}', _KINDS, path)
  return Source(path, name, _kind(path))


def _kind(path: str) -> str:
  """What a file is whose name does not say it."""
  try:
    pictures.decode(_bytes(path), path, _FORMATS)
    return 'picture'
  except DataError as no_picture:
    try:
      with containers.opened(path) as container:
        containers.pictures(container, path)
      return 'video'
    except DataError:
      raise DataError(no_picture.found, _KINDS, path) from None


def _bytes(path: str) -> bytes:
  try:
    return files.read_bounded(path, bounded.MAX_BYTES)
  except OSError as error:
    raise DataError(_why(error), 'a picture', path) from error


def _why(error: OSError) -> str:
  return error.strerror or str(error)


def _picture(source: Source, wanted: _Wanted, problems) -> Iterator[Frame]:
  if wanted.first:
    return
  image = pictures.decode(_bytes(source.path), source.path, _FORMATS)
  image = pictures.upright(image, source.path)
  yield Frame(source.name, 0, 0.0, np.array(image.convert('RGB')))


def _video(source: Source, wanted: _Wanted, problems) -> Iterator[Frame]:
  def lost(error: DataError):
    _report(error, problems)

  class Over(Exception):
    """No frame is asked for any more."""

  def asked(index: int, time: float) -> bool:
    if wanted.over(time):
      raise Over
    return wanted(index, time)

  given = 0
  try:
    for picture in video.frames(source.path, lost, asked):
      yield Frame(source.name, *picture)
      given += 1
  except Over:
    if not given and not wanted.first:
      raise wanted.nothing(source.path) from None
    # What is behind is not read: whether it is whole is no matter.
    _remark(source.path, probing.looks(source.path), problems)
    return
  found = probing.probe(source.path)
  if not len(found.times):
    raise DataError('a video without frames', 'at least one', source.path)
  if not given and not wanted.first and wanted.start > 0:
    raise wanted.nothing(source.path, float(found.times[-1]))
  _remark(source.path, found.remarks, problems)


def _remark(path: str, remarks: Sequence[probing.Remark], problems):
  """Reports what is to be known of a video that was read."""
  for remark in remarks:
    said = f'{remark.kind}: {remark.detail}'
    if remark.kind in _PART:
      _report(DataError(said, 'a whole video', path), problems)
    elif problems is not None and not remark.kind.startswith(_NO_MATTER):
      problems(one_line(f'{path}: {said}'))


def _webcam(source: Source, wanted: _Wanted, problems) -> Iterator[Frame]:
  """Frames of a camera until it ends or `stop`; time as its driver says."""
  if not containers.available():
    raise DataError('no PyAV', "it for webcams: pip install 'emojax[faces]'")
  import av
  from av.error import FFmpegError

  kind, address = _camera(source.path)
  try:
    with av.open(address, format=kind) as camera:
      first = None
      for index, frame in enumerate(camera.decode(video=0)):
        # Drivers that give no time leave it to when the frame came.
        now = time.monotonic() if frame.time is None else frame.time
        first = now if first is None else first
        seconds = float(now - first)
        if wanted.over(seconds):
          return
        if wanted(index, seconds):
          image = frame.to_ndarray(format='rgb24')
          yield Frame(source.name, index, seconds, image)
  except (FFmpegError, OSError, ValueError) as error:
    found = containers.reason(error)
    raise DataError(found, 'a webcam that can be opened', address) from error


def _camera(number: str) -> tuple[str, str]:
  """FFmpeg's name of the system's cameras, and of one of them."""
  if sys.platform == 'darwin':
    return 'avfoundation', number
  return 'v4l2', f'/dev/video{number}'
