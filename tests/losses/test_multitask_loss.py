"""Tests of emojax/losses/multitask.py: one loss for teachers and students."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import losses, tasks
from emojax.experiments.distillation import published as reference

SCHEMA = tasks.ABAW2021
BINS = tasks.bin_values()
P_C = np.array(list(reference.AU_POSITIVE_WEIGHTS.values()), np.float32)
W_C = np.array(list(reference.EXPR_CLASS_WEIGHTS.values()), np.float32)
TEACHER = {'pos_weight': P_C, 'class_weight': W_C, 'bin_values': BINS}
STUDENT = {'pos_weight': np.ones(12), 'class_weight': np.ones(7)}
STUDENT = {**STUDENT, 'bin_values': BINS}
THIRDS = np.full(3, 1 / 3, np.float32)


@jax.jit
def _loss(logits, targets, weights=THIRDS, **options):
  options = TEACHER | options
  return losses.multitask_loss(logits, targets, SCHEMA, weights, **options)


@jax.jit
def _loss_and_gradient(logits, targets):
  run = jax.value_and_grad(lambda x: _loss(x, targets), has_aux=True)
  (loss, per_task), gradient = run(logits)
  return loss, per_task, gradient


def _batch(shape=(3, 4), soft=False, seed=0):
  rng = np.random.default_rng(seed)
  logits = {t.name: rng.normal(size=(*shape, t.num_outputs)) for t in SCHEMA}
  au = rng.uniform(size=(*shape, 12))
  expr = rng.dirichlet(np.ones(7), shape)
  if not soft:
    au, expr = au > 0.6, np.eye(7)[expr.argmax(-1)]
  va = rng.uniform(-1, 1, (*shape, 2))
  targets = {
    'au': tasks.Target(au, np.ones_like(au)),
    'expr': tasks.Target(expr, np.ones(shape)),
    'va': tasks.Target(va, np.ones_like(va)),
  }
  return jax.tree.map(np.float32, (logits, targets))


def _torch_losses(torch, logits, targets, pos_weight, class_weight, hard):
  """The published code's losses: frames flattened, one loss per task."""
  functional = torch.nn.functional
  flat = {
    k: torch.tensor(v.reshape(-1, v.shape[-1])) for k, v in logits.items()
  }
  y = {
    k: torch.tensor(t.value.reshape(-1, t.value.shape[-1]))
    for k, t in targets.items()
  }
  au = functional.binary_cross_entropy_with_logits(
    flat['au'], y['au'], pos_weight=torch.tensor(pos_weight)
  )
  if hard:
    weight, label = torch.tensor(class_weight), y['expr'].argmax(-1)
    expr = functional.cross_entropy(flat['expr'], label, weight=weight)
  else:
    log_probs = torch.log_softmax(flat['expr'], -1)
    expr = functional.kl_div(log_probs, y['expr'], reduction='batchmean')
  va = 0
  for i in range(2):
    probs = torch.softmax(flat['va'][:, 20 * i : 20 * (i + 1)], -1)
    x, t = (probs * torch.linspace(-1, 1, 20)).sum(-1), y['va'][:, i]
    vx, vt = x - x.mean(), t - t.mean()
    norms = (vx**2).sum().sqrt() * (vt**2).sum().sqrt()
    rho = (vx * vt).sum() / (norms + 1e-8)
    spread = x.var() + t.var() + (x.mean() - t.mean()) ** 2 + 1e-8
    va = va + 1 - 2 * rho * x.std() * t.std() / spread
  return {'au': au.item(), 'expr': expr.item(), 'va': va.item()}


@pytest.mark.parametrize('generation', ['teacher', 'student'])
def test_matches_the_published_torch_losses(generation):
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  hard = generation == 'teacher'
  options = TEACHER if hard else STUDENT
  logits, targets = _batch(soft=not hard)
  weights = np.float32([0.2, 0.5, 0.3])
  loss, per_task = _loss(logits, targets, weights, **options)
  expected = _torch_losses(
    torch,
    logits,
    targets,
    np.float32(options['pos_weight']),
    np.float32(options['class_weight']),
    hard,
  )
  for name, value in expected.items():
    np.testing.assert_allclose(per_task[name], value, rtol=1e-5, err_msg=name)
  total = np.dot(weights, list(expected.values()))
  np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_one_compiled_program_serves_every_generation():
  traces = []

  @jax.jit
  def step(logits, targets, pos_weight, class_weight):
    traces.append(1)
    weights = {'pos_weight': pos_weight, 'class_weight': class_weight}
    return _loss(logits, targets, **weights)[0]

  for soft, options in [(False, TEACHER), (True, STUDENT)]:
    logits, targets = _batch(soft=soft)
    weights = [np.float32(options[k]) for k in ('pos_weight', 'class_weight')]
    expected = _loss(logits, targets, **options)[0]
    actual = step(logits, targets, *weights)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
  assert len(traces) == 1


@given(
  junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -7.0]),
  soft=st.booleans(),
  seed=st.integers(0, 3),
)
@settings(deadline=None, max_examples=12)
def test_masked_junk_changes_nothing(junk, soft, seed):
  logits, targets = _batch(soft=soft, seed=seed)
  rng = np.random.default_rng(seed)
  masked = {
    name: tasks.Target(
      t.value, np.float32(rng.uniform(size=t.mask.shape) > 0.4)
    )
    for name, t in targets.items()
  }
  dirty_logits, dirty = jax.tree.map(np.copy, (logits, masked))
  for task in SCHEMA:
    value, hidden = dirty[task.name].value, dirty[task.name].mask == 0
    value[hidden] = junk
    split = tasks.split_logits(task, dirty_logits[task.name])  # a view
    split[hidden] = junk
  value, _, gradient = _loss_and_gradient(logits, masked)
  dirty_value, _, dirty_gradient = _loss_and_gradient(dirty_logits, dirty)
  np.testing.assert_array_equal(dirty_value, value)
  assert np.isfinite(value)
  jax.tree.map(np.testing.assert_array_equal, dirty_gradient, gradient)


def test_frame_mask_removes_padding():
  logits, targets = _batch()
  frame_mask = np.float32([[1, 1, 1, 0], [1, 1, 0, 0]])
  frame_mask = np.vstack([frame_mask, np.zeros(4, np.float32)])
  _, actual = _loss(logits, targets, frame_mask=frame_mask)
  for target in targets.values():
    target.mask[frame_mask == 0] = 0
  _, expected, _ = _loss_and_gradient(logits, targets)
  for name, value in expected.items():
    np.testing.assert_allclose(actual[name], value, rtol=1e-5)


@pytest.mark.parametrize('missing', ['au', 'expr', 'va'])
def test_a_task_without_labels_contributes_nothing(missing):
  logits, targets = _batch()
  _, full, _ = _loss_and_gradient(logits, targets)
  value = np.full_like(targets[missing].value, np.nan)
  targets[missing] = tasks.Target(value, np.zeros_like(targets[missing].mask))
  _, per_task, gradient = _loss_and_gradient(logits, targets)
  assert per_task[missing] == 0
  np.testing.assert_array_equal(gradient[missing], 0)
  for name in set(full) - {missing}:
    np.testing.assert_array_equal(per_task[name], full[name])


def test_everything_masked_is_zero_with_zero_gradient():
  logits, _ = _batch()
  targets = tasks.empty_targets(SCHEMA, (3, 4))
  value, _, gradient = _loss_and_gradient(logits, targets)
  assert value == 0
  jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0), gradient)


@pytest.mark.parametrize('frames', [1, 2, 12])
def test_few_frames_with_constant_labels_have_finite_gradients(frames):
  logits, targets = _batch()
  targets['va'].value[:] = 0.25
  for target in targets.values():
    target.mask.reshape(12, -1)[frames:] = 0  # a view
  zeros = jax.tree.map(np.zeros_like, logits)
  for leaf in jax.tree.leaves(_loss_and_gradient(zeros, targets)):
    assert np.isfinite(leaf).all()


def test_members_in_a_stack_equal_members_alone():
  batches = [_batch(seed=seed) for seed in range(3)]
  stacked = jax.tree.map(lambda *x: np.stack(x), *batches)
  together = jax.vmap(lambda x, t: _loss(x, t)[0])(*stacked)
  alone = [_loss(*batch)[0] for batch in batches]
  np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_missing_tasks_and_bins_are_named():
  logits, targets = _batch()
  with pytest.raises(ValueError, match="task 'va': logits are given for"):
    _loss({k: v for k, v in logits.items() if k != 'va'}, targets)
  with pytest.raises(ValueError, match='pass bin_values'):
    _loss(logits, targets, bin_values=None)
