"""From what model.json says to a network and a function that predicts with it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emojax import experiments, models, tasks
from emojax.data.transform import augment, geometry
from emojax.evaluation import schema_from_json
from emojax.models.uncertainty_net import UncertaintyNet

# Attributes of networks that `models.build` does not take.
ATTRIBUTES = frozenset({
  'depth', 'stem', 'noise', 'placement', 'mask_per', 'embedding', 'features',
  'estimate', 'normalise',
})  # fmt: skip
LEARNED = 'uncertainty_net'
LUMA = np.float32([0.299, 0.587, 0.114])

Metadata = Mapping[str, Any]


def build(metadata: Metadata):
  """The Flax module; raises whatever a network says of strange settings."""
  m, schema = metadata['model'], schema_from_json(metadata['schema'])
  size, channels = _seen(metadata), metadata['preprocessing']['channels']
  if m['name'] == LEARNED:
    options = dict(m['options'])
    dtype = models.DTYPES[options.pop('dtype', 'float32')]
    made = UncertaintyNet(schema, size, dtype=dtype, **options)
  else:
    made = models.build(
      m['name'], schema, size, channels=channels, **m['options']
    )
  return made.clone(**m.get('attributes', {}))


def _seen(metadata: Metadata) -> int:
  """Size of the images that the network sees, which may be cut out."""
  size = metadata['preprocessing']['image_size']
  image = jax.ShapeDtypeStruct((1, 1, size, size, 3), 'uint8')
  return jax.eval_shape(_evaluation(metadata), image).shape[2]


def _evaluation(metadata: Metadata) -> Callable:
  return augment.evaluation(metadata['preprocessing'].get('augment', 'none'))


def grey(image: np.ndarray, channels: int) -> np.ndarray:
  """Images [..., 3] as the network was trained: grey [..., 1] with one channel."""
  if channels == 3:
    return image
  return np.rint(image @ LUMA).astype(np.uint8)[..., None]


def outputs(metadata: Metadata) -> Callable:
  """`(module, variables, inputs, key or None) -> logits` and learned uncertainty.

  With a key, layers with noise draw it: one stochastic pass.

  Raises:
    KeyError: If there is no such read-out.
  """
  schema = schema_from_json(metadata['schema'])
  read = _read_out(metadata, schema)
  prepare = _evaluation(metadata)
  ten = metadata['preprocessing'].get('ten_crop', False)
  size = _seen(metadata)

  def predict(module, variables, inputs, key=None):
    noise = {}
    if key is not None:
      noise = {'dropout': True, 'rngs': {'dropout': key}}

    def one(image):
      x = {**inputs, 'image': image}
      return read(module.apply(variables, x, train=False, **noise))

    if not ten:
      return one(prepare(inputs['image']))
    crops = augment.evaluation('none')(geometry.ten_crop(inputs['image'], size))
    return jax.tree.map(lambda x: jnp.mean(x, 0), jax.lax.map(one, crops))

  return predict


def _read_out(metadata: Metadata, schema: tasks.Schema) -> Callable:
  name = metadata['model'].get('read_out', '')
  if not name:
    return lambda found: {task.name: found[task.name] for task in schema}
  experiment, _, rest = name.partition('/')
  read = experiments.trained(experiment).read_out(rest)
  return lambda found: read(found, schema)


def can_sample(metadata: Metadata) -> bool:
  """Whether a stochastic pass differs from the next."""
  m = metadata['model']
  noisy = m.get('attributes', {}).get('noise', 'dropout') != 'none'
  return noisy and m['options'].get('dropout', 0.5) > 0
