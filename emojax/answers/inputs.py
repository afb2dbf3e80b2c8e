"""What is to be answered: paths, or pictures in memory, as sources of frames."""

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from emojax.answers.options import OptionError, Options, flag, is_path
from emojax.answers.session import COMMAND, MOST
from emojax.data.readers.files import pictures
from emojax.faces import boxes, sources
from emojax.faces.faces import faces
from emojax.host import files

# Keys of the command.json of `emojax.answers.command`.
OURS = {'emojax', 'model', 'options', 'inputs_digest'}
# Modes of Pillow that become RGB without a scale that somebody has to name.
MODES = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr')
Read = Callable[..., Iterator[sources.Frame]]


def of(inputs: Any) -> tuple[list[sources.Source], list[str], Read]:
  """Returns sources, problems, and what reads their frames.

  Args:
    inputs: Paths, or pictures (uint8 [H, W, 3] or of Pillow); one or several.

  Raises:
    OptionError: If something is neither, or nothing is to be read.
  """
  inputs = _several(inputs)
  if not inputs:
    raise OptionError('nothing to predict: give a path or an array')
  if all(is_path(one) for one in inputs):
    return *found(inputs), sources.frames
  images = [_image(i, one) for i, one in enumerate(inputs)]
  named = [sources.Source(str(i), f'array {i}', 'picture')
           for i in range(len(images))]  # fmt: skip
  return named, [], _of_arrays(images)


def _several(inputs: Any) -> list[Any]:
  if is_path(inputs) or isinstance(inputs, Image.Image):
    return [inputs]
  if isinstance(inputs, np.ndarray):
    return list(inputs) if inputs.ndim == 4 else [inputs]
  if isinstance(inputs, bytes | dict) or not isinstance(inputs, Iterable):
    raise OptionError(
      f'the input is of type {type(inputs).__name__}: give a path, an array '
      'uint8 [H, W, 3], a picture of Pillow, or several of one kind'
    )
  return list(inputs)


def _image(i: int, image: Any) -> np.ndarray:
  """A picture in memory as uint8 [H, W, 3]; raises OptionError."""
  if isinstance(image, Image.Image):
    if image.mode not in MODES:
      raise OptionError(
        f'input {i} is a picture of mode {image.mode}: expected one of '
        f'{", ".join(MODES)}; scale it to 8 bits'
      )
    upright = pictures.upright(image, f'input {i}')
    image = np.array(upright.convert('RGB'))
  if not isinstance(image, np.ndarray):
    raise OptionError(
      f'input {i} is of type {type(image).__name__}: give paths alone, or '
      'pictures alone: arrays uint8 [H, W, 3], or of Pillow'
    )
  if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
    grey = '; grey ones: np.stack([x] * 3, -1)' if image.ndim == 2 else ''
    raise OptionError(
      f'input {i} is {image.dtype} {list(image.shape)}: expected uint8 '
      f'[H, W, 3], colours in the order red, green, blue{grey}'
    )
  return image


def _of_arrays(images: Sequence[np.ndarray]) -> Read:
  def read(source, skip_to=None, **_):
    if not skip_to:
      yield sources.Frame(source.name, 0, 0.0, images[int(source.path)])

  return read


def found(
  paths: Sequence[str | os.PathLike],
) -> tuple[list[sources.Source], list[str]]:
  """Returns (sources, problems) of paths; without what emojax itself wrote.

  Raises:
    OptionError: If nothing in them is to be read.
  """
  written: list[str] = []

  def leave_out(folder: str) -> bool:
    ours = is_ours(folder)
    if ours:
      written.append(folder)
    return ours

  there, problems = sources.find(paths, leave_out)
  if written:
    more = f' and {len(written) - 1} more' if len(written) > 1 else ''
    problems.append(
      f'{pathlib.Path(written[0]).as_posix()}{more}: left out, as emojax '
      'predict wrote it; name the folder itself to read it'
    )
  if not there:
    first = problems[0] if problems else 'no picture and no video is there'
    more = f' (and {len(problems) - 1} more)' if len(problems) > 1 else ''
    raise OptionError(f'nothing to read: {first}{more}')
  return there, problems


def is_ours(folder: str | os.PathLike) -> bool:
  """Whether a command of `emojax predict` writes or wrote to a folder."""
  try:
    said = json.loads(files.read_bounded(pathlib.Path(folder, COMMAND), MOST))
  except (OSError, ValueError, RecursionError):
    return False
  return isinstance(said, dict) and OURS <= said.keys()


def checked(
  asked: Options, paths: Sequence[str], out: pathlib.Path, webcam: int | None
) -> tuple[list[sources.Source], list[str]]:
  """Returns (sources, problems) of what is answered into a folder.

  Raises:
    OptionError: If it cannot be.
  """
  check_outside(paths, out)
  if webcam is not None:
    return [sources.webcam(webcam)], []
  there, problems = found(paths)
  check_spans(asked, there)
  return there, problems


def check_spans(asked: Options, there: Sequence[sources.Source]):
  """Raises OptionError for what is about videos where there is none."""
  if any(source.kind != 'picture' for source in there):
    return
  for name, usual in (
    ('every', 1), ('start', None), ('stop', None), ('smooth', 0),
  ):  # fmt: skip
    if getattr(asked, name) != usual:
      raise OptionError(
        f'{flag(name)} is about frames of videos, and there are only pictures: '
        'leave it out'
      )


def check_outside(paths: Sequence[str], out: pathlib.Path):
  """What is written must not be read by the same command again."""
  # `Path.resolve` raises RuntimeError where links lead to themselves.
  folder = pathlib.Path(os.path.realpath(out))
  for path in paths:
    if os.path.isdir(path) and folder.is_relative_to(os.path.realpath(path)):
      raise OptionError(
        f'--out {out} is inside of {path}, whose pictures are read: choose a '
        'folder elsewhere'
      )


def own_boxes(
  given: Any, there: Sequence[sources.Source], problems: Sequence[str]
) -> boxes.Boxes:
  """Boxes of pictures that are given as arrays.

  Args:
    given: [K, 4] of one picture, or such an array for each: x, y, w, h.
    there: The pictures.
    problems: Of them: boxes would be taken for those of other pictures.

  Raises:
    OptionError: If they are not one array for each picture, of such boxes.
  """
  if problems:
    raise OptionError(f'boxes are of all pictures, but {problems[0]}')
  if any(source.kind != 'picture' for source in there):
    raise OptionError(
      'boxes as arrays are of pictures; those of a video are a file, with its '
      'frames: boxes="FILE.csv"'
    )
  one = len(there) == 1 and np.ndim(_numbers(given, 'boxes')) < 3
  arrays = [given] if one else list(given)
  if len(arrays) != len(there):
    raise OptionError(
      f'boxes of {len(arrays)} pictures: expected {len(there)}, an array '
      '[K, 4] for each'
    )
  return boxes.Boxes(
    {
      (source.name, 0): faces(_checked(array, f'boxes of picture {i}'))
      for i, (source, array) in enumerate(zip(there, arrays))
    }
  )


def _numbers(given: Any, name: str) -> np.ndarray:
  try:
    return np.asarray(given, np.float32)
  except (TypeError, ValueError) as error:
    raise OptionError(f'{name}: no numbers x, y, w, h ({error})') from error


def _checked(given: Any, name: str) -> np.ndarray:
  found = _numbers(given, name)
  if found.shape == (0,):
    return found.reshape(0, 4)
  if found.ndim != 2 or found.shape[1] != 4:
    raise OptionError(
      f'{name} are of shape {list(found.shape)}: expected [K, 4], x, y, w, h '
      'in pixels'
    )
  if not np.isfinite(found).all() or not (found[:, 2:] > 0).all():
    raise OptionError(f'{name}: expected finite numbers, w and h above 0')
  return found
