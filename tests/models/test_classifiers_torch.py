"""AlexNet, VGG16 and DenseNet equal PyTorch's with the same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from code_generator import USERS_OPTIONS

from emojax import models, tasks
from emojax.models import vgg

torch = pytest.importorskip(
  'torch', reason='PyTorch parity: pip install emojax[parity]'
)

import torch_classifiers as reference  # noqa: E402

SCHEMA = (tasks.expr_task(tasks.FERPLUS),)
SCALE = 3.0


def build(name, size, channels, **changes):
  model = models.build(
    name, SCHEMA, size, width=0.125, hidden=16, channels=channels
  )
  # tests/ops show that the lowerings agree; this one compiles faster.
  return model.clone(lowering='lax', noise='none', **changes)


CASES = {
  'alexnet': (build('alexnet', 35, 1), reference.AlexNet),
  'vgg16': (build('vgg16', 32, 3), reference.VGG16),
  'vgg16_bn': (build('vgg16_bn', 32, 1), reference.VGG16),
  'densenet': (
    build('densenet121', 32, 1, blocks=(2, 1, 1), dense_layers=1),
    reference.DenseNet,
  ),
}


@pytest.fixture(scope='module', autouse=True)
def _shallow():
  """Fewer layers of each kind: the same code, compiled in a fraction."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(vgg, 'STAGES', ((64,), (128,), (256,) * 2, (512,), (512,)))
    yield


@pytest.fixture(
  scope='module',
  params=[
    pytest.param(name, marks=pytest.mark.slow) if name != 'alexnet' else name
    for name in sorted(CASES)
  ],
)
def case(request):
  """(model, variables, image, PyTorch network with the same weights)."""
  model, kind = CASES[request.param]
  rng = np.random.default_rng(1)
  size = model.image_size
  image = rng.random((3, 2, size, size, model.channels), np.float32)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  variables = jax.tree_util.tree_map_with_path(
    lambda path, s: value_of(rng, path[-1].key, s.shape), shapes
  )
  variables.setdefault('batch_stats', {})
  network = reference.make(kind, model, image)
  found = network.load_state_dict(reference.to_torch(variables), strict=False)
  assert not found.unexpected_keys
  assert all('num_batches' in key for key in found.missing_keys)
  return model, variables, image, network


def value_of(rng, name, shape):
  noise = rng.standard_normal(shape).astype(np.float32)
  if name == 'kernel':
    return noise * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
  if name in ('scale', 'var'):
    return 1 + 0.2 * np.abs(noise)
  return 0.1 * noise


def assert_close(got, want, tolerance, name=''):
  error = np.linalg.norm(got - want) / (np.linalg.norm(want) + 1e-3)
  assert error < tolerance, f'{name}: relative error {error}'


def test_inference(case):
  model, variables, image, network = case
  run = jax.jit(lambda v, x: model.apply(v, {'image': x}, train=False)['expr'])
  got = run(variables, image)
  assert got.shape == (3, 2, 8)
  with torch.no_grad():
    want = network.eval()(torch.from_numpy(image).double())
  assert_close(got.reshape(6, 8), want.numpy(), 1e-5)


def test_training_step(case):
  model, variables, image, network = case

  @functools.partial(jax.jit, compiler_options=USERS_OPTIONS)
  def step(params):
    def loss(params):
      outputs, updated = model.apply(
        {**variables, 'params': params},
        {'image': image},
        train=True,
        mutable=['batch_stats'],
      )
      return jnp.mean(jnp.sin(SCALE * outputs['expr'])), updated

    return jax.value_and_grad(loss, has_aux=True)(params)

  (value, updated), gradients = step(variables['params'])
  network.train().zero_grad()
  loss = torch.mean(
    torch.sin(SCALE * network(torch.from_numpy(image).double()))
  )
  loss.backward()

  np.testing.assert_allclose(value, loss.item(), rtol=1e-3, atol=1e-5)
  tree = {'params': gradients, 'batch_stats': updated.get('batch_stats', {})}
  got, state = reference.to_torch(jax.device_get(tree)), network.state_dict()
  parameters = dict(network.named_parameters())
  assert set(parameters) <= set(got)
  for name, value in got.items():
    running = 'running' in name
    want = state[name] if running else parameters[name].grad
    assert_close(value.numpy(), want.numpy(), 1e-4 if running else 5e-3, name)
