"""`python -m emojax.data.prepare`."""

import sys

from emojax.data.prepare.command import main

if __name__ == '__main__':
  sys.exit(main())
