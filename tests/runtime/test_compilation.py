"""The persistent compilation cache, with JAX writing and reading entries."""

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


def compile_one(folder, constant, *how):
  process = subprocess.run(
    [sys.executable, '-W', 'error', '-c', PROGRAM, folder, str(constant), *how],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert process.returncode == 0, process.stderr


def test_goes_on_in_a_folder_that_jax_used_without_a_bound(tmp_path):
  compile_one(tmp_path, 1)
  before = set(tmp_path.glob('*-cache'))
  assert before
  assert not list(tmp_path.glob('*-atime'))
  compile_one(tmp_path, 2, 'bounded')
  assert set(tmp_path.glob('*-cache')) > before


def test_goes_on_after_a_kill_while_storing(tmp_path):
  compile_one(tmp_path, 1, 'bounded')
  before = set(tmp_path.glob('*-cache'))
  for used in tmp_path.glob('*-atime'):
    used.unlink()
  compile_one(tmp_path, 2, 'bounded')
  assert set(tmp_path.glob('*-cache')) > before
