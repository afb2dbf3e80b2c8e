"""The persistent compilation cache, with JAX writing and reading entries."""

import os
import pathlib
import subprocess
import sys

import pytest

from emojax.engine import executables
from emojax.runtime import compilation

PROGRAM = """
import sys
import jax
from emojax.runtime import compilation
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
if 'bounded' in sys.argv:
  compilation.set_cache(sys.argv[1])
else:
  jax.config.update('jax_compilation_cache_dir', sys.argv[1])
  jax.config.update('jax_compilation_cache_max_size', -1)  # its default
jax.jit(lambda x: x + int(sys.argv[2]))(1.0)
"""


@pytest.mark.parametrize(
  ('value', 'expected'),
  [('auto', 'user/emojax/jax'), ('mine', 'mine')],
)
def test_folder(monkeypatch, tmp_path, value, expected):
  set_to = {}
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('XDG_CACHE_HOME', 'user')
  monkeypatch.setattr('jax.config.update', set_to.__setitem__)
  monkeypatch.setattr(executables, '_folder', None)
  compilation.set_cache(value)
  assert executables._folder == pathlib.Path(expected, 'programs')
  assert set_to['jax_compilation_cache_dir'] == expected
  assert set_to['jax_compilation_cache_max_size'] == compilation.CACHE_BYTES


def test_off(monkeypatch):
  monkeypatch.setattr('jax.config.update', lambda *_: pytest.fail('set'))
  compilation.set_cache('off')


@pytest.fixture
def settings(monkeypatch):
  """What JAX would be told."""
  found = {}
  monkeypatch.setattr('jax.config.update', found.__setitem__)
  monkeypatch.setattr(executables, '_folder', None)
  return found


def test_folders_are_the_users_alone(settings, tmp_path):
  before = os.umask(0)
  try:
    compilation.set_cache(str(tmp_path / 'new' / 'cache'))
  finally:
    os.umask(before)
  for path in ('new', 'new/cache', 'new/cache/programs'):
    assert (tmp_path / path).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize('inside', ['', 'programs'])
@pytest.mark.parametrize('mode', [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to(settings, tmp_path, inside, mode):
  folder = tmp_path / 'cache'
  (folder / 'programs').mkdir(parents=True)
  (folder / inside).chmod(mode)
  with pytest.raises(OSError, match=r'others may write to .*cache') as error:
    compilation.set_cache(str(folder))
  assert '--compilation_cache=FOLDER' in str(error.value)
  assert not settings
  assert executables._folder is None


def test_a_folder_of_another_user(settings, tmp_path, monkeypatch):
  user = os.geteuid()
  monkeypatch.setattr(os, 'geteuid', lambda: user + 1)
  with pytest.raises(OSError, match='belongs to another user'):
    compilation.set_cache(str(tmp_path))
  assert not settings


def test_a_folder_that_cannot_be_made(settings, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match=r'--compilation_cache=.* cannot be used'):
    compilation.set_cache(str(tmp_path / 'file' / 'cache'))


def no_home():
  raise RuntimeError('Could not determine home directory.')


def test_a_user_without_a_home(settings, monkeypatch, caplog):
  """A container's user may have neither HOME nor a line in /etc/passwd."""
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setattr(pathlib.Path, 'home', no_home)
  compilation.set_cache('auto')
  assert not settings
  assert 'not kept: this user has no home folder: name a folder' in caplog.text


def test_the_users_folder_if_others_can_write_to_it(
  settings, monkeypatch, tmp_path, caplog
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  (tmp_path / 'emojax' / 'jax').mkdir(parents=True)
  (tmp_path / 'emojax' / 'jax').chmod(0o777)
  compilation.set_cache('auto')
  assert not settings
  assert 'others may write to' in caplog.text


def compile_one(folder, constant, *how):
  process = subprocess.run(
    [sys.executable, '-W', 'error', '-c', PROGRAM, folder, str(constant), *how],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_goes_on_in_a_folder_that_jax_used_without_a_bound(tmp_path):
  compile_one(tmp_path, 1)
  before = set(tmp_path.glob('*-cache'))
  assert before
  assert not list(tmp_path.glob('*-atime'))
  compile_one(tmp_path, 2, 'bounded')
  assert set(tmp_path.glob('*-cache')) > before


@pytest.mark.slow
def test_goes_on_after_a_kill_while_storing(tmp_path):
  compile_one(tmp_path, 1, 'bounded')
  before = set(tmp_path.glob('*-cache'))
  for used in tmp_path.glob('*-atime'):
    used.unlink()
  compile_one(tmp_path, 2, 'bounded')
  assert set(tmp_path.glob('*-cache')) > before
