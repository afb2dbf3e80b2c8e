"""Crops of faces, cut as those that a model was trained with."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class CropRule:
  """Where a face is in its crop.

  Attributes:
    points: [5][2], mean (x, y) of the landmarks in units of the crop's side,
      from its left upper corner; in the order of `faces.LANDMARKS`.
    box: (x, y, side): where a face has no landmarks, the centre of the crop is
      the centre of its box moved by (x, y), and `side` the crop's side, all
      three in units of the box's mean side, sqrt(width * height).
  """

  points: tuple[tuple[float, float], ...]
  box: tuple[float, float, float]

  def to_json(self) -> dict[str, Any]:
    """Returns what `from_json` reads."""
    raise NotImplementedError

  @classmethod
  def from_json(cls, value: Any) -> 'CropRule':
    """Reads a rule; raises ValueError where it is none."""
    raise NotImplementedError


def crop(
  image: np.ndarray,
  box: np.ndarray,
  landmarks: np.ndarray,
  rule: CropRule,
  size: int,
) -> np.ndarray:
  """Cuts a face out, upright.

  Args:
    image: uint8 [H, W, 3].
    box: [4], (x, y, width, height).
    landmarks: [5, 2]; NaN for none.
    rule: Where the face is to be.
    size: Height and width of the crop.

  Returns:
    uint8 [size, size, 3].

  Raises:
    ValueError: The box is empty, not finite or outside of the picture.
  """
  raise NotImplementedError


FER2013 = CropRule(
  ((0.31, 0.37), (0.69, 0.37), (0.5, 0.56), (0.35, 0.75), (0.65, 0.75)),
  (0.0, 0.0, 1.1),
)
