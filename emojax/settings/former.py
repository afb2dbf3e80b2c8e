"""Settings that had another name: commands and runs of before still mean them."""

from collections.abc import Mapping
from typing import Any

FORMER = {'train.batch': 'train.batch_size'}  # of paper 004


def current(name: str) -> str:
  """The name of today of a setting."""
  return FORMER.get(name, name)


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
  """Nested settings, as of config.json, by their names of today."""
  found = {
    key: dict(value) if isinstance(value, Mapping) else value
    for key, value in values.items()
  }
  for name, today in FORMER.items():
    part, _, last = name.rpartition('.')
    group = found.get(part)
    if isinstance(group, dict) and last in group:
      group.setdefault(today.rpartition('.')[2], group.pop(last))
  return found


def arguments(argv: list[str]) -> list[str]:
  """`--config.train.batch=3` as `--config.train.batch_size=3`."""
  return [_argument(text) for text in argv]


def _argument(text: str) -> str:
  flag, equals, value = text.partition('=')
  dashes, config, name = flag.partition('config.')
  if not config or dashes not in ('-', '--'):
    return text
  return f'{dashes}{config}{current(name)}{equals}{value}'
