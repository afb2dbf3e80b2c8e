"""Files that are whole or not there."""

import os
import subprocess
import sys

import pytest

from emojax.host import files


def test_a_file_in_a_new_folder(tmp_path):
  path = tmp_path / 'new' / 'file'
  with files.replacing(path) as part:
    part.write_text('whole')
    assert not path.exists()
  assert path.read_text() == 'whole'
  assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_the_old_one(tmp_path):
  path = tmp_path / 'file'
  path.write_text('old')
  with pytest.raises(TypeError), files.replacing(path) as part:
    part.write_text(b'no text')
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_leaves_is_hidden_and_marked(tmp_path):
  with files.replacing(tmp_path / 'file') as part:
    assert part.name.startswith('.')
    assert part.name.endswith(files.UNFINISHED)
    part.touch()


def test_bytes_are_on_the_disk_before_their_name(tmp_path, monkeypatch):
  """A loss of power must not leave an empty file under the name."""
  done = []
  fsync, replace = os.fsync, os.replace

  def synced(descriptor):
    done.append(os.fstat(descriptor).st_ino)
    fsync(descriptor)

  def replaced(source, target):
    done.append('replaced')
    replace(source, target)

  monkeypatch.setattr(os, 'fsync', synced)
  monkeypatch.setattr(os, 'replace', replaced)
  with files.replacing(tmp_path / 'file') as part:
    part.write_text('whole')
    inode = part.stat().st_ino
  assert done == [inode, 'replaced', tmp_path.stat().st_ino]


def test_a_link_is_replaced_and_not_followed(tmp_path):
  theirs, path = tmp_path / 'theirs', tmp_path / 'file'
  theirs.write_text('years of work')
  path.symlink_to(theirs)
  files.write_bytes(path, b'new')
  assert theirs.read_text() == 'years of work'
  assert not path.is_symlink()
  assert path.read_bytes() == b'new'


def make_link(path):
  path.symlink_to(path.with_name('missing'))


@pytest.mark.parametrize('make', [make_link, os.mkfifo])
@pytest.mark.parametrize(
  'use',
  [
    files.lock,
    lambda path: open(path, opener=files.open_plain),
    lambda path: open(path, 'a', opener=files.open_plain),
  ],
)
def test_what_is_no_plain_file_is_refused(tmp_path, make, use):
  make(tmp_path / 'file')
  with pytest.raises(OSError, match=r'a link or a device.*file'):
    use(tmp_path / 'file')
  assert not (tmp_path / 'missing').exists()


def test_a_file_of_a_stranger_is_read_up_to_a_bound(tmp_path):
  path, link = tmp_path / 'file', tmp_path / 'link'
  path.write_bytes(b'12345')
  link.symlink_to(path)
  assert files.read_bounded(link, 5) == b'12345'
  with pytest.raises(files.StrangeFileError, match=r'more than 4 bytes.*link'):
    files.read_bounded(link, 4)
  os.truncate(path, 1 << 40)  # takes no place on the disk
  with pytest.raises(files.StrangeFileError, match='more than 1,000 bytes'):
    files.read_bounded(path, 1000)


@pytest.mark.parametrize(
  'make', [os.mkfifo, lambda p: p.symlink_to('/dev/zero'), os.mkdir]
)
def test_what_waits_or_never_ends_is_no_file_of_a_stranger(tmp_path, make):
  make(tmp_path / 'file')
  with pytest.raises(files.StrangeFileError, match=r'a pipe or a device.*file'):
    files.read_bounded(tmp_path / 'file', 1000)


def test_a_file_that_grows_is_read_up_to_the_bound():
  """Files of /proc have no size either."""
  found = files.read_bounded('/proc/self/status', 1 << 20)
  assert found.endswith(b'\n')
  with pytest.raises(files.StrangeFileError, match='more than 9 bytes'):
    files.read_bounded('/proc/self/status', 9)


def test_one_process_holds_a_lock_until_it_ends(tmp_path):
  program = (
    'import pathlib, sys; from emojax.host import files\n'
    'held = files.lock(pathlib.Path(sys.argv[1]))\n'
    'print("held", flush=True); sys.stdin.read()'
  )
  command = [sys.executable, '-c', program, str(tmp_path / 'lock')]
  pipe = subprocess.PIPE
  with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
    assert other.stdout.readline() == 'held\n'
    with pytest.raises(files.LockedError, match='another process holds'):
      files.lock(tmp_path / 'lock')
    other.kill()
  lock = files.lock(tmp_path / 'lock')
  lock.release()
  files.lock(tmp_path / 'lock').release()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
  def acquire(*_, **__):
    raise OSError(files.NO_LOCKS[0], 'Function not implemented')

  monkeypatch.setattr(files.filelock.FileLock, 'acquire', acquire)
  assert files.lock(tmp_path / 'lock') is None
