"""Presets of papers 001 and 002: what they say, and that they can be built."""

import pathlib
import runpy

import jax
import pytest

from emojax import experiments, main, models, tasks
from emojax.experiments.incomplete_labels import run as incomplete_labels
from emojax.experiments.shared_annotations import run as shared_annotations
from emojax.experiments.two_stage import builders
from emojax.losses.two_stage import own_labels
from emojax.runtime.workdir import flatten

CONFIGS = pathlib.Path(__file__).parents[3] / 'configs'
FILES = ('incomplete_labels', 'shared_annotations')
MODULES = {name: runpy.run_path(str(CONFIGS / f'{name}.py')) for name in FILES}
PRESETS = [(f, p) for f in FILES for p in MODULES[f]['PRESETS']]


@pytest.mark.parametrize(('file', 'preset'), PRESETS)
def test_presets_have_the_same_settings(file, preset):
  # An override that works for one preset works for all.
  get_config = MODULES[file]['get_config']
  found = flatten(get_config(preset).to_dict())
  expected = flatten(get_config().to_dict())
  assert set(found) == set(expected)
  for key, value in expected.items():
    assert type(found[key]) is type(value), key


@pytest.mark.parametrize(('file', 'preset'), PRESETS)
def test_presets_are_described(file, preset):
  if preset != 'embedded':
    assert f':{preset} ' in MODULES[file]['__doc__']
  assert MODULES[file]['PRESETS'][preset].__doc__


@pytest.mark.parametrize('file', FILES)
def test_they_are_experiments_of_the_program(file):
  for preset in MODULES[file]['PRESETS']:
    config = MODULES[file]['get_config'](preset)
    assert config.experiment in experiments.EXPERIMENTS
    main.check_settings(config)
    if file == 'shared_annotations':
      shared_annotations.check(config)
  with pytest.raises(ValueError, match=r"no preset 'big'; it has embedded"):
    MODULES[file]['get_config']('big')


@pytest.mark.parametrize(
  ('file', 'preset'),
  [('incomplete_labels', 'paper'), ('shared_annotations', 'embedded')],
)
def test_models_of_the_presets_can_be_built(file, preset):
  config = MODULES[file]['get_config'](preset)
  model = builders.cnn_from_config(config, tasks.ABAW2020)
  assert model.depth == config.model.depth
  inputs = models.example_inputs(model, 2, 3)
  outputs = jax.eval_shape(
    lambda key: model.init_with_output(key, inputs, train=False)[0],
    jax.random.key(0),
  )
  assert outputs['features'].shape == (2, 3, 3 * config.model.hidden)
  for task in tasks.ABAW2020:
    assert outputs[task.name].shape == (2, 3, task.num_outputs)


@pytest.mark.parametrize(
  ('file', 'settings'),
  [
    # Section IV and equations 11 and 14 of paper 001.
    (
      'incomplete_labels',
      {
        'data.image_size': 112,
        'data.va_every': 5,
        'data.keep.neutral': 10,
        'model.depth': 'resnet50',
        'model.width': 1.0,
        'model.hidden': 128,
        'model.gru': 64,
        'ensemble.size': 5,
        'train.teacher_epochs': 8,
        'train.student_epochs': 3,
        'train.clips_per_task': 20,
        'train.learning_rate': 1e-4,
        'train.decay_every': 3,
        'recurrent.lengths': (32, 16, 8),
        'loss.temperature': 1.5,
        'loss.supervision_weight': 0.6,
        'loss.divergence': 'cross_entropy',
      },
    ),
    # Sections 2.4 and 3.1 of paper 002.
    (
      'shared_annotations',
      {
        'model.depth': 'resnet50',
        'ensemble.size': 1,
        'ensemble.seeds': 10,
        'train.teacher_epochs': 40,
        'train.patience': 5,
        'train.clips_per_task': 64,
        'train.learning_rate': 1e-4,
        'train.decay_factor': 1.0,
        'recurrent.patience': 5,
        'recurrent.clips_per_task': 16,
        'recurrent.lengths': (32,),
        'loss.temperature': 1.5,
        'loss.supervision_weight': 0.6,
        'loss.divergence': 'kl',
      },
    ),
  ],
)
def test_hyper_parameters_of_the_papers(file, settings):
  found = flatten(MODULES[file]['get_config']('paper').to_dict())
  assert {key: found[key] for key in settings} == settings


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'teachers': (4,)}, r'config.teachers=\(4,\): expected each one of 2, 3'),
    ({'model': {'depth': 'resnet9'}}, "depth 'resnet9'.*expected one of"),
    ({'teachers': (2,)}, r'add 3 to config.teachers'),
    ({'sharing': (False,)}, r'add True to config.sharing'),
    ({'teachers': (), 'sharing': ()}, 'nothing is to be trained'),
    ({'recurrent': {'lengths': (33,)}}, 'lengths has 33: expected 1 to .* 32'),
  ],
)
def test_stacks_without_the_one_before(settings, message):
  config = MODULES['shared_annotations']['get_config']()
  config.update(settings)
  with pytest.raises(ValueError, match=message):
    shared_annotations.check(config)


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'conditions': (), 'multitask': ''}, 'nothing is to be trained'),
    (
      {'recurrent': {'lengths': (8, 0)}},
      r'lengths=\(8, 0\): expected each at least 1',
    ),
  ],
)
def test_nothing_to_train_and_impossible_lengths(settings, message):
  config = MODULES['incomplete_labels']['get_config']()
  incomplete_labels.check(config)
  config.update(settings)
  with pytest.raises(ValueError, match=message):
    incomplete_labels.check(config)


def test_settings_reach_the_method():
  config = MODULES['shared_annotations']['get_config']('paper')
  schema = (tasks.expr_task(), tasks.va_task())
  own = own_labels(schema, [('expr',), ('va',)])
  found = builders.rnn_method(config, schema, own)
  assert found.patience == 5
  assert found.schedule(39) == 1  # constant
  config.recurrent.update(decay_every=3, decay_factor=0.1)
  assert builders.rnn_method(config, schema, own).schedule(3) == pytest.approx(
    0.1
  )
  config.recurrent.update(schedule='cosine', ema=0.9, select='nll')
  found = builders.rnn_method(config, schema, own)
  assert (found.ema, found.select) == (0.9, 'nll')
  for epochs in (4, 10):  # teachers and students share the method
    made = builders.scheduled(found, config.recurrent, epochs)
    assert made.stepwise
    assert float(made.schedule(epochs / 2)) == pytest.approx(0.5)
  options = builders.options_from_config(config)
  assert (options.temperature, options.divergence) == (1.5, 'kl')
