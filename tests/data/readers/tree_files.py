"""Writes small data sets in their official layouts.

Every image is of one grey level that tells which image it is, so that tests
see whether a label sits at the right image.
"""

import dataclasses
import pathlib

import numpy as np
from PIL import Image


@dataclasses.dataclass
class Tree:
  """A data set on disk.

  Attributes:
    name: Reader.
    root: Its folder.
    options: Options to read it with.
    tables: Text files that hold labels.
    binaries: Other files that hold labels or pixels.
    images: Image files.
  """

  name: str
  root: pathlib.Path
  options: dict = dataclasses.field(default_factory=dict)
  tables: list = dataclasses.field(default_factory=list)
  binaries: list = dataclasses.field(default_factory=list)
  images: list = dataclasses.field(default_factory=list)

  def text(self, name: str, *lines: str, end: str = '\n') -> pathlib.Path:
    path = self._path(name)
    path.write_text('\n'.join(lines) + end)
    self.tables.append(path)
    return path

  def image(self, name: str, level: int, size=(12, 10)) -> pathlib.Path:
    path = self._path(name)
    Image.new('RGB', size, (level,) * 3).save(path)
    self.images.append(path)
    return path

  def binary(self, name: str, data: bytes) -> pathlib.Path:
    path = self._path(name)
    path.write_bytes(data)
    self.binaries.append(path)
    return path

  def npy(self, name: str, value) -> pathlib.Path:
    path = self._path(name)
    np.save(path, value)
    self.binaries.append(path)
    return path

  def _path(self, name: str) -> pathlib.Path:
    path = self.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def landmarks(angle: float = 0.0, centre=(32.0, 32.0)) -> np.ndarray:
  """A schematic face of 68 landmarks, float [68, 2], turned by `angle`."""
  points = np.zeros((68, 2))
  points[:17, 0] = np.linspace(-16, 16, 17)
  points[36:42] = (-6, -8)
  points[42:48] = (6, -8)
  points[48], points[54] = (-4, 8), (4, 8)
  c, s = np.cos(angle), np.sin(angle)
  return points @ np.array(((c, s), (-s, c))) + centre
