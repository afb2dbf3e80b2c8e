"""Rows of corrected predictions in results.json, against direct computations."""

import dataclasses
import json

import numpy as np
import pytest
import synthetic_run
from test_votes import SCHEMA as FACES
from test_votes import with_votes

from emojax import uncertainty
from emojax.evaluation import context as contexts
from emojax.evaluation import evaluate, judge
from emojax.uncertainty import prior

AU, EXPR, VA = SCHEMA = synthetic_run.SCHEMA
WEIGHTS = {
  'au': prior.log_weights(AU, np.linspace(0.5, 9, 12)),
  'expr': prior.log_weights(EXPR, np.arange(1, 8)),
}


@pytest.fixture(scope='module')
def run():
  return synthetic_run.Run(clips=30, length=2)


def biased(prediction, shift):
  """What networks would predict had they been trained with weights."""
  logits = {
    key: {name: x + np.float32(shift.get(name, 0)) for name, x in heads.items()}
    for key, heads in prediction.logits.items()
  }
  return dataclasses.replace(prediction, logits=logits)


@pytest.fixture(scope='module')
def honest(run):
  """Members of Tea and Stu1, which no weight has biased."""
  return [
    run.predictions(name, noise=0.4, seed=i) for i, name in enumerate('ab')
  ]


@pytest.fixture(scope='module')
def results(run, honest):
  a, b = honest
  found, _ = evaluate(
    run.schema, [biased(a, WEIGHTS), b], run.dataset, priors={'a': WEIGHTS}
  )
  return found


def assert_close(found, expected):
  assert found.keys() == expected.keys()
  for key, value in expected.items():
    assert found[key] == pytest.approx(value, abs=2e-5), key


def test_the_row_has_the_scores_of_unbiased_networks(run, honest, results):
  plain, _ = evaluate(run.schema, honest, run.dataset)
  expected = plain['generations']['a']
  found = results['generations']['a']['pc']
  assert_close(found['mean'], expected['single_mean'])
  assert_close(found['std'], expected['single_std'])
  assert_close(found['ensemble'], expected['ensemble'])
  assert len(found['members']) == 3
  for key in ('single_mean', 'ensemble'):
    for name in ('au', 'expr', 'va'):
      assert_close(found['truth'][key][name], expected['truth'][key][name])
  assert found['ood']['noise'] == pytest.approx(
    expected['ood']['noise'], abs=1e-4
  )
  assert found['log_weights'] == prior.to_json(SCHEMA, WEIGHTS)
  # And the bias did harm.
  spoiled = results['generations']['a']['ensemble']
  assert spoiled['au/nll'] > found['ensemble']['au/nll'] + 0.1
  assert spoiled['expr/nll'] > found['ensemble']['expr/nll'] + 0.05
  json.dumps(results, allow_nan=False)


def test_no_other_number_changes(run, honest, results):
  a, b = honest
  plain, _ = evaluate(run.schema, [biased(a, WEIGHTS), b], run.dataset)
  for name in 'ab':
    without = {
      key: value
      for key, value in results['generations'][name].items()
      if key != 'pc'
    }
    there = plain['generations'][name]
    assert there.pop('pc') is None
    if name == 'a':  # sets are of corrected predictions
      assert without.pop('sets') != there.pop('sets')
    assert without == there
  assert results['generations']['b']['pc'] is None


def test_weights_of_one_make_no_row(run, honest):
  ones = {'au': np.zeros(12), 'expr': np.zeros(7)}
  found, _ = evaluate(run.schema, honest[:1], run.dataset, priors={'a': ones})
  assert found['generations']['a']['pc'] is None


@pytest.fixture(scope='module')
def judged():
  run = synthetic_run.Run(FACES, clips=300, length=1)
  for clips in (*run.sets.values(), *run.dataset.ood.values()):
    clips.frame_mask[:] = 1
  shift = {'expr': prior.log_weights(FACES[0], np.arange(1, 9))}
  priors = {'Tea': shift, 'Stu1': shift}
  context = contexts.make(FACES, with_votes(run), 0, None, None, priors=priors)
  found = judge.Judge(context, replicates=100)
  plain = judge.Judge(dataclasses.replace(context, priors={}), replicates=100)
  for i, name in enumerate(priors):
    one = run.predictions(name, seed=i)
    found.add(biased(one, shift))
    plain.add(one)
  return found, plain


def test_votes_judge_corrected_models(judged):
  found, plain = judged
  for name in ('Tea', 'Stu1'):
    for kind in ('single', 'ensemble'):
      ours = found.rows[f'{name} {kind} + PC']
      theirs = plain.rows[f'{name} {kind}']
      for key in ('vote/kl', 'vote/spearman/total', 'hard/nll', 'hard/acc'):
        assert ours['mean'][key] == pytest.approx(theirs['mean'][key], abs=1e-5)
        np.testing.assert_allclose(
          ours['interval'][key], theirs['interval'][key], atol=1e-5
        )
  assert not any('PC' in row for row in plain.rows)


def test_corrected_students_are_compared_with_corrected_teachers(judged):
  pairs = {
    (one['row'], one['rival']) for one in judged[0].results()['differences']
  }
  assert ('Stu1 single + PC', 'Tea single + PC') in pairs
  assert ('Stu1 ensemble + PC', 'Tea ensemble + PC') in pairs
  assert ('Stu1 single', 'Tea single + PC') in pairs
  assert ('Stu1 single + PC', 'Tea single') not in pairs


def test_decisions_change_with_the_weights(run, honest):
  """Answers of the corrected network are those of its posterior."""
  logits = biased(honest[0], WEIGHTS).logits['test']['expr']
  corrected = prior.apply(EXPR, logits, WEIGHTS)
  true = honest[0].logits['test']['expr'].argmax(-1)
  assert (corrected.argmax(-1) == true).mean() > 0.99
  assert (logits.argmax(-1) == true).mean() < 0.9
  assert np.isfinite(uncertainty.probabilities(EXPR, corrected)).all()
