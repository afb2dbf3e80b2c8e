"""What a benchmark needs done: what is finished, what it costs, and doing the rest.

Each piece is a command of the package that goes on where it was stopped and writes
a file of a known name last, so that what is finished is not done again.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import rich.console

from benchmarks import recipes, tables
from emojax.runtime import workdir
from emojax.settings import places

FINISHED, BEGUN, MISSING = 'finished', 'begun', 'not begun'
# Of one core, for a training of configs/ferplus.py, as docs/training.md estimates.
MINUTES = 18.0


class Planned(NamedTuple):
  """A command.

  Attributes:
    path: The folder that it makes.
    command: What comes after `python -m`.
    networks: Trainings of the configuration's length that it has.
    last: The file that it writes last.
  """

  path: pathlib.Path
  command: tuple[str, ...]
  networks: float
  last: str = 'results.json'

  @property
  def state(self) -> str:
    """`FINISHED`, `BEGUN` or `MISSING`."""
    if (self.path / self.last).is_file():
      return FINISHED
    return BEGUN if self.path.exists() else MISSING

  @property
  def seconds(self) -> float:
    """Of the clock that a run of emojax.main took so far, over all sittings."""
    path = self.path / 'timings.json'
    return sum(json.loads(path.read_text()).values()) if path.exists() else 0.0


def run(
  path: pathlib.Path, config: str, networks: float, settings: Mapping[str, Any]
) -> Planned:
  """A run of emojax.main.

  Args:
    path: Its folder.
    config: The configuration file, with a preset.
    networks: Trainings that it has.
    settings: Overrides by name.
  """
  changes = [f'--config.{k}={v}' for k, v in settings.items()]
  command = ('emojax.main', f'--config={config}', f'--workdir={path}', *changes)
  return Planned(path, command, networks)


def check(plan: Sequence[Planned]):
  """Looks at every piece before anything is done.

  Raises:
    ValueError: If a command has a setting that does not exist or means nothing,
      or what is finished or begun was made by other settings: tables would tell of
      another recipe than their command.
  """
  for one in plan:
    kind, *arguments = one.command
    if kind == 'emojax.main':
      _check_run(one, arguments)
    elif one.state == FINISHED:
      _check_data(one, arguments)


def _check_run(one: Planned, arguments: Sequence[str]):
  file, _, *changes = arguments  # as of `run`
  given = dict(text.removeprefix('--config.').split('=', 1) for text in changes)
  config = recipes.configured(file.removeprefix('--config='), given)
  if not (one.path / 'config.json').is_file():
    return
  plain = json.loads(json.dumps(config.to_dict()))
  found = workdir.differences(one.path, plain)
  other = [
    workdir.spelt(name, *pair)
    for name, pair in found.items()
    # What a run resolves is in its folder alone; folders may be named otherwise.
    if workdir.ABSENT not in pair and name not in places.PATHS
  ]
  if other:
    raise ValueError(
      f'{one.path} was made by other settings than asked for now '
      f'({"; ".join(other)}): name another folder, or give the same settings'
    )


def _check_data(one: Planned, arguments: Sequence[str]):
  settings = json.loads((one.path / one.last).read_text()).get('settings', {})
  pairs = [
    arguments[i + 1].partition('=')[::2]
    for i, text in enumerate(arguments)
    if text == '--option'
  ]
  asked = {name: str(value) for name, value in pairs}
  found = settings.get('options', {})
  if {k: str(v).lower() for k, v in found.items()} != asked:
    raise ValueError(
      f'{one.path} was prepared with the options {found}, not {asked}: name '
      'another folder, or move that one away'
    )


def lines(plan: Sequence[Planned], minutes: float) -> list[str]:
  """State, hours of a core and command of each piece; what is left in all.

  Args:
    plan: In the order in which they are to be done.
    minutes: Of one core that a training takes.
  """
  left = [one for one in plan if one.state != FINISHED]
  hours = sum(one.networks for one in left) * minutes / 60
  return [
    f'{one.state:>9}{one.networks * minutes / 60:6.1f} h  '
    f'python -m {shlex.join(one.command)}'
    for one in plan
  ] + [
    f'{len(plan) - len(left)} of {len(plan)} are finished; the others take '
    f'{hours:.0f} hours of a core at {minutes:g} minutes a network (--minutes), '
    'less what was begun',
    *([text] if (text := cost(plan)) else []),
  ]


def cost(plan: Sequence[Planned]) -> str:
  """A sentence on what finished trainings took; '' without any."""
  done = [one for one in plan if one.state == FINISHED and one.seconds]
  if not done:
    return ''
  networks = sum(one.networks for one in done)
  seconds = sum(one.seconds for one in done)
  return (
    f'Measured on {networks:g} finished networks: {seconds / 60 / networks:.1f} '
    f'minutes of the clock each, {seconds / 3600:.1f} hours in all.'
  )


def do(
  plan: Sequence[Planned],
  console: rich.console.Console,
  program: Sequence[str] = (sys.executable, '-m'),
):
  """Does what is not finished, one after the other.

  Raises:
    ValueError: If a command ends otherwise than well; names its folder.
  """
  for one in plan:
    if one.state == FINISHED:
      continue
    console.print(one.path.name, style='bold', highlight=False)
    since, before = time.monotonic(), one.state
    code = _ended([*program, *one.command])
    if code:
      raise ValueError(
        f'{one.path} ended with status {code}; the same command goes on from '
        'there'
      )
    # What was begun before says nothing of a whole one.
    if before == MISSING and one.networks:
      _tell_rest(plan, one, time.monotonic() - since, console)


def _tell_rest(
  plan: Sequence[Planned],
  done: Planned,
  seconds: float,
  console: rich.console.Console,
):
  """Says how long the rest takes if it goes on as the piece just done."""
  left = sum(one.networks for one in plan if one.state != FINISHED)
  hours = left * seconds / done.networks / 3600
  console.print(
    f'{done.path.name} took {seconds / 60:.0f} minutes; the {left:g} networks '
    f'that are left take {hours:.1f} hours of the clock at that pace',
    highlight=False,
  )


def _ended(command: Sequence[str]) -> int:
  """Status of a command that has all the time it wants to stop at Ctrl-C."""
  with subprocess.Popen(command) as process:
    try:
      return process.wait()
    except KeyboardInterrupt:  # which the command was sent, too
      return process.wait()


def show(
  plan: Sequence[Planned], minutes: float, console: rich.console.Console
):
  """Prints the lines of a plan, each whole, so that it can be copied."""
  for line in lines(plan, minutes):
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def parser(
  name: str, doc: str, minutes: float = MINUTES
) -> argparse.ArgumentParser:
  """The command line of a benchmark with a plan.

  Args:
    name: Its module.
    doc: Its docstring.
    minutes: Of one core, for a training, if the user does not say.
  """
  made = argparse.ArgumentParser(
    prog=f'python -m {name}',
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  add('runs', type=pathlib.Path, help='folder of the runs')
  add('--train', action='store_true', help='do what is not finished')
  add(
    '--minutes', type=float, default=minutes, help='of one core, for a network'
  )
  add('--seeds', type=positive, default=3, help='chains; 3 for intervals')
  add('--replicates', type=positive, default=1000, help='of the test faces')
  add('--out', type=pathlib.Path, help='page with markers for the tables')
  add('--section', default='', help='whose markers, where the page has several')
  return made


def positive(text: str) -> int:
  """A number of things."""
  if not (text.isdecimal() and int(text)):
    raise argparse.ArgumentTypeError(f'{text!r}: expected a number above 0')
  return int(text)


def follow(
  asked: argparse.Namespace,
  plan: Sequence[Planned],
  report: Callable[[], Sequence[tables.Table]],
) -> int:
  """Does what is asked for, shows the plan and the tables; the exit code.

  Args:
    asked: Of `parser`.
    plan: In the order in which it is to be done.
    report: Makes the tables of what is finished.
  """
  console = rich.console.Console(width=max(160, rich.console.Console().width))
  try:
    check(plan)
    if asked.out:
      tables.check(asked.out, asked.section)
    if asked.train:
      do(plan, console)
    show(plan, asked.minutes, console)
    made = report()
    for one in made:
      one.print(console)
    if asked.out:
      tables.fill(asked.out, made, asked.section)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  return 0
