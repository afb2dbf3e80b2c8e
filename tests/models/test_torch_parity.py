"""The same weights in PyTorch give the same outputs, statistics, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from code_generator import USERS_OPTIONS

from emojax import models, tasks
from emojax.models import convert

torch = pytest.importorskip(
  'torch', reason='PyTorch parity: pip install emojax[parity]'
)

import torch_emenet  # noqa: E402

ORDER = ('expr', 'au', 'va')
WIDTH, SIZE, HIDDEN = 0.25, 32, 16
SCALE = 7.0  # of the outputs' weights in the loss


def randomised(network):
  """A network in float64 whose every weight and statistic is random."""
  generator = torch.Generator().manual_seed(0)
  for name, value in network.state_dict().items():
    if value.is_floating_point():
      noise = torch.randn(value.shape, generator=generator)
      if name.endswith('running_var'):
        value.copy_(1 + noise.abs())
      else:
        value.add_(0.05 * noise)
  return network.double()


def state_of(network):
  return {k: v.detach().numpy() for k, v in network.state_dict().items()}


@pytest.fixture(
  scope='module',
  params=['emenet_v', pytest.param('emenet_va', marks=pytest.mark.slow)],
)
def pair(request):
  """Model, its variables and the PyTorch network with the same weights."""
  head = 'paper' if request.param == 'emenet_va' else 'published'
  model = models.build(
    request.param,
    tasks.ABAW2021,
    SIZE,
    width=WIDTH,
    hidden=HIDDEN,
    head=head,
    lowering='matmul',
  )
  outputs = [
    next(t.num_outputs for t in tasks.ABAW2021 if t.name == name)
    for name in ORDER
  ]
  torch.manual_seed(1)
  network = randomised(
    torch_emenet.EMENet(
      outputs, 2, WIDTH, HIDDEN, model.audio, relu=head == 'paper'
    )
  )
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  variables = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
  return model, convert.from_torch(state_of(network), variables), network


def batch(seed=0):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.random((3, 4, SIZE, SIZE, 3), np.float32),
    'audio': rng.standard_normal((3, 4, 64, 64), np.float32),
  }


def torch_outputs(network, inputs):
  return network(*(torch.from_numpy(v).double() for v in inputs.values()))


def assert_close(got, want, tolerance, name=''):
  # Some gradients are zero: BatchNorm removes what comes after the bias.
  error = np.linalg.norm(got - want) / (np.linalg.norm(want) + 1e-3)
  assert error < tolerance, f'{name}: relative error {error}'


def test_outputs_in_inference(pair):
  model, variables, network = pair
  with torch.no_grad():
    want = torch_outputs(network.eval(), batch())
  got = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, batch())
  for name, output in zip(ORDER, want):
    assert_close(got[name], output.numpy(), 1e-4, name)


@pytest.mark.slow
def test_train_step(pair):
  model, variables, network = pair

  def loss(params):
    outputs, updated = model.apply(
      {**variables, 'params': params},
      batch(),
      train=True,
      dropout=False,
      mutable=['batch_stats'],
    )
    total = sum(jnp.mean(jnp.sin(SCALE * outputs[name])) for name in ORDER)
    return total, updated['batch_stats']

  step = jax.jit(
    jax.value_and_grad(loss, has_aux=True), compiler_options=USERS_OPTIONS
  )
  (value, statistics), gradients = step(variables['params'])
  network.train().zero_grad()
  outputs = torch_outputs(network, batch())
  total = sum(torch.mean(torch.sin(SCALE * y)) for y in outputs)
  total.backward()

  np.testing.assert_allclose(value, total.item(), rtol=1e-3)
  tree = {'params': gradients, 'batch_stats': statistics}
  got, state = convert.to_torch(tree, ORDER), network.state_dict()
  for name, parameter in network.named_parameters():
    assert_close(got[name], parameter.grad.numpy(), 5e-3, name)
  for name in got:
    if 'running' in name:
      assert_close(got[name], state[name].numpy(), 1e-4, name)


def test_there_and_back_is_exact(pair):
  _, variables, network = pair
  state = convert.to_torch(variables)
  names = {n for n in network.state_dict() if 'num_batches' not in n}
  assert set(state) == names
  back = convert.from_torch(state, jax.tree.map(np.zeros_like, variables))
  jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_landmark_checkpoint_of_the_trunk(tmp_path):
  network = torch_emenet.MobileFaceNet(2, WIDTH, embedding=136)
  path = tmp_path / 'model.pth.tar'
  wrapped = {f'module.{k}': v for k, v in network.state_dict().items()}
  torch.save({'state_dict': wrapped, 'epoch': 3}, path)
  model = models.build('emenet_v', tasks.ABAW2021, SIZE, width=WIDTH)
  variables = models.init(model, jax.random.key(0))
  loaded = convert.trunk_from_torch(convert.read_state_dict(path), variables)
  want = network.conv_3.model[2].project.conv.weight.detach().numpy()
  got = loaded['params']['trunk']['conv_3_2']['project']['kernel']
  np.testing.assert_array_equal(got[0, 0], want[:, :, 0, 0].T)
  assert loaded['params']['head_au'] is not None
  before = variables['params']['trunk']['conv_3_2']['project']['kernel']
  assert not np.array_equal(before, got)


def test_file_without_weights(tmp_path):
  torch.save([1, 2], tmp_path / 'list.pth')
  with pytest.raises(ValueError, match='expected a state_dict'):
    convert.read_state_dict(tmp_path / 'list.pth')
