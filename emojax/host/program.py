"""What the program that runs is called, for its usage, and how it ends."""

import sys

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def name(module: str) -> str:
  """`emojax evaluate` where the console script runs it, `python -m ...` else.

  The script says it in sys.argv[0].
  """
  called = sys.argv[0] if sys.argv else ''
  return called if called.startswith('emojax ') else f'python -m {module}'
