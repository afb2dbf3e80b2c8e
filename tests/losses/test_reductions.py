"""Tests of emojax/losses/reductions.py: masks, means, CCC, sharding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import losses

JUNK = [np.nan, np.inf, -np.inf, 1e30]
CCC = jax.jit(losses.ccc, static_argnames=('ddof', 'eps'))
CCC_AND_GRADIENTS = jax.jit(
  jax.value_and_grad(losses.ccc, argnums=(0, 1)),
  static_argnames=('ddof', 'eps'),
)
vectors = st.integers(2, 30).flatmap(
  lambda n: st.lists(
    st.tuples(*[st.floats(-1, 1, width=32)] * 2), min_size=n, max_size=n
  )
)


def _pairs(n=40, seed=0):
  rng = np.random.default_rng(seed)
  x = rng.uniform(-1, 1, n).astype(np.float32)
  y = (0.5 * x + 0.1 + rng.normal(0, 0.3, n)).astype(np.float32)
  return x, y


def _ccc(x, y, ddof=0):
  x, y = np.float64(x), np.float64(y)
  rho = np.corrcoef(x, y)[0, 1]
  sx, sy = x.std(ddof=ddof), y.std(ddof=ddof)
  gap = (x.mean() - y.mean()) ** 2
  return 2 * rho * sx * sy / (sx**2 + sy**2 + gap)


@pytest.mark.parametrize('ddof', [0, 1])
def test_ccc_matches_its_definition(ddof):
  x, y = _pairs()
  np.testing.assert_allclose(
    CCC(x, y, ddof=ddof),
    _ccc(x, y, ddof),
    rtol=1e-5,
  )


def test_ccc_matches_the_published_torch_formula():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  x, y = map(torch.tensor, _pairs())
  x.requires_grad_()
  vx, vy = x - x.mean(), y - y.mean()
  norms = (vx**2).sum().sqrt() * (vy**2).sum().sqrt()
  rho = (vx * vy).sum() / (norms + 1e-8)
  gap = (x.mean() - y.mean()) ** 2
  expected = 2 * rho * x.std() * y.std() / (x.var() + y.var() + gap + 1e-8)
  expected.backward()
  value, (gradient, _) = CCC_AND_GRADIENTS(*_pairs())
  np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
  np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-4, atol=1e-6)


@given(vectors, st.sampled_from([0, 1]))
@settings(deadline=None, max_examples=60)
def test_ccc_is_symmetric_and_bounded(pairs, ddof):
  mask = np.arange(30) < len(pairs)
  x, y = np.resize(np.float32(pairs), (30, 2)).T
  value = CCC(x, y, mask, ddof=ddof)
  np.testing.assert_allclose(value, CCC(y, x, mask, ddof=ddof), atol=1e-6)
  assert -1 - 1e-5 <= value <= 1 + 1e-5


def test_ccc_of_identical_and_opposite_vectors():
  x, _ = _pairs()
  x = x - x.mean()
  np.testing.assert_allclose(CCC(x, x), 1, rtol=1e-6)
  np.testing.assert_allclose(CCC(x, -x), -1, rtol=1e-6)


@pytest.mark.parametrize('eps', [0.0, 1e-8])
@pytest.mark.parametrize('ddof', [0, 1])
@pytest.mark.parametrize(
  ('x', 'y'),
  [
    ([0.5] * 4, [0.5] * 4),
    ([0.5] * 4, [-0.5] * 4),
    ([0.3] * 1000, [0.3] * 1000),
    ([0.1] * 1000, [0.1 + 1e-8] * 1000),
    ([0.3] * 4, [0.1, 0.2, 0.3, 0.4]),
    ([0.3], [0.4]),
    ([0.3], [0.3]),
    ([], []),
  ],
)
def test_ccc_without_variance_is_zero_with_finite_gradient(x, y, ddof, eps):
  x, y = np.float32(x), np.float32(y)
  value, gradients = CCC_AND_GRADIENTS(x, y, ddof=ddof, eps=eps)
  # Rounding of the mean against `eps`.
  np.testing.assert_allclose(value, 0, atol=1e-5 if eps else 0)
  for gradient in gradients:
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize('junk', JUNK)
def test_masked_junk_changes_neither_ccc_nor_its_gradient(junk):
  x, y = _pairs(20)
  mask = np.r_[np.ones(20), np.zeros(5)].astype(np.float32)
  padded = [np.r_[v, np.full(5, junk)].astype(np.float32) for v in (x, y)]
  value, (gradient, _) = CCC_AND_GRADIENTS(x, y)
  padded_value, (padded_gradient, _) = CCC_AND_GRADIENTS(*padded, mask)
  np.testing.assert_allclose(padded_value, value, rtol=1e-6)
  np.testing.assert_allclose(padded_gradient[:20], gradient, atol=1e-7)
  np.testing.assert_array_equal(padded_gradient[20:], 0)


def test_nan_predictions_are_not_hidden():
  x, y = _pairs()
  assert np.isnan(CCC(np.full_like(x, np.nan), y))


def test_masked_mean_matches_torch_weighted_mean():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(30, 7)).astype(np.float32)
  labels, weight = rng.integers(0, 7, 30), np.arange(1, 8, dtype=np.float32)
  expected = torch.nn.functional.cross_entropy(
    torch.tensor(logits), torch.tensor(labels), weight=torch.tensor(weight)
  )
  one_hot = np.eye(7, dtype=np.float32)[labels]
  for scale in (1, 0.01):  # the weighted mean does not depend on the scale
    values = losses.cross_entropy(logits, one_hot, scale * weight)
    weights = losses.example_weight(one_hot, scale * weight)
    actual = losses.masked_mean(values, np.ones(30), weights)
    np.testing.assert_allclose(actual, expected.item(), rtol=1e-5)


def test_sums_of_batches_add_up():
  values = np.arange(12.0, dtype=np.float32)
  mask = np.float32(values % 3 > 0)
  parts = [losses.masked_sum(values[i::2], mask[i::2]) for i in range(2)]
  total, count = (sum(part) for part in zip(*parts, strict=True))
  np.testing.assert_allclose(total / count, losses.masked_mean(values, mask))
  np.testing.assert_allclose(total / count, values[mask > 0].mean())


@pytest.mark.parametrize('junk', JUNK)
def test_masked_mean_of_nothing_is_zero(junk):
  assert losses.masked_mean(np.full(4, junk), np.zeros(4)) == 0
  gradient = jax.jit(jax.grad(losses.masked_mean))(
    jnp.full(4, junk), jnp.zeros(4)
  )
  np.testing.assert_array_equal(gradient, 0)


def test_ccc_loss_is_zero_for_an_unlabelled_dimension():
  x, y = (np.stack([v, v], -1) for v in _pairs())
  run = jax.jit(losses.ccc_loss)
  both = run(x, y, np.ones_like(x))
  one = run(x, y, np.ones_like(x) * np.float32([1, 0]))
  np.testing.assert_allclose(both, 2 * one, rtol=1e-6)
