"""Settings as text: 'train.epochs=3' applied to a configuration."""

import difflib
from collections.abc import Iterable

from ml_collections import ConfigDict

from emojax.runtime.workdir import flatten

BOOLEANS = {'true': True, 'false': False, '1': True, '0': False}


class OverrideError(ValueError):
  """An assignment names no setting or a value of the wrong type."""


def split(assignment: str) -> tuple[str, str]:
  """'a.b=c' -> ('a.b', 'c').

  Raises:
    OverrideError: If there is no '='.
  """
  name, equals, text = assignment.partition('=')
  if not equals or not name:
    raise OverrideError(f'{assignment!r}: expected NAME=VALUE')
  return name, text


def apply(config: ConfigDict, assignments: Iterable[str]) -> ConfigDict:
  """Returns a copy of a configuration with some settings changed.

  Args:
    config: Settings; their types are kept.
    assignments: Texts such as 'train.epochs=3' or 'loss.reweight=False'.

  Raises:
    OverrideError: On an unknown setting (naming the nearest one) or a value
      that is not of the setting's type.
  """
  changed = ConfigDict(config.to_dict())
  known = flatten(config.to_dict())
  for assignment in assignments:
    name, text = split(assignment)
    if name not in known:
      near = difflib.get_close_matches(name, known, 1, 0.5)
      hint = f'; did you mean {near[0]}?' if near else ''
      raise OverrideError(f'unknown setting {name}{hint}')
    value = _value(name, text, known[name])
    changed.update_from_flattened_dict({name: value})
  return changed


def _value(name: str, text: str, like):
  """Reads a value of the type of `like`."""
  try:
    if isinstance(like, bool):
      return BOOLEANS[text.lower()]
    if isinstance(like, (int, float, str)):
      return type(like)(text)
  except (KeyError, ValueError):
    kind = type(like).__name__
    raise OverrideError(
      f'{name}={text}: expected a value of type {kind}'
    ) from None
  raise OverrideError(
    f'{name}: settings of type {type(like).__name__} cannot be overridden'
  )
