"""Follows faces through a video by the overlap of their boxes."""

from typing import Any

import numpy as np


class Tracker:
  """Gives boxes of consecutive frames the numbers of tracks.

  Args:
    min_overlap: Least intersection over union of a box with the track's last.
    max_gap: Seconds after which a track that was not seen has ended.
  """

  def __init__(self, min_overlap: float = 0.3, max_gap: float = 1.0):
    self.min_overlap, self.max_gap = min_overlap, max_gap

  def update(self, boxes: np.ndarray, time: float) -> np.ndarray:
    """Returns int32 [n]: the track of each box float32 [n, 4] at `time`."""
    raise NotImplementedError

  def state(self) -> dict[str, Any]:
    """Returns what `from_state` goes on from exactly, as plain JSON."""
    raise NotImplementedError

  @classmethod
  def from_state(cls, state: Any) -> 'Tracker':
    """Goes on from a state; raises ValueError where it is none."""
    raise NotImplementedError
