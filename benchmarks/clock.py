"""Frames a second of a stage, by the clock and by the processors.

The latter tells a busy machine from a slow program.
"""

import os
import time
from collections.abc import Iterable


class Clock:
  """Times what it encloses, worker processes included once they have ended.

  Attributes:
    name: Of the stage.
    frames: A second.
    seconds: Of the clock.
    milliseconds: Of all processors, a frame.

  Args:
    name: See above.
    count: Frames that the stage has.
  """

  def __init__(self, name: str, count: int):
    self.name, self._count = name, count
    self.frames = self.seconds = self.milliseconds = 0.0

  def __enter__(self) -> 'Clock':
    self._wall, self._processors = time.perf_counter(), _processors()
    return self

  def __exit__(self, *_):
    self.seconds = time.perf_counter() - self._wall
    busy = _processors() - self._processors
    self.frames = self._count / self.seconds
    self.milliseconds = 1e3 * busy / self._count

  def __str__(self) -> str:
    return (
      f'{self.name:34} {self.frames:8.0f} frames/s  {self.seconds:7.2f} s  '
      f'{self.milliseconds:6.3f} ms of processor time per frame'
    )


def _processors() -> float:
  """Seconds of processors of this process, and of its children that are over."""
  return sum(os.times()[:4])


def show(clocks: Iterable[Clock]):
  """Prints a line for each stage when it is done."""
  for clock in clocks:
    print(clock, flush=True)
