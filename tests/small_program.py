"""Runs a program of emojax that knows the small network of the tests.

python tests/small_program.py emojax.evaluate --workdir=...
"""

import pathlib
import runpy
import sys

ROOT = pathlib.Path(__file__).parent.parent

if __name__ == '__main__':
  sys.path.insert(0, str(ROOT))
  import small_run

  from emojax import main, models
  from emojax.engine import fingerprint

  models.MODELS['small'] = small_run.small
  fingerprint.KNOWN.add('engine')  # programs are kept as those of emojax are
  module = sys.argv[1]
  del sys.argv[1]
  if module == main.__name__:  # its flags are defined once
    main.run()
  else:
    runpy.run_module(module, run_name='__main__', alter_sys=True)
