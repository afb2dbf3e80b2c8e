"""Settings as text: 'train.epochs=3' applied to a configuration."""

import difflib
from collections.abc import Collection, Iterable

from ml_collections import ConfigDict

from emojax import settings
from emojax.settings import SettingError, flatten

BOOLEANS = {'true': True, 'false': False, '1': True, '0': False}


class OverrideError(SettingError):
  """An assignment names no setting or a value that it cannot have."""


def split(assignment: str) -> tuple[str, str]:
  """'a.b=c' -> ('a.b', 'c'), with the setting's name of today.

  Raises:
    OverrideError: If there is no '='.
  """
  name, equals, text = assignment.partition('=')
  if not equals or not name:
    raise OverrideError(f'{assignment!r}: expected NAME=VALUE')
  return settings.current(name), text


def apply(config: ConfigDict, assignments: Iterable[str]) -> ConfigDict:
  """Returns a copy of a configuration with some settings changed.

  Args:
    config: Settings; their types are kept.
    assignments: Texts such as 'train.epochs=3' or 'loss.reweight=False'.

  Raises:
    OverrideError: On an unknown setting (naming the nearest one) or a value
      that is not of the setting's type or out of its range.
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
    if setting := settings.find(name, known.get('experiment')):
      try:
        setting.check(name, value)
      except SettingError as error:
        raise OverrideError(str(error)) from None
    changed.update_from_flattened_dict({name: value})
  return changed


def check(config: ConfigDict, named: Collection[str] = ()):
  """Checks a configuration and the variants of a study; see `settings.check`.

  Args:
    config: The configuration.
    named: Settings that the user has overridden. In a study one must mean
      something in some variant that does not set it itself.

  Raises:
    SettingError: If something cannot be meant.
  """
  if 'study' not in config:
    settings.check(flatten(config.to_dict()), named)
    return
  settings.check(flatten(config.to_dict()))
  variants = {
    name: flatten(made.to_dict()) for name, made in variant_configs(config)
  }
  for values in variants.values():
    settings.check(values)
  for name in named:
    if not name.startswith('study.'):
      _check_in_some(name, config.study.variants.to_dict(), variants)


def variant_configs(config: ConfigDict) -> list[tuple[str, ConfigDict]]:
  """Names and configurations of the variants of a study.

  Raises:
    OverrideError: If an assignment of a variant is wrong.
  """
  base = config.to_dict()
  study = base.pop('study')
  base['experiment'] = 'distillation'
  made = []
  for name, changes in study['variants'].items():
    try:
      made.append((name, apply(ConfigDict(base), changes)))
    except OverrideError as error:
      raise OverrideError(f'variant {name!r}: {error}') from error
  return made


def _check_in_some(name: str, changes, variants):
  """Raises SettingError if an override of a study's base changes no variant."""
  error = None
  for variant, values in variants.items():
    if name in [split(change)[0] for change in changes[variant]]:
      continue
    try:
      settings.check_named(values, {name})
      return
    except SettingError as found:
      error = found
  raise error or SettingError(
    f'config.{name} means nothing: every one of config.study.variants sets it '
    'itself'
  )


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
