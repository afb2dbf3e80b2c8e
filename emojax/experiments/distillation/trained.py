"""Generations of self-distillation after their training; see `protocol.Trained`."""

import types
from typing import Any

from emojax.data import load
from emojax.data.clips import evaluation_sets
from emojax.engine.trainer import settings_from_config
from emojax.experiments.distillation import one_network, priors, report
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


def _inside(config, number: int) -> bool:
  """Whether a generation's networks have their members inside."""
  return bool(number) and one_network.from_config(config) != one_network.MEAN


def _number(config, name: str) -> int:
  """0 for teachers, k for the k-th generation of students."""
  names = map(experiment.generation_name, range(config.generations + 1))
  return list(names).index(name)


def stacks(config) -> tuple[Stack, ...]:
  """Teachers and all generations of students."""
  found = []
  for number in range(config.generations + 1):
    name, passes = experiment.generation_name(number), config.get('eval', {})
    passes = passes.get('mc_samples', 0)
    stream, notes = experiment.MC_STREAM + number, ()
    if _inside(config, number):
      passes = one_network.passes_from_config(config)
      notes = one_network.notes_from_config(config)
    found.append(Stack(name, name, stream, notes, passes))
  return tuple(found)


def method_for(config, name, schema, mesh):
  """All generations have one method, but for `one_network`'s students."""
  data: Any = types.SimpleNamespace(schema=schema)  # all that is asked of it
  make = experiment.method_from_config
  if _number(config, name):
    make = experiment.students_from_config
  return make(config, data, mesh)


def settings_for(config, name, members: int):
  """All generations have the same settings."""
  del name
  return settings_from_config(config, members, config.train.epochs)


def network_for(config, name) -> Network:
  """All generations have one network, but for `one_network`'s students."""
  attributes: dict[str, Any] = {}
  if _inside(config, _number(config, name)):
    attributes = {'distribution': one_network.from_config(config)}
    if heads := one_network.heads_from_config(config):
      attributes['heads'] = heads
  return Network(config.model.name, dict(config.model), attributes)


def held_out(config):
  """The validation clips."""
  data = config.data.copy_and_resolve_references()
  if data.name == 'embedded':
    return {'val': evaluation_sets.open_split(data, 'val').clips}
  data.memory_gib, data.ood_path = 0.0, ''
  return {'val': load.from_config(data).val}
