"""Sampled networks and ensembles after their training; see `protocol.Trained`."""

from emojax.engine.trainer import settings_from_config
from emojax.experiments.bayesian import faces, networks
from emojax.experiments.bayesian.networks import RATES
from emojax.experiments.bayesian.run import SAMPLE_STREAM
from emojax.experiments.protocol import Network, Plain, Stack
from emojax.report import stacks as report

PAPER = (
  'sampled networks and ensembles against the votes of annotators (paper 004 '
  'of emojax)'
)
REPORT = report
FOREIGN = True
LEARNED = None
PRIORS = None
predictions, header = Plain.predictions, Plain.header
weights = Plain.weights


def _kinds(config) -> dict[str, networks.Stack]:
  """Trained stacks by the name of what is predicted with them."""
  return {
    kind.predicts(method): kind
    for kind in networks.stacks(config)
    for method in kind.methods
  }


def stacks(config) -> tuple[Stack, ...]:
  """One by network and method; methods may share weights."""
  note = (
    'in stochastic passes of the run BatchNorm worked with the statistics of the '
    'batch, here with those of the training'
  )
  training = networks.batch_norm(config) == 'training'
  return tuple(
    Stack(
      name,
      kind.name,
      SAMPLE_STREAM + kind.number,
      (note,) if training and not name.endswith('-ensemble') else (),
      0 if name.endswith('-ensemble') else config.mc.passes,
    )
    for name, kind in _kinds(config).items()
  )


def method_for(config, name, schema, mesh):
  """The method of the trained stack."""
  return networks.method(config, _kinds(config)[name], schema, mesh)


def settings_for(config, name, members: int):
  """As the run predicted: a batch of faces shares a mask."""
  batch = 0 if name.endswith('-ensemble') else config.mc.batch
  return settings_from_config(config, members, config.train.epochs, batch)


def network_for(config, name) -> Network:
  """The network with its noise."""
  kind, m = _kinds(config)[name], config.model
  rate = RATES[kind.network] if m.dropout < 0 else m.dropout
  return Network(
    kind.network,
    {**m, 'dropout': rate},
    {'noise': kind.noise, 'placement': m.placement, 'mask_per': m.mask_per},
    channels=config.data.channels,
  )


def held_out(config):
  """Faces with labels by the rules of the run."""
  dataset = faces.from_config(config.data).dataset
  return {'val': dataset.val, 'test': dataset.test}


def as_trained(config, clips, schema):
  """Grey or not as the run's, with labels by its rule where there are votes."""
  return faces.scored(clips, config.data, schema)
