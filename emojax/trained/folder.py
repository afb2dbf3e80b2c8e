"""The folder that an exported model is: its files, and whether they fit.

`README.md` is for people, `model.json` describes the model, and
`weights.safetensors` holds its arrays, each with a leading axis of members.
"""

import hashlib
import inspect
import json
import pathlib
from typing import Any

import flax.traverse_util
import jax
import numpy as np

import emojax
from emojax import models
from emojax.evaluation import schema_from_json
from emojax.trained import safetensors

PyTree = Any
FORMAT = 'emojax-model-1'
CARD, METADATA, WEIGHTS = 'README.md', 'model.json', 'weights.safetensors'
# What a network's configuration may say about it, by name.
OPTIONS = frozenset(inspect.signature(models.build).parameters) - {
  'name', 'schema', 'image_size', 'lowering', 'axis_name', 'channels'
}  # fmt: skip


class ModelError(ValueError):
  """An exported model is damaged or does not fit; says what to do."""


def network(metadata: dict[str, Any]):
  """Builds the Flax module that model.json describes."""
  m, p = metadata['model'], metadata['preprocessing']
  return models.build(
    m['name'],
    schema_from_json(metadata['schema']),
    p['image_size'],
    channels=p['channels'],
    **m['options'],
  )


def read_metadata(folder: pathlib.Path) -> dict[str, Any]:
  """Reads model.json; raises ModelError if it is missing or of no use."""
  path = folder / METADATA
  try:
    metadata = json.loads(path.read_text())
    found = metadata['format']
  except FileNotFoundError:
    raise ModelError(
      f'{folder} holds no exported model ({METADATA} is missing): make one '
      'with python -m emojax.export'
    ) from None
  except (KeyError, TypeError, ValueError) as error:
    raise ModelError(f'{path} is damaged: {error}') from error
  version = metadata.get('versions', {}).get('emojax', '0')
  if found != FORMAT:
    raise ModelError(
      f'{path} has format {found!r} (emojax {version}), this is emojax '
      f'{emojax.__version__}, which reads {FORMAT!r}: install the version that '
      'the model was exported with, or export it again'
    )
  return metadata


def read_weights(folder: pathlib.Path, metadata: dict[str, Any]) -> PyTree:
  """Reads {'params': ..., 'model_state': ...}, NumPy [M, ...].

  Raises:
    ModelError: If files are missing, damaged, or do not fit the network.
  """
  for name, digest in metadata['files'].items():
    _check_file(folder / name, digest)
  flat = safetensors.read(folder / WEIGHTS)
  _check_names(folder, metadata, flat)
  tree = flax.traverse_util.unflatten_dict(flat, sep='/')
  return {'model_state': {}, **tree}


def _check_file(path: pathlib.Path, digest: str):
  if not path.exists():
    raise ModelError(f'{path} is missing: restore it or export the model again')
  if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
    raise ModelError(
      f'{path} is damaged (its SHA-256 is not that of {METADATA}): restore it '
      'or export the model again'
    )


def _check_names(folder: pathlib.Path, metadata, flat: dict[str, np.ndarray]):
  """The weights must be those that the network of this version has."""
  module = network(metadata)
  variables = jax.eval_shape(
    lambda key: models.init(module, key), jax.random.key(0)
  )
  expected = {
    name: (len(metadata['members']), *leaf.shape)
    for name, leaf in flat_names(variables).items()
  }
  found = {name: array.shape for name, array in flat.items()}
  if found != expected:
    differing = sorted(
      name
      for name in found.keys() | expected.keys()
      if found.get(name) != expected.get(name)
    )
    name = differing[0]
    raise ModelError(
      f'{folder / WEIGHTS} does not fit the network {metadata["model"]["name"]} '
      f'of this version in {len(differing)} arrays; {name}: '
      f'{found.get(name, "absent")} there, {expected.get(name, "absent")} '
      f'expected. It was exported with emojax '
      f'{metadata["versions"]["emojax"]}, this is {emojax.__version__}.'
    )


def flat_names(variables: PyTree) -> dict[str, Any]:
  """{'params': ..., 'batch_stats': ...} -> leaves by 'params/...' and
  'model_state/batch_stats/...'."""
  state = {k: v for k, v in variables.items() if k != 'params'}
  tree = {'params': variables['params'], 'model_state': state}
  return flax.traverse_util.flatten_dict(tree, sep='/')
