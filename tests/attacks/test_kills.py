"""The kill campaign of every program, with two kills each."""

import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import kill_programs

ROOT = pathlib.Path(__file__).parent.parent.parent
SMALL = (
  '--config.model.name=small',
  '--config.data.clip_length=2',
  '--config.train.augment=none',
  '--config.eval.mc_samples=2',
)


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
  """A compilation cache for all programs of these tests."""
  cache = tmp_path_factory.mktemp('cache')
  made = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  return made | {'PYTHONPATH': str(ROOT), 'XDG_CACHE_HOME': str(cache)}


@pytest.mark.slow
@pytest.mark.parametrize('program', kill_programs.NAMES)
def test_killed_programs_end_as_if_they_had_not_been(
  program, environment, tmp_path
):
  command = [sys.executable, '-m', 'benchmarks.kill', f'--program={program}']
  command += ['--kills=2', '--seed=0', f'--out={tmp_path / "campaign"}']
  command += ['--launcher=tests/small_program.py']
  found = subprocess.run(
    [*command, *(SMALL if program != 'prepare' else ())],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert found.returncode == 0, found.stdout + found.stderr
  assert f'{program}: 2 kills, then equal byte for byte' in found.stdout
