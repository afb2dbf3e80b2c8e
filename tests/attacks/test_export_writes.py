"""What an export writes: the whole folder or nothing, whatever happens meanwhile."""

import errno
import os
import sys

import pytest

from emojax.trained import writing

FILES = {
  'model.json': b'{}',
  'weights.safetensors': b'x' * 100,
  'README.md': b'#',
}
WRITING = os.O_WRONLY | os.O_RDWR


class Disk:
  """Refuses the `number`-th write below a folder; counts them.

  Audit hooks stay for the life of a process, so there is one for all tests.
  """

  def __init__(self):
    self.folder, self.number, self.writes = None, 0, 0
    sys.addaudithook(self._watch)

  def _watch(self, event, arguments):
    if self.folder is None or event not in ('open', 'os.mkdir', 'os.rename'):
      return
    if event == 'open' and not arguments[2] & WRITING:
      return
    if str(arguments[0]).startswith(self.folder):
      self.writes += 1
      if self.writes == self.number:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

  def write(self, out, number=0) -> int:
    """Writes an export to `out`; returns the number of writes."""
    self.folder, self.number, self.writes = str(out.parent), number, 0
    try:
      writing.write(out, FILES)
    finally:
      self.folder = None
    return self.writes


@pytest.fixture(scope='module')
def disk():
  return Disk()


def contents(out):
  return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_full_disk_at_every_write(disk, tmp_path):
  total = disk.write(tmp_path / 'whole' / 'model')
  assert total == 6  # a folder in a folder, three files, and a name
  for number in range(1, total + 1):
    out = tmp_path / str(number) / 'model'
    full = f'{out} cannot be written .No space left'
    with pytest.raises(writing.ExportError, match=full):
      disk.write(out, number)
    assert not out.parent.exists() or not list(out.parent.iterdir())
    disk.write(out)
    assert contents(out) == FILES


def test_what_killed_exports_leave_is_swept(tmp_path):
  """Once nobody can be at work in it any more; what is not ours stays."""
  names = ('.model.1.emojax-tmp', '.model.2.emojax-tmp', '.other.1.emojax-tmp')
  old, young, other = (tmp_path / name for name in names)
  for path in (old, young, other):
    path.mkdir()
    (path / 'model.json').write_text('{')
  for path in (old, other):
    os.utime(path, (0, 0))
  out = tmp_path / 'model'
  writing.write(out, FILES)
  assert sorted(tmp_path.iterdir()) == sorted([young, other, out])


def test_a_process_of_the_same_number_was_killed(tmp_path):
  """In a container all of them may have the same."""
  (tmp_path / f'.model.{os.getpid()}.emojax-tmp').mkdir()
  writing.write(tmp_path / 'model', FILES)
  assert contents(tmp_path / 'model') == FILES


def test_of_two_at_once_the_second_fails(tmp_path):
  writing.write(tmp_path / 'model', FILES)
  with pytest.raises(writing.ExportError, match='model exists already'):
    writing.write(tmp_path / 'model', {'model.json': b'other'})
  assert contents(tmp_path / 'model') == FILES
  assert os.listdir(tmp_path) == ['model']


def test_a_folder_that_cannot_be_is_refused_before_any_work(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(writing.ExportError, match='nothing can be written to'):
    writing.check_free(tmp_path / 'file' / 'sub' / 'model')
  writing.check_free(tmp_path / 'new' / 'sub' / 'model')
