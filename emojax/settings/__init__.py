"""What settings there are, what they may be, and which make others meaningless.

`configs/` has the values; `table.py` has kinds, ranges and a line of help;
`rules.py` what means nothing beside what. Pure functions of flat dictionaries
(`flatten`): nothing here reads files or imports JAX.
"""

from emojax.settings.checks import (
  check,
  check_named,
  check_one,
  describe,
  find,
  flatten,
  is_how,
)
from emojax.settings.former import arguments, current, renamed
from emojax.settings.kinds import Setting, SettingError
from emojax.settings.rules import RULES
from emojax.settings.table import EXPERIMENTS, SETTINGS

__all__ = [
  'EXPERIMENTS',
  'RULES',
  'SETTINGS',
  'Setting',
  'SettingError',
  'arguments',
  'check',
  'check_named',
  'check_one',
  'current',
  'describe',
  'find',
  'flatten',
  'is_how',
  'renamed',
]
