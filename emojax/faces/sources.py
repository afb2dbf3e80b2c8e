"""Pictures, videos and webcams as a stream of frames."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Source(NamedTuple):
  """Something with frames.

  Attributes:
    path: Where it is opened; the number of a webcam.
    name: The name shown to the user, the same in every run.
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
  paths: Sequence[str | os.PathLike],
) -> tuple[list[Source], list[str]]:
  """Returns the pictures and videos of files and folders, and problems."""
  raise NotImplementedError


def webcam(number: int = 0) -> Source:
  """Returns the source of a webcam."""
  raise NotImplementedError


def frames(
  source: Source,
  every: int = 1,
  start: float | None = None,
  stop: float | None = None,
  skip_to: int | None = None,
  problems: Callable[[str], object] | None = None,
) -> Iterator[Frame]:
  """Yields the frames of a source, one at a time.

  Args:
    source: What to read.
    every: Only frames whose number is a multiple of it.
    start: Only frames at this second or later.
    stop: Only frames before this second.
    skip_to: Only frames with this number or a later one: where a killed run
      goes on.
    problems: Called with a line for everything that cannot be read (`frames`
      then goes on or ends); None raises DataError instead.
  """
  raise NotImplementedError
