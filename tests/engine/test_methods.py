"""The method of paper 000: objective, scores, soft labels, subsets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from engine import toy

from emojax import losses, tasks
from emojax.engine import methods, stack
from emojax.tasks import Target

BINS = tasks.bin_values(5)
SCORES = jax.jit(methods.scores, static_argnums=0, static_argnames='nll')


@functools.cache
def fresh():
  return toy.method().init(jax.random.key(0))


def batch(targets=None, num=6):
  clips = toy.clips(num)
  targets = clips.targets if targets is None else targets
  return {'inputs': {'image': clips.image}, 'targets': targets}


def hparams(**changes):
  values = {
    'learning_rate': 0.01,
    'task_weight': [0.2, 0.3, 0.5],
    'pos_weight': [1.0, 1.0],
    'class_weight': [1.0, 1.0, 1.0],
  } | changes
  return jax.tree.map(np.float32, values, is_leaf=lambda x: isinstance(x, list))


def soft_targets(num=6):
  """Probabilities, distributions and scalars, a third of the frames masked."""
  rng = np.random.default_rng(3)
  shape = (num, toy.LENGTH)
  values = {
    'au': rng.uniform(size=(*shape, 2)),
    'expr': rng.dirichlet(np.ones(3), shape),
    'va': rng.uniform(-1, 1, (*shape, 2)),
  }
  targets = {}
  for task in toy.SCHEMA:
    value = values[task.name].astype(np.float32)
    size = shape if task.kind == 'categorical' else value.shape
    mask = (rng.uniform(size=size) > 1 / 3).astype(np.float32)
    targets[task.name] = Target(value, mask)
  return targets


def outputs_of(image):
  """Logits of the network in training mode, without dropout's randomness."""
  params, state = fresh()
  net = toy.Net()
  key = jax.random.split(jax.random.key(7))[1]
  outputs, _ = net.apply(
    {'params': params, **state},
    {'image': methods.to_float(image)},
    train=True,
    rngs={'dropout': key},
    mutable=['batch_stats'],
  )
  return {k: np.asarray(v, np.float64) for k, v in outputs.items()}


def plain(key, images, first=0):
  del key, first
  return methods.to_float(images)


@functools.cache
def compiled():
  objective = toy.method(augment=plain).objective
  return jax.jit(jax.value_and_grad(objective, has_aux=True))


def evaluate(targets=None, **weights):
  """((loss, aux), gradient) of the objective without augmentation."""
  params, state = fresh()
  key = jax.random.key(7)
  return compiled()(params, state, batch(targets), key, hparams(**weights))


def test_step_decay():
  schedule = methods.step_decay(3, 0.1)
  factors = [float(schedule(e)) for e in range(7)]
  expected = [1, 1, 1, 0.1, 0.1, 0.1, 0.01]
  np.testing.assert_allclose(factors, expected, rtol=1e-5)


def test_step_decay_traced():
  schedule = methods.step_decay(2, 0.5)
  np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(5)), 0.25)


@pytest.mark.parametrize('every', [0, -1])
def test_decay_needs_a_period(every):
  with pytest.raises(ValueError, match='every'):
    methods.step_decay(every)


def test_to_float():
  found = methods.to_float(np.array([0, 51, 255], np.uint8))
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, [0, 0.2, 1])


def binary_by_hand(logits, target, pos_weight=1.0):
  p = scipy.special.expit(logits)
  value = -pos_weight * target.value * np.log(p)
  value -= (1 - target.value) * np.log(1 - p)
  return (value * target.mask).sum() / target.mask.sum()


def kl_by_hand(logits, target):
  q = scipy.special.softmax(logits, -1)
  value = (target.value * (np.log(target.value) - np.log(q))).sum(-1)
  return (value * target.mask).sum() / target.mask.sum()


def ccc_by_hand(logits, target):
  probs = scipy.special.softmax(tasks.split_logits(toy.SCHEMA[2], logits), -1)
  total = 0.0
  for d in range(2):
    keep = target.mask[..., d] > 0
    x, y = (probs @ BINS)[..., d][keep], target.value[..., d][keep]
    covariance = np.cov(x, y)
    spread = covariance[0, 0] + covariance[1, 1] + (x.mean() - y.mean()) ** 2
    total += 1 - 2 * covariance[0, 1] / spread
  return total


def test_objective_with_soft_labels_is_the_hand_computation():
  targets = soft_targets()
  (loss, aux), _ = evaluate(targets)
  logits = outputs_of(batch()['inputs']['image'])
  expected = {
    'au': binary_by_hand(logits['au'], targets['au']),
    'expr': kl_by_hand(logits['expr'], targets['expr']),
    'va': ccc_by_hand(logits['va'], targets['va']),
  }
  for name, value in expected.items():
    np.testing.assert_allclose(aux['losses'][name], value, rtol=2e-4)
  total = 0.2 * expected['au'] + 0.3 * expected['expr'] + 0.5 * expected['va']
  np.testing.assert_allclose(loss, total, rtol=2e-4)
  assert float(aux['losses']['total']) == float(loss)


def test_objective_weighs_positives_and_classes():
  weights = {'pos_weight': [3.0, 0.5], 'class_weight': [0.2, 0.3, 0.5]}
  (_, aux), _ = evaluate(**weights)
  logits = outputs_of(batch()['inputs']['image'])
  target = batch()['targets']
  au = binary_by_hand(logits['au'], target['au'], np.array([3.0, 0.5]))
  np.testing.assert_allclose(aux['losses']['au'], au, rtol=2e-4)
  weight = target['expr'].value @ np.array([0.2, 0.3, 0.5])
  log_probs = scipy.special.log_softmax(logits['expr'], -1)
  entropy = -(target['expr'].value * log_probs).sum(-1)
  expr = (weight * entropy).sum() / weight.sum()
  np.testing.assert_allclose(aux['losses']['expr'], expr, rtol=2e-4)


def test_objective_updates_the_batch_statistics():
  _, state = fresh()
  (_, aux), _ = evaluate()
  new = jax.tree.leaves(aux['model_state'])
  old = jax.tree.leaves(state)
  assert jax.tree.structure(aux['model_state']) == jax.tree.structure(state)
  assert any(np.abs(a - b).max() > 0 for a, b in zip(new, old, strict=True))


def masked(targets):
  return jax.tree.map(
    lambda t: Target(np.full_like(t.value, np.nan), np.zeros_like(t.mask)),
    targets,
    is_leaf=lambda x: isinstance(x, Target),
  )


def extreme(targets):
  return jax.tree.map(
    lambda t: Target(np.ones_like(t.value) * (t.value > 0.5), t.mask),
    targets,
    is_leaf=lambda x: isinstance(x, Target),
  )


@pytest.mark.parametrize('change', [masked, extreme, lambda t: t])
def test_gradient_is_finite(change):
  (loss, _), gradient = evaluate(change(soft_targets()))
  assert np.isfinite(loss)
  for leaf in jax.tree.leaves(gradient):
    assert np.isfinite(leaf).all()
  if change is masked:
    assert float(loss) == 0
    assert max(np.abs(x).max() for x in jax.tree.leaves(gradient)) == 0


def test_objective_is_random_by_its_key_only():
  params, state = fresh()
  loss = jax.jit(
    functools.partial(toy.method().objective, params, state, batch())
  )
  first = float(loss(jax.random.key(1), hparams())[0])
  assert first == float(loss(jax.random.key(1), hparams())[0])
  assert first != float(loss(jax.random.key(2), hparams())[0])


def test_predictions_are_not_random_and_passes_are():
  method, (params, state) = toy.method(), fresh()
  inputs = batch()['inputs']
  first = method.predict(params, state, inputs)
  assert set(first) == {'au', 'expr', 'va'}
  assert first['va'].shape == (6, toy.LENGTH, 10)
  toy.assert_same(method.predict(params, state, inputs), first)
  passes = [
    method.sample(params, state, inputs, jax.random.key(k))['expr']
    for k in (0, 1, 0)
  ]
  np.testing.assert_array_equal(passes[0], passes[2])
  assert np.abs(passes[0] - passes[1]).max() > 1e-3
  assert np.abs(passes[0] - first['expr']).max() > 1e-3


@pytest.mark.slow
def test_logs_and_tasks_of_the_method():
  method = toy.method(balance='off')
  assert method.tasks == ('au', 'expr', 'va')
  assert method.loss_names == ('total', 'au', 'expr', 'va')
  assert method.balance_variant == 'off'
  scores = method.score(
    method.predict(*fresh(), batch()['inputs']), batch()['targets']
  )
  task_scores = method.task_scores(scores)
  np.testing.assert_allclose(task_scores.sum(), scores['total'], rtol=1e-5)
  names = [f'{name}/score' for name in method.tasks]
  np.testing.assert_array_equal(task_scores, [scores[name] for name in names])
  assert not [name for name in scores if '/f1/' in name]


def test_scores_of_perfect_logits():
  targets = toy.clips(40).targets
  gap = (BINS - targets['va'].value[..., None]) / 0.2
  outputs = {
    'au': 20 * (2 * targets['au'].value - 1),
    'expr': 20 * targets['expr'].value,
    'va': (-0.5 * gap**2).reshape(40, toy.LENGTH, -1).astype(np.float32),
  }
  scores = SCORES(toy.SCHEMA, outputs, targets, BINS)
  np.testing.assert_allclose(scores['au/score'], 1, rtol=1e-6)
  np.testing.assert_allclose(scores['expr/score'], 1, rtol=1e-6)
  assert scores['va/score'] > 1.95


def test_another_optimizer_is_used():
  method = toy.method(optimizer=optax.sgd(1.0))
  params, _ = fresh()
  ones = jax.tree.map(jnp.ones_like, params)
  updates, _ = method.optimizer.update(ones, method.optimizer.init(params))
  toy.assert_same(updates, jax.tree.map(lambda x: -x, ones))


def test_pretrained_weights_go_into_fresh_members():
  def load(params, state):
    return jax.tree.map(jnp.ones_like, params), state

  params, _ = toy.method(pretrained=load).init(jax.random.key(0))
  assert all((x == 1).all() for x in jax.tree.leaves(params))


def test_gather_without_devices_is_the_identity():
  tree = {'x': np.ones(3)}
  assert methods.gather_batch(tree, None) is tree


def test_gather_collects_the_batch():
  mesh = stack.make_mesh(1, 4)
  spec = jax.sharding.PartitionSpec(stack.BATCH)
  gathered = jax.shard_map(
    lambda x: methods.gather_batch(x, stack.BATCH),
    mesh=mesh,
    in_specs=spec,
    out_specs=jax.sharding.PartitionSpec(),
    check_vma=False,
  )(np.arange(8))
  np.testing.assert_array_equal(gathered, np.arange(8))


def member_outputs(members=3):
  rng = np.random.default_rng(1)
  return {
    task.name: rng.normal(size=(members, 4, 2, task.num_outputs)).astype('f4')
    for task in toy.SCHEMA
  }


def test_soft_labels_are_mean_probabilities_and_expectations():
  outputs = member_outputs()
  each = [
    methods.soft_labels(
      toy.SCHEMA, jax.tree.map(lambda x, m=m: jnp.asarray(x[m]), outputs), BINS
    )
    for m in range(3)
  ]
  found = jax.tree.map(lambda *x: np.mean(x, 0), *each)
  au = scipy.special.expit(outputs['au']).mean(0)
  np.testing.assert_allclose(found['au'], au, rtol=1e-5)
  expr = scipy.special.softmax(outputs['expr'], -1).mean(0)
  np.testing.assert_allclose(found['expr'], expr, rtol=1e-5)
  np.testing.assert_allclose(found['expr'].sum(-1), 1, rtol=1e-5)
  bins = scipy.special.softmax(outputs['va'].reshape(3, 4, 2, 2, 5), -1)
  va = bins.mean(0) @ BINS  # expectation of the mean distribution
  np.testing.assert_allclose(found['va'], va, rtol=1e-4, atol=1e-6)
  assert found['va'].shape == (4, 2, 2)


def test_soft_labels_are_not_the_probabilities_of_mean_logits():
  logits = jnp.array([[[8.0, 0.0, 0.0]], [[-8.0, 0.0, 0.0]]])[:, None]
  schema = (toy.SCHEMA[1],)
  each = [
    methods.soft_labels(schema, {'expr': x}, BINS)['expr'] for x in logits
  ]
  wrong = methods.soft_labels(schema, {'expr': logits.mean(0)}, BINS)['expr']
  assert np.abs(np.mean(each, 0) - wrong).max() > 0.1


def test_task_groups():
  parts = toy.train_clips()
  groups = methods.task_groups(toy.SCHEMA, parts.targets)
  for group, start in zip(groups, (0, 10, 20), strict=True):
    assert group.dtype == np.int32
    np.testing.assert_array_equal(group, np.arange(start, start + 10))


def test_a_clip_with_several_labels_is_in_several_groups():
  targets = tasks.empty_targets(toy.SCHEMA, (4, 2))
  targets['au'].mask[1, 1, 0] = 1  # one label of one frame is enough
  targets['expr'].mask[[1, 3], 0] = 1
  targets['va'].mask[2] = 1
  groups = methods.task_groups(toy.SCHEMA, targets)
  assert [g.tolist() for g in groups] == [[1], [1, 3], [2]]


def test_task_without_labels_is_named():
  targets = toy.clips(4, labelled=('au', 'expr')).targets
  with pytest.raises(ValueError, match=r"no training clip.*'va'"):
    methods.task_groups(toy.SCHEMA, targets)


def test_distillation_targets_cover_every_labelled_frame():
  hard = tasks.empty_targets(toy.SCHEMA, (4, 2))
  hard['au'].mask[0, 0, 1] = 1
  hard['expr'].mask[1, 1] = 1
  hard['va'].mask[2, 0, 0] = 1  # valence only
  rng = np.random.default_rng(0)
  values = {
    task.name: rng.uniform(size=(5, 2, len(task.labels))).astype(np.float32)
    for task in toy.SCHEMA
  }  # one clip more than there are: padding
  found = methods.distillation_targets(toy.SCHEMA, values, hard)
  labelled = np.zeros((4, 2), np.float32)
  labelled[0, 0] = labelled[1, 1] = labelled[2, 0] = 1
  for task in toy.SCHEMA:
    target = found[task.name]
    np.testing.assert_array_equal(target.value, values[task.name][:4])
    expected = labelled
    if task.kind != 'categorical':
      expected = np.repeat(labelled[..., None], 2, -1)
    assert target.mask.shape == expected.shape
    assert target.mask.dtype == np.float32
    np.testing.assert_array_equal(target.mask, expected)


def test_distillation_targets_teach_all_tasks_of_single_task_clips():
  hard = toy.train_clips().targets
  values = {k: np.zeros_like(v.value) for k, v in hard.items()}
  found = methods.distillation_targets(toy.SCHEMA, values, hard)
  for target in found.values():
    assert (target.mask == 1).all()


def test_positive_weights_of_the_data_reach_the_loss():
  # Sanity of the two together: weights from labels equalise a constant guess.
  target = toy.clips(30).targets['au']
  weight = losses.positive_weights(*target)
  share = target.value.mean((0, 1))
  np.testing.assert_allclose(weight, (1 - share) / share, rtol=1e-5)


def test_validation_nll_by_hand():
  rng = np.random.default_rng(3)
  targets = tasks.empty_targets(toy.SCHEMA, (4, 2))
  targets['au'].value[:] = rng.uniform(size=(4, 2, 2))  # soft labels, too
  targets['expr'].value[:] = rng.dirichlet(np.ones(3), (4, 2))
  targets['va'].value[:] = rng.uniform(-1, 1, (4, 2, 2))
  for _, mask in targets.values():
    mask[:] = rng.integers(0, 2, mask.shape)
  outputs = {
    t.name: rng.normal(size=(4, 2, t.num_outputs)).astype(np.float32)
    for t in toy.SCHEMA
  }
  value, mask = targets['expr']
  log_probs = scipy.special.log_softmax(outputs['expr'], -1)
  expected = -((value * log_probs).sum(-1) * mask).sum() / mask.sum()
  expected += binary_by_hand(outputs['au'], targets['au'])
  probs = scipy.special.softmax(
    tasks.split_logits(toy.SCHEMA[2], outputs['va']), -1
  )
  for d in range(2):
    keep = targets['va'].mask[..., d] > 0
    x = (probs @ BINS)[..., d][keep]
    y = targets['va'].value[..., d][keep]
    covariance = np.cov(x, y, ddof=0)
    spread = covariance[0, 0] + covariance[1, 1] + (x.mean() - y.mean()) ** 2
    expected += 1 - 2 * covariance[0, 1] / spread
  nll = jax.jit(methods.validation_nll, static_argnums=0)
  found = nll(toy.SCHEMA, outputs, targets, BINS)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  scores = SCORES(toy.SCHEMA, outputs, targets, BINS, nll=True)
  np.testing.assert_allclose(scores['nll'], expected, rtol=1e-5)
  assert 'nll' not in SCORES(toy.SCHEMA, outputs, targets, BINS)
