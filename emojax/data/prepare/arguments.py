"""The command line of `python -m emojax.data.prepare`."""

import argparse
import textwrap
from typing import Any

from emojax.data.prepare import shards
from emojax.data.readers import base
from emojax.data.transform import audio
from emojax.host import program


def parse(argv: list[str] | None, description: str | None) -> dict[str, Any]:
  """Returns the keyword arguments of `prepare.prepare`.

  Raises:
    SystemExit: Help was asked for, or the arguments are wrong.
  """
  parser = argparse.ArgumentParser(
    program.name('emojax.data.prepare'),
    description=description,
    epilog=_reader_help(),
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('name', choices=base.READERS, metavar='NAME', help='data set, see below')
  add(
    '--source',
    type=program.folder,
    required=True,
    help='folder with the official layout',
  )
  program.add_out(parser)
  add('--size', type=int, default=112, help='image size (default 112)')
  add('--channels', type=int, choices=(1, 3), help='default: as the images')
  add('--audio', choices=audio.KINDS, help='store features of the sound')
  add('--strict', action='store_true', help='stop at the first problem')
  add('--workers', type=int, help='processes (default: all cores)')
  add(
    '--segment_frames',
    type=int,
    default=shards.SEGMENT_FRAMES,
    help='per record',
  )
  add(
    '--option',
    action='append',
    default=[],
    metavar='KEY=VALUE',
    type=_key_value,
    help='option of the reader, see below; may be repeated',
  )
  given = vars(parser.parse_args(argv))
  given['options'] = dict(given.pop('option'))
  return given


def _key_value(text: str) -> tuple[str, str]:
  key, equals, value = text.partition('=')
  if not (key and equals):
    raise argparse.ArgumentTypeError(f'{text!r}: expected KEY=VALUE')
  return key, value


def _reader_help() -> str:
  """Names of all readers with their options; those of all come first."""
  options = {name: base.options(name) for name in base.READERS}
  common = set.intersection(*(set(found) for found in options.values()))
  some = next(iter(options.values()))
  lines = ['options of all data sets:']
  lines += [_option_help(some[key]) for key in some if key in common]
  lines.append('data sets and their own options:')
  for name, found in options.items():
    lines.append(f'  {name}')
    lines += [_option_help(found[key]) for key in found if key not in common]
  return '\n'.join(lines)


def _option_help(option) -> str:
  text = f'{option.name}={option.default}: {option.help}'
  return textwrap.fill(
    text, 78, initial_indent=' ' * 4, subsequent_indent=' ' * 6
  )
