"""Tests of emojax/losses/pointwise.py against PyTorch and calculus."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import losses, tasks
from emojax.experiments.distillation import published as reference

P_C = np.array(list(reference.AU_POSITIVE_WEIGHTS.values()), np.float32)
W_C = np.array(list(reference.EXPR_CLASS_WEIGHTS.values()), np.float32)


def _logits(shape, seed=0):
  return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def _distributions(shape, seed=1):
  rng = np.random.default_rng(seed)
  return rng.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)


def test_bce_matches_torch():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  logits, targets = _logits((9, 12)), _distributions((9, 12))
  expected = torch.nn.functional.binary_cross_entropy_with_logits(
    torch.tensor(logits),
    torch.tensor(targets),
    pos_weight=torch.tensor(P_C),
    reduction='none',
  )
  actual = jax.jit(losses.bce_with_logits)(logits, targets, P_C)
  np.testing.assert_allclose(actual, expected.numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('soft', [False, True])
def test_cross_entropy_matches_torch(soft):
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  logits, targets = _logits((9, 7)), _distributions((9, 7))
  if not soft:
    targets = np.eye(7, dtype=np.float32)[targets.argmax(-1)]
  expected = torch.nn.functional.cross_entropy(
    torch.tensor(logits),
    torch.tensor(targets),
    weight=torch.tensor(W_C),
    reduction='none',
  )
  actual = jax.jit(losses.cross_entropy)(logits, targets, W_C)
  np.testing.assert_allclose(actual, expected.numpy(), rtol=2e-5, atol=1e-6)


def test_kl_matches_torch_batchmean():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  logits, targets = _logits((9, 7)), _distributions((9, 7))
  targets[0] = np.eye(7)[3]  # zeros in the teacher's distribution
  expected = torch.nn.KLDivLoss(reduction='batchmean')(
    torch.log_softmax(torch.tensor(logits), -1), torch.tensor(targets)
  )
  actual = jnp.mean(losses.kl_divergence(logits, targets))
  np.testing.assert_allclose(actual, expected.item(), rtol=1e-5)


def test_kl_of_one_hot_targets_is_cross_entropy():
  logits, targets = _logits((5, 7)), np.eye(7, dtype=np.float32)[:5]
  np.testing.assert_array_equal(
    losses.kl_divergence(logits, targets, W_C),
    losses.cross_entropy(logits, targets, W_C),
  )


def test_kl_and_cross_entropy_have_the_same_gradient():
  logits, targets = _logits((5, 7)), _distributions((5, 7))
  kl = jax.grad(lambda x: losses.kl_divergence(x, targets, W_C).sum())(logits)
  ce = jax.grad(lambda x: losses.cross_entropy(x, targets, W_C).sum())(logits)
  np.testing.assert_allclose(kl, ce, rtol=1e-6)


def test_kl_is_zero_at_the_target_and_positive_elsewhere():
  targets = _distributions((50, 7))
  at_target = losses.kl_divergence(jnp.log(targets), targets)
  np.testing.assert_allclose(at_target, 0, atol=1e-5)
  assert (losses.kl_divergence(_logits((50, 7)), targets) > 0).all()


EXPECTED_VALUE = jax.jit(losses.expected_value)
BCE_AND_GRADIENT = jax.jit(jax.value_and_grad(losses.bce_with_logits))
KL_AND_GRADIENT = jax.jit(jax.value_and_grad(losses.kl_divergence))


@given(
  q=st.floats(0.05, 0.95), p_c=st.floats(0.5, 33), generations=st.integers(1, 3)
)
@settings(deadline=None, max_examples=30)
def test_pos_weight_multiplies_the_odds_in_every_generation(
  q, p_c, generations
):
  # Eq. 9 with perfect students: each one fits the previous one's soft label.
  # The loss is convex, so that a gradient of 0 is the minimum.
  odds = q / (1 - q)
  for _ in range(min(generations, 1 if p_c > 10 else 3)):
    taught, odds = np.float32(odds / (1 + odds)), p_c * odds
    _, gradient = BCE_AND_GRADIENT(np.float32(np.log(odds)), taught, p_c)
    pull = p_c * taught / (1 + odds)  # of the positive term alone
    np.testing.assert_allclose(gradient, 0, atol=3e-3 * pull)


def test_without_pos_weight_the_teacher_is_the_fixed_point():
  q = np.linspace(0.01, 0.99, 25, dtype=np.float32)
  gradient = jax.grad(lambda x: losses.bce_with_logits(x, q).sum())
  np.testing.assert_allclose(gradient(jnp.log(q / (1 - q))), 0, atol=1e-6)


@pytest.mark.parametrize('logit', [-1e4, -50.0, 0.0, 50.0, 1e4])
@pytest.mark.parametrize('target', [0.0, 0.5, 1.0])
def test_extreme_logits_are_finite(logit, target):
  value, gradient = BCE_AND_GRADIENT(logit, target, 30.0)
  assert np.isfinite(value)
  assert np.isfinite(gradient)
  row = jnp.array([logit, 0.0, -logit])
  targets = jnp.array([target, 1 - target, 0.0])
  value, gradient = KL_AND_GRADIENT(row, targets)
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()


def test_kl_gradient_in_the_targets_is_finite_at_zero():
  gradient = jax.grad(losses.kl_divergence, argnums=1)(
    jnp.zeros(3), jnp.array([1.0, 0.0, 0.0])
  )
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize('kind', ['ends', 'centres'])
def test_expected_value(kind):
  bins = tasks.bin_values(20, kind)
  one_bin = np.log(np.eye(20, dtype=np.float32) + np.float32(1e-30))
  logits = np.stack([one_bin, np.zeros((20, 20))], axis=1)
  expected = np.stack([bins, np.zeros(20)], axis=1)
  actual = EXPECTED_VALUE(logits, bins)
  np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize(
  'loss', [losses.bce_with_logits, losses.cross_entropy, losses.kl_divergence]
)
def test_shape_mismatch_is_an_error(loss):
  with pytest.raises(ValueError, match=r'shapes \(4, 7\) and \(7,\)'):
    loss(np.zeros((4, 7)), np.zeros(7))


@pytest.mark.parametrize(
  ('loss', 'weight'),
  [(losses.bce_with_logits, P_C[:7]), (losses.kl_divergence, W_C)],
)
def test_vmap_equals_loop(loss, weight):
  logits, targets = _logits((4, 5, 7)), _distributions((4, 5, 7))
  stacked = jax.vmap(loss, (0, 0, None))(logits, targets, weight)
  single = [loss(x, y, weight) for x, y in zip(logits, targets, strict=True)]
  np.testing.assert_allclose(stacked, single, rtol=1e-6)
