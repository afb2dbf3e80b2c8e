"""The folder of a run: what is in it, whether it may be written to."""

import json
import os
import pathlib
import platform
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flax
import jax
import numpy as np
import optax

import emojax
from emojax.engine.optimisation import NEUTRAL
from emojax.host import files, processes
from emojax.host.files import UNFINISHED
from emojax.settings import flatten, is_how, renamed

LOCK = '.lock'
ABSENT = '(absent)'  # of a setting that one of two configurations lacks
SAID = ('eval.floor', 'eval.spread')  # what may be said of a run's numbers
# Locks of this process, and the threads that work under them.
_HELD: dict[pathlib.Path, tuple[Any, threading.Thread]] = {}


class WorkdirError(ValueError):
  """The folder cannot be used for this run; the message says what to do."""


def write_text(path: pathlib.Path, text: str):
  """Writes a file atomically: a killed run leaves the old one or none.

  Of several processes the first one writes, and all return when they see it.
  """
  _write_text(pathlib.Path(path), text)
  processes.wait_until_visible(pathlib.Path(path))


@processes.by_one
def _write_text(path: pathlib.Path, text: str):
  with files.replacing(path) as part:
    part.write_text(text)


def write_json(path: pathlib.Path, value: Any):
  """Writes JSON atomically; NaN and infinity are errors, not invalid JSON."""
  write_text(path, json.dumps(value, indent=1, allow_nan=False) + '\n')


def write_arrays(path: pathlib.Path, arrays: dict[str, Any]):
  """Writes an .npz as `write_text` does."""
  _write_arrays(pathlib.Path(path), arrays)
  processes.wait_until_visible(pathlib.Path(path))


@processes.by_one
def _write_arrays(path: pathlib.Path, arrays: dict[str, Any]):
  with files.replacing(path) as part, open(part, 'wb') as file:
    np.savez(file, **arrays)


def environment() -> dict[str, Any]:
  """Versions, devices and revision that a run's numbers depend on."""
  device = jax.devices()[0]
  return {
    'emojax': emojax.__version__,
    'jax': jax.__version__,
    'flax': flax.__version__,
    'optax': optax.__version__,
    'numpy': np.__version__,
    'python': platform.python_version(),
    'backend': device.platform,
    'device_kind': device.device_kind,
    'devices': jax.device_count(),
    'processes': jax.process_count(),
    'revision': _revision(),
  }


def _revision() -> str:
  """Git revision of the source, with '+' if it has uncommitted changes."""
  here = pathlib.Path(__file__).parent

  def git(*arguments):
    return subprocess.run(
      ['git', *arguments], cwd=here, capture_output=True, text=True, timeout=20
    )

  try:
    head = git('rev-parse', 'HEAD')
    if head.returncode:
      return 'unknown'
    changed = git(
      'status', '--porcelain', '--untracked-files=no'
    ).stdout.strip()
  except (OSError, subprocess.TimeoutExpired):
    return 'unknown'
  return head.stdout.strip() + ('+' if changed else '')


def release():
  """Lets others work in the folders that this thread has opened."""
  here = threading.current_thread()
  for path, (lock, thread) in list(_HELD.items()):
    if thread is here:
      del _HELD[path]
      if lock is not None:  # of a file system without locks
        lock.release()


class Workdir:
  """A run's folder.

  Args:
    path: The folder; made by `open`.
    config: The resolved configuration as nested dictionaries.
    loggers: Who else is to have the metrics, names of `runtime.loggers.KINDS`.
  """

  def __init__(
    self,
    path: str | os.PathLike,
    config: dict[str, Any],
    loggers: Sequence[str] = (),
  ):
    self.path, self.loggers = pathlib.Path(path), tuple(loggers)
    self.config = json.loads(json.dumps(config))  # tuples become lists

  def __truediv__(self, name: str) -> pathlib.Path:
    return self.path / name

  @property
  def finished(self) -> bool:
    """Whether the run has written its results and, last of all, its report.

    Files that are empty or cut off, as after a loss of power, are not results:
    the same command writes them again from what has been predicted.
    """
    try:
      results = json.loads((self / 'results.json').read_bytes())
      return bool(results) and (self / 'report.html').stat().st_size > 0
    except (OSError, ValueError):
      return False

  def open(self):
    """Makes the folder, or checks that it belongs to this configuration.

    Settings that decide how a run is computed, not what (`settings.is_how`), may
    differ. So may those in `SAID`, which decide what its numbers may be said to show.

    Raises:
      WorkdirError: If the folder holds another run or somebody's files.
      ProcessError: If the processes of a job do not share it.
    """
    if not processes.all_same(json.dumps(self.config)):
      raise processes.ProcessError(
        'the processes were started with different configurations: give all '
        'of them the same flags'
      )
    self._open()
    processes.check_shared(self.path)

  @processes.by_one
  def _open(self):
    if not (self / 'config.json').exists():
      self._check_empty()
      self._hold()
      self._sweep()
      self._claim()
      return
    differing = differences(self.path, self.config)
    if not self.finished:  # else nothing is written; it may be read-only
      self._hold()
      self._sweep()
    if differing and not self.begun():
      self._claim()
    elif differing:
      raise WorkdirError(
        f'{self.path} holds a run of another configuration:\n'
        + '\n'.join(f'  {spelt(key, *pair)}' for key, pair in differing.items())
        + '\nChoose another --workdir, or give the same settings to resume.'
      )

  def begun(self) -> bool:
    """Whether there is more than what a run writes before it trains."""
    return any(
      (self / name).is_file() or _has_files(self / name)
      for name in self._names() - {'config.json', 'data.json', 'priors.json'}
    )

  def _names(self) -> set[str]:
    """What is in the folder, but for the lock and files half written."""
    names = {path.name for path in self.path.iterdir()}
    return {n for n in names if n != LOCK and not n.endswith(UNFINISHED)}

  def _hold(self):
    """Locks the folder: two processes would overwrite each other's state.

    The lock ends with the process, however that ends, or by `release`.
    """
    path, here = self.path.resolve() / LOCK, threading.current_thread()
    if path in _HELD and _HELD[path][1] is here:
      return
    try:
      _HELD[path] = files.lock(path), here
    except files.LockedError as error:
      who = (
        'another thread of this process' if path in _HELD else 'another process'
      )
      raise WorkdirError(
        f'{who} is at work in {self.path}: wait until it has ended, or choose '
        'another --workdir'
      ) from error

  def _claim(self):
    stored = {'config': self.config, 'environment': environment()}
    write_json(self / 'config.json', stored)

  def _sweep(self):
    """Removes what a killed run was writing."""
    for folder in (self.path, self / 'predictions'):
      for path in folder.glob(f'.*{UNFINISHED}'):
        path.unlink(missing_ok=True)

  def _check_empty(self):
    if self.path.exists() and not self.path.is_dir():
      raise WorkdirError(f'--workdir {self.path} is a file; name a folder')
    if self.path.exists() and self._names():
      raise WorkdirError(
        f'--workdir {self.path} has files but no config.json, so it is not a '
        'run of emojax; choose a new or an empty folder'
      )
    try:
      self.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise WorkdirError(
        f'cannot make --workdir {self.path}: {error}'
      ) from error

  @processes.by_one
  def append_metrics(self, lines: Iterable[dict[str, Any]]):
    """Appends to metrics.jsonl, flushed to the disk; links are not followed."""
    path = self / 'metrics.jsonl'
    with open(path, 'a', opener=files.open_plain) as file:
      file.writelines(json.dumps(line) + '\n' for line in lines)
      file.flush()
      os.fsync(file.fileno())

  @processes.by_one
  def trim_metrics(self, keep: Callable[[dict[str, Any]], bool]):
    """Drops lines of epochs that a resumed run trains again, and torn lines."""
    path = self / 'metrics.jsonl'
    if not os.path.lexists(path):
      return
    kept = []
    with open(path, opener=files.open_plain) as file:
      lines = file.read().splitlines()
    for line in lines:
      try:
        entry = json.loads(line)
      except json.JSONDecodeError:
        continue  # the kill came in the middle of this line
      if keep(entry):
        kept.append(line + '\n')
    write_text(path, ''.join(kept))


def _has_files(folder: pathlib.Path) -> bool:
  return any(path.is_file() for path in folder.rglob('*'))


def differences(
  folder: pathlib.Path, config: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
  """Settings of a run that are others than those of a configuration.

  Args:
    folder: The run's.
    config: As nested dictionaries, without tuples.

  Returns:
    Setting -> (the run's value, the configuration's), `ABSENT` where there is none;
    how something is computed is no difference.

  Raises:
    WorkdirError: If the folder is of no run.
  """
  wanted = flatten(config)
  # Runs of before a setting existed have the value that does nothing.
  found = {k: v for k, v in NEUTRAL.items() if k in wanted}
  found |= flatten(renamed(_read_config(folder / 'config.json')))
  pairs = {
    key: (found.get(key, ABSENT), wanted.get(key, ABSENT))
    for key in sorted(found.keys() | wanted.keys())
    if not (is_how(key) or key in SAID)
  }
  return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def spelt(name: str, there: Any, now: Any) -> str:
  """A difference in words."""
  return f'{name}: {there!r} there, {now!r} now'


def _read_config(path: pathlib.Path) -> dict[str, Any]:
  """The configuration that a run's folder belongs to."""
  try:
    stored = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise WorkdirError(
      f'{path} cannot be read ({error}); choose another --workdir'
    ) from error
  if not isinstance(stored, dict) or not isinstance(stored.get('config'), dict):
    raise WorkdirError(
      f'{path} is not of a run of emojax; choose a new or an empty folder'
    )
  return stored['config']
