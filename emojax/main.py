"""Command line of emojax.

  python -m emojax.main --config=configs/gen.py --workdir=runs/first

runs an experiment from start to finish and opens with a report. The same
command again resumes a run that was interrupted, with the same result as one
that was not. Settings are overridden as `--config.train.epochs=3`; presets are
named after a colon, `--config=configs/gen.py:tiny`.
"""

import difflib
import os
import pathlib
import runpy
import sys

from absl import app, flags, logging
from ml_collections import config_flags

FLAGS = flags.FLAGS
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'Configuration file and preset, e.g. configs/gen.py:tiny. Settings are '
  'overridden as --config.train.epochs=3.',
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run: results, report, checkpoints.'
)
_CACHE = flags.DEFINE_string(
  'compilation_cache',
  'auto',
  "Folder of JAX's persistent compilation cache; 'auto' for the user's cache "
  "folder, 'off' for none.",
)
flags.mark_flags_as_required(['config', 'workdir'])

INTERRUPTED = 130
CACHE_BYTES = 2 * 2**30


def main(argv: list[str]):
  """Runs the experiment that the flags describe; see the module's docstring."""
  if len(argv) > 1:
    raise app.UsageError(
      f'unexpected arguments {argv[1:]}; overrides look like '
      '--config.train.epochs=3'
    )
  # After the flags, so that --help and errors do not wait for JAX.
  from rich.console import Console

  from emojax import distillation, workdir
  from emojax.engine.checkpoint import CheckpointError
  from emojax.signals import StopRequested

  if FLAGS.verbosity <= 0:  # the default: libraries speak up on warnings only
    logging.set_verbosity(logging.WARNING)
  set_cache(_CACHE.value)
  config = _CONFIG.value
  set_cpu_devices(config)
  console = Console()
  folder = workdir.Workdir(_WORKDIR.value, config.to_dict())
  try:
    folder.open()
    if folder.finished:
      console.print(
        f'{folder.path} is finished: open {folder / "report.html"}, or choose '
        'another --workdir to run again.'
      )
      return 0
    distillation.run(config, folder, console)
  except StopRequested as stop:
    console.print(
      f'{stop}: saved in {folder.path}. Run the same command to resume.'
    )
    return INTERRUPTED
  except (
    CheckpointError,
    distillation.DivergedError,
    OSError,
    ValueError,
  ) as error:
    if FLAGS.verbosity > 0:  # --verbosity=1: developers want the traceback
      raise
    console.print(f'[bold red]error:[/] {error}', highlight=False)
    return 1
  console.print(f'Report: {folder / "report.html"}')
  return 0


def set_cpu_devices(config):
  """Gives JAX one CPU device per core, for members to train side by side.

  XLA runs a loop's body on one core, so on CPU a stack of members is as fast as
  there are devices to spread it over.
  """
  import jax

  cores = (
    len(os.sched_getaffinity(0))
    if hasattr(os, 'sched_getaffinity')
    else os.cpu_count()
  )
  wanted = config.runtime.cpu_devices or min(cores, config.ensemble.size)
  if 'device_count' in os.environ.get('XLA_FLAGS', ''):
    return  # the user has decided
  try:
    jax.config.update('jax_num_cpu_devices', wanted)
  except RuntimeError:
    logging.warning('JAX runs already: it keeps its CPU devices')


def set_cache(choice: str):
  """Turns on JAX's persistent compilation cache, with a bound on its size."""
  import jax

  if choice == 'off':
    return
  folder = choice
  if choice == 'auto':
    base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    folder = str(pathlib.Path(base) / 'emojax' / 'jax')
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_compilation_cache_max_size', CACHE_BYTES)


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, with errors that say which setting was meant."""
  try:
    rest = FLAGS(argv)
    _CONFIG.value.to_dict()  # a file that does not exist is noticed only here
    return rest
  except (AttributeError, KeyError) as error:
    _fail(_unknown_setting(argv) or str(error))
  except (flags.Error, TypeError, ValueError, OSError) as error:
    lines = str(error).strip().splitlines()
    # ml_collections quotes the whole traceback of a configuration file.
    _fail(lines[-1] if 'Traceback' in str(error) else '\n'.join(lines))


def _unknown_setting(argv: list[str]) -> str:
  """Names the nearest settings to each override that does not exist."""
  known = _known_settings(argv)
  lines = []
  for argument in argv[1:]:
    name = argument.lstrip('-').split('=')[0]
    if name.startswith('config.') and name not in known:
      near = difflib.get_close_matches(name, known, 3, 0.5)
      options = ' or '.join(f'--{option}' for option in near)
      hint = f'; did you mean {options}?' if near else ''
      lines.append(f'unknown setting --{name}{hint}')
  return '\n'.join(lines)


def _known_settings(argv: list[str]) -> list[str]:
  """All settings of the configuration that the arguments name."""
  from emojax.workdir import flatten

  for argument in argv[1:]:
    key, _, value = argument.lstrip('-').partition('=')
    if key == 'config' and value:
      path, *preset = value.split(':', 1)
      config = runpy.run_path(path)['get_config'](*preset)
      return [f'config.{name}' for name in flatten(config.to_dict())]
  return []


def _fail(message: str):
  print(f'error: {message}', file=sys.stderr)
  print('`python -m emojax.main --help` lists the flags.', file=sys.stderr)
  sys.exit(2)


def run():
  """Entry point."""
  app.run(main, flags_parser=parse_flags)


if __name__ == '__main__':
  run()
