"""How far a command has come: faces per second and the time left."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars

from emojax.answers.options import Options
from emojax.data.readers.files import containers
from emojax.faces import sources
from emojax.host.terminal import say

LINE_SECONDS = 30  # between lines where there is no terminal


def counted(count: int, name: str) -> str:
  """'1 face', '2 faces'."""
  return f'{count:,} {name}' + ('' if count == 1 else 's')


def expected(source: sources.Source, asked: Options) -> float | None:
  """About how many frames of a source are looked at; None if it does not say."""
  if source.kind == 'picture':
    return 1.0
  if source.kind != 'video':
    return None
  try:
    with containers.opened(source.path) as container:
      stream = containers.pictures(container, source.path)
      rate = float(containers.frame_rate(stream))
      ends = container.duration / 1e6 if container.duration else None
  except (ImportError, ValueError):
    return None  # reading it will say why
  if ends is None and asked.stop is None:
    return None
  stop = min(x for x in (ends, asked.stop) if x is not None)
  return max(0.0, stop - (asked.start or 0.0)) * rate / asked.every


class Progress:
  """A bar on terminals, a line now and then in logs.

  Args:
    console: Where to.
    found: The sources.
    asked: Which of their frames are looked at.
    state: Where a command goes on.
    stage: What is done, where it is not to answer.
    done: Sources that are done already.
  """

  def __init__(
    self,
    console: Console,
    found: Sequence[sources.Source],
    asked: Options,
    state: Mapping[str, Any] | None,
    stage: str = '',
    done: Sequence[bool] = (),
  ):
    self._stage = f'{stage}: ' if stage else ''
    self._console = console
    self._sizes = [expected(source, asked) for source in found]
    self._done = [0.0] * len(found)
    self._begun = self._said = time.monotonic()
    self._faces = self._frames = 0
    self._resume(state, asked.every)
    for number in np.flatnonzero(done):
      self._done[number] = self._sizes[number] = self._sizes[number] or 0.0
    self._start = sum(self._done)
    self._bars = Bars(
      TextColumn('{task.description}', markup=False),
      BarColumn(),
      TaskProgressColumn(),
      console=console,
      transient=True,
      disable=not console.is_terminal,
    )
    self._task = self._bars.add_task(stage or 'compiling', total=self._total())

  def _resume(self, state, every: int):
    if not state:
      return
    for number in range(min(state['source'], len(self._done))):
      self._done[number] = self._sizes[number] or 0.0
    if state['source'] < len(self._done):
      self._done[state['source']] = (state['frame'] or 0) / every

  def _total(self) -> float | None:
    known = [size for size in self._sizes if size is not None]
    return sum(known) if len(known) == len(self._sizes) else None

  def __enter__(self):
    self._bars.start()
    return self

  def __exit__(self, *_):
    self._bars.stop()

  def watch(self, number: int, frames: int, faces: int):
    """A frame has been looked at; 0 frames: the source has ended."""
    self._frames += frames
    self._faces += faces
    self._done[number] += frames
    if not frames and self._sizes[number] != self._done[number]:
      self._sizes[number] = self._done[number]  # now it is known
    self._bars.update(
      self._task,
      description=self.line(),
      completed=sum(self._done),
      total=self._total(),
    )
    now = time.monotonic()
    if not self._console.is_terminal and now - self._said > LINE_SECONDS:
      self._said = now
      say(self._console, self.line())

  def problem(self, line: str):
    """Something could not be read."""
    say(self._console, ('passed over: ', 'yellow'), line)

  def line(self) -> str:
    """Frames, faces, faces per second and the time left."""
    seconds = max(1e-3, time.monotonic() - self._begun)
    total, done = self._total(), sum(self._done)
    text = (
      f'{self._stage}{counted(self._frames, "frame")}, {counted(self._faces, "face")}, '
      f'{self._faces / seconds:.1f} faces/s'
    )
    speed = (done - self._start) / seconds
    if total is None or not speed:
      return text
    left = round(max(0.0, total - done) / speed)
    minutes, rest = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    return f'{text}, left: {hours}:{minutes:02d}:{rest:02d}'
