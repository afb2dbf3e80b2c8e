"""Studies: variants of a base, trained once each, in one report."""

import io
import json
import pathlib
import runpy

import pytest
import small_run
from rich.console import Console

from emojax import models
from emojax.evaluation import Predictions
from emojax.experiments.distillation import (
  published,
  study,
  study_tables,
)
from emojax.experiments.distillation import (
  run as distillation,
)
from emojax.runtime import training, workdir
from emojax.runtime.workdir import flatten

PATH = pathlib.Path(__file__).parents[2] / 'configs' / 'study.py'
TABLES = runpy.run_path(str(PATH))
PRESETS = [
  name + end
  for name in TABLES['PRESETS']
  for end in ('', '_affwild2')
  if (name, end) != ('tiny', '_affwild2')
]


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


def small(**changes):
  """The tiny study with the network of the tests; two runs of teachers."""
  config = TABLES['get_config']('tiny')
  names = {key.replace('__', '.'): value for key, value in changes.items()}
  config.update_from_flattened_dict(
    small_run.SETTINGS | {'generations': 0, 'train.epochs': 1} | names
  )
  del config.study.variants['unbalanced']
  for name in ('table5', 'table3', 'figure5'):
    del config.study.tables[name]
  return config


def execute(path, config):
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  console = Console(file=io.StringIO(), width=150)
  return study.run(config, folder, console), console.file.getvalue()


@pytest.fixture(scope='module')
def finished(quick, tmp_path_factory):
  path = tmp_path_factory.mktemp('study') / 'run'
  results, text = execute(path, small())
  return path, results, text


@pytest.mark.slow
def test_every_variant_is_a_run(finished):
  path, results, text = finished
  assert workdir.Workdir(path, {}).finished
  assert list(results['variants']) == ['unweighted', 'v']
  for name, size in (('v', 2), ('unweighted', 3)):
    folder = path / 'variants' / name
    config = json.loads((folder / 'config.json').read_text())['config']
    assert config['experiment'] == 'distillation'
    assert config['ensemble']['size'] == size
    assert config['loss']['reweight'] == (name == 'v')
    assert 'study' not in config
    assert (folder / 'report.html').exists()
  assert 'Variant 1 of 2, unweighted: training' in text


@pytest.mark.slow
def test_report_has_both_variants_beside_the_paper(finished):
  path, results, text = finished
  report_text = (path / 'report.md').read_text()
  single = results['variants']['unweighted']['sizes']['1']
  assert len(single['members']) == 3
  assert f'{single["mean"]["total"]:.4f}' in report_text
  for number in ('2.1527', '2.0999', '2.1974', '0.6328'):
    assert number in report_text
  assert 'directions only' in report_text
  assert '| data set | Aff-Wild2 | embedded |' in report_text
  assert 'figures/figure4.png' in report_text
  assert (path / 'figures' / 'figure4.png').exists()
  assert 'Class re-weighting raises the expression score' in text


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(finished, tmp_path, monkeypatch):
  path, results, _ = finished
  monkeypatch.setattr(training, 'train', lambda *_: pytest.fail('trained'))
  (path / 'report.html').unlink()
  again, text = execute(path, small())
  assert again == results
  assert 'Variant 2 of 2, v: finished' in text


@pytest.mark.slow
def test_stopped_between_variants(finished, tmp_path, monkeypatch):
  calls = []

  def stopped(config, folder, console):
    calls.append(folder.path.name)
    raise KeyboardInterrupt

  monkeypatch.setattr(distillation, 'run', stopped)
  with pytest.raises(KeyboardInterrupt):
    execute(tmp_path / 'run', small())
  assert calls == ['unweighted']
  assert not workdir.Workdir(tmp_path / 'run', {}).finished


@pytest.mark.slow
def test_ensembles_of_a_size_are_disjoint(finished):
  path, _, _ = finished
  folder = path / 'variants' / 'unweighted'
  tea = Predictions.load(folder / 'predictions' / 'Tea.npz')
  config = study.variant_configs(small())['unweighted']
  clips = study._scored_clips(config.data, 'test')
  found = study.ensembles(tea, clips, 'test', (1, 2, 3, 5))
  assert list(found) == [1, 2, 3]
  assert [len(rows['members']) for rows in found.values()] == [3, 1, 1]
  run = json.loads((folder / 'results.json').read_text())
  expected = run['generations']['Tea']
  assert found[1]['mean']['total'] == pytest.approx(
    expected['single_mean']['total'], abs=1e-6
  )
  for key in ('total', 'au/nll', 'expr/nll', 'va/rmse/arousal'):
    assert found[3]['mean'][key] == pytest.approx(
      expected['ensemble'][key], abs=1e-6
    )


@pytest.mark.parametrize('name', PRESETS)
def test_presets_can_be_run(name):
  config = TABLES['get_config'](name)
  made = study.variant_configs(config)
  shown = {
    variant for names in config.study.tables.values() for variant in names
  }
  assert shown == set(made)
  paper = name.endswith('_affwild2')
  for variant in made.values():
    assert variant.data.name == ('prepared' if paper else 'embedded')
    model = models.from_config(variant, tasks_of(variant))
    assert model.audio == variant.data.audio == ('va' in variant.model.name)
  known = {*study_tables.TABLES, *study_tables.FIGURES}
  assert set(config.study.tables) <= known == set(study_tables.ORDER)


def tasks_of(config):
  from emojax.tasks import ABAW2021

  return ABAW2021


def test_the_papers_presets_have_its_settings():
  config = TABLES['get_config']('paper_affwild2')
  made = study.variant_configs(config)
  for name, model in (('v', 'V'), ('va', 'VA')):
    found = flatten(made[name].to_dict())
    expected = published.SETTINGS[model]
    shared = {key: found[key] for key in expected if key in found}
    assert shared == {key: expected[key] for key in shared}
    # Of configurations for other data.
    others = {'data.val_fraction', 'data.unlabelled_train'}
    assert set(expected) - set(shared) == others
  assert made['v'].generations == 4
  assert made['va'].generations == 3
  sizes = {name: c.ensemble.size for name, c in made.items()}
  assert sizes == {
    'v': 5,
    'va': 5,
    'unweighted': 10,
    'unbalanced': 5,
    'balanced': 5,
  }
  assert made['unbalanced'].train.balance == 'off'
  assert not made['unweighted'].loss.reweight


def test_presets_are_described():
  for name in TABLES['PRESETS']:
    assert f'  {name} ' in TABLES['__doc__']
  with pytest.raises(ValueError, match="no preset 'table9'; it has table1"):
    TABLES['get_config']('table9')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'variants': {'a': ('train.epoch=1',)}}, "variant 'a': .*train.epochs"),
    ({'tables': {'table9': ('v',)}}, "no 'table9', there are table1"),
    (
      {'tables': {'table1': ('w',)}},
      r"shows the variants \['w'\]; there are unweighted, v",
    ),
  ],
)
def test_wrong_studies(change, message):
  config = small()
  for key, value in change.items():
    config.study[key] = value
  with pytest.raises(ValueError, match=message):
    study.variant_configs(config)
