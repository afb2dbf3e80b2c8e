"""DropConnect: what is dropped, for whom, and that sharding changes nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import models, ops, tasks
from emojax.models import dropconnect
from emojax.models.alexnet import AlexNet, first_stride
from emojax.models.count import num_parameters
from emojax.models.dropconnect import DropConnectConv, DropConnectDense

PARTITION = jax.sharding.PartitionSpec
SCHEMA = (tasks.expr_task(tasks.FERPLUS),)


def variables(kernel, bias):
  return {'params': {'kernel': kernel, 'bias': bias}}


@pytest.fixture(scope='module')
def weights():
  rng = np.random.default_rng(0)
  kernel = rng.uniform(0.5, 1, (40, 30)).astype(np.float32)
  return variables(kernel, rng.normal(size=30).astype(np.float32))


def run(layer, weights, x, key=0):
  return np.asarray(
    layer.apply(weights, x, True, rngs={'dropout': jax.random.key(key)})
  )


@pytest.mark.parametrize('rate', [0.2, 0.5, 0.9])
def test_kept_weights_are_scaled_and_biases_are_not_dropped(weights, rate):
  # An identity as input shows the kernel that was used.
  layer = DropConnectDense(30, rate)
  used = run(layer, weights, np.eye(40, dtype=np.float32))
  used = used - weights['params']['bias']
  kernel = weights['params']['kernel']
  dropped = np.abs(used) < 1e-5
  np.testing.assert_allclose(
    used[~dropped], kernel[~dropped] / (1 - rate), rtol=1e-4
  )
  spread = np.sqrt(rate * (1 - rate) / kernel.size)
  assert abs(dropped.mean() - rate) < 4 * spread


def test_inactive_or_at_rate_zero_it_is_linear(weights):
  x = np.random.default_rng(1).normal(size=(5, 40)).astype(np.float32)
  kernel, bias = weights['params'].values()
  want = x @ kernel + bias
  # Neither needs a key.
  off = DropConnectDense(30, 0.5).apply(weights, x, False)
  none = DropConnectDense(30, 0.0).apply(weights, x, True)
  np.testing.assert_allclose(off, want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(none, want, rtol=1e-4, atol=1e-5)


def test_the_mean_over_masks_is_the_plain_layer(weights):
  x = np.random.default_rng(1).normal(size=(3, 40)).astype(np.float32)
  layer = DropConnectDense(30, 0.5)
  keys = jax.random.split(jax.random.key(0), 4000)
  draw = jax.vmap(lambda k: layer.apply(weights, x, True, rngs={'dropout': k}))
  draws = np.asarray(draw(keys))
  plain = layer.apply(weights, x, False)
  error = np.abs(draws.mean(0) - plain) / (draws.std(0) / np.sqrt(4000))
  assert error.max() < 5


@pytest.mark.parametrize('per', dropconnect.PER)
def test_masks_for_the_call_or_for_examples(weights, per):
  row = np.random.default_rng(1).normal(size=40).astype(np.float32)
  layer = DropConnectDense(30, 0.5, per)
  y = run(layer, weights, np.stack([row, row, row]))
  assert np.allclose(y[0], y[1]) == (per == 'call')
  assert not np.allclose(y, run(layer, weights, np.stack([row] * 3), key=1))


def test_unknown_scope_of_masks(weights):
  with pytest.raises(ValueError, match="per 'batch': expected one of call, ex"):
    run(DropConnectDense(30, 0.5, 'batch'), weights, np.zeros((2, 40)))


@pytest.mark.parametrize('per', dropconnect.PER)
def test_both_lowerings_of_the_convolution_agree(per):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, 7, 7, 4)).astype(np.float32)
  kernel = rng.normal(size=(3, 3, 4, 8)).astype(np.float32)
  weights = variables(kernel, np.zeros(8, np.float32))
  outputs = [
    run(
      DropConnectConv(8, 3, 2, 1, rate=0.5, per=per, lowering=lowering),
      weights,
      x,
    )
    for lowering in ('lax', 'matmul')
  ]
  np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)
  plain = DropConnectConv(8, 3, 2, 1).apply(weights, x, False)
  assert not np.allclose(outputs[0], plain, atol=1e-2)


@pytest.mark.parametrize(
  ('size', 'kernel', 'strides', 'padding'),
  [(64, 11, 4, 2), (48, 11, 2, 2), (32, 7, 2, 3), (13, 3, 2, 1), (9, 5, 3, 0)],
)
def test_blocks_of_pixels_as_channels(size, kernel, strides, padding):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, size, size, 2)).astype(np.float32)
  weights = rng.normal(size=(kernel, kernel, 2, 3)).astype(np.float32)
  settings = {'strides': strides, 'padding': padding}
  want = ops.conv(x, weights, **settings, lowering='lax')
  blocks = dropconnect.space_to_depth(x, weights, strides, padding)
  assert blocks[1].shape[0] == -(-kernel // strides)
  got = ops.conv(*blocks, lowering='lax')
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('per', dropconnect.PER)
def test_sharding_changes_nothing(weights, per):
  x = np.random.default_rng(1).normal(size=(4, 40)).astype(np.float32)
  whole = run(DropConnectDense(30, 0.5, per), weights, x)
  mesh = jax.make_mesh(
    (2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  layer = DropConnectDense(30, 0.5, per, axis_name='batch')
  split = jax.jit(
    jax.shard_map(
      functools.partial(run_traced, layer, weights),
      mesh=mesh,
      in_specs=PARTITION('batch'),
      out_specs=PARTITION('batch'),
      check_vma=False,
    )
  )(x)
  np.testing.assert_allclose(split, whole, rtol=1e-4, atol=1e-5)


def run_traced(layer, weights, x):
  return layer.apply(weights, x, True, rngs={'dropout': jax.random.key(0)})


def alexnet(**changes):
  sizes = {'image_size': 22, 'width': 0.125, 'hidden': 16, 'channels': 1}
  return AlexNet(SCHEMA, **sizes, lowering='lax', **changes)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('noise', 'placement', 'first'),
  [
    ('dropconnect', 'published', 'dense1'),
    ('dropconnect', 'last', 'head_expr'),
    ('dropconnect', 'all', 'conv1'),
    ('dropout', 'published', 'dense1'),
    ('dropout', 'conv', 'conv2'),
    ('none', 'all', None),
  ],
)
def test_where_noise_begins(noise, placement, first):
  model = alexnet(noise=noise, placement=placement)
  image = jnp.ones((1, 2, 22, 22, 1)) * 0.3

  @jax.jit
  def outputs(key):
    weights = models.init(model, jax.random.key(0))
    _, state = model.apply(
      weights,
      {'image': image},
      train=False,
      dropout=True,
      rngs={'dropout': key},
      capture_intermediates=lambda module, _: isinstance(
        module, (DropConnectConv, DropConnectDense)
      ),
      mutable=['intermediates'],
    )
    return state['intermediates']

  a, b = (outputs(jax.random.key(k)) for k in range(2))
  order = [*(f'conv{i}' for i in range(1, 6)), 'dense1', 'dense2', 'head_expr']
  differ = [
    name
    for name in order
    if not np.array_equal(a[name]['__call__'][0], b[name]['__call__'][0])
  ]
  assert differ == (order[order.index(first) :] if first else [])


@pytest.mark.parametrize(
  ('size', 'stride'), [(224, 4), (64, 4), (62, 2), (48, 2), (34, 1), (21, 1)]
)
def test_alexnet_has_the_published_stride_where_images_allow_it(size, stride):
  assert first_stride(size) == stride


def test_alexnet_needs_images_of_21_pixels():
  with pytest.raises(ValueError, match='20 pixels: expected at least 21'):
    first_stride(20)


@pytest.mark.parametrize(
  'setting', [{'noise': 'drop'}, {'placement': 'first'}, {'mask_per': 'image'}]
)
def test_unknown_settings(setting):
  model = alexnet(**setting)
  (name, value), *_ = setting.items()
  with pytest.raises(ValueError, match=f'{name} {value!r}: expected one of'):
    jax.eval_shape(lambda: models.init(model, jax.random.key(0)))


@pytest.mark.slow
def test_published_sizes():
  """Those of torchvision, whose last layer has 1000 outputs."""
  thousand = (tasks.expr_task(tuple(f'class {i}' for i in range(1000))),)
  densenet = models.build('densenet121', thousand, 32, lowering='lax')
  assert sum(sizes(densenet).values()) == 7_978_856
  vgg = sizes(models.build('vgg16', thousand, 32, lowering='lax'))
  convolutions = [n for name, n in vgg.items() if name.startswith('conv')]
  assert sum(convolutions) == 14_714_688


def sizes(model):
  """Parameters of each layer."""
  inputs = models.example_inputs(model)
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), inputs, train=False)
  )
  return {k: num_parameters(layer) for k, layer in shapes['params'].items()}
