"""Metrics of a member and verdicts, on outputs whose answers are known."""

import types

import numpy as np
import pytest
import scipy.stats

from emojax import tasks
from emojax.experiments.relative_uncertainty import (
  evaluate as evaluation,
)
from emojax.experiments.relative_uncertainty import (
  findings,
  tables,
)
from emojax.experiments.relative_uncertainty import (
  outputs as outputs_lib,
)
from emojax.experiments.relative_uncertainty.members import Members
from emojax.report import table

K, TEST, TRAIN = 3, 30, 40
LABEL = np.arange(TEST) % K
CLEAN = np.arange(TRAIN, dtype=np.int32) % K


def truth(disagreement=None):
  """Test images 0 ... 29; half of the second member's labels are wrong."""
  labels = np.stack(
    [CLEAN, np.where(np.arange(TRAIN) < 20, (CLEAN + 1) % K, CLEAN)]
  )
  return types.SimpleNamespace(
    labelled=np.arange(TEST),
    label=LABEL,
    disagreement=disagreement,
    chosen=np.arange(TRAIN),
    members=Members(('0 %', '50 %'), 1, CLEAN, labels),
  )


def outputs(wrong=6):
  """Outputs that are wrong for the first images and least sure of them."""
  predicted = np.where(np.arange(TEST) < wrong, (LABEL + 1) % K, LABEL)
  order = np.linspace(1, 0, TEST)
  logits = (5 - 3 * order)[:, None] * np.eye(K)[predicted]
  return {
    'test/logits': np.stack([logits] * 2),
    'test/uncertainty': np.stack([order] * 2),
    'train/logits': np.stack([5 * np.eye(K)[CLEAN]] * 2),
    'train/uncertainty': np.stack([np.linspace(1, 0, TRAIN)] * 2),
    'labels': np.stack([CLEAN, CLEAN]),
    'best_score': np.array([0.9, 0.8]),
  }


def test_perfect_uncertainty():
  metrics, curves = evaluation.member_metrics(truth(), outputs(), 1)
  assert metrics['acc'] == pytest.approx(24 / 30)
  assert metrics['reject/10'] == pytest.approx(24 / 27)
  assert metrics['reject/20'] == metrics['reject/30'] == 1
  assert metrics['auroc/error'] == 1
  assert metrics['auroc/flipped'] == 1
  assert metrics['auroc/given'] == 1
  assert metrics['labels/changed'] == 0.5
  assert metrics['labels/right'] == 1
  assert metrics['best'] == 0.8
  assert curves['histogram'].sum() == TEST
  assert len(curves['rejection']) == len(evaluation.CURVE)
  # The highest probability ranks these images in the same way.
  assert metrics['msp/10'] == metrics['reject/10']
  assert metrics['auroc/error/msp'] == 1


def test_what_is_undefined_is_left_out():
  metrics, _ = evaluation.member_metrics(truth(), outputs(wrong=0), 0)
  assert 'auroc/flipped' not in metrics
  assert 'auroc/error' not in metrics
  assert 'spearman' not in metrics


@pytest.mark.parametrize('key', ['test/logits', 'train/uncertainty'])
@pytest.mark.parametrize('junk', [np.nan, np.inf])
def test_a_diverged_member_is_named(key, junk):
  found = outputs()
  evaluation.check_finite('rul', found)
  found[key][1].flat[4] = junk
  with pytest.raises(ValueError, match=f'^rul, member 1: {key} are NaN or'):
    evaluation.check_finite('rul', found)


def test_equally_uncertain_images_are_rejected_at_random():
  found = outputs() | {'test/uncertainty': np.ones((2, TEST))}
  metrics, curves = evaluation.member_metrics(truth(), found, 0)
  for key in ('reject/10', 'reject/30', 'area'):
    assert metrics[key] == pytest.approx(metrics['acc'])
  np.testing.assert_allclose(curves['rejection'], metrics['acc'])


def test_disagreement_of_annotators():
  index = np.arange(10, 20)
  found = (np.linspace(3, 1, 10), index)
  metrics, _ = evaluation.member_metrics(truth(found), outputs(), 0)
  assert metrics['spearman'] == pytest.approx(1)
  assert metrics['spearman/msp'] == pytest.approx(1)
  constant = outputs() | {'test/uncertainty': np.ones((2, TEST))}
  metrics, _ = evaluation.member_metrics(truth(found), constant, 0)
  assert metrics['spearman'] is None
  assert metrics['reject/30'] == pytest.approx(metrics['acc'])


def results(gain):
  """Three repetitions in which RUL is better than the others by `gain`."""

  def level(shift):
    members = [
      {
        'acc': 0.5 + shift + 0.01 * r,
        **{
          f'{k}/{v}': 0.6 + shift
          for k in ('reject', 'msp')
          for v in (0, 10, 20, 30)
        },
        'auroc/flipped': 0.7 + shift,
        'auroc/error': 0.7,
      }
      for r in range(3)
    ]
    return evaluation.scores.summarise(members)

  return {
    'dataset': 'faces',
    'levels': ['0 %', '30 %'],
    'repetitions': 3,
    'train_images': 100,
    'test_images': 50,
    'methods': {
      name: {v: level(gain if name == 'rul' else 0) for v in ('0 %', '30 %')}
      for name in ('baseline', 'scn', 'rul')
    },
  }


@pytest.mark.parametrize(
  ('gain', 'verdict'), [(0.1, 'yes'), (-0.1, 'no'), (0, 'unclear')]
)
def test_verdicts_follow_the_paired_differences(gain, verdict):
  rows = findings.all_findings(results(gain))
  assert len(rows) == 3
  assert {row[3] for row in rows} == {verdict}
  assert f'SCN {100 * gain:+.3f}' in rows[0][2]


def test_who_has_not_learned_tests_nothing():
  found = results(-0.1)
  for floor, verdict in ((0, 'no'), (0.45, 'untestable')):
    found['validity'] = {'floor': floor, 'improving': []}
    rows = findings.all_findings(found)
    assert {row[3] for row in rows} == {verdict}
  assert 'RUL is 10.0 points below plain training, more than 2' in rows[0][2]
  near = results(-0.015) | {'validity': found['validity']}
  assert {row[3] for row in findings.all_findings(near)} == {'no'}


def test_one_repetition_shows_nothing():
  found = results(0.1)
  for levels in found['methods'].values():
    for level in levels.values():
      del level['members'][1:]
  assert {row[3] for row in findings.all_findings(found)} == {'unclear'}


def test_nothing_is_said_of_plain_training_below_the_floor():
  found = results(-0.1)
  found['validity'] = {'floor': 0.6, 'improving': []}
  rows = findings.all_findings(found)
  assert {row[3] for row in rows} == {'untestable'}
  assert 'an accuracy of 0.510 is below the floor 0.60' in rows[0][2]
  found = results(-0.015) | {'validity': {'floor': 0.5, 'improving': []}}
  # RUL itself may be below it.
  assert {row[3] for row in findings.all_findings(found)} == {'no'}
  found['validity']['improving'] = ['scn']
  assert {row[3] for row in findings.all_findings(found)} == {'untestable'}
  found['validity']['improving'] = ['loss_attention']  # no rival of RUL
  assert {row[3] for row in findings.all_findings(found)} == {'no'}


@pytest.mark.slow
def test_equal_methods_lead_no_more_often_than_chance():
  """Four methods, three rows: wrong in at most 5 % of the reports."""
  rng, wrong, trials = np.random.default_rng(0), 0, 300
  for _ in range(trials):
    found = results(0)
    for levels in found['methods'].values():
      for name in levels:
        members = [
          {key: rng.normal() for key in levels[name]['mean']} for _ in range(5)
        ]
        levels[name] = evaluation.scores.summarise(members)
    wrong += any(row[3] != 'unclear' for row in findings.all_findings(found))
  assert wrong <= scipy.stats.binom.ppf(0.9995, trials, 0.05)


def test_tables_stand_beside_the_paper():
  made = tables.all_tables(results(0.1))
  text = '\n'.join(table.to_markdown(item) for item in made)
  assert '82.06 ± 0.44' in text  # RAF-DB, RUL, 30 %
  assert '**61.00 ± 1.00**' in text  # this run, RUL
  assert '97.35' in text
  assert 'Structures' not in text


@pytest.mark.parametrize('kept', [None, [1, 1]])
def test_epochs_are_those_of_the_weights(kept):
  """The last ones, where these are kept; of runs of before the best ones."""
  task = tasks.expr_task(('a', 'b', 'c'))
  found = {
    'test/logits': np.zeros((2, TEST, K)),
    'best_epoch': np.array([0, 0]),
  }
  if kept:
    found['epoch'] = np.array(kept)
  assert outputs_lib.predictions('rul', task, found).epochs == (kept or [0, 0])
