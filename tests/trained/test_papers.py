"""Runs of other papers, exported and loaded: the runs' own numbers."""

import io
import json
import pathlib
import runpy

import numpy as np
import pytest
from rich.console import Console

import emojax
from emojax import experiments, export, uncertainty
from emojax.experiments.bayesian import report as bayesian_report
from emojax.runtime import workdir
from emojax.trained import folder as release
from emojax.trained import reevaluation
from emojax.trained import run as runs

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
COMMON = {'runtime.cpu_devices': 1, 'runtime.member_devices': 1}
# Configuration, what is changed of its preset `tiny`, and a stack to export.
RUNS = {
  'bayesian': (
    'bnn',
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
}


@pytest.fixture(scope='module', params=RUNS)
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
    patch.setattr(bayesian_report, '_figures', lambda *_: [])
    console = Console(file=io.StringIO())
    experiments.module(name).run(config, folder, console)
    yield name, path, stack


@pytest.fixture(scope='module')
def model(trained, tmp_path_factory):
  """The stack, exported and loaded."""
  _, path, stack = trained
  out = tmp_path_factory.mktemp('exported') / 'model'
  arguments = f'--workdir={path}', f'--out={out}', f'--generation={stack}'
  assert export.main(arguments) == 0
  return emojax.load(out)


def test_an_exported_model_predicts_what_the_run_has(trained, model):
  _, path, stack = trained
  run = runs.open_run(path).select([stack])
  clips = run.held_out()['test']
  clips = clips.take(np.arange(len(clips)))
  output = model.predict(clips.image, batch=5)
  for task in run.schema:
    logits = run.predictions(stack).logits['test'][task.name]
    probs = uncertainty.probabilities(task, logits)
    np.testing.assert_allclose(output.members[task.name], probs, atol=2e-5)
  assert model.schema == run.schema
  answers = model.answers(output)
  assert set(answers) == {task.name for task in run.schema}
  assert model.unsure(output).shape == clips.image.shape[:2]


def test_the_card_names_the_paper(trained, model):
  name, _, stack = trained
  assert model.metadata['paper'] == experiments.trained(name).PAPER
  assert model.metadata['generation'] == stack
  assert 'self-distillation' not in model.metadata['paper']


def test_stochastic_passes(trained, model):
  name, path, _ = trained
  image = runs.open_run(path).held_out()['test'].take(np.arange(4)).image
  plain = model.predict(image)
  task = model.schema[0].name
  passes = model.predict(image, samples=3, seed=1)
  again = model.predict(image, samples=3, seed=1)
  other = model.predict(image, samples=3, seed=2)
  found = passes.members[task]
  assert len(found) == 3 * model.num_members
  np.testing.assert_array_equal(found, again.members[task])
  if name == 'bayesian':
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


def test_evaluation_is_refused_in_a_sentence(trained):
  name, path, _ = trained
  with pytest.raises(
    runs.RunError, match=f'{name!r}: .* only for runs of dist'
  ):
    reevaluation.prepare(reevaluation.Request(path))


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
    ({'read_out': 'os/path'}, 'model: unknown read_out'),
  ],
)
def test_strange_descriptions_are_refused(
  model, trained, tmp_path, change, message
):
  metadata = json.loads(json.dumps(model.metadata))
  metadata['model'] |= change
  weights = {'params': model._params, **model._state}
  data = release.encode_weights(release.flat_names(weights), metadata)
  metadata['files'] = {release.WEIGHTS: export.hashlib.sha256(data).hexdigest()}
  (tmp_path / release.WEIGHTS).write_bytes(data)
  (tmp_path / release.METADATA).write_text(json.dumps(metadata))
  with pytest.raises(release.ModelError, match=message):
    emojax.load(tmp_path)
