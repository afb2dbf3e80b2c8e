"""Checks of a whole configuration, and its description."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from emojax.settings.kinds import Setting, SettingError
from emojax.settings.rules import RULES
from emojax.settings.table import MOST_HEADS, SETTINGS


def flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} -> {'a.b': 1}."""
  flat = {}
  for key, value in tree.items():
    if isinstance(value, Mapping):
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + key] = value
  return flat


def find(name: str, experiment: str | None = None) -> Setting | None:
  """What is known of a setting, in an experiment; None of an unknown one."""
  for key in (f'{experiment}/{name}', name):
    if key in SETTINGS:
      return SETTINGS[key]
  for key, setting in SETTINGS.items():
    if key.endswith('.*') and name.startswith(key[:-1]):
      return setting
  return None


def is_how(name: str) -> bool:
  """Whether a setting decides how something is computed, not what.

  The precision is none: it is that of every step, and a run that went on with
  another one would have been trained by two, of which config.json knows one.
  """
  return name.startswith('runtime.') and name != 'runtime.precision'


def check_one(name: str, value: Any, experiment: str | None = None):
  """Raises SettingError on an unknown setting or a value that cannot be meant."""
  setting = find(name, experiment)
  if setting is None:
    known = [key.rpartition('/')[2] for key in SETTINGS]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f'; did you mean config.{near[0]}?' if near else ''
    raise SettingError(f'config.{name}: there is no such setting{hint}')
  setting.check(name, value)


def check(values: Mapping[str, Any], named: Collection[str] = ()):
  """Checks a configuration before anything is made of it.

  Args:
    values: Settings by their dotted names, as of `flatten`.
    named: Those that the user has overridden.

  Raises:
    SettingError: On a setting that is unknown or out of its range, on settings
      that contradict each other, and on one in `named` that others make
      meaningless. The message names the settings.
  """
  check_one('experiment', values.get('experiment'))
  for name, value in values.items():
    check_one(name, value, values['experiment'])
  _check_together(values)
  check_named(values, named)


def check_named(values: Mapping[str, Any], named: Collection[str]):
  """Raises SettingError if an override means nothing; arguments as `check`."""
  for rule in RULES:
    for name in rule.dead(values):
      if name in named:
        raise rule.error(name, values)


def _check_together(values: Mapping[str, Any]):
  """Raises SettingError on settings that no run can have at once."""
  name = values.get('data.name')
  made = any(key.startswith('data.train_clips.') for key in values)
  if name == 'embedded' and not made:
    raise SettingError(
      "config.data.name='embedded': this configuration does not say how many "
      'clips to make (data.train_clips); it is for prepared data alone'
    )
  if values.get('model.name') == 'emenet_va' and not values.get('data.audio'):
    raise SettingError(
      "config.model.name='emenet_va' listens, but config.data.audio=False: add "
      '--config.data.audio=True, or choose --config.model.name=emenet_v'
    )
  _check_distillation(values)


def _check_distillation(values: Mapping[str, Any]):
  """Raises SettingError on what students of single teachers cannot have."""
  method = values.get('distill.method', 'mean')
  if method == 'mean' or not values['generations']:
    return
  said = f'config.distill.method={method!r}'
  if values['generations'] > 1:
    raise SettingError(
      f'{said} makes one generation of students, which answer as all teachers '
      f'do, not {values["generations"]}: add --config.generations=1'
    )
  if values.get('train.mixup', 0):
    raise SettingError(
      f'{said} has a label of every teacher, which mixup does not mix: add '
      '--config.train.mixup=0'
    )
  if values['ensemble.size'] < 2:
    raise SettingError(
      f'{said} learns on what teachers disagree, and config.ensemble.size=1: '
      'add --config.ensemble.size=2'
    )
  if method == 'hydra' and values['ensemble.size'] > MOST_HEADS:
    raise SettingError(
      f'{said} has a head for each of config.ensemble.size='
      f'{values["ensemble.size"]} teachers: at most {MOST_HEADS}'
    )


def describe(values: Mapping[str, Any] | None = None) -> str:
  """Lines about the settings, for `--help`.

  Args:
    values: Those of a configuration, which are shown; without it all settings
      that there are.
  """
  if values is None:
    return '\n'.join(_line(name, s, '') for name, s in SETTINGS.items())
  found = [
    (name, find(name, values.get('experiment')), f'={value}')
    for name, value in values.items()
  ]
  return '\n'.join(_line(n, s, value) for n, s, value in found if s is not None)


def _line(name: str, setting: Setting, value: str) -> str:
  experiment, _, name = name.rpartition('/')
  where = f'{experiment}: ' if experiment else ''
  text = '; '.join(part for part in (setting.help, setting.range()) if part)
  return f'  --config.{name}{value}\n      {where}{text}'
