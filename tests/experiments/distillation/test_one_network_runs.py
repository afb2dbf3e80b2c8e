"""Students that are one network each: targets, settings, and runs end to end."""

import io
import json
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_run
import trained_run
from engine import toy
from rich.console import Console

import emojax
from emojax import evaluate, settings, tasks, uncertainty
from emojax.data.clips import evaluation_sets
from emojax.engine import methods
from emojax.experiments.distillation import one_network, teachers, trained
from emojax.experiments.distillation import run as distillation
from emojax.models import init
from emojax.models import one_network as models
from emojax.ops.families import FAMILIES
from emojax.runtime import provenance
from emojax.settings import SettingError, table
from emojax.trained import exporting, network, reevaluation, rescoring
from emojax.trained import run as runs
from emojax.trained.folder import ModelError

KINDS = models.KINDS
# Families differ in what `ops.families` asks of them alone.
TRAINED = ('hydra', 'credal')


def checked(*named, **changes):
  values = settings.flatten(small_run.config(**changes).to_dict())
  settings.check(values, named)


def test_settings_that_make_no_sense_together_are_refused():
  for kind in KINDS:
    checked('distill.method', distill__method=kind, generations=1)
  for changes, text in (
    ({'generations': 2}, 'generations=1'),
    ({'train__mixup': 0.2}, 'mixup=0'),
    ({'ensemble__size': 1}, 'ensemble.size=2'),
    ({'ensemble__size': 65}, 'at most 64'),
    ({'distill__method': 'hydro'}, 'hydra'),
  ):
    with pytest.raises(SettingError, match=text):
      checked(**({'distill__method': 'hydra', 'generations': 1} | changes))
  with pytest.raises(SettingError, match='means nothing while'):
    checked('distill.method', distill__method='hydra', generations=0)
  with pytest.raises(SettingError, match='reweight_students'):
    checked(
      'loss.reweight_students',
      distill__method='dirichlet',
      loss__reweight_students=True,
    )
  # Draws of a Dirichlet need no dropout; passes of dropout do.
  checked('eval.mc_samples', distill__method='dirichlet', model__dropout=0.0)
  with pytest.raises(SettingError, match=r'eval\.mc_samples=2 means nothing'):
    checked('eval.mc_samples', model__dropout=0.0)


def test_settings_and_networks_have_one_limit_and_the_same_families():
  assert table.MOST_HEADS == models.MOST_HEADS
  assert table.FAMILIES == tuple(FAMILIES)
  assert settings.find('distill.method').choices == ('mean', *models.KINDS)


def test_students_may_be_fewer_than_teachers():
  for count, students in ((0, 3), (1, 1), (4, 4)):
    config = small_run.config(
      distill__method='hydra', distill__students=count, ensemble__size=3
    )
    sizes = [distillation.members_from_config(config, n) for n in (0, 1)]
    assert sizes == [3, students]
    assert one_network.heads_from_config(config) == 3
  for name, value in (('students', 2), ('teachers', 'runs/one')):
    with pytest.raises(SettingError, match='means nothing while'):
      checked(
        f'distill.{name}', **{f'distill__{name}': value, 'generations': 0}
      )


def kept(path, **changes):
  """A folder with the settings of a run, and a file where its teachers end."""
  config = small_run.config(**changes).to_dict()
  (path / 'predictions').mkdir(parents=True)
  (path / 'predictions' / 'Tea.npz').touch()
  (path / 'config.json').write_text(json.dumps({'config': config}))
  return path


def test_teachers_are_taken_of_a_run_that_would_train_the_same(tmp_path):
  config = small_run.config(
    distill__method='credal', distill__students=1, eval__mc_samples=7,
    loss__correct_teachers=True, runtime__cpu_devices=2,
  )  # fmt: skip
  path = kept(tmp_path / 'same', generations=0)
  teachers.check_settings(path, config.to_dict())
  stored = json.loads((path / 'config.json').read_text())
  for name in ('mixup', 'ema'):  # runs that are older than these settings
    del stored['config']['train'][name]
  del stored['config']['distill']
  stored['config']['ensemble']['size'] = 5  # the first two are taken
  (path / 'config.json').write_text(json.dumps(stored))
  teachers.check_settings(path, config.to_dict())


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('seed', 1), ('data.seed', 1), ('train.epochs', 9), ('model.width', 0.5),
    ('ensemble.size', 1), ('loss.reweight', False), ('runtime.precision', 'high'),
  ],
)  # fmt: skip
def test_teachers_that_are_others_are_refused(tmp_path, name, value):
  path = kept(tmp_path / 'other', **{name.replace('.', '__'): value})
  with pytest.raises(teachers.TeachersError, match=f'{name}: {value!r} there'):
    teachers.check_settings(path, small_run.config().to_dict())


def test_what_has_no_teachers_is_refused(tmp_path):
  config = small_run.config().to_dict()
  with pytest.raises(
    teachers.TeachersError, match='nothing: there is no such folder'
  ):
    teachers.check_settings(tmp_path / 'nothing', config)
  path = kept(tmp_path / 'begun')
  (path / 'predictions' / 'Tea.npz').unlink()
  with pytest.raises(teachers.TeachersError, match='no finished teachers'):
    teachers.check_settings(path, config)
  for text in (
    '',
    '[]',
    '{"config": 3}',
    '{"config": {"experiment": "bayesian"}}',
  ):
    (path / 'config.json').write_text(text)
    with pytest.raises(teachers.TeachersError, match='not of a run'):
      teachers.check_settings(path, config)


def test_teachers_of_other_data_are_refused(tmp_path):
  data = types.SimpleNamespace(
    train=toy.train_clips(), val=toy.clips(4), schema=toy.SCHEMA
  )
  with pytest.raises(teachers.TeachersError, match='does not say'):
    teachers.check_data(tmp_path, data)
  sets = {'train': data.train, 'val': data.val}
  said = provenance.describe(sets, data.schema)
  (tmp_path / provenance.FILE).write_text(json.dumps(said))
  teachers.check_data(tmp_path, data)
  fewer = types.SimpleNamespace(**vars(data))
  fewer.train = data.train.take(np.arange(3))
  with pytest.raises(
    teachers.TeachersError, match='other data: train: 3 clips now'
  ):
    teachers.check_data(tmp_path, fewer)


def test_runs_of_before_learned_the_mean():
  config = small_run.config()
  before = config.to_dict()
  del before['distill']
  without = type(config)(before)
  assert one_network.from_config(without) == 'mean'
  assert one_network.heads_from_config(without) == 0
  for old, new in zip(
    trained.stacks(without), trained.stacks(config), strict=True
  ):
    assert old == new
  assert trained.network_for(without, 'Stu1').attributes == {}


def test_teachers_of_such_a_run_are_ordinary_networks():
  config = small_run.config(distill__method='hydra', ensemble__size=3)
  teachers, students = trained.stacks(config)
  assert (teachers.passes, students.passes) == (2, 3)
  assert trained.network_for(config, 'Tea').attributes == {}
  said = trained.network_for(config, 'Stu1').attributes
  assert said == {'distribution': 'hydra', 'heads': 3}


def said_by_members(rng, members, clips):
  """Logits of every member for some clips, by task."""
  shape = members, clips, toy.LENGTH
  return {
    t.name: rng.normal(size=(*shape, t.num_outputs)).astype(np.float32)
    for t in toy.SCHEMA
  }


@pytest.mark.parametrize('kind', KINDS)
def test_targets_have_the_members_answers_where_frames_have_labels(kind):
  rng = np.random.default_rng(0)
  train = toy.train_clips()
  logits = said_by_members(rng, 3, len(train))
  bins = tasks.bin_values(5)
  label = one_network.member_labels(kind, toy.SCHEMA, {}, bins)
  stored = one_network.as_stored(
    {k: np.asarray(v) for k, v in label(logits).items()}
  )
  found = one_network.targets(toy.SCHEMA, stored, train.targets)
  mean = methods.distillation_targets(
    toy.SCHEMA,
    {
      k: np.asarray(v).mean(0)
      for k, v in methods.soft_labels(toy.SCHEMA, logits, bins).items()
    },
    train.targets,
  )
  for task in toy.SCHEMA:
    value, mask = found[task.name]
    np.testing.assert_array_equal(mask, mean[task.name].mask)
    probs = uncertainty.probabilities(task, logits[task.name])
    if kind == 'logit_gaussian':
      value = uncertainty.probabilities(
        task, np.reshape(value, (*value.shape[:3], -1))
      )
    if task.kind == 'binned' and kind == 'hydra':
      probs = probs @ bins
    np.testing.assert_allclose(value, np.moveaxis(probs, 0, 2), atol=1e-6)
    middle = value.mean(2)
    if task.kind == 'binned' and kind != 'hydra':
      middle = middle @ bins
    np.testing.assert_allclose(middle, mean[task.name].value, atol=1e-5)


def test_pretrained_weights_are_those_of_the_trunk():
  model = models.build(
    'hydra', 2, toy.SCHEMA, lambda schema: toy.Net(schema=schema)
  )
  variables = dict(init(model, jax.random.key(0)))
  params = variables.pop('params')

  def load(found, state):
    # As for an ordinary network, whose own layers are at the top.
    assert 'ConvNorm_0' in found
    assert 'ConvNorm_0' in state['batch_stats']
    zeros = jax.tree.map(jnp.zeros_like, found['ConvNorm_0'])
    return {**found, 'ConvNorm_0': zeros}, state

  loaded, state = one_network.within_trunk(load)(params, variables)
  toy.assert_same(state, variables)
  assert jax.tree.structure(loaded) == jax.tree.structure(params)
  layers = loaded['trunk'].pop('ConvNorm_0'), params['trunk'].pop('ConvNorm_0')
  assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(layers[0]))
  assert any((np.asarray(x) != 0).any() for x in jax.tree.leaves(layers[1]))
  toy.assert_same(loaded, params)


@pytest.mark.parametrize(
  ('attributes', 'words'),
  [
    ({'distribution': 'normal'}, "'normal': expected one of"),
    ({'distribution': 'hydra'}, 'heads 0'),
    ({'distribution': 'hydra', 'heads': 10**9}, 'from 2 to 64'),
    ({'distribution': 'hydra', 'heads': '2'}, 'a text and a number'),
    ({'distribution': 1}, 'a text and a number'),
    ({'distribution': 'dirichlet', 'heads': 3}, 'only a Hydra'),
    ({'distribution': 'dirichlet', 'noise': 'none'}, 'a text and a number'),
  ],
)
def test_models_that_say_what_no_student_is_are_refused(attributes, words):
  metadata = {
    'model': {'name': 'emenet_v', 'options': {}, 'attributes': attributes},
    'schema': [task.to_json() for task in toy.SCHEMA],
    'preprocessing': {'image_size': 32, 'channels': 3},
  }
  with pytest.raises(ValueError, match=words):
    network.build(metadata)


@pytest.fixture(scope='module')
def taught(tmp_path_factory):
  """Folder of a small run of teachers alone."""
  path = tmp_path_factory.mktemp('one') / 'teachers'
  with trained_run.small_and_quick():
    trained_run.train(path, generations=0)
    yield path


@pytest.fixture(scope='module', params=TRAINED)
def finished(request, taught, tmp_path_factory):
  """(kind, folder) of a finished small run, with the teachers of another."""
  path = tmp_path_factory.mktemp('one') / request.param
  results = trained_run.train(
    path, distill__method=request.param, eval__mc_samples=4,
    distill__teachers=str(taught),
  )  # fmt: skip
  assert set(results['generations']) == {'Tea', 'Stu1'}
  return request.param, path


@pytest.mark.slow
def test_a_run_with_taken_teachers_is_the_one_that_trains_them(
  finished, taught, tmp_path
):
  kind, path = finished
  said = json.loads((path / 'teachers.json').read_text())
  assert said['run'] == str(taught.resolve())
  assert len(said['weights']) == 64
  if kind != 'credal':
    return
  own = tmp_path / 'own'
  trained_run.train(own, distill__method=kind, eval__mc_samples=4)
  for name in ('Tea', 'Stu1'):
    first, second = (runs.open_run(x).predictions(name) for x in (own, path))
    toy.assert_same(first.logits, second.logits)
    toy.assert_same(first.mc, second.mc)
    assert first.epochs == second.epochs
  lines = [(x / 'metrics.jsonl').read_text() for x in (own, path)]
  assert lines[0] == lines[1]
  # Not the seconds since the machine was started.
  took = [json.loads((x / 'timings.json').read_text()) for x in (own, path)]
  assert list(took[0]) == list(took[1]) == ['Tea', 'Stu1']
  assert took[1]['Tea'] < took[0]['Tea']


@pytest.mark.slow
def test_the_first_of_more_teachers(taught, tmp_path):
  path = tmp_path / 'first'
  changes = {'ensemble__size': 1, 'distill__teachers': str(taught)}
  results = trained_run.train(path, **changes)
  counts = [g['num_members'] for g in results['generations'].values()]
  assert counts == [1, 1]
  first, every = (runs.open_run(x).predictions('Tea') for x in (path, taught))
  for name, found in first.logits['test'].items():
    right = every.logits['test'][name][:1]
    np.testing.assert_allclose(found, right, atol=1e-5)
  assert first.epochs == every.epochs[:1]
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  members = {json.loads(line)['member'] for line in lines}
  assert members == {0}


@pytest.mark.slow
def test_one_student_of_two_teachers(taught, tmp_path):
  path = tmp_path / 'one'
  changes = {
    'distill__method': 'hydra', 'distill__teachers': str(taught),
    'distill__students': 1,
  }  # fmt: skip
  results = trained_run.train(path, **changes)
  counts = [g['num_members'] for g in results['generations'].values()]
  assert counts == [2, 1]
  model = emojax.load(
    exporting.export(runs.open_run(path).select(['Stu1']), tmp_path / 'model')
  )
  assert (model.num_members, network.heads(model.metadata)) == (1, 2)


@pytest.mark.slow
def test_passes_of_students_are_their_members_and_scored(finished):
  kind, path = finished
  run = runs.open_run(path)
  found = run.predictions('Stu1')
  passes = 2 if kind == 'hydra' else 4
  for task in run.schema:
    probs = uncertainty.probabilities(
      task, np.float64(found.mc['test'][task.name])
    )
    assert probs.shape[:2] == (2, passes)
    assert np.ptp(probs, 1).max() > 0
    if kind == 'hydra':  # all members there are: their mean is what is said
      said = uncertainty.probabilities(
        task, np.float64(found.logits['test'][task.name])
      )
      np.testing.assert_allclose(probs.mean(1), said, atol=1e-5)
  one = json.loads((path / 'results.json').read_text())['generations']['Stu1']
  assert one['mc']['passes'] == passes
  for name in ('digits', 'textures'):
    assert 0 <= one['ood'][name]['mc/epistemic'] <= 1
  assert run.predictions('Tea').mc['test']['expr'].shape[1] == 4


@pytest.mark.slow
def test_an_exported_student_answers_as_in_the_run(finished, tmp_path):
  kind, path = finished
  run = runs.open_run(path)
  model = emojax.load(exporting.export(run, tmp_path / 'model', members=[0]))
  assert model.metadata['model']['attributes']['distribution'] == kind
  clips = evaluation_sets.open_split(run.config.data, 'test').clips
  images = clips.take(np.arange(4)).image
  found = model.logits(images)
  stored = run.predictions('Stu1')
  samples = stored.mc['test']['expr'].shape[1]
  drawn = model.logits(images, samples=samples)
  for task in run.schema:
    right = stored.logits['test'][task.name][:1, :4]
    np.testing.assert_allclose(found[task.name], right, atol=1e-4)
    assert drawn[task.name].shape == (samples, *right.shape[1:])
    if kind == 'hydra':
      heads = stored.mc['test'][task.name][0, :, :4]
      np.testing.assert_allclose(drawn[task.name], heads, atol=1e-4)
  # One network disagrees with itself, which a single one of paper 000 cannot.
  output = model.predict(images, samples=samples)
  assert output.uncertainty['mean'].epistemic.min() > 0
  if kind == 'hydra':
    with pytest.raises(ModelError, match='samples=2, or a multiple'):
      model.predict(images, samples=3)


@pytest.mark.slow
def test_a_run_that_lost_its_students_trains_the_same_ones(
  finished, taught, tmp_path
):
  kind, path = finished
  again = tmp_path / 'again'
  shutil.copytree(path, again)
  for name in ('results.json', 'report.html', 'predictions/Stu1.npz'):
    (again / name).unlink()
  for name in ('checkpoints/Stu1', 'checkpoints/running'):
    shutil.rmtree(again / name, ignore_errors=True)
  trained_run.train(
    again, distill__method=kind, eval__mc_samples=4,
    distill__teachers=str(taught),
  )  # fmt: skip
  first, second = (
    runs.open_run(where).predictions('Stu1') for where in (path, again)
  )
  toy.assert_same(first.logits, second.logits)
  toy.assert_same(first.mc, second.mc)


@pytest.mark.slow
def test_such_a_run_is_evaluated_again(finished, tmp_path):
  kind, path = finished
  request = evaluate.parse([f'--workdir={path}', f'--out={tmp_path / "again"}'])
  folder = rescoring.execute(
    reevaluation.prepare(request), Console(file=io.StringIO())
  )
  kept, found = (
    json.loads((where / 'results.json').read_text())['generations']
    for where in (path, folder)
  )
  assert found == kept
  if kind == 'hydra':
    request = evaluate.parse(  # one student has all of its heads
      [f'--workdir={path}', '--members=0', f'--out={tmp_path / "first"}']
    )
    folder = rescoring.execute(
      reevaluation.prepare(request), Console(file=io.StringIO())
    )
    part = json.loads((folder / 'results.json').read_text())['generations']
    assert part['Stu1']['members'][0] == kept['Stu1']['members'][0]
    request = evaluate.parse(
      [f'--workdir={path}', '--mc-samples=3', f'--out={tmp_path / "three"}']
    )
    with pytest.raises(ValueError, match='3 passes of networks with 2 heads'):
      rescoring.execute(
        reevaluation.prepare(request), Console(file=io.StringIO())
      )
