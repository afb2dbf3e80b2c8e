"""Pictures and videos with the answers drawn in.

The inputs are read once more, after all answers are there: so the first reading
need not hold frames, and a killed command makes at most one video again. To
read, to draw and to encode are threads, a few frames apart.
"""

import contextlib
import fractions
import functools
import itertools
import pathlib
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from emojax.answers import command, drawing, smoothing
from emojax.answers.columns import Layout
from emojax.answers.options import Options
from emojax.answers.progress import Progress
from emojax.answers.session import Session, SessionError
from emojax.faces import sources
from emojax.host import files, threads
from emojax.host.terminal import say

FOLDER = 'overlay'
LONGEST = 1920  # pixels of what is written
# x264's code for AVX-512 gives the same frames other bytes from one process to the
# next, at the right and lower edge; that for AVX2 does not, and this is as fast.
ENCODER = {'preset': 'veryfast', 'crf': '23'}
if platform.machine().lower() in ('x86_64', 'amd64'):
  ENCODER['x264-params'] = 'asm=SSE4.2'
TICKS = 90_000  # of the clock of videos, per second
_MOST = 150  # bytes of a name, which has to be writable with much around it
_NAME = re.compile(r'[^\w.-]+')


def write(
  session: Session,
  layout: Layout,
  found: Sequence[sources.Source],
  asked: Options,
  reading: Mapping[str, Any],
  console: Console,
  answered: Sequence[Any],
) -> list[str]:
  """Writes what is missing of OUT/overlay/, one file for each source.

  Args:
    session: The folder, with its parts.
    layout: The columns.
    found: The inputs.
    asked: Which of their frames are drawn.
    reading: The same, for `sources.frames`.
    console: For progress and problems.
    answered: `command.facts` of the inputs as they were answered. In others
      nothing is drawn: the answers are not theirs.

  Returns:
    A line for each input that has changed since.
  """
  problems: list[str] = []
  frames = _Frames(smoothing.parts(layout, session.parts()))
  paths = [session / FOLDER / name_of(i, s) for i, s in enumerate(found)]
  done = [path.exists() for path in paths]
  if any(source.kind == 'webcam' for source in found):
    say(console, 'no overlay of a webcam: its frames are not kept')
    return problems
  with Progress(console, found, asked, None, 'drawing', done) as progress:
    for number, source in enumerate(found):
      if done[number]:
        continue
      watch = functools.partial(progress.watch, number)
      if not _changed(source, answered[number]):
        drawn = _drawn(source, layout, frames, reading)
        with contextlib.closing(_watched(drawn, watch)) as pictures:
          _file(paths[number], source, pictures)
      if _changed(source, answered[number]):  # or it has while it was drawn in
        paths[number].unlink(missing_ok=True)
        problems.append(
          f'{source.name}: it has changed since it was answered, so that nothing '
          'is drawn in it; give the command again with another --out'
        )
        progress.problem(problems[-1])
      watch(0, 0)
  return problems


def _changed(source: sources.Source, answered: Any) -> bool:
  try:
    return command.facts(source) != answered
  except OSError:  # it is gone
    return True


def _file(path: pathlib.Path, source: sources.Source, pictures):
  """Writes the file of a source, if something of it could be read."""
  first = next(pictures, None)
  if first is None:  # which is among the problems
    return
  with files.replacing(path) as part:
    if source.kind == 'video':
      _video(part, first, pictures)
    else:
      Image.fromarray(first[1]).save(part, 'JPEG', quality=90)


def _watched(drawn, watch: Callable[[int, int], object]):
  """Yields (time, picture), and tells of them."""
  with contextlib.closing(drawn):
    for time, picture, faces in drawn:
      watch(1, faces)
      yield time, picture


def name_of(number: int, source: sources.Source) -> str:
  """Name of a source's file: its number, and its own name made harmless.

  File systems count bytes, of which a letter can have four; none is cut in two.
  """
  stem = _NAME.sub('_', pathlib.PurePath(source.name).stem)[:60]
  stem = stem.encode()[:_MOST].decode(errors='ignore')
  ending = 'mp4' if source.kind == 'video' else 'jpg'
  return f'{number:05d}-{stem or "file"}.{ending}'


class _Frames:
  """Rows by frame, in the order in which they were made, read once."""

  def __init__(self, parts: Iterable):
    self._frames = _grouped(parts)
    self._next = next(self._frames, None)

  def of(self, file: str, index: int) -> list[dict[str, Any]]:
    """The rows of a frame; those of frames before it are passed over.

    Raises:
      SessionError: If there are none.
    """
    while self._next is not None and self._next[0] != (file, index):
      self._next = next(self._frames, None)
    if self._next is None:
      raise SessionError(
        f'{file}, frame {index}: it was not there when it was first read; give '
        'the command again with another --out'
      )
    return self._next[1]


def _grouped(parts) -> Iterator[tuple[tuple[str, int], list[dict[str, Any]]]]:
  """((file, frame), rows) of all frames; none is divided between parts."""
  for part in parts:
    names = list(part.rows)
    last, rows = ('', 0), []
    for values in zip(*part.rows.values()):
      row = dict(zip(names, values))
      key = (row['file'], int(row['frame']))
      if key != last and rows:
        yield last, rows
        rows = []
      last = key
      rows.append(row)
    if rows:
      yield last, rows


def _drawn(source, layout: Layout, frames: _Frames, reading):
  """(time, picture, number of faces) of the frames of a source."""

  def draw(frame: sources.Frame):
    # One thread draws, so frames come in order.
    rows = frames.of(frame.file, frame.index)
    image, scale = _fitting(frame.image)
    rows = [_scaled(row, scale) for row in rows]
    faces = sum(not np.isnan(row['face']) for row in rows)
    return frame.time, drawing.draw(image, layout, rows), faces

  read = sources.frames(source, problems=lambda line: None, **reading)
  return threads.mapped(draw, read, workers=1, ahead=2)


def _fitting(image: np.ndarray) -> tuple[np.ndarray, float]:
  """An image no larger than `LONGEST`, and its scale."""
  scale = min(1.0, LONGEST / max(image.shape[:2]))
  if scale == 1:
    return image, 1.0
  size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
  picture = Image.fromarray(image).resize(size, reducing_gap=2.0)
  return np.asarray(picture), scale


def _scaled(row: Mapping[str, Any], scale: float) -> dict[str, Any]:
  return {**row, **{name: row[name] * scale for name in 'xywh'}}


def _video(path: pathlib.Path, first, others):
  """Writes H.264 with the times of the frames."""
  import av

  with av.open(str(path), 'w', format='mp4') as container:
    stream = container.add_stream('libx264', rate=30)
    height, width = (side + side % 2 for side in first[1].shape[:2])
    stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
    stream.codec_context.time_base = fractions.Fraction(1, TICKS)
    # One thread: the same bytes whatever the machine has.
    stream.codec_context.thread_count = 1
    stream.options = {**ENCODER}
    origin, before = first[0], -1
    for time, image in itertools.chain([first], others):
      frame = av.VideoFrame.from_ndarray(_even(image), format='rgb24')
      if (frame.width, frame.height) != (width, height):
        frame = frame.reformat(width, height)
      before = frame.pts = max(before + 1, round((time - origin) * TICKS))
      frame.time_base = fractions.Fraction(1, TICKS)
      for packet in stream.encode(frame):
        container.mux(packet)
    for packet in stream.encode():
      container.mux(packet)


def _even(image: np.ndarray) -> np.ndarray:
  """H.264 wants even sides: the last row and column are repeated."""
  rows, columns = (side % 2 for side in image.shape[:2])
  if rows or columns:
    image = np.pad(image, ((0, rows), (0, columns), (0, 0)), 'edge')
  return np.ascontiguousarray(image)
