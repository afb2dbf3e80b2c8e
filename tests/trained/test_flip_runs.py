"""Runs, evaluations and exports that predict over both views of an image."""

import io
import json

import jax
import numpy as np
import pytest
import trained_run
from rich.console import Console

import emojax
from emojax import evaluate, uncertainty
from emojax.data.clips import evaluation_sets
from emojax.evaluation import Predictions
from emojax.trained import exporting, reevaluation, rescoring
from emojax.trained import run as runs
from emojax.trained.model import Model, ModelError
from emojax.uncertainty import prior

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


@pytest.fixture(scope='module')
def flipped_path(tmp_path_factory):
  """The folder of the small run with eval.flip."""
  path = tmp_path_factory.mktemp('flipped') / 'run'
  with trained_run.small_and_quick():
    trained_run.train(path, eval__flip=True)
  return path


def probabilities(run, predictions, key='test'):
  return {
    task.name: uncertainty.probabilities(
      task, predictions.logits[key][task.name]
    )
    for task in run.schema
  }


def evaluation(path, *arguments):
  """Folder and results of an evaluation."""
  request = evaluate.parse([f'--workdir={path}', *arguments])
  made = reevaluation.prepare(request)
  folder = rescoring.execute(made, Console(file=io.StringIO(), width=200))
  return folder, json.loads((folder / 'results.json').read_text())


def test_only_predictions_differ(run_path, flipped_path):
  plain, flipped = runs.open_run(run_path), runs.open_run(flipped_path)
  for name in ('Tea', 'Stu1'):  # students learn from one view
    a, b = (run.weights(name, (0, 1)) for run in (plain, flipped))
    for x, y in zip(*map(jax.tree.leaves, (a, b))):
      np.testing.assert_array_equal(x, y)
    one, both = (r.predictions(name) for r in (plain, flipped))
    difference = probabilities(plain, one)['expr']
    difference = difference - probabilities(plain, both)['expr']
    assert np.abs(difference).max() > 1e-4


def test_evaluation_over_both_views_is_that_of_the_run(run_path, flipped_path):
  arguments = '--generations=Stu1', '--mc-samples=0', '--ood='
  folder, found = evaluation(run_path, '--flip', *arguments)
  expected = json.loads((flipped_path / 'results.json').read_text())
  flipped = runs.open_run(flipped_path)
  saved = Predictions.load(folder / 'predictions' / 'Stu1.npz', flipped.schema)
  for task in flipped.schema:
    np.testing.assert_allclose(
      saved.logits['test'][task.name],
      flipped.predictions('Stu1').logits['test'][task.name],
      atol=1e-5,
    )
  # Temperatures are fitted on both views, too.
  ours, theirs = (
    r['generations']['Stu1']['ts']['val']['temperatures']
    for r in (found, expected)
  )
  for name in theirs:
    np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3)
  plain, _ = evaluation(run_path, *arguments)
  assert plain != folder


def test_evaluation_of_one_view(run_path, flipped_path):
  arguments = '--generations=Stu1', '--mc-samples=0', '--ood=', '--no-flip'
  folder, found = evaluation(flipped_path, *arguments)
  saved = Predictions.load(folder / 'predictions' / 'Stu1.npz')
  there = runs.open_run(run_path).predictions('Stu1').logits['test']
  np.testing.assert_allclose(saved.logits['test']['au'], there['au'], atol=1e-5)
  expected = json.loads((run_path / 'results.json').read_text())
  ours, theirs = (
    r['generations']['Stu1']['ts']['val']['temperatures']['expr']
    for r in (found, expected)
  )
  np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_an_export_predicts_as_the_run(flipped_path, tmp_path):
  run = runs.open_run(flipped_path)
  model = emojax.load(exporting.export(run, tmp_path / 'model'))
  assert model.metadata['flip'] is True
  clips = evaluation_sets.open_split(run.config.data, 'test').clips
  output = model.predict(clips.image, batch=5)
  predictions = run.predictions('Stu1')
  logits = predictions.logits['test']
  corrected = prior.correct(run.schema, logits, run.priors()['Stu1'])
  predictions.logits['test'] = corrected
  expected = probabilities(run, predictions)
  for name, probs in expected.items():
    assert output.members[name].shape == probs.shape
    np.testing.assert_allclose(output.members[name], probs, atol=1e-6)
  mirror = model.predict(np.ascontiguousarray(clips.image[..., ::-1, :]))
  for label, values in output.values.items():
    np.testing.assert_allclose(mirror.values[label], values, atol=1e-5)


def test_an_export_of_one_view_says_so(run_path, tmp_path):
  out = exporting.export(runs.open_run(run_path), tmp_path / 'model')
  model = emojax.load(out)
  assert model.metadata['flip'] is False
  before = {k: v for k, v in model.metadata.items() if k != 'flip'}
  weights = {'params': model._params, 'model_state': model._state}
  assert not Model(before, weights)._flip  # models of before
  with pytest.raises(ModelError, match='flip: expected true or false'):
    Model({**before, 'flip': 'no'}, weights)
