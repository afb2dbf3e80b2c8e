"""Command line of emojax.

  python -m emojax.main --config=configs/gen.py --workdir=runs/first

runs an experiment from start to finish and opens with a report. The same
command again resumes a run that was interrupted, with the same result as one
that was not. Settings are overridden as `--config.train.epochs=3`; presets are
named after a colon, `--config=configs/gen.py:tiny`.
"""

import contextlib
import difflib
import functools
import runpy
import sys
import traceback
from collections.abc import Collection
from typing import NoReturn, cast

from absl import app, flags, logging
from ml_collections import config_flags

from emojax import settings
from emojax.host import program, terminal
from emojax.runtime import overrides

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
  "Folder of compiled programs, for runs that start again; 'auto' for the "
  "user's cache folder, 'off' for none. What is in it is run: it is as good as "
  'code, and must be writable by you alone.',
)
_DISTRIBUTED = flags.DEFINE_enum(
  'distributed',
  'auto',
  ['auto', 'off'],
  'Whether this process is one of several of a job: auto joins the job that a '
  'TPU, SLURM, Kubernetes or Open MPI describes; off runs it by itself.',
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator',
  None,
  'Elsewhere: HOST:PORT at which process 0 of the job listens (docs/scaling.md).',
)
_PROCESSES = flags.DEFINE_integer(
  'processes', None, 'Number of processes of the job.', lower_bound=1
)
_PROCESS = flags.DEFINE_integer(
  'process', None, 'Which of them this is, from 0.', lower_bound=0
)
_HEARTBEAT = flags.DEFINE_integer(
  'heartbeat',
  60,
  'Seconds of silence after which a process is dead and the others stop.',
  lower_bound=5,
)
_LOG = flags.DEFINE_list(
  'log',
  [],
  'Who else is to have the metrics of every epoch: tensorboard, wandb, aim, mlflow, '
  'with commas between (docs/training.md).',
)
flags.mark_flags_as_required(['config', 'workdir'])

HINT = '`python -m emojax.main --help` lists the flags and settings.'


def main(argv: list[str]):
  """Runs the experiment that the flags describe; see the module's docstring."""
  if len(argv) > 1:
    _fail(
      f'unexpected arguments {argv[1:]}; overrides look like '
      '--config.train.epochs=3'
    )
  if not cast(str, _WORKDIR.value).strip():
    _fail(f'--workdir={program.NO_FOLDER}')
  config = _CONFIG.value
  check_settings(config, overridden())
  job = job_from_flags()
  # After the flags, so that --help and errors do not wait for JAX.
  from emojax.host import processes

  if FLAGS.verbosity <= 0:  # the default: libraries speak up on warnings only
    logging.set_verbosity(logging.WARNING)
  try:
    if job or (_DISTRIBUTED.value == 'auto' and processes.environment()):
      processes.join(*job, heartbeat=_HEARTBEAT.value)
    code = execute(config)
  except processes.ProcessError as error:
    print(terminal.harmless(f'error: {error}'), file=sys.stderr)
    return processes.abandon(1)
  except Exception:
    if processes.count() == 1:
      raise
    traceback.print_exc()  # the others must not wait for this process
    return processes.abandon(1)
  processes.leave()
  return code


def execute(config) -> int:
  """Runs the experiment; returns the exit code once all processes agree."""
  import jax
  from rich.console import Console

  from emojax import experiments
  from emojax.engine.checkpoint import CheckpointError
  from emojax.host import processes
  from emojax.host.signals import StopRequested
  from emojax.runtime import (
    compilation,
    devices,
    loggers,
    memory,
    training,
    workdir,
  )

  processes.check_count(_PROCESSES.value)
  experiment = experiments.module(config.experiment)
  compilation.collect_seldom()
  console = Console(quiet=processes.index() > 0)
  say = functools.partial(terminal.say, console)
  folder = workdir.Workdir(
    cast(str, _WORKDIR.value), config.to_dict(), cast(list[str], _LOG.value)
  )
  try:
    loggers.check(folder.loggers)
    compilation.set_cache(_CACHE.value)
    devices.set_cpu_devices(config.ensemble.size, config.runtime.cpu_devices)
    folder.open()
    if folder.finished:
      say(
        f'{folder.path} is finished: open {folder / "report.html"}, or choose '
        'another --workdir to run again.'
      )
      return 0
    with memory.explained(settings.flatten(config.to_dict())):
      results = experiment.run(config, folder, console)
  except StopRequested as stop:
    say(f'{stop}: saved in {folder.path}. Run the same command to resume.')
    return program.INTERRUPTED
  except KeyboardInterrupt:
    say(f'stopped; run the same command to resume {folder.path}.')
    return processes.abandon(program.INTERRUPTED)
  except (
    CheckpointError,
    ImportError,
    OSError,
    ValueError,
    memory.OutOfMemoryError,
    training.DivergedError,
  ) as error:
    if FLAGS.verbosity > 0:  # --verbosity=1: developers want the traceback
      raise
    terminal.say(Console(), ('error:', 'bold red'), f' {error}')
    return processes.abandon(1)
  except jax.errors.JaxRuntimeError as error:
    if processes.count() == 1:
      raise
    raise processes.lost(error) from error
  finally:
    workdir.release()
  if seconds := sum(results.get('timings', {}).values()):
    say(f'Time of all sittings: {terminal.duration(seconds)}')
  say(f'Report: {folder / "report.html"}')
  return 0


def job_from_flags() -> tuple:
  """(coordinator, processes, process) of the flags, or () without them."""
  job = (_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
  if job == (None, None, None):
    return ()
  address = (_COORDINATOR.value or '').rpartition(':')
  _, processes, process = job
  whole = address[0] and address[2].isdigit()
  if processes is None or process is None or not whole:
    _fail(
      '--coordinator=HOST:PORT, --processes and --process belong together; '
      f'found {job}'
    )
  if not 0 < int(address[2]) < 2**16:
    _fail(f'--coordinator={_COORDINATOR.value}: expected a port below 65536')
  if process >= processes:
    _fail(
      f'--process={process}: expected 0 to {processes - 1}, as there are '
      f'--processes={processes}'
    )
  return job


def check_settings(config, named: Collection[str] = ()):
  """Ends the program if a setting cannot be meant.

  Args:
    config: The configuration.
    named: Settings that the user has overridden, which must mean something.
  """
  try:
    overrides.check(config, named)
  except settings.SettingError as error:
    text = str(error)
    _fail(f'--{text}' if text.startswith('config.') else text)


def overridden() -> set[str]:
  """Names of the settings that the flags override."""
  return set(config_flags.get_override_values(FLAGS['config']))


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, with errors that say which setting was meant."""
  _forget_flags()
  argv = sys.argv = settings.arguments(argv)  # ml_collections reads the latter
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
  except SystemExit:  # absl ends --help as if it had failed
    print(_settings_help(argv))
    sys.exit(0)


def _forget_flags():
  """Takes back the flags of a run before this one in the same interpreter."""
  for name in [name for name in FLAGS if name.startswith('config.')]:
    delattr(FLAGS, name)  # an override; this run may have others
  for name in list(FLAGS):
    FLAGS[name].unparse()


def _settings_help(argv: list[str]) -> str:
  """Lines about the settings: of a configuration that is named, or all."""
  config = None
  with contextlib.suppress(Exception):  # of somebody's file; --help is no check
    config = _named_config(argv)
  if config is None:
    return (
      'Settings (--help --config=FILE lists those of a file, with its values):\n'
      + settings.describe()
    )
  values = settings.flatten(config.to_dict())
  return f'Settings, with their values:\n{settings.describe(values)}'


def _unknown_setting(argv: list[str]) -> str:
  """Names the nearest settings to each override that does not exist."""
  config = _named_config(argv)
  found = settings.flatten(config.to_dict()) if config else ()
  known = [f'config.{name}' for name in found]
  lines = []
  for argument in argv[1:]:
    name = argument.lstrip('-').split('=')[0]
    if name.startswith('config.') and name not in known:
      near = difflib.get_close_matches(name, known, 3, 0.5)
      options = ' or '.join(f'--{option}' for option in near)
      hint = f'; did you mean {options}?' if near else ''
      lines.append(f'unknown setting --{name}{hint}')
  return '\n'.join(lines)


def _named_config(argv: list[str]):
  """The configuration that the arguments name, without overrides, or None."""
  for argument, following in zip(argv[1:], [*argv[2:], '']):
    key, _, value = argument.lstrip('-').partition('=')
    value = value or following  # --config FILE is as good as --config=FILE
    if key == 'config' and value:
      path, *preset = value.split(':', 1)
      return runpy.run_path(path)['get_config'](*preset)
  return None


def _fail(message: str) -> NoReturn:
  print(terminal.harmless(f'error: {message}'), file=sys.stderr)
  print(HINT, file=sys.stderr)
  sys.exit(2)


def run():
  """Entry point."""
  app.run(main, flags_parser=parse_flags)


if __name__ == '__main__':
  run()
