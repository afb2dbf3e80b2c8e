"""From what model.json says to a network and a function that predicts with it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from emojax import models
from emojax.data.transform import augment
from emojax.evaluation import schema_from_json

# Attributes of networks that `models.build` does not take.
ATTRIBUTES = frozenset({'noise', 'placement', 'mask_per'})
LUMA = np.float32([0.299, 0.587, 0.114])

Metadata = Mapping[str, Any]


def build(metadata: Metadata):
  """The Flax module; raises whatever a network says of strange settings."""
  m, data = metadata['model'], metadata['preprocessing']
  schema = schema_from_json(metadata['schema'])
  made = models.build(
    m['name'],
    schema,
    data['image_size'],
    channels=data['channels'],
    **m['options'],
  )
  return made.clone(**m.get('attributes', {}))


def grey(image: np.ndarray, channels: int) -> np.ndarray:
  """Images [..., 3] as the network was trained: grey [..., 1] with one channel."""
  if channels == 3:
    return image
  return np.rint(image @ LUMA).astype(np.uint8)[..., None]


def outputs(metadata: Metadata) -> Callable:
  """`(module, variables, inputs, key or None) -> logits` by task.

  With a key, layers with noise draw it: one stochastic pass.
  """
  names = [task['name'] for task in metadata['schema']]
  prepare = augment.evaluation('none')

  def predict(module, variables, inputs, key=None):
    noise = {}
    if key is not None:
      noise = {'dropout': True, 'rngs': {'dropout': key}}
    inputs = {**inputs, 'image': prepare(inputs['image'])}
    found = module.apply(variables, inputs, train=False, **noise)
    return {name: found[name] for name in names}

  return predict


def can_sample(metadata: Metadata) -> bool:
  """Whether a stochastic pass differs from the next."""
  m = metadata['model']
  noisy = m.get('attributes', {}).get('noise', 'dropout') != 'none'
  return noisy and m['options'].get('dropout', 0.5) > 0
