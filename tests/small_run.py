"""Runs of the main program that compile in seconds, for tests of its logic.

Everything is as in `configs/gen.py:tiny` except for the network, which is the
small one of `engine/toy.py`. As a program it takes the flags of `emojax.main`:

  PYTHONPATH=. python tests/small_run.py --config=configs/gen.py:tiny ...
"""

import os
import pathlib
import runpy
import subprocess
import sys

from engine import toy

from emojax import main, models
from emojax.engine import fingerprint

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = f'{ROOT}/configs/gen.py:tiny'
SETTINGS = {
  'model.name': 'small',
  'data.clip_length': 2,
  'train.augment': 'none',
  'eval.mc_samples': 2,
}


def small(schema, image_size, axis_name=None, **_):
  """The network of `engine/toy.py` with a model's arguments."""
  return toy.Net(schema=schema, image_size=image_size, axis_name=axis_name)


def config(**changes):
  """The small configuration; names are dotted with '__'."""
  made = runpy.run_path(str(ROOT / 'configs' / 'gen.py'))['get_config']('tiny')
  names = {key.replace('__', '.'): value for key, value in changes.items()}
  made.update_from_flattened_dict(SETTINGS | names)
  return made


def command(workdir, cache, *arguments) -> list[str]:
  """Command line of a small run."""
  settings = [f'--config.{name}={value}' for name, value in SETTINGS.items()]
  return [
    sys.executable,
    __file__,
    f'--config={CONFIG}',
    f'--workdir={workdir}',
    f'--compilation_cache={cache}',
    *settings,
    *arguments,
  ]


def start(arguments) -> subprocess.Popen:
  """Starts a command with this package on its path."""
  return subprocess.Popen(
    arguments,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


if __name__ == '__main__':
  models.MODELS['small'] = small
  fingerprint.KNOWN.add('engine')  # programs are kept as those of emojax are
  main.run()
