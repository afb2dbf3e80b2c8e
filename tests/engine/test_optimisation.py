"""Schedules, weight decay and settings against optax, PyTorch and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from emojax import models, tasks
from emojax.engine import optimisation
from emojax.engine.packing import pack

EPOCHS, STEPS = 8, 5  # of an epoch
TOTAL = EPOCHS * STEPS


def factors(kind, warmup=0.0, epochs=EPOCHS, **options):
  """The factor at every step, as the engine asks for it."""
  made = optimisation.schedule(kind, epochs, warmup, **options)
  step = jnp.arange(epochs * STEPS)
  epoch = step.astype(jnp.float32) / STEPS if made.stepwise else step // STEPS
  return np.asarray(jax.jit(jax.vmap(made.factor))(epoch))


def by_steps(schedule):
  """An optax schedule that counts steps."""
  return np.array([schedule(step) for step in range(TOTAL)])


@pytest.mark.parametrize('warmup', [0, 1, 2.4])
def test_cosine(warmup):
  expected = optax.warmup_cosine_decay_schedule(
    0, 1, round(warmup * STEPS), TOTAL
  )
  found = factors('cosine', warmup)
  np.testing.assert_allclose(found, by_steps(expected), atol=2e-6)
  assert found.argmax() == round(warmup * STEPS)


def test_cosine_by_hand():
  t = np.arange(TOTAL) / TOTAL
  expected = (1 + np.cos(np.pi * t)) / 2
  np.testing.assert_allclose(factors('cosine'), expected, atol=2e-6)


@pytest.mark.parametrize('warmup', [0, 1.6])
def test_exponential(warmup):
  expected = optax.warmup_exponential_decay_schedule(
    0, 1, round(warmup * STEPS), 2 * STEPS, 0.3
  )
  found = factors('exponential', warmup, every=2, factor=0.3)
  np.testing.assert_allclose(found, by_steps(expected), rtol=2e-5)


@pytest.mark.slow
def test_onecycle_is_optaxs_and_pytorchs():
  torch = pytest.importorskip('torch')
  found = factors('onecycle', 0.3 * EPOCHS)
  expected = optax.cosine_onecycle_schedule(TOTAL, 1.0, pct_start=0.3)
  np.testing.assert_allclose(found, by_steps(expected), atol=2e-6)
  # PyTorch reaches its ends at the last steps of both parts, not after them.
  optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
  theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, TOTAL + 1)
  rates = []
  for _ in range(TOTAL):
    rates.append(theirs.get_last_lr()[0])
    optimizer.step()
    theirs.step()
  np.testing.assert_allclose(found, rates, atol=0.06)
  assert found[0] == pytest.approx(1 / 25)


def test_steps_are_those_of_before():
  found = factors('step', every=3, factor=0.1)
  expected = 0.1 ** (np.arange(TOTAL) // STEPS // 3)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert not optimisation.schedule('step', EPOCHS).stepwise


def test_steps_with_a_warm_up():
  found = factors('step', 1.5, every=3, factor=0.1)
  rise = np.minimum(np.arange(TOTAL) / (1.5 * STEPS), 1)
  expected = rise * 0.1 ** (np.arange(TOTAL) // STEPS // 3)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('linear', 4), "train.schedule='linear': expected one of step"),
    (('cosine', 4, 4), 'warmup_epochs=4: .* less than the 4 epochs'),
    (('cosine', 4, -1), 'warmup_epochs=-1'),
    (('cosine', 4, float('nan')), 'warmup_epochs=nan'),
    (('onecycle', 10), 'set train.warmup_epochs, e.g. to 3 '),
    (('step', 4, 0, 0), 'every 0 epochs'),
  ],
)
def test_schedules_that_cannot_be(arguments, message):
  with pytest.raises(ValueError, match=message):
    optimisation.schedule(*arguments)


def problem():
  """A network's kinds of arrays, and a gradient that depends on them."""
  rng = np.random.default_rng(0)
  shapes = {
    'conv': {
      'kernel': (3, 3, 2, 4),
      'bias': (4,),
      'scale': (4,),
      'slope': (4,),
    },
    'linear': {'kernel': (4, 3), 'bias': (3,)},
  }

  def draw(shape):
    return rng.normal(size=shape).astype(np.float32)

  params = jax.tree.map(draw, shapes, is_leaf=lambda x: isinstance(x, tuple))
  return params, jax.tree.map(lambda p: draw(p.shape), params)


def loss(params, target):
  parts = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), params, target)
  return sum(jax.tree.leaves(parts))


RATE, DECAY = 0.05, 0.1


def trained(optimizer, steps=20):
  """What the engine does with an optimiser, step by step."""
  params, target = problem()
  packed = pack(params)
  state = optimizer.init(packed)
  for _ in range(steps):
    grads = pack(jax.grad(loss)(packed.tree(), target))
    updates, state = optimizer.update(grads, state, packed)
    packed = jax.tree.map(lambda p, u: p - RATE * u, packed, updates)
  return packed.tree()


@pytest.mark.slow
def test_weight_decay_is_adamw():
  found = trained(optimisation.with_decay(optax.scale_by_adam(), DECAY))
  params, target = problem()
  mask = jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key == 'kernel', params
  )
  adamw = optax.adamw(RATE, weight_decay=DECAY, mask=mask)
  state = adamw.init(params)
  for _ in range(20):
    grads = jax.grad(loss)(params, target)
    updates, state = adamw.update(grads, state, params)
    params = optax.apply_updates(params, updates)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
    found,
    params,
  )


def test_weight_decay_is_pytorchs():
  torch = pytest.importorskip('torch')
  found = trained(optimisation.with_decay(optax.scale_by_adam(), DECAY))
  params, target = problem()
  leaves, treedef = jax.tree.flatten(params)
  tensors = [torch.tensor(x, requires_grad=True) for x in leaves]
  goals = [torch.tensor(x) for x in jax.tree.leaves(target)]
  kernels = [x for x in tensors if x.ndim > 1]
  others = [x for x in tensors if x.ndim == 1]
  groups = [{'params': kernels}, {'params': others, 'weight_decay': 0.0}]
  optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY)
  for _ in range(20):
    optimizer.zero_grad()
    sum(((x - t) ** 2).sum() for x, t in zip(tensors, goals)).backward()
    optimizer.step()
  expected = treedef.unflatten([x.detach().numpy() for x in tensors])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
    found,
    expected,
  )


def test_no_weight_decay_is_the_optimiser_itself():
  adam = optax.scale_by_adam()
  assert optimisation.with_decay(adam, 0.0) is adam
  with pytest.raises(ValueError, match=r'train\.weight_decay=-1'):
    optimisation.with_decay(adam, -1)


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=pytest.mark.slow) if name != 'emenet_va' else name
    for name in sorted(models.MODELS)
  ],
)
def test_kernels_decay_and_nothing_else(name):
  schema = (tasks.expr_task(),)
  model = models.build(name, schema, 48, width=0.125, hidden=8)
  shapes = jax.eval_shape(lambda k: models.init(model, k), jax.random.key(0))
  mask = optimisation.decays(shapes['params'])
  for path, decays in jax.tree_util.tree_flatten_with_path(mask)[0]:
    leaf = path[-1].key
    assert decays == leaf.startswith(('kernel', 'depthwise')), path


def test_settings_of_former_runs_are_neutral():
  train = ConfigDict({'epochs': 4, 'decay_every': 2, 'decay_factor': 0.5})
  found = optimisation.from_config(train)
  assert not found['stepwise']
  assert (found['ema'], found['select']) == (0, 'total')
  assert [float(found['schedule'](e)) for e in range(4)] == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'ema': 1.0}, 'train.ema=1.0: expected 0 or more, and less than 1'),
    ({'select': 'acc'}, "train.select='acc': expected one of total, nll"),
    ({'schedule': 'cos'}, "train.schedule='cos'"),
  ],
)
def test_settings_that_mean_nothing(changes, message):
  train = ConfigDict({'epochs': 4, 'decay_every': 2, 'decay_factor': 0.5})
  train.update(changes)
  with pytest.raises(ValueError, match=message):
    optimisation.from_config(train)
