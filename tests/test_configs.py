"""Presets: what they say, and that the program understands them."""

import importlib.util
import pathlib
import runpy

import jax
import pytest

from emojax import models, tasks
from emojax.data.transform import augment
from emojax.engine.trainer import settings_from_config
from emojax.runtime.workdir import flatten

PATH = pathlib.Path(__file__).parent.parent / 'configs' / 'gen.py'
GEN = runpy.run_path(str(PATH))
PRESETS = sorted(GEN['PRESETS'])
get_config = GEN['get_config']


@pytest.mark.parametrize('name', PRESETS)
def test_presets_have_the_same_settings(name):
  # An override that works for one preset works for all.
  found, expected = (
    flatten(get_config(n).to_dict()) for n in (name, 'embedded')
  )
  assert set(found) == set(expected)
  for key, value in expected.items():
    assert type(found[key]) is type(value), key


@pytest.mark.parametrize(
  'path',
  [p for p in PATH.parent.glob('*.py') if p.stem != 'common'],
  ids=lambda path: path.stem,
)
def test_files_are_read_from_any_folder(path, tmp_path, monkeypatch):
  # As `--config` reads them; no import of theirs may need the current folder.
  monkeypatch.chdir(tmp_path)
  spec = importlib.util.spec_from_file_location('stranger', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  found = module.get_config()
  shared = found.runtime.to_dict().keys()
  assert {'epochs_per_call', 'predict_clips', 'lowering'} <= shared


@pytest.mark.parametrize(
  'file', ['ferplus', 'incomplete_labels', 'relative_uncertainty']
)
def test_what_is_shared_is_set_anew_by_every_call(file):
  get_config = runpy.run_path(str(PATH.with_name(f'{file}.py')))['get_config']
  get_config().runtime.predict_clips = 999
  assert get_config().runtime.predict_clips != 999


def test_the_default_is_embedded():
  assert get_config().to_dict() == get_config('embedded').to_dict()


def test_presets_are_fresh():
  get_config().train.epochs = 99
  assert get_config().train.epochs != 99


def test_preset_that_does_not_exist():
  with pytest.raises(
    ValueError, match=r"no preset 'big'; it has embedded, tiny"
  ):
    get_config('big')


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_described(name):
  if name != 'embedded':
    assert f'configs/gen.py:{name} ' in GEN['__doc__']
  assert GEN['PRESETS'][name].__doc__


@pytest.mark.parametrize('name', PRESETS)
def test_models_of_the_presets_can_be_built(name):
  config = get_config(name)
  model = models.from_config(config, tasks.ABAW2021)
  assert model.image_size == config.data.image_size
  assert model.audio == config.data.audio
  outputs = jax.eval_shape(
    lambda key: model.init_with_output(
      key, models.example_inputs(model, 2, 3), train=False
    )[0],
    jax.random.key(0),
  )
  for task in tasks.ABAW2021:
    assert outputs[task.name].shape == (2, 3, task.num_outputs)


@pytest.mark.parametrize('name', PRESETS)
def test_names_in_the_presets_are_known(name):
  config = get_config(name)
  assert callable(
    augment.augmentation(config.train.augment, config.train.augment_per)
  )
  assert len(tasks.bin_values(kind=config.loss.bin_values)) == tasks.NUM_BINS
  assert config.train.balance in ('paper', 'published', 'off')
  settings = settings_from_config(
    config, config.ensemble.size, config.train.epochs
  )
  assert settings.members == config.ensemble.size
  assert settings.chunk >= 0  # -1, auto, is resolved


@pytest.mark.parametrize(
  ('name', 'settings'),
  [
    # Section 4.2 of paper 000.
    (
      'paper_v',
      {
        'generations': 4,
        'data.image_size': 112,
        'data.clip_length': 16,
        'data.eval_clip_length': 64,
        'data.audio': False,
        'model.name': 'emenet_v',
        'model.width': 1.0,
        'model.hidden': 128,
        'ensemble.size': 5,
        'train.epochs': 10,
        'train.clips_per_task': 5,
        'train.learning_rate': 1e-3,
        'train.decay_every': 3,
        'train.decay_factor': 0.1,
      },
    ),
    (
      'paper_va',
      {
        'generations': 3,
        'data.clip_length': 8,
        'data.audio': True,
        'model.name': 'emenet_va',
        'ensemble.size': 5,
        'train.epochs': 15,
        'train.clips_per_task': 8,
        'train.learning_rate': 1e-3,
        'train.decay_every': 4,
      },
    ),
  ],
)
def test_hyper_parameters_of_the_paper(name, settings):
  found = flatten(get_config(name).to_dict())
  assert {key: found[key] for key in settings} == settings
