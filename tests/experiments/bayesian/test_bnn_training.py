"""Training options of the experiment: what they make of labels and weights."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_bnn
from engine import toy

from emojax import models, tasks
from emojax.engine import member, methods, stack
from emojax.engine.packing import pack, unpack
from emojax.experiments.bayesian import networks
from emojax.experiments.bayesian import run as experiment

SCHEMA = (tasks.expr_task(tasks.FERPLUS),)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
  monkeypatch.setitem(models.MODELS, 'alexnet', small_bnn.small)


def made(**changes):
  config = small_bnn.config(methods='dropout', networks='alexnet', **changes)
  (kind,) = networks.stacks(config)
  return config, networks.method(config, kind, SCHEMA, stack.make_mesh(1))


def test_settings_reach_the_method():
  _, method = made(
    train__schedule='cosine', train__ema=0.9, train__select='nll'
  )
  assert (method.ema, method.select, method.stepwise) == (0.9, 'nll', True)
  config, method = made()
  assert config.train.select == 'last'
  assert (method.ema, method.select, method.stepwise) == (0, 'total', False)


def test_drawn_labels_are_smoothed_behind_the_draw():
  value = np.tile(np.float32([0.5, 0.5, 0, 0]), (64, 1, 1))
  mask = np.ones((64, 1), np.float32)
  batch = {'targets': {'expr': tasks.Target(value, mask)}}

  def seen(params, state, batch, key, hparams):
    return batch['targets']['expr'].value

  arguments = None, None, batch, jax.random.key(0), None
  hard = networks.drawn_labels(seen)(*arguments)
  soft = networks.drawn_labels(seen, smoothing=0.2)(*arguments)
  assert set(np.unique(hard)) == {0, 1}
  assert not np.asarray(hard)[..., 2:].any()  # smoothed before, they would be
  np.testing.assert_allclose(soft, 0.8 * hard + 0.05, rtol=1e-6)


def test_drawn_labels_and_mixup_have_keys_of_their_own():
  """Both are of the key of one step; equal ones would draw the same bits."""
  assert networks.DRAW != methods.MIX_STREAM


@pytest.mark.parametrize(
  ('rule', 'low'), [('majority', 0.2 / 8), ('probability', 0.0)]
)
def test_labels_of_a_stack(rule, low):
  config = small_bnn.config(data__rule=rule, loss__label_smoothing=0.2)
  (kind, *_) = networks.stacks(config)
  value = np.eye(8, dtype=np.float32)[np.arange(16) % 8][:, None]
  target = tasks.Target(value, np.ones((16, 1), np.float32))
  dataset = types.SimpleNamespace(
    groups={'expr': np.arange(16)},
    schema=SCHEMA,
    train=types.SimpleNamespace(targets={'expr': target}),
  )
  faces = types.SimpleNamespace(dataset=dataset)
  found = networks.generation(config, kind, faces).targets['expr'].value
  np.testing.assert_allclose(found.min(), low, rtol=1e-6)


def test_weight_decay_of_sgd_shrinks_with_keras_decay_of_the_rate():
  config = small_bnn.config(
    train__optimizer='sgd',
    train__momentum=0.0,
    train__sgd_decay=1.0,
    train__weight_decay=0.1,
  )
  optimizer = networks.optimizer(config, 'alexnet')
  params = pack({'kernel': np.full((2, 2), 3.0, np.float32)})
  grads = jax.tree.map(jnp.zeros_like, params)
  state, found = optimizer.init(params), []
  for _ in range(3):
    updates, state = optimizer.update(grads, state, params)
    found.append(float(updates.tree()['kernel'][0, 0]))
  np.testing.assert_allclose(found, 0.3 / np.arange(1, 4), rtol=1e-6)
  plain = networks.optimizer(small_bnn.config(), 'alexnet')
  assert type(plain.init(params)) is type(optax.scale_by_adam().init(params))


@pytest.mark.parametrize('select', ['last', 'best', 'nll'])
def test_weights_that_are_selected(select):
  state = member.init(toy.method(ema=0.9), jax.random.key(0))
  double = jax.tree.map(lambda x: 2 * x, state.params)
  average = state.opt_state._replace(params=double)
  state = state._replace(opt_state=average)
  settings = types.SimpleNamespace(select=select, epochs=5)
  config = types.SimpleNamespace(train=settings)
  run = types.SimpleNamespace(config=config)
  trainer = types.SimpleNamespace(
    fetch=lambda tree: (
      np.array([3]) if tree is state.best.epoch else unpack(tree)
    ),
    settings=types.SimpleNamespace(members=1),
  )
  segment = types.SimpleNamespace(state=state)
  weights, epochs = experiment._selected(run, trainer, segment)
  expected = double if select == 'last' else state.best.params
  toy.assert_same(weights['params'], expected.tree())
  assert epochs == ([4] if select == 'last' else [3])
