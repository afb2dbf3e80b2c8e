"""What a setting may be: its kind, its range or choices, one line of help."""

import dataclasses
import math
from typing import Any

SEEDS = 2**32 - 1  # JAX takes 32 bits of a seed and drops the others


class SettingError(ValueError):
  """A setting that cannot be meant; names it and says what may."""


@dataclasses.dataclass(frozen=True)
class Setting:
  """A setting that experiments read.

  Attributes:
    kind: int, float, bool, str, or tuple for several values.
    help: One line, for `--help`.
    low: Smallest value, of each element of a tuple.
    high: Largest value.
    above: A value that it must be larger than.
    below: A value that it must be smaller than.
    choices: All values that there are; () for any.
    also: A value outside the range that has a meaning of its own.
    element: Kind of the elements of a tuple.
  """

  kind: type
  help: str
  low: float | None = None
  high: float | None = None
  above: float | None = None
  below: float | None = None
  choices: tuple = ()
  also: float | None = None
  element: type | None = None

  def check(self, name: str, value: Any):
    """Raises SettingError, with the setting's name, if a value cannot be meant."""
    if not _is(value, self.kind):
      kind = self.kind.__name__
      raise SettingError(f'config.{name}={value!r}: expected a value of {kind}')
    several = self.kind is tuple
    for one in value if several else (value,):
      if self.element is not None and not _is(one, self.element):
        kind = self.element.__name__
        raise SettingError(
          f'config.{name}={value!r}: expected values of {kind}'
        )
      if not self._allows(one):
        raise SettingError(
          f'config.{name}={value}: expected {self.range()}'
          if self.element is None
          else f'config.{name}={value}: expected each {self.range()}'
        )

  def _allows(self, value) -> bool:
    if self.choices:
      return value in self.choices
    if isinstance(value, (str, bool)) or value == self.also:
      return True
    return (
      math.isfinite(value)
      and (self.low is None or value >= self.low)
      and (self.high is None or value <= self.high)
      and (self.above is None or value > self.above)
      and (self.below is None or value < self.below)
    )

  def range(self) -> str:
    """'at least 1', 'one of a, b', ...; '' for anything of its kind."""
    if self.choices:
      return f'one of {", ".join(str(c) or repr(c) for c in self.choices)}'
    if self.low is not None and self.high is not None:
      parts = [f'{self.low:g} to {self.high:.10g}']
    else:
      parts = [
        f'{word} {bound:.10g}'
        for word, bound in (
          ('at least', self.low),
          ('above', self.above),
          ('at most', self.high),
          ('below', self.below),
        )
        if bound is not None
      ]
    text = ' and '.join(parts)
    if not parts and self._number():
      text = 'a finite number'
    return f'{text}, or {self.also:g}' if self.also is not None else text

  def _number(self) -> bool:
    return (self.element or self.kind) in (int, float)


def _is(value: Any, kind: type) -> bool:
  if kind is tuple:
    return isinstance(value, (tuple, list))  # of JSON
  if kind in (int, float) and isinstance(value, bool):
    return False
  return isinstance(value, (int, float) if kind is float else kind)


def whole(help: str, low: int = 0, high: int | None = None, **more) -> Setting:
  """A whole number."""
  return Setting(int, help, low, high, **more)


def number(help: str, low: float | None = None, **more) -> Setting:
  """A finite number."""
  return Setting(float, help, low, **more)


def switch(help: str) -> Setting:
  """True or False."""
  return Setting(bool, help)


def text(help: str) -> Setting:
  """Any text, such as a path."""
  return Setting(str, help)


def choice(help: str, *choices: str) -> Setting:
  """One of several words."""
  return Setting(str, help, choices=choices)


def several(help: str, element: type, **more) -> Setting:
  """A tuple of values."""
  return Setting(tuple, help, element=element, **more)
