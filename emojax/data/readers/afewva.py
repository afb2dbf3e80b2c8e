"""AFEW-VA: 600 film clips with valence and arousal of every frame.

    01 ... 12 / CLIP / 00000.png ..., CLIP.json

Each clip has exactly one json: `frames: {"00000": {"landmarks": 68 x [x, y],
"valence": -10..10, "arousal": -10..10}}`. Values are divided by 10. Labels and
images are joined by the frame's name. There is no official split.
"""

import collections
import dataclasses
import json
import pathlib
import re
from typing import Any

import numpy as np

from emojax import tasks
from emojax.data.readers import labels, splits
from emojax.data.readers.files import bounded, folders
from emojax.data.readers.files.crops import EyeLine, points_from
from emojax.data.readers.files.frames import ImageFile
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

CLIPS = 600
NAMES = ('valence', 'arousal')


@dataclasses.dataclass(frozen=True)
class _Row:
  """Labels of one frame, its image and crop."""

  number: int
  value: tuple[float, float]
  frame: ImageFile


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  crop: str = 'eyes',
  validation_fraction: float = 0.0,
  seed: int = 0,
) -> Listing:
  """Lists the clips.

  Args:
    crop: eyes (turn until the eyes are level and cut out a square, from the
      landmarks) or none.
    validation_fraction: Share of the subjects (actors where the json names
      them, else clips) that goes to the validation split, drawn at random.
    seed: Seed of that draw.
  """
  if crop not in ('eyes', 'none'):
    raise DataError(f'option crop={crop!r}', 'eyes or none')
  records: list[Record] = []
  for folder in _clips(source):
    with problems.at(folder):
      records.append(_record(folder, crop == 'eyes', problems))
  if len(records) != CLIPS:
    problems.note(
      f'{len(records)} clips found, {CLIPS} in the official release'
    )
  records = splits.by_subject(records, validation_fraction, seed)
  return Listing('afewva', (tasks.va_task(),), records, problems)


def _clips(source: pathlib.Path) -> list[pathlib.Path]:
  """Folders with a json or images, directly below the source or in 01 ... 12."""
  found = []
  for folder in folders.subfolders(source):
    inner = folders.subfolders(folder)
    found += inner or [folder]
  return [f for f in found if folders.names_in(f, ['.json', '.png', '.jpg'])]


def _record(folder: pathlib.Path, aligned: bool, problems: Problems) -> Record:
  names = sorted(folders.names_in(folder, ['.json']))
  if len(names) != 1:
    raise DataError(f'{len(names)} json files', 'exactly one json per clip')
  path = folder / names[0]
  document = _load(path)
  images = collections.defaultdict(list)
  for image in sorted(folders.names_in(folder)):
    images[image.rsplit('.', 1)[0]].append(image)
  entries = document['frames']
  for name in sorted(set(images) - set(entries)):
    problems.add(path, None, f'no labels of frame {name!r}', 'all frames')
  rows = []
  for name in sorted(entries):
    with problems.at(path):
      rows.append(_row(folder, name, images[name], entries[name], aligned))
  rows.sort(key=lambda row: row.number)
  if not rows:
    raise DataError('no usable frame', 'at least one', path)
  value = np.array([row.value for row in rows], np.float32)
  target = labels.masked(value, np.ones(value.shape, bool))
  key = folder.name
  actor = document.get('actor')
  subject = actor if isinstance(actor, str) and actor else key
  index = np.array([row.number for row in rows], np.int32)
  frames = tuple(row.frame for row in rows)
  return Record(key, subject, 'train', frames, {'va': target}, index)


def _load(path: pathlib.Path) -> dict[str, Any]:
  try:
    document = json.loads(bounded.read(path), object_pairs_hook=_once)
  except DataError as error:
    raise DataError(error.found, error.expected, path) from None
  except (ValueError, RecursionError) as error:
    raise DataError(f'no JSON ({error})', 'a JSON object', path) from None
  frames = document.get('frames') if isinstance(document, dict) else None
  if not isinstance(frames, dict):
    raise DataError('no object "frames"', '{"frames": {"00000": ...}}', path)
  return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """Refuses keys that repeat: JSON would silently take the last."""
  found = dict(pairs)
  if len(found) < len(pairs):
    counts = collections.Counter(key for key, _ in pairs)
    twice = next(key for key, count in counts.items() if count > 1)
    raise DataError(f'{twice!r} again', 'every frame and key once')
  return found


def _row(folder, name: str, images: list[str], entry: Any, aligned: bool):
  """Checks one entry of the json; raises DataError naming the frame."""
  if not re.fullmatch('[0-9]{1,9}', name):
    raise DataError(f'frame {name!r}', 'frames named by their number')
  if len(images) != 1:
    found = f'{", ".join(images) or "no image"} of frame {name!r}'
    raise DataError(found, 'one image of every frame')
  if not isinstance(entry, dict):
    raise DataError(f'frame {name!r}: {entry!r:.40}', 'an object')
  valence, arousal = (_level(name, entry.get(key)) / 10 for key in NAMES)
  crop = _crop(name, entry.get('landmarks')) if aligned else None
  image = ImageFile(str(folder / images[0]), crop)
  return _Row(int(name), (valence, arousal), image)


def _level(name: str, level: Any) -> float:
  number = isinstance(level, int | float) and not isinstance(level, bool)
  if not number or not -10 <= level <= 10:
    found = f'frame {name!r}: {level!r:.40}'
    raise DataError(found, 'valence and arousal in -10..10')
  return float(level)


def _crop(name: str, landmarks: Any) -> EyeLine:
  try:
    points = np.array(landmarks, np.float64)
  except (TypeError, ValueError, OverflowError):
    points = np.zeros(0)
  if points.shape != (68, 2):
    found = f'frame {name!r}: landmarks of shape {points.shape}'
    raise DataError(found, '68 landmarks [x, y], or option crop=none')
  return EyeLine(points_from(points))
