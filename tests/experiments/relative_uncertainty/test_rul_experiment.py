"""Runs of paper 003 from start to report: what is written, and resuming."""

import functools
import io
import json
import pathlib
import runpy
import types

import numpy as np
import pytest
from rich.console import Console

from emojax import tasks
from emojax.data import load
from emojax.engine import programs, sources
from emojax.experiments.relative_uncertainty import (
  figures,
  outputs,
  report,
  setup,
)
from emojax.experiments.relative_uncertainty import (
  run as experiment,
)
from emojax.host.signals import StopRequested
from emojax.models import resnet
from emojax.runtime import training, workdir

ROOT = pathlib.Path(__file__).parents[3]
PRESETS = runpy.run_path(str(ROOT / 'configs' / 'relative_uncertainty.py'))
SETTINGS = {
  'methods': ('scn', 'rul'),
  'model.depth': 'resnet2',
  'relabel.fraction': 1.0,
  'relabel.margin': 0.0,
  'eval.tsne_images': 0,
  'runtime.cpu_devices': 1,
  'runtime.member_devices': 1,
}


@pytest.fixture(scope='module', autouse=True)
def small_and_quick():
  """A network of one block, compiled once for all runs."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(resnet.DEPTHS, 'resnet2', ((1,), resnet.BasicBlock))
    made = {}
    make = setup.method_from_config

    def method_from_config(run, name, steps):
      if name not in made:
        made[name] = make(run, name, steps)
      return made[name]

    patch.setattr(setup, 'method_from_config', method_from_config)
    # A mesh is a new object each time but compares equal.
    for name in ('init', 'generation', 'predict'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    patch.setattr(sources, 'BLOCK_BYTES', 1)
    dataset = load.from_config(config().data)
    patch.setattr(load, 'from_config', lambda data: dataset)
    yield


def config(**changes):
  made = PRESETS['get_config']('tiny')
  names = {key.replace('__', '.'): value for key, value in changes.items()}
  made.update_from_flattened_dict(SETTINGS | names)
  return made


def execute(path, **changes):
  found = config(**changes)
  folder = workdir.Workdir(path, found.to_dict())
  folder.open()
  console = Console(file=io.StringIO(), width=160)
  results = experiment.run(found, folder, console)
  return results, console.file.getvalue()


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
  path = tmp_path_factory.mktemp('reference') / 'run'
  results, text = execute(path)
  return path, results, text


def test_results_have_every_method_level_and_repetition(reference):
  path, results, _ = reference
  assert results == json.loads((path / 'results.json').read_text())
  assert list(results['methods']) == ['scn', 'rul']
  for levels in results['methods'].values():
    assert list(levels) == ['0 %', '30 %']
    for level, found in levels.items():
      (member,) = found['members']
      assert 0 <= member['acc'] <= 1
      assert member['acc'] == member['reject/0']
      assert ('auroc/flipped' in member) == (level == '30 %')
      assert -1 <= member['spearman'] <= 1
  rul = results['methods']['rul']['30 %']['members'][0]
  assert rul['labels/changed'] > 0  # the labels change inside the program


def test_labels_change_in_the_epoch_that_the_report_names(reference):
  path, _, _ = reference
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  changed = {}
  for line in map(json.loads, lines):
    number = line['epoch']
    changed[number] = changed.get(number, 0) + line['loss/relabelled']
  start = config().relabel.start_epoch
  assert start == 1
  assert f'from epoch {start + 1} on' in (path / 'report.md').read_text()
  assert [bool(changed[number]) for number in sorted(changed)] == [False, True]


@pytest.mark.parametrize('preset', ['rafdb', 'affectnet', 'fer2013'])
def test_papers_presets_relabel_from_scns_tenth_epoch_on(preset):
  assert PRESETS['get_config'](preset).relabel.start_epoch + 1 == 10


def test_files_of_a_run(reference):
  path, _, text = reference
  for name in ('report.md', 'report.html', 'figures/gallery-rul.png'):
    assert (path / name).stat().st_size > 0
  assert (path / 'checkpoints' / 'rul').is_dir()
  assert not (path / 'checkpoints' / 'running' / 'rul').exists()
  lines = [
    json.loads(line)
    for line in (path / 'metrics.jsonl').read_text().splitlines()
  ]
  assert len(lines) == 2 * 2 * 2  # methods, epochs, members
  assert 'Table 1' in text
  assert 'paper' in text


def test_labels_are_saved_and_followed(reference):
  path, _, _ = reference
  with np.load(path / 'predictions' / 'labels.npz') as file:
    clean, labels = file['clean'], file['labels']
    assert file['levels'].tolist() == ['0 %', '30 %']
  assert (labels[0] == clean).all()
  assert (labels[1] != clean).sum() == round(0.3 * len(clean))
  with np.load(path / 'predictions' / 'rul.npz') as file:
    assert file['labels'].shape == labels.shape
    assert file['test/logits'].shape == (2, 40, 7)
    assert file['test/uncertainty'].shape == (2, 40)
    assert file['val/logits'].shape == (2, config().data.val_clips, 7)


def test_every_noise_level_has_prediction_sets(reference):
  path, results, _ = reference
  report_ = (path / 'report.md').read_text()
  dataset = load.from_config(config().data)
  val, test = (len(set(x.subject_id)) for x in (dataset.val, dataset.test))
  for name, levels in results['methods'].items():
    for level, found in levels.items():
      sets = found['sets']
      held_out, halves = (
        sets[key]['expr']['lac']['0.8'] for key in ('held_out', 'halves')
      )
      assert held_out['parts']['all']['calibrated'] == val
      assert held_out['parts']['all']['tested'] == test
      assert halves['parts']['all']['calibrated'] == test // 2
      title = f'{setup.METHODS[name]}, noise {level}: EXPR, lac'
      assert title in report_


def test_scored_validation_images_are_not_calibrated_on(reference):
  """Nor are they predicted twice."""
  images = types.SimpleNamespace(take=lambda index: images)
  outputs_ = {
    'expr': np.zeros((1, 3, 1, 7)),
    'uncertainty': np.zeros((1, 3, 1)),
  }
  outputs_['features'] = np.zeros((1, 3, 1, 2))
  state = types.SimpleNamespace(params=None, model_state=None)
  trainer = types.SimpleNamespace(predict=lambda *_: outputs_)
  run = types.SimpleNamespace(
    dataset=types.SimpleNamespace(val=images, test=images, train=images),
    task=tasks.expr_task(),
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(outputs, 'examined_images', lambda run: [])
    found = outputs.predict(run, trainer, state)
  assert 'val/logits' not in found
  found['best_epoch'] = np.zeros(1, int)
  assert set(outputs.predictions('rul', run.task, found).logits) == {'test'}


@pytest.mark.slow
def test_interrupted_run_ends_as_the_reference(reference, tmp_path):
  path, results, _ = reference
  stop = training.Session.stop_if_asked
  calls = []

  def stop_in_the_middle(self, *arguments):
    calls.append(1)
    if len(calls) == 4:  # after the first epoch of the second method
      raise StopRequested('SIGTERM')
    stop(self, *arguments)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(training.Session, 'stop_if_asked', stop_in_the_middle)
    with pytest.raises(StopRequested):
      execute(tmp_path / 'run')
  assert not (tmp_path / 'run' / 'predictions' / 'rul.npz').exists()
  again, _ = execute(tmp_path / 'run')
  assert again['methods'] == results['methods']
  for name in ('scn', 'rul'):
    with (
      np.load(path / 'predictions' / f'{name}.npz') as one,
      np.load(tmp_path / 'run' / 'predictions' / f'{name}.npz') as other,
    ):
      for key in one.files:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'methods': ('rul', 'abc')}, 'expected each one of baseline, scn'),
    ({'methods': ()}, 'expected different ones of'),
    ({'eval__weights': 'first'}, 'expected one of last, best'),
    ({'model__depth': 'resnet9'}, "depth 'resnet9'.*expected one of"),
    ({'train__batch_size': 999}, r'lower config.train.batch_size=999'),
    ({'ensemble__size': 3}, 'cannot be shared evenly by 2 noise levels'),
  ],
)
def test_settings_that_cannot_be(tmp_path, changes, message):
  with pytest.raises(ValueError, match=message):
    execute(tmp_path / 'run', **changes)


@pytest.mark.parametrize('name', sorted(PRESETS['PRESETS']))
def test_presets_have_the_same_settings_and_make_networks(name):
  found = PRESETS['get_config'](name)
  flat, first = (
    workdir.flatten(c.to_dict()) for c in (found, PRESETS['get_config']())
  )
  flat, first = (
    {k: v for k, v in f.items() if 'train_clips' not in k}
    for f in (flat, first)
  )
  assert {k: type(v) for k, v in flat.items()} == {
    k: type(v) for k, v in first.items()
  }
  setup.check_methods(found)
  task = tasks.expr_task()
  for method in found.methods:
    learner = setup.learner_from_config(found, method)
    model = setup.model_from_config(found, learner, task)
    cropped = found.train.augment == 'fer2013'
    size = 44 if cropped else found.data.image_size
    assert model.image_size == size
  levels = len(found.noise.rates) + found.noise.stored
  assert found.ensemble.size % levels == 0
  if name != 'embedded':
    assert f':{name} ' in PRESETS['__doc__']


def test_figures_of_a_finished_run(reference):
  path, results, _ = reference
  curves = json.loads((path / 'curves.json').read_text())
  assert len(figures.rejection(results, curves).axes) == 2
  assert len(figures.histograms(results, curves).axes) == 2
  assert report.summary(results).startswith('SCN, RUL on')


def test_schedules_of_the_settings():
  train = config(train__decay_start=1, train__decay_every=2).train
  found = setup._optimised(train)
  assert not found['stepwise']
  np.testing.assert_allclose(
    [found['schedule'](e) for e in range(4)], [1, 1, 1, 0.9], rtol=1e-6
  )
  train = config(train__schedule='cosine', train__ema=0.5).train
  found = setup._optimised(train)
  assert (found['stepwise'], found['ema']) == (True, 0.5)
  assert float(found['schedule'](train.epochs / 2)) == pytest.approx(0.5)
  train = config(train__schedule='cosine', train__decay_start=1).train
  with pytest.raises(ValueError, match=r'decay_start=1: only .*step'):
    setup._optimised(train)
