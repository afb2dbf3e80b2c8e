"""What the program that runs is called, for its usage."""

import sys


def name(module: str) -> str:
  """`emojax evaluate` where the console script runs it, `python -m ...` else.

  The script says it in sys.argv[0].
  """
  called = sys.argv[0] if sys.argv else ''
  return called if called.startswith('emojax ') else f'python -m {module}'
