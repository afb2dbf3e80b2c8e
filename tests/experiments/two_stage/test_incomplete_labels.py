"""Runs of papers 001 and 002 from start to finish, and interrupted ones."""

import json
import types

import numpy as np
import pytest
from experiments.two_stage import small_two_stage as small

from emojax.engine import checkpoint
from emojax.evaluation import Predictions
from emojax.experiments.incomplete_labels import run as incomplete_labels
from emojax.experiments.shared_annotations import run as shared_annotations
from emojax.experiments.two_stage import pairs, roles, scores, stages
from emojax.report import validity
from emojax.runtime import training

EXPERIMENTS = {
  'incomplete_labels': incomplete_labels,
  'shared_annotations': shared_annotations,
}
# Every stack is a program to compile: one length, no recurrent stage twice, and the
# two conditions that a claim compares (tests/trained/test_papers.py has the third).
CONDITIONS = ('imbalanced', 'balanced')
CHANGES = {
  'incomplete_labels': {
    'recurrent__lengths': (4,),
    'conditions': CONDITIONS,
  },
  'shared_annotations': {'recurrent__lengths': (), 'teachers': (3,)},
}
STACKS = {
  'incomplete_labels': [
    *(
      f'single-{task}-{condition}'
      for task in ('au', 'expr', 'va')
      for condition in CONDITIONS
    ),
    *(
      f'{name}-{kind}'
      for name in ('cnn', 'rnn4')
      for kind in ('teacher', 'student')
    ),
  ],
  'shared_annotations': [
    'cnn3-teacher',
    'no-sharing-student',
    'with-sharing-student',
  ],
}


class KilledError(BaseException):
  """Stands for kill -9: nothing in the package catches it."""


@pytest.fixture(scope='module', autouse=True)
def quick():
  with small.small_and_quick():
    yield


@pytest.fixture(
  scope='module',
  params=[
    pytest.param('incomplete_labels', marks=pytest.mark.slow),  # ten stacks
    'shared_annotations',
  ],
)
def reference(request, tmp_path_factory):
  """Name, folder and output of a run that nothing interrupts."""
  path = tmp_path_factory.mktemp(request.param) / 'run'
  config = config_of(request.param)
  _, text = small.execute(EXPERIMENTS[request.param], config, path)
  return request.param, path, text


def config_of(name):
  return small.config_of(name, **CHANGES[name])


def results_of(path):
  found = json.loads((path / 'results.json').read_text())
  del found['timings']
  return found


def test_every_stack_is_trained_and_reported(reference):
  name, path, text = reference
  results = results_of(path)
  assert results['validity'] == validity.of_run(path, 0.0)
  assert sorted(results['stacks']) == sorted(STACKS[name])
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  assert {json.loads(x)['generation'] for x in lines} == set(STACKS[name])
  assert not list((path / 'checkpoints' / 'running').iterdir())
  for finding in results['findings']:
    assert finding['claim'] in (path / 'report.md').read_text()
    # Two epochs are not the end of any training.
    assert finding['verdict'] in ('yes', 'no', 'unclear', 'untestable')
  for study in results['studies']:
    assert study['title'] in text
    for row in study['rows'].values():
      values = [row['mean'][key] for key in study['columns'].values()]
      assert np.isfinite(values).all()
  assert (path / 'report.html').exists()


def test_tables_of_the_papers(reference):
  name, path, _ = reference
  rows = [list(study['rows']) for study in results_of(path)['studies']]
  if name == 'incomplete_labels':
    assert rows[0] == [*CONDITIONS]
    kinds = ('teacher', 'student', 'ensemble')
    assert rows[1] == ['single-task', *(f'CNN {kind}' for kind in kinds)]
    assert rows[2] == [
      *(f'{n} {kind}' for n in ('CNN', 'RNN 4') for kind in kinds),
      'CNN extractor',
    ]
  else:
    assert rows == [['3 subsets', 'no sharing', 'with sharing']]


def test_numbers_of_the_tables_are_those_of_the_stacks(reference):
  name, path, _ = reference
  if name != 'incomplete_labels':
    pytest.skip('the ensemble is of paper 001')
  results = results_of(path)
  students = results['stacks']['cnn-student']['test']['members']
  assert len(students) == 4  # two for each of two teachers
  row = results['studies'][1]['rows']['CNN student']
  expected = np.mean([m['expr/score'] for m in students])
  np.testing.assert_allclose(row['mean']['expr/score'], expected)
  by_seed = [np.mean([m['total'] for m in students[i : i + 2]]) for i in (0, 2)]
  np.testing.assert_allclose(
    [m['total'] for m in row['members']], by_seed, rtol=1e-6
  )
  assert row['std']['total'] == pytest.approx(np.std(by_seed, ddof=1))


def test_every_stack_has_prediction_sets(reference):
  """By the people of the validation videos; one who is tested has no halves."""
  name, path, _ = reference
  config = config_of(name)
  report = (path / 'report.md').read_text()
  assert '## Prediction sets' in report
  for stack, found in results_of(path)['stacks'].items():
    logits = Predictions.load(path / 'predictions' / f'{stack}.npz').logits
    sets = found['sets']
    assert sets['held_out'].keys() == logits['test'].keys()
    for task, methods in sets['held_out'].items():
      (method,) = methods
      parts = methods[method]['0.9']['parts'].values()
      calibrated = [part['calibrated'] for part in parts]
      assert 0 < max(calibrated) <= config.data.val_clips  # each a person's
      assert f'{stack}: {task.upper()}, {method}' in report
    assert sets['notes'] == []


def test_students_learn_from_their_own_teacher():
  logits = {'expr': np.arange(6.0).reshape(3, 2, 1, 1)}
  train = type('Clips', (), {'targets': {}, 'frame_mask': np.ones((2, 1))})
  stage = small.config_of('incomplete_labels').train
  subsets = roles.Subsets([np.arange(2)], 2)
  made = stages.generation(
    'x', stages.Sources(train, None, None), subsets, stage, 6, logits
  )
  np.testing.assert_array_equal(made.hparams['teacher'], [0, 0, 1, 1, 2, 2])
  np.testing.assert_array_equal(
    made.targets['teacher']['expr'][:, 0, :, 0], [[0, 2, 4], [1, 3, 5]]
  )
  other = stages.generation(
    'y', stages.Sources(train, None, None), subsets, stage, 6
  )
  assert other.number != made.number
  assert 'teacher' not in other.targets


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_numbers(
  reference, tmp_path, monkeypatch
):
  name, finished, _ = reference
  order = STACKS[name]
  stack = order[-1]  # all others are taken as they are
  train, log = training.train, training._write_log

  def killed(session, trainer, now, *arguments):
    log(session, trainer, now, *arguments)
    if now == stack:
      raise KilledError

  config, path = config_of(name), tmp_path / 'run'
  with monkeypatch.context() as patch:
    patch.setattr(training, '_write_log', killed)
    with pytest.raises(KilledError):
      small.execute(EXPERIMENTS[name], config, path)
  resumed = []

  def watched(session, trainer, now, generation):
    resumed.append(now)
    return train(session, trainer, now, generation)

  monkeypatch.setattr(training, 'train', watched)
  small.execute(EXPERIMENTS[name], config, path)
  assert resumed == order[order.index(stack) :]
  assert results_of(path) == results_of(finished)


def test_a_damaged_file_is_named(tmp_path):
  folder = types.SimpleNamespace(path=tmp_path)
  run = stages.Run(None, None, types.SimpleNamespace(folder=folder), None)
  (tmp_path / 'predictions').mkdir()
  (tmp_path / 'predictions' / 'cnn-teacher.npz').write_bytes(b'PK torn')
  (tmp_path / 'predictions' / 'cnn-teacher_teacher.npz').write_bytes(b'')
  with pytest.raises(checkpoint.CheckpointError, match='move it away and give'):
    run.load('cnn-teacher')
  with pytest.raises(checkpoint.CheckpointError, match='to make it anew'):
    stages.teacher_logits(run, 'cnn-teacher')


def test_the_best_member_is_that_of_the_validation_set(reference):
  name, path, _ = reference
  stacks = [
    Predictions.load(path / 'predictions' / f'{s}.npz')
    for s in STACKS[name]
    if s.endswith('student') and not s.startswith('rnn')
  ]
  found = results_of(path)['stacks']
  totals = {
    (p.name, m): found[p.name]['val']['members'][m]['total']
    for p in stacks
    for m in range(p.num_members)
  }
  run = stages.Run(small.config_of(name), None, None, None)
  metrics = {
    p.name: [totals[p.name, m] for m in range(p.num_members)] for p in stacks
  }
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      pairs,
      'members',
      lambda run, p, split: [{'total': t} for t in metrics[p.name]],
    )
    assert totals[pairs.best_member(run, stacks)] == max(totals.values())


def test_metrics_of_single_task_models_are_joined():
  parts = [
    [{'au/f1': 0.1, 'total': 0.2}, {'au/f1': 0.3, 'total': None}],
    [{'expr/f1': 0.5, 'total': 0.6}, {'expr/f1': 0.7, 'total': 0.8}],
  ]
  assert scores.joined(parts) == [
    {'au/f1': 0.1, 'expr/f1': 0.5, 'total': pytest.approx(0.8)},
    {'au/f1': 0.3, 'expr/f1': 0.7, 'total': None},
  ]
