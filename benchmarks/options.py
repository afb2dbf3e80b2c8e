"""Command line options and the check that both benchmarks begin with."""

import argparse
import os

from benchmarks import workers


def numbers(text: str) -> list[int]:
  """'48,112' to [48, 112]."""
  values = [int(part) for part in text.split(',')]
  if min(values) < 1:
    raise argparse.ArgumentTypeError(f'{text!r}: expected positive numbers')
  return values


def parser(
  doc: str,
  members: str = '1,5',
  seconds: float = 1,
  sizes: str = '48,112',
) -> argparse.ArgumentParser:
  """The options that the benchmarks share; their module's text is the help."""
  made = argparse.ArgumentParser(
    description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = made.add_argument
  add('--sizes', type=numbers, default=sizes, help='of images, in pixels')
  add('--members', type=numbers, default=members)
  add('--rounds', type=int, default=3, help='samples of each implementation')
  add('--seconds', type=float, default=seconds, help='length of a sample')
  add(
    '--limit',
    type=float,
    default=15,
    help='seconds: slower steps are run only once',
  )
  add('--cores', type=int, default=0, help='to use; 0 for all')
  add('--out', help='Markdown file to write')
  add('--quick', action='store_true', help='does it work? Numbers mean nothing')
  add(
    '--compilation_cache',
    default='auto',
    help="of JAX, as in emojax.main: 'auto', 'off' or a folder",
  )
  return made


def parse(made: argparse.ArgumentParser, **quick) -> argparse.Namespace:
  """Parses the command line; --quick changes the defaults to `quick`."""
  if made.parse_args().quick:
    made.set_defaults(rounds=1, seconds=0.1, **quick)
    flags = os.environ.get('XLA_FLAGS', '')
    # The workers inherit it; compilation takes most of a quick run.
    os.environ['XLA_FLAGS'] = f'{flags} --xla_backend_optimization_level=0'
  args = made.parse_args()
  workers.set_cores(args.cores)
  return args


def parity(args, console) -> str:
  """Sentence on how far both implementations agree.

  Raises:
    WorkerError: If they do not.
  """
  with console.status('comparing the implementations'):
    spec = {'size': args.sizes[0], 'members': 1, 'devices': 1}
    spec['cache'] = args.compilation_cache
    contender = workers.Contender('parity', 'benchmarks.parity:make', spec)
    contender.build()
    contender.close()
  if contender.reason is None:
    return contender.facts['note']
  if contender.reason == workers.NO_TORCH:
    return f'{contender.reason} for rows of PyTorch.'
  raise workers.WorkerError(contender.reason)
