"""A run of the experiment: what it writes, shares, and how it comes back."""

import functools
import io
import json
import os

import jax
import numpy as np
import pytest
import run_files
import small_bnn
from rich.console import Console

from emojax import models, tasks
from emojax.engine import programs, sources
from emojax.evaluation import Predictions
from emojax.experiments.bayesian import networks, report
from emojax.experiments.bayesian import run as experiment
from emojax.runtime import workdir


class KilledError(BaseException):
  """Stands for kill -9: nothing in the package catches it."""


@pytest.fixture(scope='module', autouse=True)
def _small_and_quick():
  """A small network, compiled once for all runs; a report without figures."""
  known, make = {}, networks.method

  def once(config, kind, schema, mesh):
    key = kind.name, mesh
    if key not in known:
      known[key] = make(config, kind, schema, mesh)
    return known[key]

  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.MODELS, 'alexnet', small_bnn.small)
    patch.setattr(networks, 'method', once)
    for name in ('init', 'generation', 'predict', 'sample'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    patch.setattr(report, '_figures', lambda *_: [])
    patch.setattr(sources, 'BLOCK_BYTES', 1)  # no padding to large blocks
    yield


def execute(path, **changes):
  """What `main` does, in this process. Returns (results, printed text)."""
  config = small_bnn.config(**changes)
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  console = Console(file=io.StringIO(), width=200)
  found = experiment.run(config, folder, console)
  return found, console.file.getvalue()


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
  """The folder of a run that nothing interrupts, and what it printed."""
  path = tmp_path_factory.mktemp('reference') / 'run'
  _, text = execute(path)
  return path, text


def load(path, method):
  return Predictions.load(path / 'predictions' / f'alexnet-{method}.npz')


def test_files_of_a_run(reference):
  path, text = reference
  assert sorted(os.listdir(path / 'checkpoints')) == [
    'alexnet-dropconnect',
    'alexnet-dropout',
    'running',
  ]
  assert os.listdir(path / 'checkpoints' / 'running') == []
  assert workdir.Workdir(path, {}).finished
  assert 'have a label and 40 have votes' in text
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  stacks = [json.loads(line)['generation'] for line in lines]
  # Two epochs of three members, and of two.
  assert stacks.count('alexnet-dropout') == 6
  assert stacks.count('alexnet-dropconnect') == 4


def test_predictions(reference):
  path, _ = reference
  ensemble, dropout, connect = (
    load(path, m) for m in ('ensemble', 'dropout', 'dropconnect')
  )
  assert set(ensemble.logits) == {'val', 'test', 'ood/digits', 'ood/textures'}
  assert ensemble.logits['test']['expr'].shape == (3, 40, 1, 7)
  assert ensemble.mc == {}
  for made in (dropout, connect):
    assert 'val' not in made.mc  # models are calibrated without noise
    passes = made.mc['test']['expr']
    assert passes.shape == (2, 4, 40, 1, 7)
    # The last pass comes from another call than the first ones.
    for other in range(1, 4):
      assert np.abs(passes[:, 0] - passes[:, other]).max() > 1e-3
    assert made.epochs == [1, 1]
  # MC dropout samples the members of the ensemble.
  np.testing.assert_allclose(
    dropout.logits['test']['expr'],
    ensemble.logits['test']['expr'][:2],
    rtol=1e-4,
    atol=1e-5,
  )
  assert not np.allclose(
    connect.logits['test']['expr'], dropout.logits['test']['expr'], atol=1e-3
  )


def test_results(reference):
  path, text = reference
  results = json.loads((path / 'results.json').read_text())
  assert set(results['studies']['alexnet']) == {
    'dropout',
    'dropconnect',
    'ensemble',
  }
  assert results['voted_faces'] == 40
  assert 0 < results['labelled_faces'] <= 40
  # Posteriors that are no labels: an honest prediction is not "calibrated".
  assert results['votes']['votes/kl'] == pytest.approx(0, abs=1e-6)
  assert results['votes']['ece'] > 0
  for study in results['studies']['alexnet'].values():
    assert all(np.isfinite(study['mean']['nll']))
    part = study['sets']['held_out']['expr']['lac']['0.8']['parts']['all']
    assert 0 < part['calibrated'] <= small_bnn.SETTINGS['data.val_clips']
    assert 0 < part['tested'] <= results['labelled_faces']
  assert 'Deep ensemble, 3' in text


@pytest.mark.slow
def test_same_settings_same_run_and_a_killed_one_resumes(reference, tmp_path):
  predict = experiment._predict

  def killed(run, kind, name, *rest):
    if name == 'ensemble':
      raise KilledError
    predict(run, kind, name, *rest)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(experiment, '_predict', killed)
    with pytest.raises(KilledError):
      execute(tmp_path / 'run')
  assert (tmp_path / 'run' / 'predictions' / 'alexnet-dropout.npz').exists()
  execute(tmp_path / 'run')
  run_files.assert_same_run(tmp_path / 'run', reference[0])


def test_methods_do_not_depend_on_what_else_is_run(reference, tmp_path):
  execute(tmp_path / 'run', methods='dropconnect')
  ours, theirs = (
    load(p, 'dropconnect') for p in (tmp_path / 'run', reference[0])
  )
  for key, value in theirs.mc.items():
    np.testing.assert_array_equal(ours.mc[key]['expr'], value['expr'])


@pytest.mark.slow
def test_predictions_over_both_views(reference, tmp_path):
  path = tmp_path / 'run'
  execute(path, methods='dropconnect', eval__flip=True)
  name = 'alexnet-dropconnect'
  plain, both = (
    experiment.checkpoint.load_tree(p / 'checkpoints' / name)
    for p in (reference[0], path)
  )
  jax.tree.map(np.testing.assert_array_equal, plain, both)
  one, two = (
    Predictions.load(p / 'predictions' / f'{name}.npz')
    for p in (reference[0], path)
  )
  for key in one.logits:
    difference = one.logits[key]['expr'] - two.logits[key]['expr']
    assert np.abs(difference).max() > 1e-5, key
  assert one.mc.keys() == two.mc.keys()
  for key in one.mc:
    assert one.mc[key]['expr'].shape == two.mc[key]['expr'].shape


def test_the_best_epoch_can_be_selected(reference, tmp_path):
  path = tmp_path / 'run'
  execute(path, methods='dropconnect', train__select='best')
  lines = [
    json.loads(line)
    for line in (path / 'metrics.jsonl').read_text().splitlines()
  ]
  for member, epoch in enumerate(load(path, 'dropconnect').epochs):
    scores = [x['val/total'] for x in lines if x['member'] == member]
    assert epoch == int(np.argmax(scores))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'networks': 'alexnet,resnet'}, 'config.networks=.*expected some of'),
    ({'methods': ''}, 'config.methods=.*expected some of dropout'),
    ({'ensemble__noise': 'gauss'}, 'config.ensemble.noise=.*dropconnect'),
    ({'train__optimizer': 'lamb'}, 'config.train.optimizer=.*auto, adam, sgd'),
    ({'train__select': 'first'}, 'config.train.select=.*last, best'),
    ({'mc__passes': 0}, 'config.mc.passes=0: expected at least 1'),
    (
      {'model__dropout': 1.0},
      'config.model.dropout=1.0: .*at least 0 and below 1',
    ),
    ({'mc__batch_norm': 'off'}, 'config.mc.batch_norm=.*inference, training'),
    (
      {'train__learning_rate__alexnet': 0.0},
      'learning_rate.alexnet=0.0: expected above 0',
    ),
  ],
)
def test_settings_that_make_no_sense(changes, message):
  config = small_bnn.config(**changes)
  with pytest.raises(ValueError, match=message):
    experiment.check(config, networks.stacks(config))


def test_stacks_are_shared_where_training_is_the_same():
  def names(**changes):
    kinds = networks.stacks(small_bnn.config(**changes))
    return [(k.name, k.members, k.methods) for k in kinds]

  assert names() == [
    ('alexnet-dropout', 3, ('dropout', 'ensemble')),
    ('alexnet-dropconnect', 2, ('dropconnect',)),
  ]
  assert names(ensemble__noise='none', networks='vgg16, alexnet') == [
    (f'{network}-{noise}', members, (method,))
    for network in ('vgg16', 'alexnet')
    for noise, members, method in (
      ('dropout', 2, 'dropout'),
      ('dropconnect', 2, 'dropconnect'),
      ('none', 3, 'ensemble'),
    )
  ]


def test_numbers_of_stacks_are_unique():
  kinds = [
    networks.Stack(network, noise, 1, ())
    for network in networks.RATES
    for noise in networks.NOISES
  ]
  assert len({kind.number for kind in kinds}) == len(kinds)


def test_keras_decay_of_sgd():
  config = small_bnn.config(train__momentum=0.0, train__sgd_decay=0.5)
  optimizer = networks.optimizer(config, 'vgg16')
  state = optimizer.init({'w': np.float32(0)})
  rates = []
  for _ in range(3):
    updates, state = optimizer.update({'w': np.float32(2)}, state)
    rates.append(float(updates['w']))
  np.testing.assert_allclose(rates, [2 / (1 + 0.5 * k) for k in range(3)])


def test_drawn_labels_follow_the_soft_ones():
  value = np.float32([[0.7, 0.3, 0.0]]).repeat(4000, 0)[:, None]
  batch = {'targets': {'expr': (value, np.ones((4000, 1)))}}
  targets = []
  objective = networks.drawn_labels(
    lambda p, s, batch, key, h: targets.append(batch['targets']['expr'])
  )
  for key in range(2):
    objective(None, None, batch, jax.random.key(key), None)
  first, second = (np.asarray(t.value) for t in targets)
  assert set(np.unique(first)) == {0, 1}
  np.testing.assert_array_equal(first.sum(-1), 1)
  np.testing.assert_allclose(first.mean((0, 1)), [0.7, 0.3, 0], atol=0.03)
  assert not np.array_equal(first, second)


@pytest.mark.slow
def test_batch_statistics_in_passes_mix_the_faces():
  """As keras-uncertainty's passes did; the default ones do not."""
  schema = (tasks.expr_task(),)
  model = small_bnn.Small(schema, 32, noise='none', lowering='lax')
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (3, 1, 32, 32, 3)).astype(np.uint8)
  variables = models.init(model, jax.random.key(0))
  params = variables.pop('params')
  sample = networks.sample_with_batch_statistics(model)

  def first(images):
    inputs = {'image': images}
    mixed = sample(params, variables, inputs, jax.random.key(1))['expr'][0]
    still = model.apply(
      {'params': params, **variables},
      {'image': images / np.float32(255)},
      train=False,
    )
    return np.asarray(mixed), np.asarray(still['expr'][0])

  (mixed, still), (other_mixed, other_still) = first(image), first(image[:2])
  assert np.abs(mixed - other_mixed).max() > 1e-4
  np.testing.assert_allclose(still, other_still, rtol=1e-4, atol=1e-5)
