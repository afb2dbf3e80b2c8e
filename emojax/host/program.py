"""What the program that runs is called, what it takes, and how it ends."""

import argparse
import sys

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
NO_FOLDER = "'' is no folder: is a variable not set?"


def name(module: str) -> str:
  """`emojax evaluate` where the console script runs it, `python -m ...` else.

  The script says it in sys.argv[0].
  """
  called = sys.argv[0] if sys.argv else ''
  return called if called.startswith('emojax ') else f'python -m {module}'


def folder(text: str) -> str:
  """The name of a folder, as the type of an argument.

  Raises:
    ArgumentTypeError: If it is empty, as that of a variable of the shell that is not
      set; it would be the folder that the command is run in.
  """
  if not text.strip():
    raise argparse.ArgumentTypeError(NO_FOLDER)
  return text


def add_out(parser: argparse.ArgumentParser):
  """Adds --out, the folder that a command writes."""
  parser.add_argument(
    '--out', type=folder, required=True, metavar='DIR', help='folder to write'
  )
