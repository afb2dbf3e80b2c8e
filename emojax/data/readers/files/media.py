"""An image, a folder of frames or a video file as a clip."""

import itertools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.readers.files import folders, probing, video
from emojax.data.readers.files.frames import ImageFile, ImageFiles
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.files.video import VIDEOS
from emojax.data.readers.records import Frame, Record

SPLIT_NAMES = {
  **dict.fromkeys(('train', 'training'), 'train'),
  **dict.fromkeys(('validation', 'valid', 'val', 'dev'), 'validation'),
  **dict.fromkeys(('test', 'testing'), 'test'),
}


class Clip(NamedTuple):
  """Frames of one clip, and what its file says about time and sound.

  `index` are the numbers of the frames: those in the names of a folder's
  files if all have one of their own (`numbered`), else 0, 1, ... `times` are
  seconds after the first frame, where the rate of a video varies.
  """

  frames: Sequence[Frame]
  index: Sequence[int]
  fps: float | None = None
  audio_path: str | None = None
  times: np.ndarray | None = None
  remarks: Sequence[probing.Remark] = ()
  numbered: bool = True

  def record(
    self, name: str, subject: str, split: str, targets: tasks.Targets
  ) -> Record:
    """Returns the record of the whole clip."""
    index = np.array(self.index, np.int32)
    return Record(
      name,
      subject,
      split,
      self.frames,
      targets,
      index,
      fps=self.fps,
      audio_path=self.audio_path,
      frame_time=self.times,
    )

  def report(self, problems: Problems, path: os.PathLike):
    """Passes on what is to be said of the file."""
    for kind, detail in self.remarks:
      problems.remark(kind, path, detail)

  def compare(
    self,
    problems: Problems,
    path: os.PathLike,
    rows: Sequence[int | None],
  ):
    """Says where a table seems to number a video's frames from 1, or has
    fewer rows than the video has frames."""
    if self.audio_path is None:  # a folder, whose files bear numbers
      return
    count, numbers = len(self.frames), {row for row in rows if row is not None}
    if numbers and 0 not in numbers and max(numbers) == count:
      problems.remark(
        'videos whose rows seem to count frames from 1: frames are numbered '
        'from 0, so subtract 1 if each label belongs to the frame before',
        path,
        f'rows {min(numbers)} to {max(numbers)} of frames 0 to {count - 1}',
      )
    known = len(numbers & {*self.index})
    if known < count:
      problems.remark(
        'videos with fewer rows than frames, the rest left out',
        path,
        f'{known} of {count}',
      )


def open_clip(path: pathlib.Path, fps: float = 0.0) -> Clip:
  """Returns the clip of an image, a folder of images or a video file.

  Args:
    path: What to open; frames of a folder are in natural order of their names.
    fps: Frames per second of folders; 0 when unknown.

  Raises:
    DataError: There is nothing of the kind, or no PyAV to read a video.
  """
  if is_clip(path) and path.suffix.lower() in VIDEOS:
    return _open_video(path)
  if is_clip(path):
    names = sorted(folders.names_in(path), key=natural)
    if not names:
      raise DataError('a folder without images', 'at least one', path)
    frames, index = ImageFiles(path, names, upright=True), numbers(names)
    numbered = index is not None
    index = index if numbered else range(len(names))
    return Clip(frames, index, fps or None, numbered=numbered)
  if not _is_image(path):
    expected = f'an image ({", ".join(folders.IMAGES)}), folder or video'
    raise DataError(f'no file {os.fspath(path)!r}', expected)
  return Clip((ImageFile(os.fspath(path), upright=True),), (0,))


def _is_image(path: pathlib.Path) -> bool:
  """As `folders.names_in`, without listing the folder for each of its files."""
  good = path.name.lower().endswith(folders.IMAGES) and path.name[0] != '.'
  try:
    return good and path.is_file()
  except (OSError, ValueError):  # a name too long, or with a NUL
    return False


def is_clip(path: pathlib.Path) -> bool:
  """Whether the path is a folder or an existing video file."""
  try:
    return path.is_dir() or (path.suffix.lower() in VIDEOS and path.is_file())
  except (OSError, ValueError):  # a name too long, or with a NUL
    return False


def _open_video(path: pathlib.Path) -> Clip:
  found, file = probing.probe(path), os.fspath(path)
  count = len(found.times)
  if not count:
    raise DataError('a video without frames', 'at least one', path)
  frames = [video.VideoFrame(file, i) for i in range(count)]
  times = None if found.steady else found.times
  return Clip(frames, range(count), found.fps, file, times, found.remarks)


def numbers(names: Sequence[str]) -> list[int] | None:
  """Returns the last number of each name; None if they do not tell all apart."""
  last = [
    re.findall('[0-9]{1,9}', name.rsplit('.', 1)[0])[-1:] for name in names
  ]
  found = [int(number[0]) for number in last if number]
  increasing = all(a < b for a, b in itertools.pairwise(found))
  return found if len(found) == len(names) and increasing else None


def natural(name: str) -> list[tuple[int, str]]:
  """Sort key that puts 'f10' after 'f9'."""
  parts = re.findall('[0-9]{1,18}|[^0-9]+', name)
  return [(int(p), '') if p.isdecimal() else (-1, p) for p in parts]
