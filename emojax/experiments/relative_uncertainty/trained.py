"""Networks that have learned to doubt, after training; see `protocol.Trained`."""

import pathlib
import types

import numpy as np
import scipy.special

from emojax import tasks
from emojax.data import load
from emojax.data.clips import evaluation_sets
from emojax.data.store.stored import Store
from emojax.engine.trainer import settings_from_config
from emojax.evaluation import Predictions, schema_from_json
from emojax.experiments.protocol import Network, Plain, Stack, predictions_path
from emojax.experiments.relative_uncertainty import (
  evaluate,
  learners,
  outputs,
  read_outs,
  setup,
)
from emojax.experiments.relative_uncertainty import members as member_lib
from emojax.report import stacks as report
from emojax.runtime import provenance

PAPER = (
  'learned uncertainty under label noise (Zhang, Wang, Deng: Relative '
  'Uncertainty Learning for Facial Expression Recognition, 2021)'
)
REPORT = report
FOREIGN = False
LEARNED = read_outs.LEARNED
PRIORS = None
STREAM = 3_000_000
weights, as_trained = Plain.weights, Plain.as_trained


def stacks(config) -> tuple[Stack, ...]:
  """One by method, with members of all noise levels."""
  levels = member_lib.level_names(config.noise)
  size = config.ensemble.size // len(levels)
  notes = [
    f'of the members of the run {k * size} to {(k + 1) * size - 1} learned from '
    f'labels with noise: {level}'
    for k, level in enumerate(levels)
  ]
  return tuple(
    Stack(name, name, STREAM + list(setup.METHODS).index(name), tuple(notes))
    for name in config.methods
  )


def predictions(folder: pathlib.Path, config, name: str) -> Predictions:
  """Logits [M, N, 1, K] of the test images, and of the validation images."""
  task = _task(folder, config)
  with open(predictions_path(folder, name), 'rb') as raw, np.load(raw) as file:
    return outputs.predictions(name, task, file)


def header(folder: pathlib.Path, config, name: str):
  """What a method predicts, and its number of members."""
  with open(predictions_path(folder, name), 'rb') as raw, np.load(raw) as file:
    return (_task(folder, config),), len(file['best_epoch'])


def _task(folder: pathlib.Path, config) -> tasks.Task:
  """The classes: of data.json, or of the data if the run is older than that."""
  kept = provenance.read(folder)
  if kept is not None:
    schema = schema_from_json(kept['schema'])
  elif config.data.name == 'embedded':
    schema = tasks.ABAW2021
  else:
    schema = Store(config.data.path).spec.schema
  return setup.categorical_task(
    types.SimpleNamespace(schema=schema, name=config.data.name)
  )


def method_for(config, name: str, schema, mesh):
  """The method, as if it were trained on a single image."""
  (task,) = schema
  data = types.SimpleNamespace(train=range(1))
  run = types.SimpleNamespace(config=config, dataset=data, task=task, mesh=mesh)
  return setup.method_from_config(run, name, 1)


def settings_for(config, name: str, members: int):
  """All methods have the same settings."""
  del name
  return settings_from_config(config, members, config.train.epochs)


def network_for(config, name: str) -> Network:
  """The network with what estimates uncertainty."""
  m, learner = config.model, learners.METHODS[name].make()
  return Network(
    'uncertainty_net',
    dict(m),
    {
      'depth': m.depth,
      'stem': m.stem,
      'embedding': setup.embedding(m, learner),
      'features': setup.features(m, learner),
      'estimate': learner.estimate,
      'normalise': m.normalise,
    },
    augment=config.train.augment,
    ten_crop=config.eval.ten_crop,
    read_out=name,
  )


def learned(task: tasks.Task, target, logits, doubt) -> list[dict]:
  """Rejection and detection of errors by every member, as the run has them."""
  value, mask = (np.asarray(x) for x in target)
  index = np.flatnonzero(mask.reshape(-1))
  label = value.reshape(-1, value.shape[-1])[index].argmax(-1)
  rows = []
  for scores, own in zip(*(np.asarray(x, np.float64) for x in (logits, doubt))):
    probs = scipy.special.softmax(scores.reshape(-1, scores.shape[-1]), -1)
    found = probs[index], own.reshape(-1)[index]
    rows.append(evaluate.classification(label, *found)[0])
  return rows


def held_out(config):
  """The validation and the test images."""
  data = config.data.copy_and_resolve_references()
  if data.name == 'embedded':
    return {
      name: evaluation_sets.open_split(data, name).clips
      for name in ('val', 'test')
    }
  data.memory_gib, data.ood_path = 0.0, ''
  dataset = load.from_config(data)
  return {'val': dataset.val, 'test': dataset.test}
