"""`kill -9` and a full disk at every step of `prepare`.

A child forked from a server that has imported everything kills itself at its k-th
operation on a file below the output, so that every k is tried in a second or so.
"""

import errno
import io
import multiprocessing
import os
import pathlib
import signal
import sys

import numpy as np
import pytest
import trees
from rich.console import Console

from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.prepare import overview
from emojax.data.store import store

EVENTS = {
  'open',
  'os.mkdir',
  'os.remove',
  'os.rename',
  'os.rmdir',
  'shutil.rmtree',
}
SETTINGS = {'size': 8, 'workers': 1, 'min_shard_frames': 2}


def figure(out, spec, tables):
  """In place of the figures, which take longest."""
  (out / 'figures').mkdir(exist_ok=True)
  (out / 'figures' / 'figure.png').write_bytes(b'PNG' * 1000)


def run(source, out):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(overview, 'draw', figure)
    console = Console(file=io.StringIO())
    return prepare.prepare('rafdb', source, out, **SETTINGS, console=console)


def at_step(number, out, act):
  """Calls `act` before the process's `number`-th step on files below `out`."""
  steps = 0

  def watch(event, arguments):
    nonlocal steps
    if event not in EVENTS or not arguments:
      return
    path = arguments[0]
    if not isinstance(path, (str, bytes, os.PathLike)):
      return
    if os.fsdecode(path).startswith(str(out)):
      steps += 1
      if steps == number:
        act(event, path)

  sys.addaudithook(watch)
  return lambda: steps


def kill(*_):
  os.kill(os.getpid(), signal.SIGKILL)


def child(source, out, number, results):
  """Runs and dies; tells the number of its steps if it does not."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  count = at_step(number, out, kill)
  run(source, out)
  results.put(count())


def child_by_time(source, out, seconds):
  """Dies at a moment of the clock."""
  signal.signal(signal.SIGALRM, kill)
  signal.setitimer(signal.ITIMER_REAL, seconds)
  run(source, out)


@pytest.fixture(scope='module')
def context():
  made = multiprocessing.get_context('forkserver')
  made.set_forkserver_preload([__name__])
  with pytest.MonkeyPatch.context() as patch:
    # The server starts with the first process, and imports by this.
    patch.setenv('PYTHONPATH', os.pathsep.join(filter(None, sys.path)))
    start(made, os.getpid)
  return made


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  return trees.rafdb(tmp_path_factory.mktemp('raf')).root


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in pathlib.Path(folder).rglob('*')
    if path.is_file()
  }


@pytest.fixture(scope='module')
def expected(source, tmp_path_factory):
  return contents(run(source, tmp_path_factory.mktemp('whole') / 'out'))


def start(context, function, *arguments):
  process = context.Process(target=function, args=arguments)
  process.start()
  process.join(60)
  assert process.exitcode is not None
  return process.exitcode


@pytest.fixture(scope='module')
def steps(context, source, tmp_path_factory):
  """Number of steps of a run that nobody kills."""
  results = context.SimpleQueue()
  out = tmp_path_factory.mktemp('counted') / 'out'
  assert start(context, child, source, out, 0, results) == 0
  return results.get()


def usable(out):
  """A folder is finished and right, or said not to be finished."""
  try:
    data = pipeline.load_dataset(out, splits=pipeline.Splits(val='test'))
  except store.StoreError as error:
    return f'{out} holds no finished data set' in str(error)
  return np.isfinite(data.train.image).all()


# Every seventh step, in turns; all of them below.
@pytest.mark.parametrize('turn', range(3))
def test_killed_at_steps(context, source, expected, steps, tmp_path, turn):
  _kill_at(range(1 + turn, steps + 1, 21), context, source, expected, tmp_path)


@pytest.mark.slow
def test_killed_at_every_step(context, source, expected, steps, tmp_path):
  assert steps > 60
  _kill_at(range(1, steps + 1), context, source, expected, tmp_path)


def _kill_at(numbers, context, source, expected, tmp_path):
  results = context.SimpleQueue()
  for number in numbers:
    out = tmp_path / str(number)
    code = start(context, child, source, out, number, results)
    assert code == -signal.SIGKILL, number
    assert usable(out), number
    run(source, out)
    assert contents(out) == expected, number


def test_killed_again_and_again(context, source, expected, tmp_path):
  """Ten kills of one folder at moments of the clock, then once more."""
  out, rng = tmp_path / 'out', np.random.default_rng(0)
  for seconds in rng.uniform(0.001, 0.3, 10):
    code = start(context, child_by_time, source, out, seconds)
    assert code in (0, -signal.SIGKILL)
    assert usable(out)
  run(source, out)
  assert contents(out) == expected


class _Disk:
  """Refuses once to do something, as a full disk would."""

  def __init__(self, monkeypatch, target, name, number):
    self.left, self.real = number, getattr(target, name)
    monkeypatch.setattr(target, name, self)

  def __call__(self, *arguments, **options):
    self.left -= 1
    if self.left == 0:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return self.real(*arguments, **options)


# What is refused, and at which call of it.
PHASES = {
  'settings': (store, '_settle', 1),
  'listing': (store, '_settle', 2),
  'naming a shard': (store, '_settle', 3),
  'labels of a shard': (store, '_settle', 4),
  'notes of a shard': (store, '_settle', 5),
  'labels of a split': (store, '_settle', 9),
  'summary': (store, '_settle', 11),
  'the last file': (store, '_settle', 12),
  'flushing': (os, 'fsync', 6),
  'features': (store, 'write_info', 1),
  'figures': (overview, 'draw', 1),
}


@pytest.mark.parametrize('phase', PHASES)
def test_a_full_disk(phase, source, tmp_path, monkeypatch, capsys):
  """It is said in a line with the remedy, and the same command goes on."""
  monkeypatch.setattr(overview, 'draw', figure)

  def main(name):
    arguments = [f'--source={source}', f'--out={tmp_path / name}']
    return prepare.main(['rafdb', *arguments, '--size=8', '--workers=1'])

  assert main('whole') == 0
  capsys.readouterr()
  with monkeypatch.context() as patch:
    disk = _Disk(patch, *PHASES[phase])
    assert main('out') == 1
    assert disk.left <= 0
  out, text = tmp_path / 'out', capsys.readouterr().err
  [line] = [line for line in text.splitlines() if 'error' in line]
  assert 'No space left on device' in line
  assert 'run the same command again to go on' in line
  assert not list(out.rglob(f'*{store.PARTIAL}'))
  assert not (out / store.FILE).exists()
  assert usable(out)
  assert main('out') == 0
  assert contents(out) == contents(tmp_path / 'whole')
