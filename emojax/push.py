"""Pushes an exported model to the Hugging Face Hub.

  emojax push exported/first user/name
  emojax push exported/first user/name --private --yes

checks the model as `emojax.load` does, says what is going to be uploaded, asks,
and uploads these files as one commit: the card, the description and the weights,
whatever else the folder holds. Then, anywhere,

  model = emojax.load('hf://user/name')

It needs `pip install 'emojax[hub]'` and a login (`hf auth login`, or HF_TOKEN).
"""

import argparse
import sys
from collections.abc import Sequence

from emojax.host import program, terminal


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog=program.name('emojax.push'),
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  made.add_argument('folder', metavar='DIR', help='an exported model')
  made.add_argument(
    'repository',
    metavar='user/name[@branch]',
    help='where to; made if it is missing',
  )
  made.add_argument(
    '--private', action='store_true', help='a repository that only you see'
  )
  made.add_argument('--yes', action='store_true', help='do not ask')
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  said = parser().parse_args(arguments)
  # After the arguments, so that --help and errors do not wait for JAX.
  from emojax.trained import hub

  try:
    reference = hub.parse(said.repository)
    upload = hub.prepared(said.folder)
    print(terminal.harmless(_plan(said, reference, upload)))
    if not said.yes and not _agreed():
      print('nothing was uploaded', file=sys.stderr)
      return 1
    print(terminal.harmless(hub.push(upload, reference, said.private)))
  except KeyboardInterrupt:
    print(
      'stopped: all of it was uploaded or nothing, which its page will show',
      file=sys.stderr,
    )
    return program.INTERRUPTED
  except (OSError, ValueError) as error:
    print(terminal.harmless(f'error: {error}'), file=sys.stderr)
    return 1
  print(f"loaded by emojax.load('{reference}')")
  return 0


def _plan(said, reference, upload) -> str:
  """What is going to be uploaded."""
  seen = (
    'private' if said.private else 'public, unless its owner has it private'
  )
  lines = [f'{said.folder} to {reference} ({seen}):']
  lines += [
    f'  {name}  {len(data):,} bytes' for name, data in upload.files.items()
  ]
  hint = ''
  if upload.license == 'unknown':
    hint = '; state it in the first lines of README.md (`license:`)'
  return '\n'.join([*lines, f'licence of the weights: {upload.license}{hint}'])


def _agreed() -> bool:
  """Whether somebody at the terminal says yes."""
  if not sys.stdin.isatty():
    print('nobody is here to ask: --yes uploads', file=sys.stderr)
    return False
  try:
    return input('Upload? [y/N] ').strip().lower() in ('y', 'yes')
  except (EOFError, KeyboardInterrupt):
    return False


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
