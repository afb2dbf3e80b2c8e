"""Other settings for all runs of a benchmark: --set NAME=VALUE, checked at once."""

import argparse
import pathlib
import runpy
from collections.abc import Collection, Mapping

from ml_collections import ConfigDict

from emojax.runtime import overrides

ROOT = pathlib.Path(__file__).parents[1]


def option(parser: argparse.ArgumentParser):
  """Adds --set, whose pairs are `recipe` of what is parsed."""
  parser.add_argument(
    '--set', dest='recipe', action='append', default=[], metavar='NAME=VALUE',
    type=_assignment, help='a setting of all runs; may be repeated',
  )  # fmt: skip


def _assignment(text: str) -> tuple[str, str]:
  try:
    return overrides.split(text)
  except ValueError as error:
    raise argparse.ArgumentTypeError(str(error)) from error


def checked(
  config: str, recipe: Mapping[str, str], taken: Collection[str]
) -> ConfigDict:
  """The configuration with a recipe's settings.

  Args:
    config: Of the repository, e.g. 'configs/ferplus.py'.
    recipe: Settings, as text.
    taken: Settings that the runs differ in, or that the benchmark gives them.

  Raises:
    ValueError: If the recipe has settings that do not exist, mean nothing, or are
      taken.
  """
  if found := sorted(set(taken) & recipe.keys()):
    raise ValueError(
      f'--set {found[0]}: the benchmark gives it to its runs, leave it out'
    )
  return configured(config, recipe)


def configured(config: str, changes: Mapping[str, str]) -> ConfigDict:
  """A configuration with some settings changed, as the command line has it.

  Args:
    config: Of the repository, with a preset: 'configs/ferplus.py:multinomial'.
    changes: Settings, as text.

  Raises:
    ValueError: If one does not exist or means nothing.
  """
  path, _, preset = config.partition(':')
  make = runpy.run_path(str(ROOT / path))['get_config']
  assignments = [f'{name}={value}' for name, value in changes.items()]
  made = overrides.apply(make(preset) if preset else make(), assignments)
  overrides.check(made, changes)
  return made
