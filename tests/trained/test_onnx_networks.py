"""Every network of the registry as an ONNX graph: the numbers of emojax."""

import jax
import numpy as np
import pytest
from answers import made_model

from emojax import models, tasks
from emojax.models import resnet
from emojax.ops.families import FAMILIES
from emojax.trained import deployed, network
from emojax.trained.model import Model

pytest.importorskip('onnx', reason="needs the extra 'onnx'")
onnxruntime = pytest.importorskip(
  'onnxruntime', reason="needs the extra 'onnx'"
)

from emojax.interchange import translate  # noqa: E402

VOTES, ALL = made_model.VOTES, made_model.ALL
SMALL = {'width': 0.125, 'hidden': 8}
SLOW = pytest.mark.slow


def said(name, schema=VOTES, options=SMALL, attributes=(), read_out='', **data):
  """What model.json says of a tiny network."""
  metadata = made_model.metadata(schema, members=2)
  metadata['model'] = {'name': name, 'options': dict(options)}
  if attributes:
    metadata['model']['attributes'] = dict(attributes)
  if read_out:
    metadata['model']['read_out'] = read_out
  metadata['preprocessing'] |= data
  return metadata


def doubting(method, estimate, embedding='branch', **data):
  """A network of paper 003."""
  attributes = {
    'depth': 'resnet2', 'embedding': embedding, 'estimate': estimate,
    'features': 8,
  }  # fmt: skip
  return said(
    'uncertainty_net', VOTES, {'width': 0.125}, attributes, method, **data
  )


CNN = {'depth': 'resnet2', 'stem': 'imagenet'}
CLIPS = {'clip_length': 3}
CASES = {
  'emenet_v': lambda: said('emenet_v', ALL) | {'flip': True},
  'emenet_v, clips': lambda: said('emenet_v', ALL, **CLIPS),
  'emenet_v, published': lambda: said(
    'emenet_v', VOTES, {**SMALL, 'head': 'published'}, **CLIPS
  ),
  'emenet_v, frames': lambda: said(
    'emenet_v', VOTES, {**SMALL, 'head': 'frames'}, **CLIPS
  ),
  'emenet_va': lambda: said('emenet_va', ALL, audio='log_mel', **CLIPS),
  'alexnet': lambda: said('alexnet', channels=1),
  'vgg16': lambda: said('vgg16', grey=True),
  'vgg16_bn': lambda: said('vgg16_bn'),
  'densenet121': lambda: said('densenet121'),
  'multitask_cnn': lambda: said(
    'multitask_cnn', ALL, attributes=CNN, augment='incomplete', **CLIPS
  ),
  'multitask_cnn_torchvision': lambda: said(
    'multitask_cnn_torchvision', ALL, attributes=CNN
  ),
  'cnn_rnn': lambda: said(
    'cnn_rnn',
    ALL,
    attributes={**CNN, 'cnn': 'multitask_cnn', 'gru': 8, 'length': 3},
    clip_length=4,  # sequences overlap
  ),
  'scn': lambda: doubting(
    'scn', 'attention', 'pooled', image_size=40, augment='fer2013',
    ten_crop=True,
  ),
  'rul': lambda: doubting('rul', 'log_sigma'),
  'dul': lambda: doubting('dul', 'log_sigma'),
  'conf': lambda: doubting('conf', 'confidence', 'pooled'),
  'hydra': lambda: said(
    'emenet_v', ALL, attributes={'distribution': 'hydra', 'heads': 3}
  ),
  **{
    kind: lambda kind=kind: said(
      'emenet_v', ALL, attributes={'distribution': kind}
    )
    for kind in FAMILIES
  },
}  # fmt: skip
QUICK = ('scn', 'conf')  # the others compile for longer
NAMES = [n if n in QUICK else pytest.param(n, marks=SLOW) for n in CASES]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
  monkeypatch.setitem(resnet.DEPTHS, 'resnet2', ((1,), resnet.BasicBlock))


def drawn(metadata):
  """Weights as after a training: batch norms have statistics of their own."""
  module, rng = network.build(metadata), np.random.default_rng(0)
  keys = jax.random.split(jax.random.key(0), len(metadata['members']))
  variables = jax.vmap(lambda key: models.init(module, key))(keys)

  def moved(path, x):
    name = path[-1].key
    x = np.array(x)
    if name in ('var', 'scale'):
      return x * rng.uniform(0.7, 1.4, x.shape).astype(np.float32)
    if name in ('mean', 'bias'):
      return x + rng.normal(0, 0.1, x.shape).astype(np.float32)
    return x

  tree = jax.tree_util.tree_map_with_path(moved, variables)
  state = {k: v for k, v in tree.items() if k != 'params'}
  return {'params': tree['params'], 'model_state': state}


def inputs_of(metadata, batch: int, frames: int):
  data, rng = metadata['preprocessing'], np.random.default_rng(1)
  size = data['image_size']
  image = rng.integers(0, 256, (batch, frames, size, size, 3), np.uint8)
  if data['channels'] == 1 or data.get('grey'):
    image = image[..., :1].repeat(3, -1)  # colours may tie between two greys
  audio = None
  if data['audio']:
    audio = rng.normal(size=(batch, frames, 64, 64)).astype(np.float32)
  return image, audio


@pytest.mark.parametrize('name', NAMES)
def test_an_ensemble_says_the_same(name):
  metadata = CASES[name]()
  metadata['temperatures'] = {
    task.name: [1.5, 0.7]
    for task in tasks.schema_from_json(metadata['schema'])
    if task.kind == 'categorical'
  }
  weights = drawn(metadata)
  signature = deployed.signature(metadata)
  made = translate.model(
    deployed.function(Model(metadata, weights, 'conv')),
    signature.inputs,
    signature.symbols,
  )
  session = onnxruntime.InferenceSession(made.SerializeToString())
  names = [output.name for output in session.get_outputs()]
  model = Model(metadata, weights)
  fixed = metadata['preprocessing']['clip_length']
  many = fixed if name == 'cnn_rnn' or signature.stills else 5
  image, audio = inputs_of(metadata, 3, many)
  shown = {'image': image, 'audio': audio}
  shown = {k: x for k, x in shown.items() if x is not None}
  if signature.stills:
    shown = {k: x[:, 0] for k, x in shown.items()}
  found = dict(zip(names, session.run(None, shown), strict=True))
  output = model.predict(**shown)
  check(model, found, output)
  scaled = model.predict(**shown, temperature=True)
  for task in metadata['temperatures']:
    np.testing.assert_allclose(
      found[f'{task}/scaled'], scaled.probabilities[task], atol=1e-5
    )
  first = session.run(None, {k: x[:1] for k, x in shown.items()})
  for name, array in zip(names, first, strict=True):
    members = name.endswith(('/logits', '/members'))
    expected = found[name][:, :1] if members else found[name][:1]
    np.testing.assert_allclose(array, expected, atol=1e-5)


def check(model, found, output):
  for task in model.schema:
    expected = output.probabilities[task.name]
    assert expected.std() > 1e-3  # not all the same
    np.testing.assert_allclose(
      found[f'{task.name}/probabilities'], expected, atol=1e-5
    )
  for name, doubt in output.uncertainty.items():
    for kind, expected in doubt._asdict().items():
      np.testing.assert_allclose(found[f'{name}/{kind}'], expected, atol=1e-5)
  for label, expected in output.values.items():
    np.testing.assert_allclose(found[label], expected, atol=1e-5)
  assert (output.learned is not None) == ('learned' in found)
  if output.learned is not None:
    np.testing.assert_allclose(
      found['learned'], output.learned, rtol=1e-5, atol=1e-5
    )


def test_every_network_of_the_registry_is_here():
  assert {*models.MODELS, 'cnn_rnn'} <= CASES.keys()
