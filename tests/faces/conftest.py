"""The small videos of the readers' tests serve here, too."""

import pathlib
import sys

READERS = pathlib.Path(__file__).parents[1] / 'data' / 'readers'
if str(READERS) not in sys.path:
  sys.path.append(str(READERS))
