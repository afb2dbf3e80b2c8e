"""Dropout, BatchNorm, time and devices: what `apply` promises."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import models, tasks
from emojax.models import layers, marblenet, mobilefacenet

PARTITION = jax.sharding.PartitionSpec
SIZE = 32


@pytest.fixture(scope='module', autouse=True)
def _shallow():
  """One stage of each kind: the same code, compiled in a fraction."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(mobilefacenet, 'STAGES', mobilefacenet.STAGES[:1])
    patch.setattr(marblenet, 'BLOCKS', marblenet.BLOCKS[-2:])
    yield


def build(name='emenet_v', **options):
  options = {'width': 0.125, 'hidden': 8, **options}
  return models.build(name, tasks.ABAW2021, SIZE, **options)


def draw(model, seed=0):
  """Variables with random statistics; quicker than the initialisers."""
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: (0.5 + 0.2 * rng.standard_normal(s.shape)).astype(np.float32),
    shapes,
  )


def clips(model, batch=4, frames=3):
  rng = np.random.default_rng(5)
  shapes = models.example_inputs(model, batch, frames)
  return {k: rng.random(v.shape).astype(np.float32) for k, v in shapes.items()}


@pytest.fixture(scope='module')
def small():
  model = build()
  return model, draw(model), clips(model)


@functools.cache
def runner(model, train, dropout):
  @jax.jit
  def run(variables, inputs, key):
    return model.apply(
      variables,
      inputs,
      train=train,
      dropout=dropout,
      rngs={'dropout': key},
      mutable=['batch_stats'],
    )

  return run


def apply(model, variables, inputs, key=0, train=False, dropout=None):
  run = runner(model, train, dropout)
  return run(variables, inputs, jax.random.key(key))


def differs(a, b):
  return not np.allclose(a['au'], b['au'], atol=1e-6)


def test_monte_carlo_dropout_leaves_the_statistics_alone(small):
  settings = {'train': False, 'dropout': True}
  first, state = apply(*small, key=0, **settings)
  again, _ = apply(*small, key=0, **settings)
  other, _ = apply(*small, key=1, **settings)
  plain, _ = apply(*small, train=False)
  np.testing.assert_array_equal(first['au'], again['au'])
  assert differs(first, other)
  assert differs(first, plain)
  np.testing.assert_allclose(first['features'], plain['features'], rtol=1e-5)
  before = small[1]['batch_stats']
  jax.tree.map(np.testing.assert_array_equal, state['batch_stats'], before)


def test_dropout_follows_train_unless_told(small):
  default, state = apply(*small, key=0, train=True)
  dropped, _ = apply(*small, key=0, train=True, dropout=True)
  kept, _ = apply(*small, train=True, dropout=False)
  np.testing.assert_array_equal(default['au'], dropped['au'])
  assert differs(default, kept)
  moved = jax.tree.map(
    lambda a, b: not np.allclose(a, b),
    state['batch_stats'],
    small[1]['batch_stats'],
  )
  assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_heads_drop_in_different_places():
  features = jnp.ones((2, 3, 8))
  for kind in ('paper', 'published'):
    head = models.heads.TemporalHead(5, hidden=4, dropout=0.5, kind=kind)
    variables = head.init(jax.random.key(0), features, False)
    rngs = {'dropout': jax.random.key(1)}
    states = head.apply(
      variables,
      features,
      True,
      rngs=rngs,
      capture_intermediates=True,
      mutable=['intermediates'],
    )[1]['intermediates']['gru']['__call__'][0]
    # With equal inputs only dropout before the GRU tells the clips apart.
    assert np.allclose(states[0], states[1]) == (kind == 'published')


def test_dropout_keeps_the_mean():
  x = jnp.full((400, 50), 3.0)
  y = layers.Dropout(0.25).apply(
    {}, x, True, rngs={'dropout': jax.random.key(0)}
  )
  np.testing.assert_allclose(np.unique(y), [0, 4])
  assert abs(float(y.mean()) - 3) < 0.05


def test_outputs_depend_on_the_past_only(small):
  model, variables, inputs = small
  before, _ = apply(model, variables, inputs, train=False)
  changed = {'image': inputs['image'].copy()}
  changed['image'][:, 1] = 0
  after, _ = apply(model, variables, changed, train=False)
  np.testing.assert_allclose(before['va'][:, 0], after['va'][:, 0], rtol=1e-5)
  assert not np.allclose(before['va'][:, 1], after['va'][:, 1])
  assert not np.allclose(before['va'][:, 2], after['va'][:, 2])


def test_lowerings_agree():
  lax, matmul = (build('emenet_va', lowering=x) for x in ('lax', 'matmul'))
  variables, inputs = draw(lax), clips(lax)
  want, _ = apply(lax, variables, inputs, train=True, dropout=False)
  got, _ = apply(matmul, variables, inputs, train=True, dropout=False)
  for name, value in want.items():
    np.testing.assert_allclose(got[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_bfloat16_is_close_and_returns_float32(small):
  model, variables, inputs = small
  want, _ = apply(model, variables, inputs, train=False)
  rough = build(dtype='bfloat16')
  got, state = apply(rough, variables, inputs, train=True, dropout=False)
  assert {v.dtype for v in jax.tree.leaves((got, state))} == {
    jnp.dtype('float32')
  }
  got, _ = apply(rough, variables, inputs, train=False)
  np.testing.assert_allclose(got['au'], want['au'], rtol=0.1, atol=0.1)


def test_one_value_per_channel_has_no_variance(small):
  model, variables, _ = small
  with pytest.raises(ValueError, match='at least two frames'):
    apply(model, variables, clips(model, 1, 1), train=True, dropout=False)


class Miniature(nn.Module):
  """One of every layer that knows about shards."""

  axis_name: str | None = None

  @nn.compact
  def __call__(self, image, train):
    options = {'axis_name': self.axis_name}
    x = image.reshape(-1, *image.shape[2:])
    x = layers.ConvNorm(8, (3, 3), prelu=True, name='stem', **options)(x, train)
    x = mobilefacenet.Unit(8, 8, 1, options, name='unit')(x, train)
    x = x.mean((1, 2)).reshape(*image.shape[:2], -1)
    head = models.heads.TemporalHead(5, hidden=4, name='head', **options)
    return head(x, train)


@pytest.mark.slow
@pytest.mark.parametrize('check_vma', [True, False])
def test_shards_equal_the_whole_batch(check_vma):
  if jax.device_count() < 2:
    pytest.skip('needs two devices: --xla_force_host_platform_device_count=2')
  image = np.random.default_rng(0).random((4, 3, 6, 6, 3), np.float32)
  variables = Miniature().init(jax.random.key(0), image, False)

  def gradients(model, variables, image):
    def loss(params):
      outputs, state = model.apply(
        {**variables, 'params': params},
        image,
        True,
        mutable=['batch_stats'],
        rngs={'dropout': jax.random.key(3)},
      )
      return jnp.sum(jnp.sin(outputs)), (state['batch_stats'], outputs)

    return jax.grad(loss, has_aux=True)(variables['params'])

  def shard(variables, image):
    if check_vma:
      # Replicated parameters would have their gradients summed already.
      variables = jax.tree.map(
        lambda v: jax.lax.pcast(v, 'batch', to='varying'), variables
      )
    grads, (stats, outputs) = gradients(Miniature('batch'), variables, image)
    # The statistics are equal on every device.
    stats = jax.lax.pmean(stats, 'batch')
    return jax.lax.psum(grads, 'batch'), (stats, outputs)

  replicated, rows = PARTITION(), PARTITION('batch')
  sharded = jax.shard_map(
    shard,
    mesh=jax.make_mesh(
      (2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
    ),
    in_specs=(replicated, rows),
    out_specs=(replicated, (replicated, rows)),
    check_vma=check_vma,
  )
  got = jax.jit(sharded)(variables, image)
  want = jax.jit(lambda *args: gradients(Miniature(), *args))(variables, image)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    got,
    want,
  )
