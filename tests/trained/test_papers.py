"""Runs of papers 001 to 004 after training: their own numbers, on other data, too."""

import dataclasses
import hashlib
import io
import json
import pathlib
import runpy
import shutil

import numpy as np
import pytest
from experiments.two_stage import small_two_stage
from rich.console import Console

import emojax
from emojax import evaluate as command
from emojax import experiments, export, uncertainty
from emojax.data import relabel
from emojax.engine import methods
from emojax.evaluation import Predictions
from emojax.experiments.bayesian import report as bayesian_report
from emojax.experiments.relative_uncertainty import learners
from emojax.models import resnet
from emojax.runtime import overrides, workdir
from emojax.trained import folder as release
from emojax.trained import reevaluation, rescoring
from emojax.trained import run as runs
from emojax.trained.reevaluation import OF_RUNS

pytestmark = pytest.mark.slow

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
COMMON = {'runtime.cpu_devices': 1, 'runtime.member_devices': 1}
CNN = {
  'model.depth': 'resnet2',
  'data.train_clips': {'au': 2, 'expr': 2, 'va': 2, 'expr_va': 2},
  'data.clip_length': 4,
  'train.teacher_epochs': 1,
  'train.student_epochs': 1,
  'train.steps': 1,
  'recurrent.teacher_epochs': 1,
  'recurrent.student_epochs': 1,
  'recurrent.steps': 1,
  'recurrent.lengths': (),
  'ensemble.seeds': 2,
}
# Configuration, what is changed of its preset `tiny`, and a stack to export.
RUNS = {
  'bayesian': (
    'bayesian',
    {
      'methods': 'dropout,ensemble',
      'data.train_clips': {'expr': 32, 'balanced_expr': 0},
      'data.test_clips': 12,
      'data.ood_clips': 2,
      'data.channels': 1,
      'mc.passes': 2,
      'mc.passes_per_call': 2,
      'train.epochs': 1,
      'eval.draws': 2,
      'eval.replicates': 5,
    },
    'alexnet-ensemble',
  ),
  'relative_uncertainty': (
    'relative_uncertainty',
    {
      'methods': ('scn', 'rul', 'dul', 'conf'),
      'model.depth': 'resnet2',
      'data.image_size': 36,
      'data.train_clips': {'expr': 24},
      'data.val_clips': 8,
      'data.test_clips': 12,
      'train.epochs': 1,
      'train.augment': 'fer2013',  # which crops
      'eval.ten_crop': True,
      'eval.tsne_images': 0,
    },
    'scn',
  ),
  'incomplete_labels': (
    'incomplete_labels',
    {**CNN, 'conditions': ('baseline',), 'multitask': ''},
    'single-va-baseline',
  ),
  'shared_annotations': (
    'shared_annotations',
    {
      **CNN,
      'teachers': (3,),
      'sharing': (True,),
      'recurrent.lengths': (3,),  # clips have four frames: sequences overlap
    },
    'rnn3-student',
  ),
}

# The other stacks of these runs: what differs between them is exported, too.
OTHERS = {
  'bayesian': ('alexnet-dropout',),
  'relative_uncertainty': ('rul', 'dul', 'conf'),
  'incomplete_labels': ('single-au-baseline', 'single-expr-baseline'),
  'shared_annotations': (
    'cnn3-teacher',
    'with-sharing-student',
    'rnn3-teacher',
  ),
}

QUICK = 'incomplete_labels'  # the others train for minutes
PARAMS = [
  name if name == QUICK else pytest.param(name, marks=pytest.mark.slow)
  for name in RUNS
]


@pytest.fixture(scope='module', params=PARAMS)
def trained(request, tmp_path_factory):
  """(name of the experiment, its folder, the stack) of a small run."""
  name, (file, changes, stack) = request.param, RUNS[request.param]
  config = runpy.run_path(str(CONFIGS / f'{file}.py'))['get_config']('tiny')
  flat = workdir.flatten(config.to_dict())
  for key, value in (COMMON | changes).items():
    *path, last = key.split('.')
    part = config
    for one in path:
      part = part[one]
    if isinstance(value, dict):
      value = {k: v for k, v in value.items() if f'{key}.{k}' in flat}
      part[last].update(value)
    else:
      part[last] = value
  path = tmp_path_factory.mktemp('papers') / name
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(resnet.DEPTHS, 'resnet2', ((1,), resnet.BasicBlock))
    patch.setattr(bayesian_report, '_figures', lambda *_: [])
    # What selects epochs takes longest to compile, and is tested elsewhere.
    patch.setattr(methods, 'scores', small_two_stage.quick_scores)
    console = Console(file=io.StringIO())
    experiments.module(name).run(config, folder, console)
    yield name, path, stack


@pytest.fixture(scope='module')
def model(trained, tmp_path_factory):
  """The stack, exported and loaded."""
  _, path, stack = trained
  return exported(path, stack, tmp_path_factory.mktemp('exported') / 'model')


def exported(path, stack, out):
  arguments = f'--workdir={path}', f'--out={out}', f'--generation={stack}'
  assert export.main(arguments) == 0
  return emojax.load(out)


def test_an_exported_model_predicts_what_the_run_has(trained, model):
  _, path, stack = trained
  check_predictions(path, stack, model)


def test_what_is_learned_is_of_one_view(trained):
  name, path, stack = trained
  asked = command.parse(
    [f'--workdir={path}', f'--generations={stack}', '--flip']
  )
  if name == 'relative_uncertainty':
    with pytest.raises(overrides.OverrideError, match='of one view'):
      reevaluation.prepare(asked)
  else:
    assert reevaluation.prepare(asked).refitted()


def test_what_only_the_run_computes_is_refused(trained):
  name, path, stack = trained
  config = runs.open_run(path).config
  own = [f'eval.{key}' for key in config.eval if f'eval.{key}' in OF_RUNS]
  assert bool(own) == (name in ('bayesian', 'relative_uncertainty'))
  for setting in own:
    value = config.eval[setting.split('.')[1]]
    asked = command.parse(
      [
        f'--workdir={path}',
        f'--generations={stack}',
        f'--config.{setting}={value}',
      ]
    )
    with pytest.raises(
      overrides.OverrideError, match='the run itself computes'
    ):
      reevaluation.prepare(asked)


@pytest.mark.slow
def test_so_does_every_other_stack(trained, tmp_path):
  name, path, stack = trained
  others = [s for s in runs.open_run(path).generations if s != stack]
  assert set(others) == set(OTHERS[name])
  for other in others:
    model = exported(path, other, tmp_path / other)
    assert model.metadata['generation'] == other
    output = check_predictions(path, other, model)
    if name == 'relative_uncertainty':
      check_learned(path, other, output)


def check_learned(path, stack, output):
  with np.load(path / 'predictions' / f'{stack}.npz') as file:
    expected = file['test/uncertainty'].mean(0)
  np.testing.assert_allclose(output.learned[:, 0], expected, atol=2e-5)


def check_predictions(path, stack, model):
  """Probabilities of the test clips, against what the run has written."""
  run = runs.open_run(path).select([stack])
  clips = run.held_out()['test']
  clips = clips.take(np.arange(len(clips)))
  output = model.predict(clips.image, batch=5)
  for task in run.schema:
    logits = run.predictions(stack).logits['test'][task.name]
    probs = uncertainty.probabilities(task, logits)
    pair = (output.members[task.name], probs)
    pair = (x[:, clips.frame_mask > 0] for x in pair)
    np.testing.assert_allclose(*pair, atol=2e-5)
  assert model.schema == run.schema
  answers = model.answers(output)
  assert set(answers) == {task.name for task in run.schema}
  assert model.unsure(output).shape == clips.image.shape[:2]
  return output


def test_the_card_names_the_paper(trained, model):
  name, _, stack = trained
  assert model.metadata['paper'] == experiments.trained(name).PAPER
  assert model.metadata['generation'] == stack
  assert 'self-distillation' not in model.metadata['paper']


def test_learned_uncertainty_is_that_of_the_run(trained, model):
  name, path, stack = trained
  image = runs.open_run(path).held_out()['test'].take(np.arange(4)).image
  output = model.predict(image)
  if name != 'relative_uncertainty':
    assert output.learned is None
    return
  with np.load(path / 'predictions' / f'{stack}.npz') as file:
    expected = file['test/uncertainty'][:, :4].mean(0)
  np.testing.assert_allclose(output.learned[:, 0], expected, atol=2e-5)
  notes = ' '.join(model.metadata['notes'])
  assert '1 to 1 learned from labels with noise: 30 %' in notes


def test_stochastic_passes(trained, model):
  name, path, _ = trained
  image = runs.open_run(path).held_out()['test'].take(np.arange(4)).image
  if name != 'bayesian':  # pooled embeddings have no dropout in SCN
    with pytest.raises(release.ModelError, match='no dropout or DropConnect'):
      model.predict(image, samples=2)
    return
  plain = model.predict(image)
  task = model.schema[0].name
  passes = model.predict(image, samples=3, seed=1)
  again = model.predict(image, samples=3, seed=1)
  other = model.predict(image, samples=3, seed=2)
  found = passes.members[task]
  assert len(found) == 3 * model.num_members
  np.testing.assert_array_equal(found, again.members[task])
  assert np.abs(found - other.members[task]).max() > 1e-6
  assert np.abs(found[0] - found[1]).max() > 1e-6
  assert np.abs(found[0] - plain.members[task][0]).max() > 1e-6
  with pytest.raises(release.ModelError, match='expected at least 0'):
    model.predict(image, samples=-1)
  with pytest.raises(release.ModelError, match='fitted without noise'):
    model.predict(image, samples=1, temperature=True)


def test_a_run_is_not_a_model(trained):
  path = trained[1]
  with pytest.raises(release.ModelError) as error:
    emojax.load(path)
  assert f'`python -m emojax.export --workdir={path} ' in str(error.value)


@pytest.fixture(scope='module')
def evaluated(trained):
  """(folder, results) of the run's own test split, evaluated again."""
  _, path, stack = trained
  request = reevaluation.Request(path, generations=[stack])
  folder = evaluate(request)
  return folder, json.loads((folder / 'results.json').read_text())


def evaluate(request):
  evaluation = reevaluation.prepare(request)
  return rescoring.execute(evaluation, Console(file=io.StringIO()))


def test_its_own_data_give_its_own_predictions(trained, evaluated):
  name, path, stack = trained
  folder, results = evaluated
  expected = runs.open_run(path).select([stack])
  found = Predictions.load(folder / 'predictions' / f'{stack}.npz')
  mask = expected.held_out()['test'].frame_mask > 0
  for task in expected.schema:
    pair = (
      x.logits['test'][task.name] for x in (found, expected.predictions(stack))
    )
    np.testing.assert_allclose(*(x[:, mask] for x in pair), atol=2e-4)
  assert list(results['generations']) == [stack]
  assert not any('changed' in n for n in results['evaluation']['notes'])
  assert set(results['generations'][stack]['ood']) == (
    {'digits', 'textures'} if name == 'bayesian' else set()
  )


def test_metrics_are_those_of_the_run(trained, evaluated):
  name, path, stack = trained
  results = evaluated[1]['generations'][stack]
  own = json.loads((path / 'results.json').read_text())
  if name in ('incomplete_labels', 'shared_annotations'):
    expected = own['stacks'][stack]['test']['mean']
    keys = [key for key in expected if key in results['single_mean']]
    assert 'va/ccc/valence' in keys
    found = results['single_mean']
  elif name == 'relative_uncertainty':
    expected = {
      key: np.mean(
        [level['mean'][key] for level in own['methods'][stack].values()]
      )
      for key in ('acc', 'f1', 'reject/10', 'area')
    }
    keys, found = list(expected), evaluated[1]['learned'][stack]['mean']
    assert results['single_mean']['expr/acc'] == pytest.approx(expected['acc'])
  else:
    return  # scored by pools of passes, not by members
  for key in keys:
    assert found[key] == pytest.approx(expected[key], abs=1e-3), key


def test_the_report_has_its_tables(trained, evaluated):
  name, _, stack = trained
  text = (evaluated[0] / 'report.md').read_text()
  assert stack in text
  assert 'ensemble' in text
  assert ('Learned uncertainty' in text) == (name == 'relative_uncertainty')
  assert ('foreign images' in text) == (name == 'bayesian')
  assert '## Prediction sets' in text
  html = (evaluated[0] / 'report.html').read_text()
  assert '<table' in html


def test_other_data_and_foreign_images(trained, faces):
  name, path, stack = trained
  other = faces('fer2013', ('PublicTest', 'PrivateTest'))
  if name == 'incomplete_labels':  # of valence and arousal
    with pytest.raises(
      relabel.SchemaMismatchError, match='nothing that the model'
    ):
      reevaluation.prepare(
        reevaluation.Request(path, str(other), 'test', generations=[stack])
      )
    return
  folder = evaluate(
    reevaluation.Request(
      path,
      str(other),
      'test',
      generations=[stack],
      members=[0],
      temperature=False,
      ood=['digits'],
      name='other',
    )
  )
  results = json.loads((folder / 'results.json').read_text())
  found = results['generations'][stack]
  assert found['num_members'] == 1
  assert set(found['ood']) == {'digits'}
  assert 0 <= found['single_mean']['expr/acc'] <= 1
  assert 'learned' not in results or results['learned'][stack]['std']


def test_passes_are_those_of_the_run_unless_said(trained):
  name, path, stack = trained
  request = reevaluation.Request(path, generations=[stack])
  run = runs.open_run(path)
  if name == 'bayesian':
    request = dataclasses.replace(request, generations=['alexnet-dropout'])
    assert reevaluation.prepare(request).passes('alexnet-dropout') == 2
    assert run.stack('alexnet-ensemble').passes == 0
  else:
    assert reevaluation.prepare(request).passes(stack) == 0
  more = dataclasses.replace(request, mc_samples=3)
  assert reevaluation.prepare(more).passes(request.generations[0]) == 3


def test_what_training_has_decided_is_refused(trained):
  _, path, stack = trained
  for override in ('data.image_size=64', 'model.width=1'):
    request = reevaluation.Request(
      path, generations=[stack], overrides=[override]
    )
    with pytest.raises(overrides.OverrideError, match=override.split('=')[0]):
      reevaluation.prepare(request)


def test_a_network_without_its_features_is_refused(trained, tmp_path):
  name, path, stack = trained
  if name != 'shared_annotations':
    return
  copy = shutil.copytree(path, tmp_path / 'run')
  shutil.rmtree(copy / 'features')
  with pytest.raises(ValueError, match='features of 0 CNNs'):
    runs.open_run(copy).select([stack]).weights(stack, [0])


def test_stacks_of_several_kinds_are_not_one_model(trained):
  run = runs.open_run(trained[1])
  if len(set(run.headers.values())) > 1:
    with pytest.raises(runs.RunError, match='differ in what they predict'):
      run.select(run.generations)
  else:
    assert run.select(run.generations).schema == run.schema


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'attributes': {'parent': 'x'}}, 'unknown parent'),
    ({'attributes': {'noise': []}}, 'attributes.noise: expected'),
    ({'attributes': []}, 'model.attributes: expected an object'),
    ({'read_out': 3}, 'model.read_out: expected a text'),
    ({'read_out': 'no'}, 'cannot be built'),
    ({'code': 'no'}, 'model: unknown code'),
    ({'name': 'cnn_rnn', 'attributes': {}}, 'cannot be built'),
  ],
)
def test_strange_descriptions_are_refused(
  model, trained, tmp_path, change, message
):
  metadata = json.loads(json.dumps(model.metadata))
  metadata['model'] |= change
  weights = {'params': model._params, **model._state}
  data = release.encode_weights(release.flat_names(weights), metadata)
  metadata['files'] = {release.WEIGHTS: hashlib.sha256(data).hexdigest()}
  (tmp_path / release.WEIGHTS).write_bytes(data)
  (tmp_path / release.METADATA).write_text(json.dumps(metadata))
  with pytest.raises(release.ModelError, match=message):
    emojax.load(tmp_path)


def test_read_outs_do_not_depend_on_constants():
  """They are rebuilt with the defaults; only the losses have constants."""
  outputs = {
    'logits': np.float32([[1, 2, 3]]),
    'attention': np.float32([0.3]),
    'confidence': np.float32([0.7]),
    'log_sigma': np.float32([[0.1, 0.2]]),
  }
  pairs = [
    (learners.METHODS['scn'].make(), learners.scn(0.5, 0.01)),
    (learners.METHODS['dul'].make(), learners.dul(0.5)),
    (learners.METHODS['conf'].make(), learners.conf(0.1, 0.9)),
    (
      learners.METHODS['rul'].make(),
      learners.rul('permutation', 'means', True),
    ),
    (learners.METHODS['baseline'].make(), learners.baseline(0.2)),
  ]
  for default, other in pairs:
    for read in ('logits', 'uncertainty'):
      a, b = (np.asarray(getattr(x, read)(outputs)) for x in (default, other))
      np.testing.assert_array_equal(a, b)
