"""Generations of self-distillation after their training; see `protocol.Trained`."""

import types
from typing import Any

from emojax.data import load
from emojax.data.clips import evaluation_sets
from emojax.engine.trainer import settings_from_config
from emojax.experiments.distillation import priors, report
from emojax.experiments.distillation import run as experiment
from emojax.experiments.protocol import Network, Plain, Stack

PAPER = (
  'self-distillation (Deng, Wu, Shi: Iterative Distillation for Better '
  'Uncertainty Estimates in Multitask Emotion Recognition, 2021)'
)
REPORT = report
FOREIGN = True
LEARNED = None
PRIORS = priors
predictions, header = Plain.predictions, Plain.header
weights, as_trained = Plain.weights, Plain.as_trained


def stacks(config) -> tuple[Stack, ...]:
  """Teachers and all generations of students."""
  names = map(experiment.generation_name, range(config.generations + 1))
  return tuple(
    Stack(
      name,
      name,
      experiment.MC_STREAM + number,
      passes=config.get('eval', {}).get('mc_samples', 0),
    )
    for number, name in enumerate(names)
  )


def method_for(config, name, schema, mesh):
  """All generations have one method."""
  del name
  data: Any = types.SimpleNamespace(schema=schema)  # all that is asked of it
  return experiment.method_from_config(config, data, mesh)


def settings_for(config, name, members: int):
  """All generations have the same settings."""
  del name
  return settings_from_config(config, members, config.train.epochs)


def network_for(config, name) -> Network:
  """All generations have one network."""
  del name
  return Network(config.model.name, dict(config.model))


def held_out(config):
  """The validation clips."""
  data = config.data.copy_and_resolve_references()
  if data.name == 'embedded':
    return {'val': evaluation_sets.open_split(data, 'val').clips}
  data.memory_gib, data.ood_path = 0.0, ''
  return {'val': load.from_config(data).val}
