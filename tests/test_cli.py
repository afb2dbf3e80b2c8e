"""The console script: every command, presets by name from anywhere."""

import pathlib
import re
import runpy
import subprocess
import sys

import pytest

import emojax
from emojax import answer, cli
from emojax.experiments import EXPERIMENTS

ROOT = pathlib.Path(__file__).parents[1]


def python(*arguments, cwd):
  return subprocess.run(
    [sys.executable, *arguments],
    env={'PYTHONPATH': str(ROOT), 'PATH': '/usr/bin:/bin'},
    cwd=cwd,
    capture_output=True,
    text=True,
  )


def test_help_waits_for_nothing(tmp_path):
  """No library is imported for it, whatever the machine's speed."""
  code = (
    'import sys\nfrom emojax import cli\ncli.main(["--help"])\n'
    'print(sorted({"jax", "numpy", "rich", "absl", "PIL"} & set(sys.modules)))'
  )
  done = python('-c', code, cwd=tmp_path)
  assert done.returncode == 0
  assert done.stdout.splitlines()[-1] == '[]'
  for name in cli.COMMANDS:
    assert f'  {name} ' in done.stdout


def test_help_of_predict_does_not_wait_for_jax(tmp_path):
  code = (
    'import sys\nfrom emojax import cli\ntry:\n  cli.main(["predict", "-h"])\n'
    'except SystemExit as stop:\n  print(stop.code, "jax" in sys.modules)'
  )
  done = python('-c', code, cwd=tmp_path)
  assert done.stdout.splitlines()[-1] == '0 False'
  assert 'Article' not in done.stderr


def test_a_prediction_does_not_wait_for_what_evaluations_need(tmp_path):
  code = (
    'import sys\nimport emojax.answers.run\nimport emojax.trained.model\n'
    'print(sorted({"sklearn", "pandas", "scipy.stats"} & set(sys.modules)))'
  )
  done = python('-c', code, cwd=tmp_path)
  assert done.stdout.strip() == '[]', done.stderr


def test_as_a_module(tmp_path):
  done = python('-m', 'emojax', '--version', cwd=tmp_path)
  assert done.stdout == f'emojax {emojax.__version__}\n'
  done = python('-m', 'emojax', 'predcit', cwd=tmp_path)
  assert done.returncode == 2
  assert 'did you mean predict?' in done.stderr


def test_presets_by_name(capsys):
  config = f'{ROOT}/configs/gen.py'
  assert cli.with_config(['gen']) == [f'--config={config}']
  assert cli.with_config(['gen:tiny', '--workdir=x']) == [
    f'--config={config}:tiny',
    '--workdir=x',
  ]
  assert cli.with_config(['mine.py:a']) == ['--config=mine.py:a']
  assert cli.with_config(['--config=x.py']) == ['--config=x.py']
  for name in ('gne', 'common', '../gen', ''):
    with pytest.raises(SystemExit) as stop:
      cli.with_config([name])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert f'no settings {name!r}' in said
    assert ('did you mean gen?' in said) == (name in ('gne', '../gen'))


def test_files_of_settings_are_named_as_their_experiments(capsys):
  with pytest.raises(SystemExit):
    cli.with_config(['gne'])
  said = capsys.readouterr().err
  known = re.search(r'one of (.*), with', said)[1].split(', ')
  assert known == sorted(
    {*EXPERIMENTS, 'gen', 'ferplus', 'cifar10h'} - {'distillation'}
  )


@pytest.mark.parametrize(
  ('former', 'today', 'preset'),
  [
    ('bnn', 'bayesian', 'ferplus-alexnet-raw'),
    ('incomplete', 'incomplete_labels', 'figure5'),
    ('rul', 'relative_uncertainty', 'fer2013'),
    ('tables', 'study', 'table1_affwild2'),
  ],
)
def test_former_names_lead_to_the_same_settings(former, today, preset):
  assert former in cli.FORMER
  (flag,) = cli.with_config([f'{former}:{preset}'])
  path = flag.removeprefix('--config=').removesuffix(f':{preset}')
  old, new = (
    runpy.run_path(name)['get_config']
    for name in (path, f'{ROOT}/configs/{today}.py')
  )
  assert old().to_dict() == new().to_dict()
  assert old(preset).to_dict() == new(preset).to_dict()
  with pytest.raises(ValueError, match=f'configs/{today}.py has no preset'):
    old('nothing')


def test_presets_are_found_from_anywhere(tmp_path):
  done = python('-m', 'emojax', 'train', 'gen:tiny', '--nothing', cwd=tmp_path)
  assert done.returncode == 2
  assert 'nothing' in done.stderr
  assert not list(tmp_path.iterdir())


def test_every_command_has_its_module():
  import importlib

  for name in (
    'answer', 'calibrate', 'evaluate', 'export', 'publish', 'push',
  ):  # fmt: skip
    assert callable(importlib.import_module(f'emojax.{name}').main)
  assert set(cli.COMMANDS) == {
    'predict', 'train', 'evaluate', 'export', 'calibrate', 'push', 'prepare',
    'report', 'models',
  }  # fmt: skip


@pytest.mark.parametrize('name', [*cli.COMMANDS])
def test_usages_name_what_was_called(name, capsys, monkeypatch):
  if name == 'train':
    pytest.skip('absl ends the program')
  monkeypatch.setattr(sys, 'argv', ['/somewhere/emojax', name, '--help'])
  with pytest.raises(SystemExit):
    cli.main()
  assert capsys.readouterr().out.startswith(f'usage: emojax {name} ')
  assert sys.argv[0] == '/somewhere/emojax'


def test_usages_of_modules(tmp_path):
  done = python('-m', 'emojax.data.prepare', '--help', cwd=tmp_path)
  assert done.stdout.startswith('usage: python -m emojax.data.prepare ')


def test_models_takes_arguments(capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['models', '--help'])
  assert stop.value.code == 0
  assert '--overview' in capsys.readouterr().out


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['--out', 'x'], 'name pictures'),
    (['a', '--webcam', '0', '--out', 'x'], 'no other inputs'),
    (['a', '--out', 'x', '--every', '0'], '--every 0'),
    (['a', '--out', 'x', '--every', 'a'], 'invalid int'),
    (['a', '--out', 'x', '--from', '5', '--to', '2'], 'no time is between'),
    (['a', '--out', 'x', '--format', 'xls'], '--format xls'),
    (['a', '--out', 'x', '--format', 'csv,csv'], 'different formats'),
    (['a', '--out', 'x', '--style', 'y'], '--style y'),
    (['a', '--out', 'x', '--crops', '--boxes', 'y'], 'changes nothing'),
    (['a', '--out', 'x', '--ever', '2'], 'unrecognized'),
    (['a'], '--out'),
    (['a', '--out', ''], "argument --out: '' is no folder"),
    (['', '--out', 'x'], 'an input is empty'),
    (['a', '--out', 'x', '--model', ''], '--model is empty'),
  ],
)
def test_wrong_command_lines_of_predict(arguments, words, capsys):
  with pytest.raises(SystemExit) as stop:
    answer.main(arguments)
  assert stop.value.code == 2
  assert words in capsys.readouterr().err
