"""A full disk at any phase of training, evaluation and export.

The system refuses the k-th thing that is written below a folder. That is said in
a line, nothing half written is left, and the same command goes on to the same end.
(`prepare` has such tests of its own.)
"""

import errno
import functools
import io
import os
import pathlib
import sys
import threading

import pytest
import run_files
import trained_run
from rich.console import Console

from emojax import export
from emojax.engine.checkpoint import CheckpointError
from emojax.host.files import UNFINISHED
from emojax.trained import reevaluation, rescoring
from emojax.trained import run as runs

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
  """Refuses the `number`-th write below a folder; counts them.

  Audit hooks stay for the life of a process, so there is one for all tests.
  """

  def __init__(self):
    self.folder, self.number, self.writes = None, 0, 0
    self._lock = threading.Lock()
    sys.addaudithook(self._watch)

  def _watch(self, event, arguments):
    if self.folder is None or not self._is_write(event, arguments):
      return
    with self._lock:
      self.writes += 1
      refused = self.writes == self.number
    if refused:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

  def _is_write(self, event, arguments):
    if event not in ('open', 'os.mkdir', 'os.rename'):
      return False
    if event == 'open' and not arguments[2] & WRITING:
      return False
    path = arguments[0]
    known = isinstance(path, (str, bytes, os.PathLike))
    return known and os.fsdecode(path).startswith(self.folder)

  def count(self, folder: pathlib.Path, call) -> int:
    """Writes of a call that succeeds."""
    self._call(folder, 0, call)
    return self.writes

  def refuses(self, folder: pathlib.Path, number: int, call) -> str:
    """The message of what a call raises when a write of it is refused."""
    with pytest.raises((OSError, ValueError, CheckpointError)) as error:
      self._call(folder, number, call)
    assert self.writes >= number
    text = str(error.value)
    assert 'No space left' in text or 'disk is full' in text
    assert str(folder) in text
    assert '\n' not in text
    assert not list(folder.parent.rglob(f'*{UNFINISHED}'))
    return text

  def _call(self, folder, number, call):
    self.folder, self.number, self.writes = str(folder.parent), number, 0
    try:
      call()
    finally:
      self.folder = None


@pytest.fixture(scope='module')
def disk():
  return Disk()


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


def contents(folder):
  return {
    p.relative_to(folder): p.read_bytes()
    for p in folder.rglob('*')
    if p.is_file()
  }


def test_export(disk, run_path, exported, tmp_path):
  run = runs.open_run(run_path)
  out = tmp_path / 'first' / 'model'
  total = disk.count(
    out, functools.partial(export.export, run, out, validate=False)
  )
  assert total >= 5  # the folder, three files, and its name
  expected = contents(out)
  for number in range(1, total + 1):
    out = tmp_path / str(number) / 'model'
    disk.refuses(
      out, number, functools.partial(export.export, run, out, validate=False)
    )
    assert not out.exists()
    assert contents(export.export(run, out, validate=False)) == expected


def evaluate(run_path, out):
  request = reevaluation.Request(
    workdir=run_path, out=out, generations=('Tea',)
  )
  evaluation = reevaluation.prepare(request)
  rescoring.execute(evaluation, Console(file=io.StringIO()))


APART = ('report.html', 'report.md', '.lock', 'config.json')


def scored(out):
  found = contents(out)
  return {k: v for k, v in found.items() if str(k) not in APART}


@pytest.mark.slow
def test_evaluate(disk, run_path, tmp_path):
  out = tmp_path / 'whole' / 'out'
  total = disk.count(out, lambda: evaluate(run_path, out))
  expected = scored(out)
  for number in sorted({1, 2, 3, total // 2, total - 2, total}):
    out = tmp_path / str(number) / 'out'
    disk.refuses(out, number, functools.partial(evaluate, run_path, out))
    evaluate(run_path, out)
    assert scored(out) == expected


@pytest.mark.slow
def test_train(disk, run_path, tmp_path):
  path = tmp_path / 'whole' / 'run'
  total = disk.count(path, lambda: trained_run.train(path))
  for number in sorted({1, 3, total // 3, 2 * total // 3, total - 1, total}):
    path = tmp_path / str(number) / 'run'
    disk.refuses(path, number, functools.partial(trained_run.train, path))
    trained_run.train(path)
    run_files.assert_same_run(path, run_path)
