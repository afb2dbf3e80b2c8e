"""Boxes of a user's own, from a CSV file."""

import os

from emojax.faces.faces import Faces


class Boxes:
  """Boxes by file and frame.

  Attributes:
    files: The names in the column `file`, in order of first appearance.
  """

  files: tuple[str, ...]

  def of(self, file: str, index: int) -> Faces:
    """Returns the boxes of a frame; none where the table has none."""
    raise NotImplementedError

  def missing(self, names: list[str]) -> list[str]:
    """Returns the files of the table that are not among those names."""
    raise NotImplementedError


def read(path: str | os.PathLike) -> Boxes:
  """Reads `file,x,y,w,h[,frame][,face]`; raises DataError with file and line."""
  raise NotImplementedError
