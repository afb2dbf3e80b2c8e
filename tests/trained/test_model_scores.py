"""`emojax evaluate --model`: the numbers of the run, and of data that are at hand."""

import dataclasses
import json

import numpy as np
import pytest
from test_hostile_models import copy, forge, put  # noqa: F401

import emojax
from emojax import cli, evaluate
from emojax.evaluation import coverage_labels
from emojax.trained import folder as release
from emojax.trained import (
  guarantees,
  model_scores,
  recalibrating,
  reevaluation,
  rescoring,
)
from emojax.trained import run as runs
from emojax.trained.model_scores import Request
from emojax.uncertainty import prior


@pytest.fixture(scope='module', autouse=True)
def _quick(quick):
  pass


def results(folder):
  return json.loads((folder / 'results.json').read_text())


@pytest.fixture(scope='module')
def scored(exported, tmp_path_factory):
  out = tmp_path_factory.mktemp('scored') / 'scores'
  arguments = ['--model', str(exported), '--split', 'test', '--out', str(out)]
  assert cli.main(['evaluate', *arguments]) == 0
  return out


def close(found, expected):
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


def test_numbers_are_those_of_the_run(scored, run_path, tmp_path):
  """With prior correction, as models have it."""
  from rich.console import Console

  request = evaluate.parse(
    [f'--workdir={run_path}', f'--out={tmp_path / "run"}', '--generations=Stu1']
  )
  console = Console(quiet=True)
  folder = rescoring.execute(reevaluation.prepare(request), console)
  run = results(folder)['generations']['Stu1']
  (model,) = results(scored)['generations'].values()
  close(model['ensemble'], run['pc']['ensemble'])
  close(model['single_mean'], run['pc']['mean'])
  assert (scored / 'report.html').exists()


def test_sets_are_those_that_the_model_gives(exported, run_path):
  """By its own thresholds, which are finite where every clip is somebody else's."""
  run = runs.open_run(run_path)
  clips = run.validation()
  clips = dataclasses.replace(clips, subject_id=clips.clip_id)
  model = emojax.load(exported)
  logits = prior.correct(
    model.schema, recalibrating.logits_of(model, clips), model.prior
  )
  model.metadata[guarantees.KEY] = guarantees.fit(
    model.schema, logits, clips, model.bin_values
  )
  found = model_scores.held(model, clips, logits)['expr']['lac']['0.8']
  assert not found['parts']['all']['infinite']
  (one,) = (
    x
    for x in coverage_labels.labels(model.schema, clips)
    if x.task.name == 'expr'
  )
  made = model.sets(model.predict(clips.image), 0.8)['expr']
  made = made.reshape(-1, made.shape[-1])[one.index]
  inside = (made * one.target.value).sum(-1)
  share = np.mean(
    [inside[one.groups == g].mean() for g in np.unique(one.groups)]
  )
  assert 0 < share < 1
  assert found['coverage'] == pytest.approx(share)


def test_the_table_says_what_results_say(scored, exported, capsys, tmp_path):
  out = tmp_path / 'again'
  arguments = ['--model', str(exported), '--split', 'test', '--out', str(out)]
  assert cli.main(['evaluate', *arguments]) == 0
  said = capsys.readouterr().out
  (one,) = results(out)['generations'].values()
  assert results(out) == results(scored)
  assert f'{one["ensemble"]["expr/nll"]:.3f}' in said
  assert 'Sets by the thresholds of the model' in said


def test_own_data(exported, faces, tmp_path, capsys):
  data = str(faces('fer2013', ('Training', 'PublicTest')))
  out = tmp_path / 'scores'
  arguments = ['--model', str(exported), '--data', data, '--out', str(out)]
  assert cli.main(['evaluate', *arguments, '--split', 'validation']) == 0
  found = results(out)
  assert found['dataset'] == 'fer2013'
  assert list(found['labelled_frames']) == ['expr']
  assert (
    "Note: the data have no labels of task 'au'." in capsys.readouterr().out
  )
  model = emojax.load(exported)
  (one,) = found['generations'].values()
  images, labels = _pictures(model, data)
  answers = model.predict(images).probabilities['expr'].argmax(-1)
  assert one['ensemble']['expr/acc'] == pytest.approx(
    (answers == labels).mean()
  )
  # A second time it is somebody's folder.
  assert cli.main(['evaluate', *arguments, '--split', 'validation']) == 1
  assert 'exists already' in capsys.readouterr().out


def _pictures(model, data):
  known = model_scores.recalibrating.at_hand(model, data, 'validation')
  clips = known.clips
  (one,) = coverage_labels.labels(model.schema, clips)
  image = clips.take(np.arange(len(clips))).image
  return np.asarray(image)[:, 0], one.target.value.argmax(-1)


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['--model', 'x', '--out', 'y'], '--model needs --split'),
    (['--model', 'x', '--split', 'test'], '--model needs --out'),
    (['--model', 'x', '--workdir', 'y'], 'not allowed with'),
    ([], 'one of the arguments --workdir --model is required'),
    (
      ['--model', 'x', '--split', 't', '--out', 'y', '--members=0'],
      '--members is for runs: leave it out',
    ),
    (
      ['--model', 'x', '--split', 't', '--out', 'y', '--no-temperature'],
      '--no-temperature is for runs',
    ),
    (
      ['--model', 'x', '--split', 't', '--out', 'y', '--config.data.seed=3'],
      '--config.data.seed=3 is for runs',
    ),
  ],
)
def test_arguments_of_runs(arguments, said, capsys):
  with pytest.raises(SystemExit):
    evaluate.main(arguments)
  assert said in capsys.readouterr().err


def test_what_cannot_be_scored_is_one_line(exported, faces, tmp_path, capsys):
  data, out = (
    str(faces('fer2013', ('Training', 'PublicTest'))),
    tmp_path / 'out',
  )
  for model, more, said in (
    ('ferplas', ['--split=test'], 'did you mean ferplus?'),
    (str(exported), ['--split=train'], 'was trained on the split train'),
    (str(exported), ['--split=tset'], 'tset'),
    (str(exported), ['--split=x', f'--data={data}'], "'x'"),
  ):
    assert evaluate.main(['--model', model, *more, f'--out={out}']) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('error: ')
    assert any(said in line for line in lines)
    assert not out.exists()


def test_sets_of_votes_do_not_promise_majorities(copy, tmp_path):  # noqa: F811
  from rich.console import Console

  forge(copy, put(('conformal', 'calibration', 'soft'), ['expr']))
  out = model_scores.execute(
    Request(copy, tmp_path / 'scores', None, 'test'), Console(quiet=True)
  )
  (one,) = results(out)['generations'].values()
  assert one['sets']['other_labels'] == ['expr']
  note = model_scores.OTHER_LABELS.format('expr')
  assert note in results(out)['evaluation']['notes']


def test_frames_that_chose_the_epochs_are_said(exported, tmp_path):
  from rich.console import Console

  out = model_scores.execute(
    Request(exported, tmp_path / 'scores', None, 'validation'),
    Console(quiet=True),
  )
  assert model_scores.SELECTED in results(out)['evaluation']['notes']


def test_a_model_without_thresholds_has_scores(copy, tmp_path):  # noqa: F811
  from rich.console import Console

  def without(metadata):
    del metadata[guarantees.KEY]

  forge(copy, without)
  assert guarantees.KEY not in release.read_metadata(copy)
  out = model_scores.execute(
    Request(copy, tmp_path / 'scores', None, 'test'), Console(quiet=True)
  )
  (one,) = results(out)['generations'].values()
  assert one['sets']['held_out'] is None
