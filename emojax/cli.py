"""The console script `emojax`: every command line of the package by one name.

emojax predict photo.jpg --out answers
emojax train gen:tiny --workdir=runs/first
"""

import contextlib
import importlib
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence

import emojax

# Files of settings by their former names; these lead to the same settings.
FORMER = ('bnn', 'incomplete', 'rul', 'tables')
USAGE = """\
usage: emojax COMMAND ...

Emotion recognition that knows when it does not know.

{commands}

`emojax COMMAND --help` says more. Every command is also a module, as in
`python -m emojax.main`; `python -m emojax COMMAND` is the same as this one.
"""


def _train(arguments: Sequence[str]) -> int:
  from emojax import main

  sys.argv = ['emojax train', *with_config(arguments)]
  main.run()  # ends the program
  return 0


def _module(name: str) -> Callable[[Sequence[str]], int]:
  """The main function of a module that takes its arguments."""

  def call(arguments: Sequence[str]) -> int:
    return importlib.import_module(name).main(list(arguments)) or 0

  return call


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
  'predict': (
    'faces in pictures and videos: a table, a page, an overlay',
    _module('emojax.answer'),
  ),
  'train': ('a run of a preset or a file of settings, e.g. gen:tiny', _train),
  'evaluate': (
    'a trained run again, or a model, on other data',
    _module('emojax.evaluate'),
  ),
  'export': (
    'a trained run as a model that others load',
    _module('emojax.export'),
  ),
  'calibrate': (
    'what a model promises, fitted on data of your own',
    _module('emojax.calibrate'),
  ),
  'push': (
    'an exported model to the Hugging Face Hub',
    _module('emojax.push'),
  ),
  'prepare': (
    'a data set from its official layout',
    _module('emojax.data.prepare.command'),
  ),
  'report': (
    'a finished run as a page of Markdown',
    _module('emojax.publish'),
  ),
  'models': ('the sizes of all networks', _module('emojax.models.__main__')),
}


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a command; returns its exit code."""
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  name = arguments[0] if arguments else '--help'
  if name in ('-h', '--help', 'help'):
    print(usage())
    return 0 if arguments else 2
  if name == '--version':
    print(f'emojax {emojax.__version__}')
    return 0
  if name not in COMMANDS:
    print(
      f'error: unknown command {name!r}{_near(name, COMMANDS)}', file=sys.stderr
    )
    print('`emojax --help` lists them.', file=sys.stderr)
    return 2
  with _called(f'emojax {name}'):
    return COMMANDS[name][1](arguments[1:])


@contextlib.contextmanager
def _called(name: str):
  """What usages name (`emojax.host.program`)."""
  before = sys.argv
  sys.argv = [name, *before[1:]]
  try:
    yield
  finally:
    sys.argv = before


def usage() -> str:
  """What the script says of itself."""
  lines = (f'  {name:9} {text}' for name, (text, _) in COMMANDS.items())
  return USAGE.format(commands='\n'.join(lines)).rstrip()


def _near(name: str, known: Iterable[str]) -> str:
  import difflib

  near = difflib.get_close_matches(name, known, 1)
  return f'; did you mean {near[0]}?' if near else ''


def configs() -> pathlib.Path:
  """The folder of the files of settings: in the package where it is installed,
  beside it in a checkout."""
  package = pathlib.Path(emojax.__file__).parent
  for folder in (package / 'configs', package.parent / 'configs'):
    if (folder / 'common.py').is_file():
      return folder
  raise FileNotFoundError('the files of settings are not installed')


def with_config(arguments: Sequence[str]) -> list[str]:
  """`gen:tiny` as the first argument becomes --config=.../gen.py:tiny.

  A name that is no preset's file is left as it is, and refused by the program.
  """
  if not arguments or arguments[0].startswith('-'):
    return list(arguments)
  name, colon, preset = arguments[0].partition(':')
  path = configs() / f'{name}.py'
  if name != 'common' and name.isidentifier() and path.is_file():
    name = str(path)
  elif not name.endswith('.py'):
    hidden = {'common', *FORMER}
    known = sorted({p.stem for p in configs().glob('*.py')} - hidden)
    print(
      f'error: no settings {name!r}{_near(name, known)}; expected one of '
      f'{", ".join(known)}, with a preset after a colon if need be, or a file, '
      'my.py:preset',
      file=sys.stderr,
    )
    raise SystemExit(2)
  return [f'--config={name}{colon}{preset}', *arguments[1:]]
