"""`python -m emojax`: the commands of the console script `emojax`."""

import sys

from emojax import cli

if __name__ == '__main__':
  sys.exit(cli.main())
