"""Multitask CNN and CNN-RNN: sizes, PyTorch's numbers, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import models, tasks
from emojax.models import multitask_cnn, multitask_convert, resnet
from emojax.models.cnn_rnn import CNNRNN
from emojax.models.count import num_parameters
from emojax.models.multitask_cnn import MultitaskCNN

STAGES, WIDTH, SIZE, HIDDEN = (1, 2), 0.125, 32, 8
PAIR = (tasks.expr_task(), tasks.va_task())
ORDER = ('expr', 'va', 'au')  # of the published heads, not ours


@pytest.fixture(autouse=True)
def short(monkeypatch):
  """A trunk with an identity, a projection and a stride."""
  monkeypatch.setitem(resnet.DEPTHS, 'short', (STAGES, resnet.Bottleneck))


def cnn(schema=tasks.ABAW2020, **options):
  values = {'width': WIDTH, 'hidden': HIDDEN, 'depth': 'short'} | options
  return MultitaskCNN(schema, SIZE, **values)


@functools.cache
def shapes_of(model, features=0):
  if features:
    inputs = {'features': jnp.zeros((1, 2, features))}
  else:
    inputs = models.example_inputs(model)
  return jax.eval_shape(
    lambda: model.init(jax.random.key(0), inputs, train=False)
  )


def parameters(model, features=0):
  parts = shapes_of(model, features)['params']
  return {name: num_parameters(part) for name, part in parts.items()}


def test_sizes_of_the_published_cnn():
  parts = parameters(MultitaskCNN(tasks.ABAW2020, 112, head='published'))
  assert parts == {
    'trunk': 23_508_032,
    'head_au': 267_656,
    'head_expr': 267_527,
    'head_va': 271_784,
  }
  assert sum(parts.values()) == 24_314_999


def test_sizes_of_the_published_cnn_of_two_tasks():
  parts = parameters(MultitaskCNN(PAIR, 112, head='published'))
  assert sum(parts.values()) == 24_047_343


def test_sizes_of_the_heads_in_the_paper():
  # Figure 4: 2048 to 128 to 8, 7 and 40, without BatchNorm.
  parts = parameters(MultitaskCNN(tasks.ABAW2020, 112))
  assert {n: parts[f'head_{n}'] for n in ('au', 'expr', 'va')} == {
    'au': 2048 * 128 + 128 + 128 * 8 + 8,
    'expr': 2048 * 128 + 128 + 128 * 7 + 7,
    'va': 2048 * 128 + 128 + 128 * 40 + 40,
  }


def test_a_single_task_cnn_has_one_head():
  parts = parameters(MultitaskCNN((tasks.expr_task(),), 112))
  assert set(parts) == {'trunk', 'head_expr'}


@pytest.mark.parametrize(
  ('schema', 'total'), [(tasks.ABAW2020, 230_583), (PAIR, 155_055)]
)
def test_sizes_of_the_recurrent_part(schema, total):
  parts = parameters(CNNRNN(schema), 128 * len(schema))
  assert sum(parts.values()) == total
  assert parts['gru_va'] == 74_496


def test_built_by_name():
  model = models.build('multitask_cnn', PAIR, 64, width=0.5, dropout=0.0)
  assert isinstance(model, MultitaskCNN)
  assert (model.layout, model.width) == ('caffe', 0.5)
  model = models.build('multitask_cnn_torchvision', PAIR, 64)
  assert model.layout == 'torchvision'


def test_normalisation():
  image = np.random.default_rng(0).random((2, 3, 3, 3), np.float32)
  caffe = multitask_cnn.normalised(image, 'caffe')
  np.testing.assert_allclose(
    caffe, 255 * image - [131.0912, 103.8827, 91.4953], rtol=1e-4
  )
  torch_like = multitask_cnn.normalised(image, 'torchvision')
  mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
  np.testing.assert_allclose(torch_like, (image - mean) / deviation, rtol=1e-4)
  grey = multitask_cnn.normalised(image[..., :1], 'caffe')
  np.testing.assert_allclose(grey, 255 * image[..., :1] - 108.8231, rtol=1e-4)


def randomised(torch, network):
  generator = torch.Generator().manual_seed(0)
  for name, value in network.state_dict().items():
    if value.is_floating_point():
      noise = torch.randn(value.shape, generator=generator)
      if name.endswith('running_var'):
        value.copy_(1 + noise.abs())
      else:
        value.add_(0.1 * noise)
  return network.double()


def import_torch():
  return pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )


def state_of(network):
  return {k: v.detach().numpy() for k, v in network.state_dict().items()}


def zeros(shapes):
  return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)


def outputs_of(schema, order):
  by_name = {task.name: task.num_outputs for task in schema}
  return [by_name[name] for name in order]


@pytest.fixture(scope='module')
def pair():
  """The published CNN in PyTorch, and the twin's variables."""
  torch = import_torch()
  import torch_multitask

  outputs = outputs_of(tasks.ABAW2020, ORDER)
  network = torch_multitask.CNN(STAGES, WIDTH, HIDDEN, outputs)
  network = randomised(torch, network)
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(resnet.DEPTHS, 'short', (STAGES, resnet.Bottleneck))
    shapes = shapes_of(cnn(head='published'))
  return network, multitask_convert.from_torch(
    state_of(network), zeros(shapes), ORDER
  )


def images(torch):
  image = np.random.default_rng(1).random((3, 2, SIZE, SIZE, 3), np.float32)
  return image, torch.tensor(image).flatten(0, 1).permute(0, 3, 1, 2).double()


def assert_near(got, want):
  np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_outputs_are_those_of_pytorch(pair):
  torch, (network, variables) = import_torch(), pair
  image, x = images(torch)
  with torch.no_grad():
    twin = dict(zip(ORDER, network.eval()(x)))
  apply = jax.jit(functools.partial(cnn(head='published').apply, train=False))
  outputs = apply(variables, {'image': image})
  for name in ORDER:
    assert_near(outputs[name].reshape(6, -1), twin[name][0])
  features = [twin[task.name][1] for task in tasks.ABAW2020]
  assert_near(outputs['features'].reshape(6, -1), torch.cat(features, -1))


def test_gradients_and_statistics_are_those_of_pytorch(pair):
  torch, (network, variables) = import_torch(), pair
  image, x = images(torch)

  def loss(params):
    outputs, updated = cnn(head='published').apply(
      {**variables, 'params': params},
      {'image': image},
      train=True,
      mutable=['batch_stats'],
    )
    total = sum(jnp.mean(jnp.sin(outputs[name])) for name in ORDER)
    return total, updated['batch_stats']

  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (_, statistics), gradients = step(variables['params'])
  sum(torch.mean(torch.sin(y)) for y, _ in network.train()(x)).backward()
  tree = {'params': gradients, 'batch_stats': statistics}
  got = multitask_convert.to_torch(tree, ORDER)
  for name, parameter in network.named_parameters():
    want = parameter.grad.numpy()
    error = np.linalg.norm(got[name] - want)
    assert error < 5e-3 * np.linalg.norm(want) + 1e-5, name
  for name, value in network.state_dict().items():
    if 'running' in name:
      assert_near(got[name], value)


def test_recurrent_part_is_that_of_pytorch():
  torch = import_torch()
  import torch_multitask

  model = CNNRNN(tasks.ABAW2020, HIDDEN, 5)
  network = torch_multitask.RNN(HIDDEN, 5, outputs_of(tasks.ABAW2020, ORDER))
  network = randomised(torch, network)
  shapes = shapes_of(model, HIDDEN * 3)
  variables = multitask_convert.from_torch(
    state_of(network), zeros(shapes), ORDER
  )
  x = np.random.default_rng(1).normal(size=(2, 6, 3, HIDDEN))
  x = x.astype(np.float32)

  def loss(params):
    outputs = model.apply(
      {'params': params}, {'features': x.reshape(2, 6, -1)}, train=True
    )
    return sum(jnp.mean(jnp.sin(outputs[n])) for n in ORDER), outputs

  (_, outputs), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(
    variables['params']
  )
  names = [task.name for task in tasks.ABAW2020]
  parts = [torch.tensor(x[:, :, names.index(n)]).double() for n in ORDER]
  twin = network(parts)
  sum(torch.mean(torch.sin(y)) for y in twin).backward()
  for name, y in zip(ORDER, twin):
    np.testing.assert_allclose(outputs[name], y.detach(), rtol=1e-4, atol=1e-5)
  got = multitask_convert.to_torch({'params': gradients}, ORDER)
  assert set(got) == set(network.state_dict())
  for name, parameter in network.named_parameters():
    np.testing.assert_allclose(
      got[name], parameter.grad, rtol=1e-3, atol=1e-5, err_msg=name
    )


def test_pretrained_trunk_without_its_classifier():
  shapes = shapes_of(cnn())
  rng = np.random.default_rng(0)
  full = jax.tree.map(
    lambda s: rng.normal(size=s.shape).astype(np.float32), shapes
  )
  for layout in multitask_cnn.NORMALISATION:
    found = multitask_convert._trunk_names(full, layout)
    flat = multitask_convert.traverse_util.flatten_dict(full)
    state = {
      name: multitask_convert._to_torch(path, flat[path])
      for name, path in found.items()
    }
    state |= {'classifier.weight': np.ones((8, 2)), 'fc.bias': np.ones(8)}
    loaded = multitask_convert.trunk_from_torch(state, zeros(shapes), layout)
    jax.tree.map(
      np.testing.assert_array_equal,
      loaded['params']['trunk'],
      full['params']['trunk'],
    )
    head = loaded['params']['head_au']['linear0']['kernel']
    assert not head.any()


def test_weights_that_do_not_fit():
  shapes = shapes_of(cnn(head='published'))
  with pytest.raises(ValueError, match=r'missing: .*conv1_7x7_s2'):
    multitask_convert.from_torch({}, zeros(shapes), ORDER)
  with pytest.raises(ValueError, match="does not name the head of 'au'"):
    multitask_convert.from_torch({}, zeros(shapes), ('expr', 'va'))


def test_inputs_that_do_not_fit():
  with pytest.raises(ValueError, match='expected \\[B, L, 32, 32, 3\\]'):
    cnn().init(jax.random.key(0), {'image': jnp.zeros((1, 1, 8, 8, 3))}, False)
  with pytest.raises(ValueError, match='24\\], 8 for each task'):
    CNNRNN(tasks.ABAW2020, 8).init(
      jax.random.key(0), {'features': jnp.zeros((1, 2, 9))}, False
    )
  with pytest.raises(ValueError, match="head 'other'"):
    shapes_of(cnn(head='other'))
