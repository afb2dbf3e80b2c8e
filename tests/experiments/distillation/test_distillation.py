"""A run of all generations: what it writes, and how it comes back."""

import functools
import gc
import io
import json
import os
import signal

import jax
import numpy as np
import pytest
import run_files
import small_run
from rich.console import Console

from emojax import losses, models
from emojax.data import load
from emojax.engine import checkpoint, member, programs, sources
from emojax.evaluation import Predictions
from emojax.experiments.distillation import report
from emojax.experiments.distillation import run as distillation
from emojax.host.signals import StopRequested
from emojax.models import convert
from emojax.runtime import training, workdir
from emojax.tasks import ABAW2021


class KilledError(BaseException):
  """Stands for kill -9: nothing in the package catches it."""


@pytest.fixture(scope='module', autouse=True)
def small_and_quick(users_programs):
  """A small network, compiled once for all runs; a report without figures."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.MODELS, 'small', small_run.small)
    for owner, name, key in (
      (distillation, 'method_from_config', lambda c, d, mesh: mesh),
      (load, 'from_config', lambda data: data.to_json()),
    ):
      patch.setattr(owner, name, once(getattr(owner, name), key))
    for name in ('init', 'generation', 'predict', 'sample'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    patch.setattr(report.contents, 'figures', lambda run: [])
    patch.setattr(sources, 'BLOCK_BYTES', 1)  # no padding to large blocks
    yield


def once(function, key):
  """Calls a function once for every key of its arguments."""
  made = {}

  def call(*arguments):
    name = key(*arguments)
    if name not in made:
      made[name] = function(*arguments)
    return made[name]

  return call


def execute(path, **changes):
  """What `main` does, in this process. Returns (results, printed text)."""
  config = small_run.config(**changes)
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  console = Console(file=io.StringIO())
  found = distillation.run(config, folder, console)
  return found, console.file.getvalue()


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
  """The folder of a run that nothing interrupts, and what it printed."""
  path = tmp_path_factory.mktemp('reference') / 'run'
  _, text = execute(path)
  return path, text


def metrics(path):
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_files_of_a_run(reference):
  path, _ = reference
  assert sorted(os.listdir(path)) == [
    '.lock',
    'checkpoints',
    'config.json',
    'curves.json',
    'data.json',
    'figures',
    'metrics.jsonl',
    'predictions',
    'priors.json',
    'report.html',
    'report.md',
    'results.json',
    'timings.json',
  ]
  # Finished generations need no checkpoints of their training.
  assert sorted(os.listdir(path / 'checkpoints')) == ['Stu1', 'Tea', 'running']
  assert os.listdir(path / 'checkpoints' / 'running') == []
  assert workdir.Workdir(path, {}).finished


def test_a_line_per_generation_epoch_and_member(reference):
  lines = metrics(reference[0])
  assert [(x['generation'], x['epoch'], x['member']) for x in lines] == [
    (name, epoch, m)
    for name in ('Tea', 'Stu1')
    for epoch in range(2)
    for m in range(2)
  ]
  for line in lines:
    assert {'loss/total', 'loss/au', 'val/total', 'task_weight/va'} <= set(line)
    assert all(np.isfinite(v) for k, v in line.items() if k != 'generation')


def test_selected_epochs_are_the_best_ones(reference):
  path, _ = reference
  for name in ('Tea', 'Stu1'):
    epochs = Predictions.load(path / 'predictions' / f'{name}.npz').epochs
    for m, selected in enumerate(epochs):
      mine = [
        x for x in metrics(path) if x['generation'] == name and x['member'] == m
      ]
      assert selected == int(np.argmax([x['val/total'] for x in mine]))
      assert selected == max(x['epoch'] for x in mine if x['best'])


def test_predictions_of_every_set(reference):
  tea = Predictions.load(reference[0] / 'predictions' / 'Tea.npz')
  sets = {'val', 'test', 'ood/digits', 'ood/textures'}
  assert set(tea.logits) == sets
  assert tea.logits['test']['va'].shape == (2, 16, 2, 40)
  assert set(tea.mc) == sets - {'val'}
  assert tea.mc['test']['au'].shape == (2, 2, 16, 2, 12)
  # Passes with dropout differ from each other and from the one without.
  passes = tea.mc['test']['expr']
  assert np.abs(passes[:, 0] - passes[:, 1]).max() > 1e-3
  assert np.abs(passes.mean(1) - tea.logits['test']['expr']).max() > 1e-4


def test_soft_labels_are_the_ensembles_mean_probabilities(reference):
  path, _ = reference
  config = small_run.config()
  dataset = load.from_config(config.data)
  method = distillation.method_from_config(
    config, dataset, distillation.stack.make_mesh(2)
  )
  weights = checkpoint.load_tree(path / 'checkpoints' / 'Tea')
  inputs = {'image': dataset.train.image}
  each = jax.vmap(
    lambda w: method.soft_labels(
      method.predict(w['params'], w['model_state'], inputs)
    )
  )(weights)
  with np.load(path / 'predictions' / 'Tea_soft_labels.npz') as labels:
    assert set(labels.files) == {'au', 'expr', 'va'}
    for name in labels.files:
      mean = np.asarray(each[name]).mean(0)
      np.testing.assert_allclose(labels[name], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_corrected_teachers_hand_on_corrected_labels(reference, tmp_path):
  there, path = reference[0], tmp_path / 'run'
  found, _ = execute(path, loss__correct_teachers=True)
  tea = [Predictions.load(p / 'predictions/Tea.npz') for p in (path, there)]
  for one, other in zip(*(x.logits['test'].values() for x in tea)):
    np.testing.assert_array_equal(one, other)  # nothing else has changed
  config = small_run.config()
  dataset = load.from_config(config.data)
  mesh = distillation.stack.make_mesh(2)
  method = distillation.method_from_config(config, dataset, mesh)
  weights = checkpoint.load_tree(path / 'checkpoints' / 'Tea')
  logits = jax.vmap(
    lambda w: method.predict(
      w['params'], w['model_state'], {'image': dataset.train.image}
    )
  )(weights)
  targets = dataset.train.targets
  odds = np.exp(np.float64(logits['au']))
  odds /= losses.positive_weights(*targets['au'])
  weights = losses.class_weights(*targets['expr'])
  weights[weights == 0] = weights.max()  # of classes that no clip has
  q = np.exp(np.float64(logits['expr'])) / weights
  expected = {'au': odds / (1 + odds), 'expr': q / q.sum(-1, keepdims=True)}
  with np.load(path / 'predictions' / 'Tea_soft_labels.npz') as labels:
    for name, each in expected.items():
      mean = each.mean(0)
      np.testing.assert_allclose(labels[name], mean, rtol=1e-3, atol=1e-5)
  runs = found['generations']
  assert runs['Tea']['pc'] is not None
  assert runs['Stu1']['pc'] is None
  there = json.loads((there / 'results.json').read_text())['generations']
  assert there['Stu1']['pc']['log_weights'] == runs['Tea']['pc']['log_weights']
  assert there['Stu1']['ensemble'] != runs['Stu1']['ensemble']


def test_results_and_progress(reference):
  path, text = reference
  found = json.loads((path / 'results.json').read_text())
  assert found['names'] == ['Tea', 'Stu1']
  assert set(found['timings']) == {'Tea', 'Stu1'}
  # Without a terminal every epoch is one line, however long.
  lines = [line for line in text.splitlines() if ' epoch ' in line]
  starts = [line.split('loss')[0].split() for line in lines]
  assert starts == [
    [name, 'epoch', f'{epoch}/2']
    for name in ('Tea', 'Stu1')
    for epoch in (1, 2)
  ]
  assert all('total' in line and 'val' in line for line in lines)
  assert '\x1b' not in text


@pytest.mark.slow
def test_same_settings_same_files(reference, tmp_path):
  execute(tmp_path / 'run')
  run_files.assert_same_run(tmp_path / 'run', reference[0])


@pytest.mark.slow
@pytest.mark.parametrize('changes', [{'seed': 1}, {'data__seed': 1}])
def test_another_seed_is_another_run(reference, tmp_path, changes):
  execute(tmp_path / 'run', generations=0, **changes)
  ours, theirs = metrics(tmp_path / 'run'), metrics(reference[0])
  assert ours[0]['loss/total'] != theirs[0]['loss/total']


@pytest.mark.slow
@pytest.mark.parametrize(
  'settings', [{'epochs_per_call': 0}, {'stream_steps': 2}]
)
def test_how_it_is_computed_changes_nothing(reference, tmp_path, settings):
  changes = {f'runtime__{key}': value for key, value in settings.items()}
  execute(tmp_path / 'run', **changes)
  found, expected = metrics(tmp_path / 'run'), metrics(reference[0])
  for a, b in zip(found, expected, strict=True):
    assert a.pop('generation') == b.pop('generation')
    assert a == pytest.approx(b, abs=2e-4)


def killed(path, owner, name, call, after):
  """A run that the `call`-th call of a function kills, before or after it."""
  original, calls = getattr(owner, name), []

  def dying(*arguments, **options):
    calls.append(arguments)
    if len(calls) == call and not after:
      raise KilledError
    found = original(*arguments, **options)
    if len(calls) == call:
      raise KilledError
    return found

  workdir.Workdir(path, small_run.config().to_dict()).open()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(owner, name, dying)
    with pytest.raises(KilledError):
      execute(path)


BEFORE, AFTER = False, True


MOMENTS = [
  (workdir, 'write_arrays', 2, AFTER),  # the end of the teachers
]
MORE_MOMENTS = [
  (checkpoint.Checkpoints, 'save', 2, AFTER),  # trained but not predicted
  (checkpoint, 'save_tree', 1, AFTER),  # weights without soft labels
  (workdir, 'write_json', 4, AFTER),  # results without a report
  (workdir, 'write_arrays', 1, AFTER),  # soft labels without predictions
  (workdir.Workdir, 'append_metrics', 4, AFTER),  # logged but not saved
  (workdir, 'write_text', 3, BEFORE),  # report.md without report.html
  (workdir.Workdir, 'append_metrics', 1, AFTER),
  (checkpoint.Checkpoints, 'save', 1, AFTER),
  (checkpoint.Checkpoints, 'save', 3, BEFORE),
  (checkpoint.Checkpoints, 'save', 4, AFTER),
  (workdir, 'write_arrays', 3, BEFORE),  # students without predictions
  (workdir, 'write_json', 3, AFTER),  # curves without results
]


@pytest.mark.parametrize(
  ('owner', 'name', 'call', 'after'),
  [
    *MOMENTS,
    *(pytest.param(*moment, marks=pytest.mark.slow) for moment in MORE_MOMENTS),
  ],
)
def test_killed_anywhere_and_resumed(
  reference, tmp_path, owner, name, call, after
):
  path = tmp_path / 'run'
  killed(path, owner, name, call, after)
  assert not workdir.Workdir(path, {}).finished
  execute(path)
  run_files.assert_same_run(path, reference[0])
  assert workdir.Workdir(path, {}).finished


@pytest.mark.slow
def test_killed_again_and_again(reference, tmp_path):
  path = tmp_path / 'run'
  for _ in range(4):
    # Every attempt gets one epoch further, and dies in the middle of a line.
    killed(path, checkpoint.Checkpoints, 'save', 1, AFTER)
    with open(path / 'metrics.jsonl', 'a') as file:
      file.write('{"generation": "Stu1", "epo')
  execute(path)
  run_files.assert_same_run(path, reference[0])


@pytest.mark.slow
def test_resumed_in_other_segments(reference, tmp_path):
  path = tmp_path / 'run'
  killed(path, checkpoint.Checkpoints, 'save', 1, AFTER)
  execute(path, runtime__epochs_per_call=0)
  run_files.assert_same_run(path, reference[0])


@pytest.mark.slow
def test_finished_generations_are_not_trained_again(
  reference, tmp_path, monkeypatch
):
  path = tmp_path / 'run'
  killed(path, workdir, 'write_json', 3, BEFORE)
  monkeypatch.setattr(training, 'train', lambda *_: pytest.fail('trained'))
  found, _ = execute(path)
  assert set(found['timings']) == {'Tea', 'Stu1'}  # those of the first sitting
  run_files.assert_same_run(path, reference[0])


# Orbax reads arrays side by side; what the first failure leaves behind complains.
@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize(
  ('call', 'where'),
  [
    (2, 'Tea/2'),
    (3, 'Stu1/1'),
  ],
  ids=['last', 'first'],
)
def test_damaged_checkpoint_costs_an_epoch(reference, tmp_path, call, where):
  path = tmp_path / 'run'
  killed(path, checkpoint.Checkpoints, 'save', call, AFTER)
  newest = path / 'checkpoints' / 'running' / where
  for file in newest.rglob('d/*'):
    os.truncate(file, 10)
  execute(path)
  run_files.assert_same_run(path, reference[0])


@pytest.mark.parametrize(
  'number',
  [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_stops_when_asked_and_resumes(reference, tmp_path, monkeypatch, number):
  path = tmp_path / 'run'
  append = workdir.Workdir.append_metrics

  def signalled(self, lines):
    os.kill(os.getpid(), number)
    append(self, lines)

  with monkeypatch.context() as patch:
    patch.setattr(workdir.Workdir, 'append_metrics', signalled)
    with pytest.raises(StopRequested, match=number.name):
      execute(path)
  assert len(metrics(path)) == 2  # the epoch was finished and saved, no more
  assert os.listdir(path / 'checkpoints' / 'running' / 'Tea') == ['1']
  execute(path)
  run_files.assert_same_run(path, reference[0])


def test_stops_between_generations(tmp_path, monkeypatch):
  write = workdir.write_arrays

  def signalled(path, arrays):
    if path.name == 'Tea.npz':
      os.kill(os.getpid(), signal.SIGTERM)
    write(path, arrays)

  monkeypatch.setattr(workdir, 'write_arrays', signalled)
  with pytest.raises(StopRequested):
    execute(tmp_path / 'run')
  assert (tmp_path / 'run' / 'predictions' / 'Tea.npz').exists()
  assert {x['generation'] for x in metrics(tmp_path / 'run')} == {'Tea'}


def test_divergence_names_the_culprit_and_keeps_the_checkpoint(tmp_path):
  path = tmp_path / 'run'
  with pytest.raises(training.DivergedError) as error:
    execute(path, train__learning_rate=1e30)
  message = str(error.value)
  assert message.startswith('Tea, member 0: the loss of ')
  assert 'was not finite at step ' in message
  assert 'learning_rate' in message
  assert not (path / 'metrics.jsonl').exists()
  assert os.listdir(path / 'checkpoints' / 'running' / 'Tea') == []


def test_divergence_later_on_keeps_the_last_good_checkpoint(
  tmp_path, monkeypatch
):
  path = tmp_path / 'run'
  check, calls = training.check_finite, []

  def spoiled(name, state, saved):
    calls.append(name)
    if len(calls) == 4:
      steps = {k: np.array([member.NEVER, 7]) for k in state.first_bad}
      state = state._replace(first_bad=steps)
    check(name, state, saved)

  monkeypatch.setattr(training, 'check_finite', spoiled)
  with pytest.raises(
    training.DivergedError, match=r'^Stu1, member 1: .* 7'
  ) as e:
    execute(path)
  assert 'The checkpoint of the 1 epoch before is kept' in str(e.value)
  assert os.listdir(path / 'checkpoints' / 'running' / 'Stu1') == ['1']
  assert len(metrics(path)) == 6


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::ResourceWarning')
@pytest.mark.parametrize('name', ['Tea.npz', 'Tea_soft_labels.npz'])
def test_damaged_files_of_a_finished_generation(tmp_path, reference, name):
  path = tmp_path / 'run'
  killed(path, workdir, 'write_json', 3, BEFORE)
  os.truncate(path / 'predictions' / name, 100)
  marker = path / 'predictions' / 'Tea.npz'
  away = 'it' if name == 'Tea.npz' else marker
  message = rf'{name} is damaged .*: move {away} away and give the same'
  with pytest.raises(checkpoint.CheckpointError, match=message):
    execute(path)
  gc.collect()  # NumPy leaves a file open that is no .npz
  marker.rename(tmp_path / 'away')  # as it says
  execute(path)
  assert run_files.results(path) == run_files.results(reference[0])
  key = json.dumps
  assert sorted(map(key, metrics(path))) == sorted(
    map(key, metrics(reference[0]))
  )


@pytest.mark.slow
def test_pretrained_trunk_goes_into_fresh_members(tmp_path):
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  config = small_run.config(model__name='emenet_v', model__width=0.0625)
  model = models.from_config(config, ABAW2021)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  fresh = jax.tree.map(lambda s: np.zeros(s.shape, np.float32), shapes)
  state = {
    name.removeprefix('backbone.'): torch.full(value.shape, 2.0)
    for name, value in convert.to_torch(fresh).items()
    if name.startswith('backbone.')
  }
  config.model.pretrained = str(tmp_path / 'landmarks.pth')
  torch.save({'state_dict': state}, config.model.pretrained)
  load = convert.loader(config.model.pretrained, convert.trunk_from_torch)
  params, model_state = jax.jit(load)(
    fresh['params'], {'batch_stats': fresh['batch_stats']}
  )
  for tree in (params, model_state['batch_stats']):
    for module, values in tree.items():
      expected = 2 if module == 'trunk' else 0  # heads start from scratch
      assert all((x == expected).all() for x in jax.tree.leaves(values))


def test_students_learn_from_every_labelled_frame():
  config = small_run.config()
  dataset = load.from_config(config.data)
  make = distillation.generations_from_config(config, dataset)
  teachers = make(0, None)
  hard = dataset.train.targets
  soft = {k: np.zeros_like(v.value) for k, v in hard.items()}
  students = make(1, soft)
  assert (teachers.number, students.number) == (0, 1)
  assert teachers.targets is hard
  # Batches are equally large: the same clips per task, or of the union.
  assert teachers.clips_per_group * len(teachers.groups) == (
    students.clips_per_group * len(students.groups)
  )
  union = np.unique(np.concatenate(teachers.groups))
  np.testing.assert_array_equal(students.groups[0], union)
  assert (
    students.targets['au'].mask == students.targets['va'].mask[..., :1]
  ).all()


@pytest.mark.parametrize(
  ('changes', 'teachers', 'students'),
  [
    ({}, True, False),
    ({'loss__reweight_students': True}, True, True),
    ({'loss__reweight': False, 'loss__reweight_students': True}, False, False),
  ],
)
def test_action_units_are_weighted(changes, teachers, students):
  config = small_run.config(train__learning_rate=0.5, **changes)
  dataset = load.from_config(config.data)
  make = distillation.generations_from_config(config, dataset)
  soft = {k: v.value for k, v in dataset.train.targets.items()}
  for number, weighted in ((0, teachers), (1, students)):
    hparams = make(number, soft).hparams
    assert (hparams['pos_weight'] != 1).any() == weighted
    assert hparams['pos_weight'].shape == (2, 12)
    assert (hparams['class_weight'] != 1).any() == (teachers and number == 0)
    np.testing.assert_array_equal(hparams['learning_rate'], [0.5, 0.5])
    assert all(v.dtype == np.float32 for v in hparams.values())


def test_generation_names():
  names = [distillation.generation_name(k) for k in range(3)]
  assert names == ['Tea', 'Stu1', 'Stu2']
