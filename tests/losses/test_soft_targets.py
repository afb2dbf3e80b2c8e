"""Label smoothing and mixup against PyTorch, optax and loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import losses, tasks

SCHEMA = (
  tasks.au_task(('AU1', 'AU2')),
  tasks.expr_task(('neutral', 'anger', 'disgust')),
  tasks.va_task(bins=5),
)
B, LENGTH = 6, 2


def problem(seed=0):
  """Logits, and targets of which half are missing and hold NaN."""
  rng = np.random.default_rng(seed)
  targets = tasks.empty_targets(SCHEMA, (B, LENGTH))
  targets['au'].value[:] = rng.integers(0, 2, (B, LENGTH, 2))
  targets['expr'].value[:] = np.eye(3)[rng.integers(0, 3, (B, LENGTH))]
  targets['va'].value[:] = rng.uniform(-1, 1, (B, LENGTH, 2))
  for value, mask in targets.values():
    mask[:] = rng.integers(0, 2, mask.shape)
    missing = mask == 0 if mask.shape == value.shape else mask[..., None] == 0
    value[np.broadcast_to(missing, value.shape)] = np.nan
  logits = {
    t.name: rng.normal(size=(B, LENGTH, t.num_outputs)).astype(np.float32)
    for t in SCHEMA
  }
  return logits, targets


def test_smoothed_cross_entropy_is_pytorchs():
  torch = pytest.importorskip('torch')
  logits = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
  label = np.array([0, 2, 1, 1, 0])
  soft = losses.smooth_values(np.eye(3, dtype=np.float32)[label], 0.2, 3)
  np.testing.assert_allclose(soft, optax.smooth_labels(np.eye(3)[label], 0.2))
  expected = torch.nn.functional.cross_entropy(
    torch.tensor(logits), torch.tensor(label), label_smoothing=0.2
  )
  found = losses.cross_entropy(logits, soft).mean()
  np.testing.assert_allclose(found, float(expected), rtol=1e-6)


def test_smoothing_of_every_task():
  _, targets = problem()
  found = losses.smooth_targets(SCHEMA, targets, 0.1)
  for name, low, high in (('au', 0.05, 0.95), ('expr', 0.1 / 3, 1 - 0.2 / 3)):
    value, mask = found[name]
    np.testing.assert_array_equal(mask, targets[name].mask)
    assert value.dtype == np.float32
    known = value[np.isfinite(value)]
    np.testing.assert_allclose(
      np.unique(known.round(6)), [low, high], rtol=1e-4
    )
  assert found['va'] is targets['va']
  np.testing.assert_allclose(
    np.nansum(found['expr'].value, -1)[targets['expr'].mask > 0], 1, rtol=1e-6
  )
  assert losses.smooth_targets(SCHEMA, targets, 0.0) is targets


@pytest.mark.parametrize('share', [-0.1, 1.0, float('nan')])
def test_shares_that_are_none(share):
  with pytest.raises(ValueError, match='label_smoothing'):
    losses.smooth_targets(SCHEMA, problem()[1], share)


def pair_loss(task, logits, targets, mix):
  """lambda m_i CE(y_i) + (1 - lambda) m_j CE(y_j), over the sum of the weights."""
  total = count = 0.0
  weight, partner = float(mix.weight), np.asarray(mix.partner)
  value, mask = targets[task.name]
  for i in range(B):
    for example, share in ((i, weight), (partner[i], 1 - weight)):
      for frame in range(LENGTH):
        x = np.float64(logits[i, frame])
        y, m = value[example, frame], mask[example, frame]
        if task.kind == 'binary':
          ce = np.log1p(np.exp(-x)) * y + np.log1p(np.exp(x)) * (1 - y)
          total += share * np.nansum(np.where(m > 0, m * ce, 0))
          count += share * m.sum()
        elif m > 0:
          total += share * -(y * (x - np.log(np.exp(x).sum()))).sum()
          count += share
  return total / count


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_mixed_losses_are_the_mixture_of_the_losses(seed):
  logits, targets = problem(seed)
  mix = losses.draw_mix(jax.random.key(seed), 0.4, B)
  mixed = losses.mix_targets(mix, SCHEMA, targets)
  au, expr, _ = SCHEMA
  for task in (au, expr):
    if not targets[task.name].mask.any():
      continue
    value, mask = mixed[task.name]
    if task.kind == 'binary':
      per_example = losses.bce_with_logits(logits['au'], value)
    else:
      per_example = losses.cross_entropy(logits['expr'], value)
    found = losses.masked_mean(per_example, mask)
    expected = pair_loss(task, logits[task.name], targets, mix)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_mixed_values_and_masks():
  _, targets = problem()
  mix = losses.Mix(jnp.float32(0.25), jnp.array([3, 0, 1, 2, 5, 4]))
  mixed = losses.mix_targets(mix, SCHEMA, targets)
  partner = np.asarray(mix.partner)
  value, mask = targets['va']
  found, weight = mixed['va']
  assert np.isfinite(found).all()
  np.testing.assert_allclose(weight, 0.25 * mask + 0.75 * mask[partner])
  both = (mask > 0) & (mask[partner] > 0)
  np.testing.assert_allclose(
    np.asarray(found)[both],
    (0.25 * value + 0.75 * value[partner])[both],
    rtol=1e-6,
  )
  alone = (mask > 0) & (mask[partner] == 0)
  np.testing.assert_allclose(np.asarray(found)[alone], value[alone], rtol=1e-6)


def test_inputs_are_mixed_with_the_same_partners():
  rng = np.random.default_rng(0)
  image, audio = rng.normal(size=(B, 2, 3)), rng.normal(size=(B, 4))
  mix = losses.draw_mix(jax.random.key(1), 0.4, B)
  found = losses.mix_inputs(mix, {'image': image, 'audio': audio})
  w, partner = float(mix.weight), np.asarray(mix.partner)
  for name, x in (('image', image), ('audio', audio)):
    expected = w * x + (1 - w) * x[partner]
    np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_draws_are_betas_and_permutations():
  keys = jax.random.split(jax.random.key(0), 4000)
  mixes = jax.vmap(lambda key: losses.draw_mix(key, 0.4, B))(keys)
  weight = np.asarray(mixes.weight)
  assert weight.min() >= 0
  assert weight.max() <= 1
  np.testing.assert_allclose(weight.mean(), 0.5, atol=0.03)
  # Var Beta(a, a) = 1 / (4 (2a + 1))
  np.testing.assert_allclose(weight.var(), 1 / 7.2, atol=0.01)
  np.testing.assert_array_equal(np.sort(mixes.partner, 1)[0], np.arange(B))
