"""Settings that had another name, on the command line and in runs of before."""

import json
import pathlib
import sys

import pytest
from absl import flags

from emojax import main, settings
from emojax.runtime import overrides, workdir
from emojax.settings.former import FORMER
from emojax.trained import run as trained

BAYESIAN = str(pathlib.Path(__file__).parents[2] / 'configs' / 'bayesian.py')
FLAGS = [f'--config={BAYESIAN}:tiny', '--workdir=x']


@pytest.mark.parametrize('name', sorted(FORMER))
def test_they_lead_to_settings_that_there_are(name):
  assert settings.find(FORMER[name]) is not None
  assert settings.find(name) is None
  with pytest.raises(settings.SettingError, match='did you mean'):
    settings.check_one(name, 3)  # in a file of settings


def test_nested_settings_are_renamed():
  values = {'seed': 1, 'train': {'batch': 8, 'epochs': 2}, 'mc': {'batch': 4}}
  assert settings.renamed(values) == {
    'seed': 1,
    'train': {'batch_size': 8, 'epochs': 2},
    'mc': {'batch': 4},
  }
  assert values['train'] == {'batch': 8, 'epochs': 2}
  assert settings.renamed({'train': 3}) == {'train': 3}


@pytest.mark.filterwarnings('ignore:the load_module')  # of ml_collections
def test_the_command_line_takes_both_names(monkeypatch):
  for flag in (['--config.train.batch=5'], ['--config.train.batch', '5']):
    monkeypatch.setattr(sys, 'argv', ['emojax', *FLAGS, *flag])
    main.parse_flags(sys.argv)
    assert flags.FLAGS['config'].value.train.batch_size == 5
    assert main.overridden() == {'train.batch_size'}
  config = flags.FLAGS['config'].value
  assert overrides.apply(config, ['train.batch=7']).train.batch_size == 7
  assert settings.arguments(['train.batch', '--x=--config.train.batch']) == [
    'train.batch',
    '--x=--config.train.batch',
  ]


def test_runs_of_before_are_resumed_and_opened(tmp_path):
  config = {'experiment': 'bayesian', 'data': {}, 'train': {'batch': 8}}
  (tmp_path / 'config.json').write_text(json.dumps({'config': config}))
  (tmp_path / 'metrics.jsonl').write_text('{}\n')  # it has begun
  now = config | {'train': {'batch_size': 8}}
  workdir.Workdir(tmp_path, now).open()
  with pytest.raises(workdir.WorkdirError, match=r'train.batch_size: 8 there'):
    workdir.Workdir(tmp_path, now | {'train': {'batch_size': 9}}).open()
  workdir.release()
  assert trained._stored_config(tmp_path)['config'] == now
