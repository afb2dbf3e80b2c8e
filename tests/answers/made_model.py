"""Models as `python -m emojax.export` writes them, of weights that are drawn.

Nothing is trained: what is tested here does not ask whether answers are right.
"""

import hashlib
import json
import pathlib

import jax
import numpy as np

from emojax import models, tasks
from emojax.faces import align
from emojax.trained import folder as release
from emojax.trained import network

VOTES = (tasks.expr_task(tasks.FERPLUS),)
ALL = tasks.ABAW2021


def metadata(schema: tasks.Schema = VOTES, members: int = 3, **changes):
  """What model.json says."""
  shares = {'0.01': 0.99, '0.1': 0.9}
  limits = {'total': shares, 'epistemic': {'0.01': 0.4, '0.1': 0.3}}
  decision = {
    task.name: dict.fromkeys(task.labels, 0.5)
    for task in schema
    if task.kind == 'binary'
  }
  binned = any(task.kind == 'binned' for task in schema)
  return {
    'format': release.FORMAT,
    'generation': 'Tea',
    'members': list(range(members)),
    'model': {'name': 'alexnet', 'options': {'width': 0.0625}},
    'schema': [task.to_json() for task in schema],
    'bin_values': tasks.bin_values().tolist() if binned else None,
    'preprocessing': {
      'image_size': 32,
      'channels': 3,
      'clip_length': 1,
      'audio': None,
      'crop': align.FER2013.to_json(),
    },
    'temperatures': None,
    'thresholds': {
      'decision': decision,
      'uncertainty': {'mean': limits} | {t.name: limits for t in schema},
      'prevalence': {
        t.name: shares_of(t) for t in schema if t.kind == 'categorical'
      },
    },
    'versions': {},
  } | changes


def shares_of(task: tasks.Task) -> dict[str, float]:
  """Of classes, each twice as frequent as the one after it."""
  shares = 0.5 ** np.arange(len(task.labels))
  return dict(zip(task.labels, map(float, shares / shares.sum()), strict=True))


def write(folder: pathlib.Path, said=None, spread: float = 5.0):
  """Writes a model; returns its folder.

  Args:
    folder: Where to.
    said: Its metadata.
    spread: Factor of the kernels of its heads, so that it is not undecided.
  """
  said = metadata() if said is None else said
  folder.mkdir(parents=True)
  keys = jax.random.split(jax.random.key(0), len(said['members']))
  module = network.build(said)
  variables = jax.vmap(lambda key: models.init(module, key))(keys)
  flat = {k: np.asarray(v) for k, v in release.flat_names(variables).items()}
  for name, array in flat.items():
    if 'head_' in name and name.endswith('/kernel'):
      flat[name] = array * spread
  data = release.encode_weights(flat, said)
  said = said | {'files': {release.WEIGHTS: hashlib.sha256(data).hexdigest()}}
  (folder / release.WEIGHTS).write_bytes(data)
  (folder / release.METADATA).write_text(json.dumps(said))
  return folder
