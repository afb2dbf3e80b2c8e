"""Presets of configs/bayesian.py: every combination, and what the paper states."""

import itertools
import pathlib
import runpy

import jax
import pytest

from emojax import experiments, main, models, tasks
from emojax.experiments.bayesian import faces, networks
from emojax.runtime.workdir import flatten

PATH = pathlib.Path(__file__).parents[3] / 'configs' / 'bayesian.py'
BNN = runpy.run_path(str(PATH))
get_config = BNN['get_config']
SCHEMA = (tasks.expr_task(tasks.FERPLUS),)


@pytest.mark.parametrize('base', ['embedded', *BNN['BASES']])
def test_every_network_method_and_rule(base):
  default = flatten(get_config().to_dict())
  parts = itertools.product(BNN['NETWORKS'], BNN['METHODS'], BNN['RULES'])
  for network, method, rule in parts:
    config = get_config(f'{base}-{network}-{method}-{rule}')
    assert config.data.rule == rule
    (kind,) = networks.stacks(config)
    assert kind.network == network
    assert kind.methods == (method,)
    assert set(flatten(config.to_dict())) == set(default)


def test_order_does_not_matter_and_parts_add_up():
  config = get_config('ensemble-vgg16-alexnet-tiny')
  assert config.to_dict() == get_config('tiny-vgg16-alexnet-ensemble').to_dict()
  assert config.networks == 'vgg16,alexnet'


@pytest.mark.parametrize(
  ('preset', 'message'),
  [
    ('resnet', "no preset 'resnet': 'resnet' is none of embedded, tiny"),
    ('tiny-paper', 'names several sizes'),
    ('raw-majority', 'names several label rules'),
  ],
)
def test_presets_that_make_no_sense(preset, message):
  with pytest.raises(ValueError, match=message):
    get_config(preset)


def test_the_papers_settings():
  config = get_config('paper')
  assert config.train.epochs == 80
  assert config.train.batch_size == 32
  assert config.train.augment == 'none'
  assert config.model.hidden == 256
  assert config.ensemble.size == 15
  assert config.data.rule == 'majority'
  kinds = networks.stacks(config)
  assert len(kinds) == 6
  for kind in kinds:
    model = networks.network(config, kind, SCHEMA)
    assert model.dropout == {'alexnet': 0.5}.get(kind.network, 0.2)
    assert (model.image_size, model.channels, model.width) == (64, 1, 1.0)
    assert networks.OPTIMIZERS[kind.network] == (
      'sgd' if kind.network == 'vgg16' else 'adam'
    )


def test_converged_networks_see_enough_to_test_claims():
  config = get_config('converged-alexnet')
  faces = 21_359  # of FER+ with a majority, without those held out
  assert config.train.epochs * faces >= 400_000
  assert config.train.schedule == 'exponential'
  assert (config.eval.floor, config.eval.spread) == (0.75, 0.01)
  for kind in networks.stacks(get_config('converged-vgg16_bn')):
    assert kind.methods
    networks.optimizer(config, kind.network)


@pytest.mark.parametrize('preset', ['embedded', 'tiny', 'ferplus'])
def test_networks_of_the_presets_can_be_built(preset):
  config = get_config(preset)
  for kind in networks.stacks(config):
    model = networks.network(config, kind, SCHEMA)
    shapes = jax.eval_shape(
      lambda key, m=model: m.init_with_output(
        key, models.example_inputs(m, 2), train=False
      )[0],
      jax.random.key(0),
    )
    assert shapes['expr'].shape == (2, 1, 8)


def test_the_program_knows_the_experiment():
  assert get_config().experiment in experiments.EXPERIMENTS
  for preset in ('embedded', *BNN['BASES']):
    main.check_settings(get_config(preset))
    assert get_config(preset).data.eval_rule in faces.HARD
