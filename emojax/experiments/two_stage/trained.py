"""What papers 001 and 002 share after training: CNNs, and CNNs with a GRU.

A recurrent stack has learned from the features of one CNN. After training both are
one network from images to logits, every member with a copy of the CNN.
"""

import pathlib
import re
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from emojax.engine import checkpoint
from emojax.engine.member import Method
from emojax.engine.trainer import Settings, settings_from_config
from emojax.experiments.protocol import Network, Stack
from emojax.experiments.two_stage import builders, features, method, roles
from emojax.models.cnn_rnn import FramesCNNRNN

PyTree = Any
STREAM = 4_000_000
BALANCED = (
  'it learned from subsets that were balanced by resampling: its probabilities '
  'are of more even prevalences than those of the data'
)
_RECURRENT = re.compile(r'rnn(\d+)-')


def stacks_of(
  names: Iterable[str], balanced: Iterable[str]
) -> tuple[Stack, ...]:
  """Stacks of some names, those of `balanced` with a note."""
  balanced = set(balanced)
  return tuple(
    Stack(name, name, STREAM + i, (BALANCED,) if name in balanced else ())
    for i, name in enumerate(names)
  )


def length_of(name: str) -> int:
  """Frames of the sequences of a recurrent stack; 0 of a CNN."""
  found = _RECURRENT.match(name)
  return int(found[1]) if found else 0


def network_of(config, name: str, schema):
  """The Flax module of a stack."""
  cnn = builders.cnn_from_config(config, schema)
  length = length_of(name)
  if not length:
    return cnn
  rnn = builders.rnn_from_config(config, schema)
  return FramesCNNRNN(cnn, rnn, length)


def method_for(config, name: str, schema, mesh) -> Method:
  """The method of a stack; what supervises which task is for training."""
  del mesh
  return method.two_stage(
    network_of(config, name, schema),
    schema,
    method.image_inputs(config.train.augment, config.train.augment_per),
    **builders.shared_from_config(
      config, config.train, np.ones((1, len(schema)), bool)
    ),
  )


def settings_for(config, name: str, members: int) -> Settings:
  """What predictions need."""
  del name
  return settings_from_config(config, members, epochs=1)


def network_for(config, name: str) -> Network:
  """All CNNs of a run have one trunk; their schemas differ."""
  m, length = config.model, length_of(name)
  said = {'depth': m.depth, 'stem': m.stem}
  if length:
    said |= {'cnn': m.name, 'gru': m.gru, 'length': length}
  return Network(
    'cnn_rnn' if length else m.name,
    dict(m),
    said,
    augment=config.train.augment,
  )


def weights(folder: pathlib.Path, config, name: str, tree: PyTree) -> PyTree:
  """Of a recurrent stack, with the CNN whose features it has learned from."""
  del config
  if not length_of(name):
    return tree
  source, member = features.extractor(folder / 'features')
  found = dict(checkpoint.load_tree(folder / 'checkpoints' / source))
  members = len(jax.tree.leaves(tree['params'])[0])
  cnn = jax.tree.map(lambda x: np.repeat(x[member][None], members, 0), found)
  return {
    'params': {'cnn': cnn['params'], 'rnn': tree['params']},
    'model_state': {k: {'cnn': v} for k, v in cnn['model_state'].items()},
  }


def held_out(config, names: tuple[str, ...]):
  """Validation and test clips with the tasks of some names."""
  return roles.held_out(config.data, roles.schema_from_config(config, names))


def as_trained(config, clips, schema, names: Iterable[str]):
  """Only the tasks of some names, those that the run knows, without votes."""
  del config
  known = tuple(task for task in schema if task.name in names)
  return roles.restricted(clips, known) if known else clips
