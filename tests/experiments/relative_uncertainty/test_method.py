"""The training method: sharded batches, optimisers, schedules, crops."""

import functools
import pathlib
import runpy
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import tasks
from emojax.data.transform import augment
from emojax.engine.packing import pack
from emojax.experiments.relative_uncertainty import (
  learners,
  method,
  relabel,
  setup,
  trained,
)
from emojax.experiments.relative_uncertainty.relabel import Relabel
from emojax.models import resnet
from emojax.models.uncertainty_net import UncertaintyNet

N, B = 12, 8
SCHEMA = (tasks.expr_task(),)


@pytest.fixture(scope='module')
def make():
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(resnet.DEPTHS, 'resnet2', ((1,), resnet.BasicBlock))
    learner = learners.rul()

    def make(axis_name=None):
      model = UncertaintyNet(
        SCHEMA, 8, 'resnet2', 'half', 0.125, features=4, axis_name=axis_name
      )
      return method.method(
        learner,
        model,
        num_images=N,
        augment=augment.augmentation('none'),
        prepare=lambda images: augment.evaluation('none')(images)[None],
        relabel=Relabel(1.0, 0.0, 0),
        optimizer=method.make_optimizer('adam', 1e-4),
        schedule=method.decay(0.9),
        axis_name=axis_name,
      )

    yield make


@pytest.mark.slow
def test_a_batch_over_devices_is_the_same_step(make):
  whole, split = make(), make('batch')
  params, state = jax.jit(whole.init)(jax.random.key(0))
  rng = np.random.default_rng(0)
  batch = {
    'inputs': {'image': rng.integers(0, 256, (B, 1, 8, 8, 3), dtype=np.uint8)},
    'targets': {'index': rng.permutation(N)[:B].astype(np.int32)},
  }
  hparams = {
    'learning_rate': np.float32(1e-3),
    'labels': jnp.asarray(rng.integers(0, 7, N), jnp.int32),
    'relabel': True,
  }

  def gradient(objective, batch):
    (_, aux), grads = jax.value_and_grad(objective, has_aux=True)(
      params, state, batch, jax.random.key(1), hparams
    )
    return grads, aux

  one = jax.jit(functools.partial(gradient, whole.objective))(batch)
  shards = jax.tree.map(lambda x: x.reshape(2, B // 2, *x.shape[1:]), batch)
  two = jax.jit(
    jax.vmap(functools.partial(gradient, split.objective), axis_name='batch')
  )(shards)
  for a, b in zip(jax.tree.leaves(one[0]), jax.tree.leaves(two[0])):
    np.testing.assert_allclose(a, b.mean(0), rtol=1e-3, atol=1e-5)
  for a, b in zip(jax.tree.leaves(one[1]), jax.tree.leaves(two[1])):
    np.testing.assert_allclose(a, b[1], rtol=1e-4, atol=1e-5)
  assert one[1]['losses']['relabelled'] > 0
  assert one[1]['model_state']['labels'].changed.any()


def test_images_get_their_own_labels(make):
  objective = make().objective
  params, state = jax.jit(make().init)(jax.random.key(0))
  image = np.zeros((B, 1, 8, 8, 3), np.uint8)
  batch = {
    'inputs': {'image': image},
    'targets': {'index': np.arange(B, dtype=np.int32)},
  }

  @jax.jit
  def loss(labels):
    hparams = {
      'learning_rate': jnp.float32(1),
      'labels': labels,
      'relabel': True,
    }
    return objective(params, state, batch, jax.random.key(1), hparams)[0]

  labels = np.arange(N, dtype=np.int32) % 7
  other = labels.copy()
  other[B:] = 0  # images that are not in the batch
  assert loss(labels) == loss(other)
  other[0] = 3
  assert loss(labels) != loss(other)


def test_labels_change_from_an_accuracy_on():
  """Without a network: what it says is given."""
  logits = 3 * np.eye(7, dtype=np.float32)[np.arange(B) % 7]
  given = np.where(np.arange(N) < 2, 6, np.arange(N) % 7).astype(np.int32)
  said = {
    SCHEMA[0].name: logits[:, None],
    'features': np.zeros((B, 1, 4), np.float32),
    'log_sigma': np.zeros((B, 1, 4), np.float32),
  }
  model = types.SimpleNamespace(
    schema=SCHEMA,
    apply=lambda variables, *_, method=None, **__: (
      jnp.zeros((B, 7)) if method else (said, {'batch_stats': {}})
    ),
  )
  objective = method.objective(
    learners.rul(), model, augment.augmentation('none'), Relabel(1.0, 0.0, 0, 5)
  )
  batch = {
    'inputs': {'image': np.zeros((B, 1, 8, 8, 3), np.uint8)},
    'targets': {'index': np.arange(B, dtype=np.int32)},
  }
  state = {
    'batch_stats': {}, 'learner': {}, 'labels': relabel.fresh(N, watched=True),
  }  # fmt: skip
  for needed, changed in ((0.76, 0), (0.75, 2)):  # 6 of 8 labels are predicted
    hparams = {
      'learning_rate': jnp.float32(1), 'labels': jnp.asarray(given),
      'relabel': True, 'relabel_from': jnp.float32(needed),
    }  # fmt: skip
    _, found = objective({}, state, batch, jax.random.key(1), hparams)
    assert found['losses']['relabelled'] == changed
    memory = found['model_state']['labels']
    assert memory.right == 0.75
    assert memory.changed.sum() == changed


@pytest.mark.parametrize('kind', ['adam', 'sgd'])
def test_optimisers_are_those_of_pytorch(kind):
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  rng = np.random.default_rng(0)
  start = {
    n: rng.normal(size=3).astype(np.float32) for n in ('classifier', 'x')
  }
  tensors = {n: torch.tensor(v, requires_grad=True) for n, v in start.items()}
  groups = [
    {'params': [tensors['x']], 'lr': 0.01},
    {'params': [tensors['classifier']], 'lr': 0.1},
  ]
  theirs = (
    torch.optim.Adam(groups, weight_decay=0.1)
    if kind == 'adam'
    else torch.optim.SGD(groups, lr=0.01, momentum=0.9, weight_decay=0.1)
  )
  ours = method.make_optimizer(kind, 0.1, classifier_rate=10.0)
  params, state = start, ours.init(pack(start))
  for step in range(4):
    grads = {n: np.sin(step + v) for n, v in params.items()}
    for name, grad in grads.items():
      tensors[name].grad = torch.from_numpy(grad)
    theirs.step()
    updates, state = ours.update(pack(grads), state, pack(params))
    updates = updates.tree()
    params = {
      n: np.asarray(params[n] - 0.01 * updates[n], np.float32) for n in params
    }
    for name, tensor in tensors.items():
      np.testing.assert_allclose(
        params[name], tensor.detach(), rtol=1e-4, atol=1e-6
      )


def test_adamw_is_that_of_pytorch():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  rng = np.random.default_rng(0)
  shapes = {'classifier': (3, 2), 'x': (2, 3), 'bias': (4,)}
  start = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
  tensors = {n: torch.tensor(v, requires_grad=True) for n, v in start.items()}
  groups = [
    {'params': [tensors['x']], 'lr': 0.01},
    {'params': [tensors['bias']], 'lr': 0.01, 'weight_decay': 0.0},
    {'params': [tensors['classifier']], 'lr': 0.1},
  ]
  theirs = torch.optim.AdamW(groups, weight_decay=0.1)
  ours = method.make_optimizer('adamw', 0.1, classifier_rate=10.0)
  params = pack(start)
  state = ours.init(params)
  for step in range(4):
    grads = {n: np.sin(step + v) for n, v in params.tree().items()}
    for name, grad in grads.items():
      tensors[name].grad = torch.from_numpy(np.array(grad))
    theirs.step()
    updates, state = ours.update(pack(grads), state, params)
    params = jax.tree.map(lambda p, u: p - 0.01 * u, params, updates)
    for name, tensor in tensors.items():
      np.testing.assert_allclose(
        params.tree()[name], tensor.detach(), rtol=1e-4, atol=1e-6
      )


def test_gradient_values_are_clipped():
  optimizer = method.make_optimizer('sgd', 0.0, momentum=0.0, clip=0.1)
  params = pack({'classifier': np.zeros(2, np.float32)})
  grads = pack({'classifier': np.float32([5, -0.01])})
  updates, _ = optimizer.update(grads, optimizer.init(params), params)
  np.testing.assert_allclose(updates.tree()['classifier'], [0.1, -0.01])


def test_schedules():
  paper = method.decay(0.9)
  np.testing.assert_allclose([paper(0), paper(2)], [1, 0.81], rtol=1e-6)
  recipe = method.decay(0.9, every=5, start=80)
  found = [recipe(epoch) for epoch in (0, 80, 84, 85, 94)]
  np.testing.assert_allclose(found, [1, 1, 1, 0.9, 0.81], rtol=1e-6)


def test_unknown_optimisers_are_refused():
  with pytest.raises(ValueError, match='expected one of adam, adamw, sgd'):
    method.make_optimizer('lion', 0.0)
  with pytest.raises(ValueError, match='every 0 epochs'):
    method.decay(0.9, 0)


@pytest.mark.parametrize('embedding', ['published', 'branch', 'pooled'])
@pytest.mark.parametrize('name', learners.METHODS)
def test_every_method_learns_from_every_embedding(name, embedding, monkeypatch):
  """Pooled features are as many as the map has, and DUL doubts each of them."""
  monkeypatch.setitem(resnet.DEPTHS, 'resnet2', ((1,), resnet.BasicBlock))
  root = pathlib.Path(__file__).parents[3]
  config = runpy.run_path(str(root / 'configs' / 'relative_uncertainty.py'))
  config = config['get_config']('tiny')
  config.model.depth, config.model.embedding = 'resnet2', embedding
  config.model.features = 6  # the map has 8
  (task,) = SCHEMA
  learner = setup.learner_from_config(config, name)
  model = setup.model_from_config(config, learner, task)

  def learn(key):
    image = jnp.zeros((B, 1, *[model.image_size] * 2, 3))
    keys = {'params': key, 'dropout': key}
    out, variables = model.init_with_output(keys, {'image': image}, True)
    out = {key: value[:, 0] for key, value in out.items()}
    out['logits'] = out.pop(task.name)
    classify = functools.partial(model.apply, variables, method='classify')
    labels = jnp.arange(B) % 7
    batch = learners.Batch(out, labels, key, classify, learner.memory)
    return learner.learn(batch).loss

  assert jax.eval_shape(learn, jax.random.key(0)).shape == ()
  # Exports build the same network again.
  attributes = trained.network_for(config, name).attributes
  assert attributes['features'] == model.features
  assert attributes['embedding'] == model.embedding
