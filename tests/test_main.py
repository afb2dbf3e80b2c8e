"""The command line: flags, exit codes, and runs that are killed for real."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import types

import jax
import pytest
import run_files
import small_run
from absl import flags

from emojax import main
from emojax.engine import checkpoint
from emojax.experiments.distillation import run as distillation
from emojax.host.signals import StopRequested
from emojax.runtime import compilation, training, workdir

ROOT = pathlib.Path(__file__).parent.parent


def command(*arguments):
  """Runs the program as a user does; returns (exit code, printed, errors)."""
  users = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  process = subprocess.run(
    [sys.executable, '-m', 'emojax.main', *map(str, arguments)],
    cwd=ROOT,
    env=users,
    capture_output=True,
    text=True,
    timeout=600,
  )
  return process.returncode, process.stdout, process.stderr


TINY = '--config=configs/gen.py:tiny'
HINT = '`python -m emojax.main --help` lists the flags and settings.'


@pytest.mark.parametrize(
  ('arguments', 'messages'),
  [
    (
      [TINY, '--config.train.epoch=3'],
      ['unknown setting --config.train.epoch;', 'mean --config.train.epochs'],
    ),
    (
      # A setting that exists is not blamed; '--config FILE' is understood.
      ['--config', 'configs/gen.py', '--config.seed=1', '--config.sede=1'],
      ['unknown setting --config.sede;', 'did you mean --config.seed'],
    ),
    (
      [TINY, '--config.train.epochs=many'],
      ['--config.train.epochs=many', 'int'],
    ),
    ([TINY, '--config.train.epochs=1.5'], ['--config.train.epochs=1.5', 'int']),
    (['--config=configs/gen.py:tyni'], ["no preset 'tyni'", 'embedded, tiny']),
    (['--config=configs/none.py'], ['configs/none.py', 'No such file']),
    ([TINY, '--wordkir=x'], ["unknown command line flag 'wordkir'", 'workdir']),
    ([], ['--config', 'must have a value']),
    ([TINY, 'extra'], ["unexpected arguments ['extra']"]),
    ([TINY, '--config.ensemble.size=0'], ['ensemble.size=0', 'at least 1']),
    ([TINY, '--config.train.learning_rate=nan'], ['learning_rate=nan']),
    # Said before the data set is made.
    ([TINY, '--config.model.width=-1'], ['model.width=-1.0: expected above 0']),
    ([TINY, '--config.train.augment=x'], ['augment=x: expected one of none']),
    (
      [TINY, '--config.data.path=FOLDER'],
      [
        "--config.data.path='FOLDER' means nothing",
        "config.data.name='embedded'",
        'add --config.data.name=prepared',
      ],
    ),
    (
      ['--config=configs/tables.py:table1', '--config.ensemble.size=3'],
      ['config.ensemble.size means nothing', 'study.variants sets it itself'],
    ),
  ],
)
def test_wrong_flags(tmp_path, arguments, messages):
  path = tmp_path / 'run'
  code, out, err = command(f'--workdir={path}', *arguments)
  assert code == 2
  assert err.startswith('error: ')
  assert err.endswith(HINT + '\n')
  for message in messages:
    assert message.lower() in err.lower()
  assert 'Traceback' not in out + err
  assert not path.exists()


def test_workdir_is_required():
  code, _, err = command(TINY)
  assert code == 2
  assert '--workdir' in err
  code, _, err = command(TINY, '--workdir=')
  assert code == 2
  assert "--workdir='' is no folder" in err


def test_help():
  code, out, err = command('--help')
  assert code == 0
  assert 'python -m emojax.main --config=configs/gen.py --workdir=' in out
  for flag in ('--config', '--workdir', '--compilation_cache'):
    assert f'{flag}:' in out
  assert err == ''


def test_help_lists_the_settings_of_a_configuration():
  code, out, _ = command('--help', '--config=configs/rul.py:tiny')
  assert code == 0
  assert (
    '--config.train.batch_size=12\n      images of a batch; at least' in out
  )
  assert 'generations' not in out
  assert 'as good as code' in ' '.join(out.split())


@pytest.mark.parametrize(
  'arguments', [['--help'], ['--help', '--config=configs/none.py']]
)
def test_help_lists_all_settings(arguments):
  code, out, _ = command(*arguments)
  assert code == 0
  for text in ('--config.train.batch_size\n', '--config.generations\n'):
    assert text in out


PATH = 'a [run] b [/x]'  # brackets are markup to rich, and this is wrong markup


# In this process: what `main` makes of the ways in which a run can end.


@pytest.fixture
def invoke(tmp_path, monkeypatch):
  """Calls `main` on the small configuration; returns its exit code."""

  def call(**changes):
    config = small_run.config(**changes)
    path = str(tmp_path / PATH)
    monkeypatch.setattr(main, '_CONFIG', types.SimpleNamespace(value=config))
    monkeypatch.setattr(main, '_WORKDIR', types.SimpleNamespace(value=path))
    monkeypatch.setattr(main, '_CACHE', types.SimpleNamespace(value='off'))
    return main.main(['emojax'])

  flags.FLAGS.mark_as_parsed()
  monkeypatch.setattr(main, 'overridden', set)
  return call


def ending(monkeypatch, error=None):
  """Replaces the run by one that ends like this."""

  def run(config, folder, console):
    if error is not None:
      raise error
    for name in ('results.json', 'report.html'):
      (folder / name).write_text(json.dumps({'seed': config.seed}))
    return {'timings': {'Tea': 90.0, 'Stu1': 3570.0}}

  monkeypatch.setattr(distillation, 'run', run)


def test_success(invoke, monkeypatch, capsys, tmp_path):
  ending(monkeypatch)
  assert invoke() == 0
  *_, spent, last = capsys.readouterr().out.splitlines()
  assert spent == 'Time of all sittings: 1 h 01 min'
  assert last == f'Report: {tmp_path}/{PATH}/report.html'


def test_finished_run_is_not_touched(invoke, monkeypatch, capsys, tmp_path):
  ending(monkeypatch)
  invoke()
  before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files(tmp_path)}
  ending(monkeypatch, AssertionError('ran again'))
  assert invoke() == 0
  out = capsys.readouterr().out
  assert f'{tmp_path}/{PATH} is finished: open ' in out
  assert before == {
    p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files(tmp_path)
  }


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    (['tensorbord'], 'expected some of tensorboard, wandb, aim, mlflow'),
    (['mlflow'], '--log=mlflow needs mlflow: pip install mlflow'),
  ],
)
def test_loggers_that_cannot_be_had(
  invoke, monkeypatch, capsys, tmp_path, names, message
):
  ending(monkeypatch, AssertionError('ran'))
  monkeypatch.setattr(main, '_LOG', types.SimpleNamespace(value=names))
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  assert invoke() == 1
  assert f'error: --log={names[0]}' in (out := capsys.readouterr().out)
  assert message in out
  assert not list(tmp_path.iterdir())


def files(path):
  return [p for p in path.rglob('*') if p.is_file()]


def test_finished_run_of_another_configuration(invoke, monkeypatch, capsys):
  ending(monkeypatch)
  invoke()
  assert invoke(train__epochs=7) == 1
  out = capsys.readouterr().out
  assert 'train.epochs: 2 there, 7 now' in out
  assert invoke(runtime__predict_clips=3) == 0  # how, not what


@pytest.mark.parametrize(
  ('error', 'code', 'message'),
  [
    (
      StopRequested('SIGTERM'),
      130,
      'SIGTERM: saved in {}. Run the same command',
    ),
    (KeyboardInterrupt(), 130, 'run the same command to resume {}'),
    (training.DivergedError('Tea, member 0'), 1, 'error: Tea, member 0'),
    (checkpoint.CheckpointError('disk [full]'), 1, 'error: disk [full]'),
    (workdir.WorkdirError('[/tmp] is odd'), 1, 'error: [/tmp] is odd'),
    (OSError(28, 'No space left', 'a[/x]'), 1, "No space left: 'a[/x]'"),
    (FileNotFoundError(2, 'No such file', 'x.pt'), 1, "No such file: 'x.pt'"),
    (ImportError('pip install emojax[parity]'), 1, 'emojax[parity]'),
    (
      jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory.\nDump'),
      1,
      'Out of memory: lower config.runtime.predict_clips (now 4) or config.',
    ),
  ],
)
def test_how_a_run_may_end(
  invoke, monkeypatch, capsys, tmp_path, error, code, message
):
  ending(monkeypatch, error)
  assert invoke() == code
  out = capsys.readouterr().out
  assert message.format(tmp_path / PATH) in out
  assert len(out.splitlines()) == 1


def test_a_cache_that_others_can_write_to(
  invoke, monkeypatch, capsys, tmp_path
):
  ending(monkeypatch, AssertionError('ran'))
  cache = tmp_path / 'cache'
  cache.mkdir()
  cache.chmod(0o777)
  real = compilation.set_cache
  monkeypatch.setattr(compilation, 'set_cache', lambda _: real(str(cache)))
  assert invoke() == 1
  out = capsys.readouterr().out
  assert f'error: --compilation_cache={cache} cannot be used' in out
  assert not (tmp_path / PATH).exists()


def test_mistakes_of_the_program_are_not_hidden(invoke, monkeypatch):
  ending(monkeypatch, KeyError('a bug'))
  with pytest.raises(KeyError):
    invoke()


def test_developers_get_the_traceback(invoke, monkeypatch):
  ending(monkeypatch, OSError('disk'))
  monkeypatch.setattr(flags.FLAGS, 'verbosity', 1)
  with pytest.raises(OSError, match='disk'):
    invoke()


TWICE = """
import sys
from emojax import main
for more in (['--config.seed=3', '--coordinator=a:1'], ['--config.seed=4'], []):
  sys.argv = ['x', '--config=configs/gen.py', '--workdir=y', *more]
  main.parse_flags(sys.argv)
  print(main._CONFIG.value.seed, main.overridden(), main._COORDINATOR.value)
"""


def test_flags_of_a_run_before_in_the_same_interpreter():
  found = subprocess.run(
    [sys.executable, '-c', TWICE],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert found.stdout.splitlines() == [
    "3 {'seed'} a:1",
    "4 {'seed'} None",
    '0 set() None',
  ], found.stderr


# In processes of their own, with a network that compiles in seconds.


@pytest.fixture(scope='session')
def cache(tmp_path_factory):
  """A compilation cache for all processes of these tests."""
  return tmp_path_factory.mktemp('cache')


def finish(process, timeout=300):
  """Waits for a process; returns (exit code, what it printed)."""
  out, _ = process.communicate(timeout=timeout)
  return process.returncode, out


@pytest.fixture(scope='session')
def uninterrupted(tmp_path_factory, cache):
  path = tmp_path_factory.mktemp('uninterrupted') / 'run'
  code, out = finish(small_run.start(small_run.command(path, cache)))
  assert code == 0, out
  return path, out


def wait_for_lines(process, path, count):
  """Waits until that many epochs of members are logged."""
  deadline = time.monotonic() + 240
  while process.poll() is None and time.monotonic() < deadline:
    log = path / 'metrics.jsonl'
    if log.exists() and len(log.read_text().splitlines()) >= count:
      return
    time.sleep(0.01)
  pytest.fail(f'no {count} lines: {finish(process)}')


@pytest.mark.slow
def test_a_run_from_the_command_line(uninterrupted):
  path, out = uninterrupted
  assert out.splitlines()[-1] == f'Report: {path / "report.html"}'
  assert (path / 'report.md').exists()
  assert list((path / 'figures').glob('*.png'))
  assert 'Traceback' not in out
  assert '\x1b' not in out  # no colours in a pipe
  assert sum(' epoch ' in line for line in out.splitlines()) == 4


@pytest.mark.slow
def test_terminated_and_resumed(uninterrupted, cache, tmp_path):
  path = tmp_path / 'run'
  arguments = small_run.command(path, cache)
  process = small_run.start(arguments)
  wait_for_lines(process, path, 2)
  process.send_signal(signal.SIGTERM)
  code, out = finish(process)
  assert code == 130, out
  assert f'SIGTERM: saved in {path}. Run the same command to resume.' in out
  assert not (path / 'results.json').exists()
  code, out = finish(small_run.start(arguments))
  assert code == 0, out
  assert 'Tea epoch  1/2' not in out  # it is not trained again
  run_files.assert_same_run(path, uninterrupted[0])


@pytest.mark.slow
def test_killed_twice_at_random_and_resumed(uninterrupted, cache, tmp_path):
  path = tmp_path / 'run'
  arguments = small_run.command(path, cache)
  rng = random.Random(os.environ.get('EMOJAX_KILL_SEED'))
  for count in (2, 4):
    process = small_run.start(arguments)
    wait_for_lines(process, path, count)
    time.sleep(rng.uniform(0, 2))
    process.send_signal(signal.SIGKILL)
    process.communicate()
  code, out = finish(small_run.start(arguments))
  assert code == 0, out
  run_files.assert_same_run(path, uninterrupted[0])


THREADS = """
import asyncio, sys, threading
sys.path.insert(0, {tests!r})
import small_run
from emojax import main, models
models.MODELS['small'] = small_run.small

def call(arguments, codes):
  sys.argv = arguments
  try:
    main.run()
  except SystemExit as end:
    codes.append(end.code)

async def as_a_cell(arguments, codes):  # notebooks have a loop that runs
  call(arguments, codes)

commands, codes = {commands!r}, []
asyncio.run(as_a_cell(commands[0], codes))
for command in commands[1:]:
  thread = threading.Thread(target=call, args=(command, codes))
  thread.start()
  thread.join()
print('codes', codes)
"""


@pytest.mark.slow
def test_in_a_notebook_and_in_threads(uninterrupted, cache, tmp_path):
  """Several runs of one interpreter, the first within a loop of events."""
  paths = [tmp_path / name for name in 'ab']
  commands = [small_run.command(path, cache)[1:] for path in paths]
  commands.append(commands[0])  # and of a finished one
  text = THREADS.format(tests=str(ROOT / 'tests'), commands=commands)
  code, out = finish(small_run.start([sys.executable, '-c', text]))
  assert code == 0, out
  assert 'codes [0, 0, 0]' in out
  assert 'Traceback' not in out
  assert f'{paths[0]} is finished' in out
  for path in paths:
    run_files.assert_same_run(path, uninterrupted[0])


@pytest.mark.slow
def test_divergence_from_the_command_line(cache, tmp_path):
  path = tmp_path / 'run'
  code, out = finish(
    small_run.start(
      small_run.command(path, cache, '--config.train.learning_rate=1e30')
    )
  )
  assert code == 1
  assert 'error: Tea, member 0: the loss of ' in out
  assert 'before the first checkpoint: there is none' in out
  assert 'Traceback' not in out
  assert not (path / 'results.json').exists()


@pytest.mark.slow
def test_the_tiny_preset(tmp_path):
  """The real network, as in the first example of the README."""
  code, out, err = command(
    TINY,
    f'--workdir={tmp_path / "run"}',
    f'--compilation_cache={tmp_path / "c"}',
  )
  assert code == 0, out + err
  results = json.loads((tmp_path / 'run' / 'results.json').read_text())
  assert results['names'] == ['Tea', 'Stu1']
  assert set(results['timings']) == {'Tea', 'Stu1'}
