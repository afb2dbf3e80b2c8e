"""ResNets against the same networks in PyTorch, layouts, sizes, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax.models import resnet, resnet_convert
from emojax.models.count import num_parameters

SIZE = 16
STAGES = (1, 1)  # an identity, a projection, a stride
CASES = (
  (resnet.BasicBlock, 'imagenet', 'torchvision', True),
  (resnet.BasicBlock, 'cifar', 'torchvision', False),
  (resnet.Bottleneck, 'imagenet', 'torchvision', False),
  (resnet.Bottleneck, 'cifar', 'caffe', True),
  (resnet.Bottleneck, 'imagenet', 'caffe', False),
)


def variables_of(model, size=SIZE, key=0):
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), jnp.zeros((1, size, size, 3)), False)
  )
  rng = np.random.default_rng(key)

  def draw(path, shape):
    kind = path[-1].key
    if kind == 'kernel':
      fan = np.prod(shape.shape[:-1])
      return rng.normal(0, 1 / np.sqrt(fan), shape.shape).astype(np.float32)
    if kind in ('scale', 'var'):
      return rng.uniform(0.5, 1.5, shape.shape).astype(np.float32)
    return rng.normal(0, 0.1, shape.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def full_size(name):
  model = resnet.make(name)
  return model, jax.eval_shape(
    lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), False)
  )


@pytest.mark.parametrize(('block', 'stem', 'layout', 'train'), CASES)
def test_features_are_those_of_pytorch(block, stem, layout, train):
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  import torch_resnet

  model = resnet.ResNet(STAGES, block, stem, 0.125, layout)
  variables = variables_of(model)
  state = resnet_convert.to_torch(variables)
  twin = torch_resnet.ResNet(
    STAGES, block is resnet.Bottleneck, stem, layout, 0.125
  )
  twin.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
  twin.train(train)
  images = np.random.default_rng(1).normal(size=(4, SIZE, SIZE, 3))
  images = images.astype(np.float32)
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  apply = jax.jit(
    functools.partial(model.apply, mutable=True), static_argnums=2
  )
  ours, state = apply(variables, images, train)
  theirs = twin(x).permute(0, 2, 3, 1).detach().numpy()
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
  after = resnet_convert.to_torch(state)
  for key, value in twin.state_dict().items():
    if key in after:
      np.testing.assert_allclose(after[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
  ('name', 'parameters'), [('resnet18', 11_176_512), ('resnet50', 23_508_032)]
)
def test_sizes_are_those_of_the_published_networks(name, parameters):
  _, variables = full_size(name)
  assert num_parameters(variables['params']) == parameters


@pytest.mark.parametrize(
  ('stem', 'layout', 'size', 'expected'),
  [
    ('imagenet', 'torchvision', 224, 7),
    ('imagenet', 'caffe', 224, 7),
    ('imagenet', 'torchvision', 48, 2),
    ('cifar', 'torchvision', 44, 6),
    ('cifar', 'torchvision', 32, 4),
    ('half', 'torchvision', 48, 3),
  ],
)
def test_sizes_of_the_map(stem, layout, size, expected):
  model = resnet.make('resnet18', stem=stem, layout=layout, width=0.125)
  out, _ = jax.eval_shape(
    lambda x: model.init_with_output(jax.random.key(0), x, False),
    jnp.zeros((2, size, size, 3)),
  )
  assert out.shape == (2, expected, expected, 64)


@pytest.mark.parametrize('padding', [1, None])
def test_max_pool_is_the_window_reduction(padding):
  x = np.abs(np.random.default_rng(0).normal(size=(2, 8, 7, 3)))
  pads = [(1, 1)] * 2 if padding else [(0, 1), (0, 0)]
  expected = jax.lax.reduce_window(
    x,
    -np.inf,
    jax.lax.max,
    (1, 3, 3, 1),
    (1, 2, 2, 1),
    [(0, 0), *pads, (0, 0)],
  )
  np.testing.assert_array_equal(resnet.max_pool(x, padding), expected)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'stem': 'cifa'},
      "ResNet stem 'cifa': expected one of imagenet, cifar, half",
    ),
    ({'layout': 'tv'}, "ResNet layout 'tv': expected one of torchvision"),
  ],
)
def test_unknown_names_are_refused(options, message):
  model = resnet.make('resnet18', **options)
  with pytest.raises(ValueError, match=message):
    model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False)


def test_unknown_depths_are_refused():
  with pytest.raises(ValueError, match="'resnet19': expected one of resnet10"):
    resnet.make('resnet19')


def test_published_files_are_read_whatever_their_last_layers():
  model = resnet.make('resnet18', width=0.125)
  variables = variables_of(model)
  state = resnet_convert.to_torch(variables_of(model, key=3))
  state |= {
    'module.fc.weight': np.ones((7, 64)),
    'feature.bias': np.ones(3),
    'bn1.num_batches_tracked': np.int64(7),
  }
  loaded = resnet_convert.from_torch(state, variables)
  kernel = loaded['params']['layer2_0']['conv1']['kernel']
  np.testing.assert_array_equal(
    kernel, state['layer2.0.conv1.weight'].transpose(2, 3, 1, 0)
  )


def test_misfits_are_listed_together():
  variables = variables_of(resnet.make('resnet18', width=0.125))
  state = resnet_convert.to_torch(variables)
  del state['bn1.weight']
  state['layer3.1.bn2.bias'] = np.ones(5)
  state['layer9.weight'] = np.ones(5)
  with pytest.raises(ValueError, match='do not fit') as error:
    resnet_convert.from_torch(state, variables)
  message = str(error.value)
  assert 'missing: bn1.weight' in message
  assert 'unexpected: layer9.weight' in message
  assert 'layer3.1.bn2.bias: shape (5,), expected (64,)' not in message
  assert 'layer3.1.bn2.bias: shape (5,)' in message


@pytest.mark.parametrize('depth', resnet.DEPTHS)
def test_channels_are_those_of_the_map(depth):
  model = resnet.make(depth, width=0.3)
  shape = jax.eval_shape(
    lambda: model.init_with_output(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False
    )[0]
  ).shape
  assert resnet.channels(depth, 0.3) == shape[-1]
