"""From what model.json says to a network and a function that predicts with it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from emojax import models
from emojax.data.transform import augment, geometry
from emojax.experiments.relative_uncertainty import read_outs
from emojax.models import one_network
from emojax.models.cnn_rnn import CNNRNN, FramesCNNRNN
from emojax.models.uncertainty_net import UncertaintyNet
from emojax.tasks import schema_from_json

# Attributes of networks that `models.build` does not take.
ATTRIBUTES = frozenset({
  'noise', 'placement', 'mask_per',
  'depth', 'stem', 'embedding', 'features', 'estimate', 'normalise',
  'cnn', 'gru', 'length', 'distribution', 'heads',
})  # fmt: skip
LEARNED = read_outs.LEARNED  # what `outputs` adds where there is a read-out
DEFAULTS = inspect.signature(models.build).parameters

Metadata = Mapping[str, Any]


def build(metadata: Metadata, lowering: str = 'auto'):
  """The Flax module; raises whatever a network says of strange settings."""
  m = metadata['model']
  made = {'cnn_rnn': _recurrent, 'uncertainty_net': _uncertainty}
  attributes = dict(m.get('attributes', {}))
  return made.get(m['name'], _plain)(metadata, attributes, lowering)


def _plain(metadata: Metadata, attributes, lowering: str, name: str = ''):
  """A network of `models.build`."""
  m, schema = metadata['model'], schema_from_json(metadata['schema'])

  def make(schema):
    return models.build(
      name or m['name'],
      schema,
      _seen_size(metadata),
      channels=metadata['preprocessing']['channels'],
      lowering=lowering,
      **m['options'],
    )

  if 'distribution' not in attributes:
    return make(schema).clone(**attributes)
  kind, heads = attributes.pop('distribution'), attributes.pop('heads', 0)
  if not isinstance(kind, str) or type(heads) is not int or attributes:
    raise ValueError('distribution, heads: expected a text and a number')
  if heads and kind != 'hydra':
    raise ValueError(f'heads {heads}: only a Hydra has any')
  return one_network.build(kind, heads, schema, make)


def heads(metadata: Metadata) -> int:
  """Members that a network has inside it, which passes go through; 0 for none."""
  return metadata['model'].get('attributes', {}).get('heads', 0)


def _recurrent(metadata: Metadata, attributes, lowering: str):
  """A CNN, and a GRU on its features (papers 001 and 002)."""
  gru, length, name = (attributes.pop(key) for key in ('gru', 'length', 'cnn'))
  if min(gru, length) < 1:
    raise ValueError(f'gru {gru}, length {length}: expected at least 1')
  cnn = _plain(metadata, attributes, lowering, name)
  return FramesCNNRNN(cnn, CNNRNN(cnn.schema, cnn.hidden, gru), length)


def _uncertainty(metadata: Metadata, attributes, lowering: str):
  """A network that has learned to doubt (paper 003)."""
  options = dict(metadata['model']['options'])
  dtype = options.pop('dtype', 'float32')
  return UncertaintyNet(
    schema=schema_from_json(metadata['schema']),
    image_size=_seen_size(metadata),
    dtype=models.DTYPES[dtype],
    lowering=lowering,
    **options,
    **attributes,
  )


def _seen_size(metadata: Metadata) -> int:
  """Size of what is left of the images for the network."""
  data = metadata['preprocessing']
  size = data['image_size']
  image = jax.ShapeDtypeStruct((1, 1, size, size, data['channels']), 'uint8')
  cut = augment.evaluation(data.get('augment', 'none'))
  return jax.eval_shape(cut, image).shape[2]


def outputs(metadata: Metadata) -> Callable:
  """`(module, variables, inputs, key or None, number) -> logits` by task.

  With a key, layers with noise draw it: one stochastic pass. Of networks with
  members inside them it is the member of that number. Networks with a
  read-out have what they learned to doubt under `LEARNED`, too, [..., L].
  """
  prepare, read = _crops(metadata), _read_out(metadata)

  inside = 'distribution' in metadata['model'].get('attributes', {})

  def predict(module, variables, inputs, key=None, number=None):
    noise = {}
    if key is not None:
      noise = {'dropout': True, 'rngs': {'dropout': key}}
      noise |= {'number': number} if inside else {}

    def one(image):
      seen = {**inputs, 'image': image}
      return read(module.apply(variables, seen, train=False, **noise))

    crops = prepare(inputs['image'])
    if len(crops) == 1:
      return one(crops[0])
    return jax.tree.map(lambda x: x.mean(0), jax.lax.map(one, crops))

  return predict


def _crops(metadata: Metadata) -> Callable:
  """`images [B, L, H, W, C] -> float32 [crops, B, L, h, w, C]`."""
  data = metadata['preprocessing']
  cut = augment.evaluation(data.get('augment', 'none'))
  if not data.get('ten_crop', False):
    return lambda image: cut(image)[None]
  size, convert = _seen_size(metadata), augment.evaluation('none')
  return lambda image: convert(geometry.ten_crop(image, size))


def _read_out(metadata: Metadata) -> Callable:
  """From a network's outputs to logits by task."""
  schema = schema_from_json(metadata['schema'])
  if name := metadata['model'].get('read_out', ''):
    (task,), read = schema, read_outs.read_out(name)
    return lambda found: read(found, task)
  return lambda found: {task.name: found[task.name] for task in schema}


def can_sample(metadata: Metadata) -> bool:
  """Whether a stochastic pass differs from the next."""
  m = metadata['model']
  found = m.get('attributes', {})
  if 'distribution' in found:
    return True
  if m['name'] == 'cnn_rnn':  # features are drawn without noise
    return False
  if m['name'] == 'uncertainty_net' and found.get('embedding') == 'pooled':
    return False  # only branches have dropout
  noisy = found.get('noise', 'dropout') != 'none'
  rate = m['options'].get('dropout', DEFAULTS['dropout'].default)
  return noisy and rate > 0
