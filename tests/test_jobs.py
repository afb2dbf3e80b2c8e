"""Jobs of several processes on this machine: the same run, and how it ends."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import run_files
import small_run
from code_generator import USERS_FLAGS
from engine import toy

from emojax.engine import checkpoint

ROOT = pathlib.Path(__file__).parent.parent
LOCAL = [sys.executable, str(ROOT / 'launch' / 'local.py')]
DEVICES = '--xla_force_host_platform_device_count'


def environment(cache, devices: int = 1, **variables):
  """Compiles as `conftest.py` says, what is compiled twice once.

  XLA splits work among as many threads as there are devices or processors, and
  rounds accordingly; NPROC makes that the same for all.
  """
  return os.environ | {
    'PYTHONPATH': f'{ROOT}:{ROOT}/tests:{ROOT}/tests/engine',
    'XLA_FLAGS': ' '.join(
      [os.environ['XLA_FLAGS'], f'{DEVICES}={devices}', *USERS_FLAGS]
    ),
    'NPROC': '4',
    'JAX_COMPILATION_CACHE_DIR': str(cache),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    **variables,
  }


def execute(command, env):
  """Runs a command; returns its exit code and all that it printed."""
  process = subprocess.run(
    command,
    env=env,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    timeout=600,
  )
  return process.returncode, process.stdout


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def run(cache):
  """`run(folder, devices, processes)`: a small run, alone or as a job."""

  def call(folder, devices, processes=1, **variables):
    command = small_run.command(
      folder, cache, '--config.ensemble.size=4', '--heartbeat=20'
    )
    command[1] = str(ROOT / 'tests' / 'job_run.py')
    if processes > 1:
      options = [f'--processes={processes}', f'--devices={devices}']
      program = f'--program={command[1]}'
      command = [*LOCAL, *options, program, '--', *command[2:]]
    return execute(command, environment(cache, devices, **variables))

  return call


@pytest.fixture(scope='module')
def reference(run, tmp_path_factory):
  """One process with four devices."""
  folder = tmp_path_factory.mktemp('reference') / 'run'
  code, out = run(folder, 4)
  assert code == 0, out
  return folder


def metrics(folder, generation):
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return [x for x in map(json.loads, lines) if x['generation'] == generation]


def assert_close(found, expected, name='results'):
  """Equal but for rounding; what ranks or counts clips may jump a little."""
  if isinstance(expected, dict):
    assert found.keys() == expected.keys(), name
    for key in expected:
      if key != 'timings':
        assert_close(found[key], expected[key], f'{name}/{key}')
  elif isinstance(expected, list):
    assert len(found) == len(expected), name
    for a, b in zip(found, expected):
      assert_close(a, b, name)
  elif isinstance(expected, float):
    atol = 2e-2 if 'spearman' in name else 2e-3
    np.testing.assert_allclose(found, expected, 1e-3, atol, err_msg=name)
  else:
    assert found == expected, name


def results(folder):
  return json.loads((folder / 'results.json').read_text())


@pytest.mark.slow
def test_two_processes_are_one(run, reference, tmp_path):
  code, out = run(tmp_path / 'run', 2, processes=2)
  assert code == 0, out
  assert_close(results(tmp_path / 'run'), results(reference))
  # A teacher runs the same program on the same numbers. Students learn from
  # the teachers' sum, whose order differs.
  assert metrics(tmp_path / 'run', 'Tea') == metrics(reference, 'Tea')
  with (
    np.load(tmp_path / 'run' / 'predictions' / 'Tea.npz') as found,
    np.load(reference / 'predictions' / 'Tea.npz') as expected,
  ):
    for key in expected.files:
      np.testing.assert_array_equal(found[key], expected[key], err_msg=key)
  run_files.assert_same_weights(
    *(f / 'checkpoints' for f in (tmp_path / 'run', reference)), names=['Tea']
  )
  # Process 0 alone prints and writes.
  assert out.count('Tea epoch  1/2') == 1
  assert len(metrics(tmp_path / 'run', 'Stu1')) == 2 * 4
  files = {p.name for p in (tmp_path / 'run').iterdir()}
  assert files == {p.name for p in reference.iterdir()}


@pytest.mark.slow
def test_a_killed_job_resumes_on_other_devices(run, reference, tmp_path):
  folder = tmp_path / 'run'
  code, out = run(folder, 2, processes=2, JOB_RUN_DIES='1:1')
  assert code == 137, out
  assert 'process 1 was ended by SIGKILL' in out
  assert 'error: process 0 cannot go on' in out or 'task died' in out
  assert len(metrics(folder, 'Tea')) == 4  # members, of one epoch

  # Again two processes; one of them is told to go away.
  code, out = run(folder, 2, processes=2, JOB_RUN_TERM='1:2')
  assert code == 130, out
  assert 'SIGTERM: saved in' in out
  assert 'Tea epoch  1/2' not in out
  assert len(metrics(folder, 'Tea')) == 8

  code, out = run(folder, 1)
  assert code == 0, out
  assert 'Tea epoch' not in out
  assert_close(results(folder), results(reference))


@pytest.mark.slow
def test_a_stack_over_processes_is_the_stack(cache, tmp_path):
  program = f'--program={ROOT}/tests/engine/toy_job.py'
  options = ['--processes=2', '--devices=3', program, '--', str(tmp_path)]
  code, out = execute([*LOCAL, *options], environment(cache))
  assert code == 0, out
  state, _, _ = toy.train(toy.trainer(4, epochs=2), toy.generation(4))
  checkpoints = checkpoint.Checkpoints(tmp_path)
  step, found = checkpoints.restore_latest(state)
  checkpoints.close()
  assert step == 2
  close = functools.partial(toy.assert_close, tolerance=2e-3)
  close(found.params, state.params)
  close(found.best.model_state, state.best.model_state)
