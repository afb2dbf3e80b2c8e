"""What a user may ask for, checked once for the command line and for Python."""

import dataclasses
import difflib
import math
import numbers
import operator
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax.answers.rows import Limits
from emojax.answers.writers import FORMATS

RULES = ('fer2013',)  # crop rules by name
STYLES = ('emojax', 'openface')
LONGEST_SMOOTH = 60.0  # seconds: what is averaged is held
# Faces of FER2013 are 48 pixels wide; with half of them little is left.
SMALL = 24.0
# Of the faces of FER+, one in a hundred has less than 0.23; blurred by 1.5 of their 48
# pixels, half have less than 0.02.
BLURRED, TURNED = 0.05, 0.6


class OptionError(ValueError):
  """An option cannot be meant; the message names it and what to do."""


@dataclasses.dataclass(frozen=True)
class Options:
  """How faces are found and answers are given.

  Attributes:
    crops: The inputs are faces already, nothing is searched.
    boxes: A CSV file of boxes instead of a detector. In Python also an array
      [K, 4] (x, y, w, h in pixels) of one picture, or one for each picture.
    detector: A detector's name or file. In Python also a function of uint8
      [H, W, 3] to `emojax.faces.faces.Faces`.
    min_score: Faces with a lower score are left out; None: the detector's own.
    tiles: Look at large pictures in tiles, too; None: at pictures, not at frames
      of videos.
    crop_rule: How faces are cut for models that do not say it themselves.
    every: Only frames whose number is a multiple of it.
    start: Seconds of a video before which frames are left out.
    stop: Seconds from which on they are.
    smooth: Seconds over which probabilities of a track are averaged; 0: not.
    temperature: Scale by the temperatures of the model's validation set.
    coverage: Share of the answer sets, of models that have them.
    favour_rare: 0 answers the likeliest class, 1 the one that is likeliest beside
      its share of the labels; or between the two.
    unsure_share: Unsure is what is more uncertain than this share of the
      model's validation faces.
    foreign_share: Foreign likewise, by the members' disagreement.
    unsure_above: A limit of the total uncertainty instead.
    foreign_above: A limit of the epistemic uncertainty instead.
    min_sharpness: Faces below are blurred.
    min_face: Faces below are small, in pixels.
    max_profile: Faces above are in profile.
  """

  crops: bool = False
  boxes: Any = None
  detector: Any = None
  min_score: float | None = None
  tiles: bool | None = None
  crop_rule: str | None = None
  every: int = 1
  start: float | None = None
  stop: float | None = None
  smooth: float = 0.0
  temperature: bool = False
  coverage: float | None = None
  favour_rare: float = 0.0
  unsure_share: float | None = None
  foreign_share: float | None = None
  unsure_above: float | None = None
  foreign_above: float | None = None
  min_sharpness: float = BLURRED
  min_face: float = SMALL
  max_profile: float = TURNED

  def __post_init__(self) -> None:
    _check_types(self)
    _check_span(self)
    _check_search(self)
    for name in ('unsure', 'foreign'):
      share, above = (getattr(self, f'{name}_{k}') for k in ('share', 'above'))
      if share is not None and above is not None:
        raise OptionError(
          f'{flag(f"{name}_share")} and {flag(f"{name}_above")} exclude each '
          'other'
        )
      _between(f'{name}_share', share, 0, 1)
      _between(f'{name}_above', above, 0, 1)
    _between('min_score', self.min_score, 0, 1)
    _between('max_profile', self.max_profile, 0, 1)
    _between('min_sharpness', self.min_sharpness, 0, math.inf)
    _between('favour_rare', self.favour_rare, 0, 1)
    _between('smooth', self.smooth, 0, LONGEST_SMOOTH)
    _between('min_face', self.min_face, 0, math.inf)
    if self.coverage is not None and not 0 < self.coverage < 1:
      raise OptionError(f'{flag("coverage")} {self.coverage}: expected 0 to 1')


def flag(name: str) -> str:
  """An option as the command line spells it."""
  names = {'start': 'from', 'stop': 'to'}
  return '--' + names.get(name, name).replace('_', '-')


def is_path(value: Any) -> bool:
  """Whether something names a file."""
  return isinstance(value, str | os.PathLike)


def _check_types(options: Options):
  """Brings numbers of NumPy to Python's; raises OptionError for other types."""
  said = vars(options)
  for name in ('crops', 'temperature', 'tiles'):
    value = said[name]
    if value is None and name == 'tiles':
      continue
    if not isinstance(value, bool | np.bool_):
      raise OptionError(f'{flag(name)} {value!r}: expected True or False')
    _set(options, name, bool(value))
  for name, value in said.items():
    if isinstance(value, np.floating):  # 0.9 of few bits means 0.9
      _set(options, name, float(str(value)))
    elif isinstance(value, np.number):
      _set(options, name, value.item())
    elif name in ('boxes', 'detector') and isinstance(value, os.PathLike):
      _set(options, name, os.fspath(value))
  if options.detector is not None:
    if not is_path(options.detector) and not callable(options.detector):
      raise OptionError(
        f'--detector of type {type(options.detector).__name__}: expected a '
        'name, a file, or (in Python) a function of uint8 [H, W, 3] to Faces'
      )
  if not isinstance(options.boxes, str | list | tuple | np.ndarray | None):
    raise OptionError(
      f'--boxes of type {type(options.boxes).__name__}: expected a CSV file, '
      'or (in Python) an array [K, 4], or one for each picture'
    )


def _set(options: Options, name: str, value: Any):
  object.__setattr__(options, name, value)  # it is frozen for others


def _check_span(options: Options):
  try:
    number = operator.index(options.every)
  except TypeError:
    number = 0
  if isinstance(options.every, bool) or number < 1:
    raise OptionError(f'--every {options.every}: expected a number from 1')
  for name in ('start', 'stop'):
    _between(name, getattr(options, name), 0, math.inf)
  start, stop = options.start, options.stop
  if start is not None and stop is not None and not start < stop:
    raise OptionError(f'--from {start:g} --to {stop:g}: no time is between')


def _check_search(options: Options):
  """What is given together must mean something."""
  given = [n for n in ('boxes', 'detector') if getattr(options, n) is not None]
  if options.crops:
    given += [
      n
      for n in ('crop_rule', 'min_score', 'tiles')
      if getattr(options, n) is not None
    ]
    if given:
      raise OptionError(f'{flag(given[0])} changes nothing beside --crops')
  if callable(options.detector) and options.min_score is not None:
    raise OptionError(
      '--min-score changes nothing beside a function: leave faces out in it'
    )
  if len(given) > 1:
    raise OptionError('--boxes and --detector exclude each other')
  for name in ('min_score', 'tiles'):
    if options.boxes is not None and getattr(options, name) is not None:
      raise OptionError(f'{flag(name)} changes nothing beside --boxes')
  if options.crop_rule not in (None, *RULES):
    raise OptionError(
      f'--crop-rule {options.crop_rule}: expected one of {", ".join(RULES)}'
    )


def _between(name: str, value: Any, low: float, high: float):
  if value is None:
    return
  number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if not (number and math.isfinite(value) and low <= float(value) <= high):
    span = f'from {low:g}' + (f' to {high:g}' if high < math.inf else '')
    raise OptionError(f'{flag(name)} {value}: expected a number {span}')


def limits(options: Options, model: Any) -> Limits:
  """From where on answers of a model are unsure.

  Raises:
    OptionError: If the model has no thresholds and none are given.
  """
  return Limits(
    _threshold(options, model, 'unsure', 'total', 0.1),
    _threshold(options, model, 'foreign', 'epistemic', 0.01),
    options.min_sharpness,
    options.min_face,
    options.max_profile,
  )


def _threshold(options, model, name: str, kind: str, default: float) -> float:
  above = getattr(options, f'{name}_above')
  if above is not None:
    return above
  if options.temperature:
    raise OptionError(
      "--temperature: the model's thresholds are of predictions without "
      f'temperatures: give {flag(f"{name}_above")}, a limit from 0 to 1'
    )
  share = getattr(options, f'{name}_share')
  share = default if share is None else share
  found = model.metadata['thresholds']['uncertainty']
  shares = found.get('mean', {}).get(kind, {})
  if str(share) in shares:
    return shares[str(share)]
  above = flag(f'{name}_above')
  if not shares:
    raise OptionError(
      'the model was exported without validation data, so nobody knows from '
      f'where on it is unsure: give {above}, a limit from 0 to 1'
    )
  raise OptionError(
    f'{flag(f"{name}_share")} {share}: the model has {", ".join(shares)}; or '
    f'give {above}'
  )


@dataclasses.dataclass(frozen=True)
class Files:
  """What is written.

  Attributes:
    formats: Of the table.
    style: Names of its columns.
    overlay: Pictures and videos with the answers drawn in.
    page: The page.
  """

  formats: tuple[str, ...] = ('csv',)
  style: str = 'emojax'
  overlay: bool = True
  page: bool = True

  def __post_init__(self) -> None:
    for name in self.formats:
      if name not in FORMATS:
        raise OptionError(
          f'--format {name}: expected one of {", ".join(FORMATS)}'
        )
    if not self.formats or len(set(self.formats)) < len(self.formats):
      raise OptionError('--format: expected different formats, at least one')
    if self.style not in STYLES:
      raise OptionError(
        f'--style {self.style}: expected one of {", ".join(STYLES)}'
      )


def named(options: Mapping[str, Any]) -> Options:
  """Options by name; raises OptionError for a name that there is not."""
  known = list(Options.__dataclass_fields__)
  for name in options:
    if name not in known:
      near = difflib.get_close_matches(name, known, 1)
      hint = f'; did you mean {near[0]}?' if near else ''
      raise OptionError(f'unknown option {name!r}{hint}')
  return Options(**options)
