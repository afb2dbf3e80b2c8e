"""Losses of paper 003 and its rivals: PyTorch oracles, properties, edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.losses import noisy_labels

B, K, D = 12, 5, 6


def draws(seed=0):
  rng = np.random.default_rng(seed)
  normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
  return {
    'mean': normal(B, D),
    'log_sigma': normal(B, D),
    'weight': normal(D, K),
    'bias': normal(K),
    'labels': rng.integers(0, K, B).astype(np.int32),
    'order': rng.permutation(B),
    'score': normal(B),
    'hint': rng.integers(0, 2, B).astype(np.float32),
  }


def torch_losses(kind, x):
  """The published codes, on tensors: (loss, inputs that have gradients)."""
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  ce = torch.nn.CrossEntropyLoss()
  t = {k: torch.tensor(v) for k, v in x.items()}
  mean = t['mean'].requires_grad_()
  log_sigma = t['log_sigma'].requires_grad_()
  score = t['score'].requires_grad_()
  order, labels = t['order'].long(), t['labels'].long()
  fc = lambda z: z @ t['weight'] + t['bias']  # noqa: E731
  if kind in ('rul', 'published', 'logits', 'probabilities', 'attention'):
    sigma = log_sigma.exp()
    if kind == 'published':
      s_i, s_j = sigma.mean(1), sigma[order].mean(1)
      a = s_i / (s_i + s_j)
    else:
      a = (sigma / (sigma + sigma[order])).mean(1)
    a = a[:, None]
    if kind in ('rul', 'published'):
      mixed = fc(a * mean + (1 - a) * mean[order])
    elif kind == 'logits':
      mixed = a * fc(mean) + (1 - a) * fc(mean[order])
    elif kind == 'probabilities':
      p = fc(mean).softmax(1)
      mixed = (a * p + (1 - a) * p[order]).log()
      nll = torch.nn.NLLLoss()
      return nll(mixed, labels) + nll(mixed, labels[order]), (mean, log_sigma)
    else:
      each = torch.nn.CrossEntropyLoss(reduction='none')(fc(mean), labels)
      loss = (a[:, 0] * each + (1 - a[:, 0]) * each[order]).mean()
      return loss, (mean, log_sigma)
    return ce(mixed, labels) + ce(mixed, labels[order]), (mean, log_sigma)
  if kind == 'kl':
    kl = -0.5 * (1 + log_sigma - mean.pow(2) - log_sigma.exp()).sum(1)
    return kl.mean(), (mean, log_sigma)
  if kind == 'rank':
    alpha = score.sigmoid()
    top, _ = alpha.topk(int(B * 0.7))
    low, _ = alpha.topk(B - int(B * 0.7), largest=False)
    gap = 0.15 - (top.mean() - low.mean())
    return gap.clamp(min=0), (score,)
  # CONF's training loop.
  p = fc(mean).softmax(1).clamp(1e-12, 1 - 1e-12)
  c = score.sigmoid()[:, None].clamp(1e-12, 1 - 1e-12)
  hint = t['hint'][:, None]
  conf = c * hint + (1 - hint)
  one_hot = torch.nn.functional.one_hot(labels, K)
  new = torch.log(p * conf + one_hot * (1 - conf))
  nll = torch.nn.functional.nll_loss(new, labels)
  return nll + 0.1 * (-c.log()).mean(), (mean, score)


def our_loss(kind, x, mean, log_sigma, score):
  n = noisy_labels
  order, labels = x['order'], x['labels']
  fc = lambda z: z @ x['weight'] + x['bias']  # noqa: E731
  if kind == 'kl':
    return n.gaussian_kl(mean, log_sigma).mean()
  if kind == 'rank':
    return n.rank_regularisation(jax.nn.sigmoid(score), 0.7, 0.15)
  if kind == 'conf':
    nll, cost = n.hinted(fc(mean), jax.nn.sigmoid(score), labels, x['hint'])
    return nll.mean() + 0.1 * cost.mean()
  ratio = 'means' if kind == 'published' else 'elementwise'
  a = n.relative_weight(log_sigma, log_sigma[order], ratio)
  if kind in ('rul', 'published'):
    mixed = fc(n.mix(a, mean, mean[order]))
    return n.add_up(mixed, labels, labels[order]).mean()
  both = (a, fc(mean), fc(mean[order]), labels, labels[order])
  if kind == 'attention':
    return n.weighted_losses(*both).mean()
  return n.mixed_output(*both, kind).mean()


@pytest.mark.parametrize(
  'kind',
  'rul published logits probabilities attention kl rank conf'.split(),
)
def test_losses_and_gradients_are_those_of_pytorch(kind):
  x = draws()
  expected, inputs = torch_losses(kind, x)
  expected.backward()
  arguments = (x['mean'], x['log_sigma'], x['score'])
  loss, grads = jax.value_and_grad(
    lambda *a: our_loss(kind, x, *a), argnums=(0, 1, 2)
  )(*arguments)
  np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
  for name, grad in zip(('mean', 'log_sigma', 'score'), grads):
    for tensor in inputs:
      if np.array_equal(tensor.detach(), x[name]):
        np.testing.assert_allclose(grad, tensor.grad, rtol=1e-4, atol=1e-6)


def test_mixing_logits_is_mixing_features():
  x = draws(1)
  arguments = (x['mean'], x['log_sigma'], x['score'])
  np.testing.assert_allclose(
    our_loss('logits', x, *arguments), our_loss('rul', x, *arguments), rtol=1e-5
  )
  other = our_loss('probabilities', x, *arguments)
  assert abs(other - our_loss('rul', x, *arguments)) > 1e-3


PARTNERS = jax.jit(noisy_labels.partners, static_argnums=2)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=9, max_size=9), st.integers(0, 99))
def test_partners_have_another_label_where_there_is_one(labels, seed):
  labels = np.int32(labels)
  other = PARTNERS(jax.random.key(seed), labels, 'different')
  assert (other != np.arange(9)).all()
  exists = np.array([(labels != label).any() for label in labels])
  assert (labels[other] != labels)[exists].all()
  shuffled = PARTNERS(jax.random.key(seed), labels, 'permutation')
  assert sorted(shuffled.tolist()) == list(range(9))


def test_partners_are_uniform_among_the_others():
  keys = jax.random.split(jax.random.key(0), 3000)
  labels = jnp.int32([0, 1, 1, 2, 0])
  found = jax.vmap(lambda k: noisy_labels.partners(k, labels)[0])(keys)
  np.testing.assert_allclose(
    np.bincount(found, minlength=5) / 3000,
    [0, 1 / 3, 1 / 3, 1 / 3, 0],
    atol=0.03,
  )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 50), st.sampled_from(noisy_labels.RATIOS))
def test_relative_weights_of_two_add_up_to_one(seed, ratio):
  x = draws(seed)['log_sigma'] * 50
  weight = noisy_labels.relative_weight(x, x[::-1], ratio)
  assert ((weight >= 0) & (weight <= 1)).all()
  np.testing.assert_allclose(weight + weight[::-1], 1, atol=1e-5)
  same = noisy_labels.relative_weight(x, x, ratio)
  np.testing.assert_allclose(same, 0.5, atol=1e-6)


def test_more_uncertain_weighs_more():
  x = draws()['log_sigma']
  for ratio in noisy_labels.RATIOS:
    assert (noisy_labels.relative_weight(x + 1, x, ratio) > 0.5).all()


def test_relabelling_follows_the_margin_and_the_suspects():
  probs = np.array([[0.6, 0.3, 0.1], [0.5, 0.31, 0.19], [0.6, 0.3, 0.1]])
  labels = np.int32([1, 1, 1])
  suspects = np.array([True, True, False])
  new, changed = noisy_labels.relabelled(np.log(probs), labels, suspects, 0.2)
  assert new.tolist() == [0, 1, 1]
  assert changed.tolist() == [True, False, False]
  assert new.dtype == labels.dtype


# XLA takes numbers below the normal ones for zero.
normal = st.floats(-5, 5, allow_subnormal=False, width=32)


@settings(deadline=None, max_examples=30)
@given(st.lists(normal, min_size=9, max_size=9), st.floats(0, 1))
def test_the_most_uncertain_share(values, fraction):
  chosen = np.asarray(noisy_labels.most_uncertain(jnp.array(values), fraction))
  values = np.float32(values)
  assert chosen.sum() == round(len(values) * fraction)
  if 0 < chosen.sum() < len(values):
    assert values[chosen].min() >= values[~chosen].max()


def test_budget_is_held():
  rising = noisy_labels.next_budget_weight(0.1, 0.4, 0.3)
  falling = noisy_labels.next_budget_weight(0.1, 0.2, 0.3)
  np.testing.assert_allclose([rising, falling], [0.1 / 0.99, 0.1 / 1.01])


@pytest.mark.parametrize('scale', [0.0, 1e4])
@pytest.mark.parametrize(
  'kind', 'rul published probabilities attention rank conf'.split()
)
def test_extremes_have_finite_losses_and_gradients(kind, scale):
  x = draws()
  arguments = [scale * x[n] for n in ('mean', 'log_sigma', 'score')]
  loss, grads = jax.value_and_grad(
    lambda *a: our_loss(kind, x, *a), argnums=(0, 1, 2)
  )(*arguments)
  assert np.isfinite(loss)
  assert all(np.isfinite(g).all() for g in grads)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (
      lambda: noisy_labels.partners(jax.random.key(0), jnp.zeros(3), 'other'),
      "pairing 'other': expected one of different, permutation",
    ),
    (
      lambda: noisy_labels.relative_weight(jnp.zeros((2, 2)), 0, 'mean'),
      "ratio 'mean': expected one of elementwise, means",
    ),
    (
      lambda: noisy_labels.rank_regularisation(jnp.zeros(3), 0.1, 0.1),
      'a share of 0.1 of 3 images leaves one group empty',
    ),
  ],
)
def test_unknown_choices_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_nan_is_uncertain_and_changes_no_label():
  doubt = jnp.array([0.3, jnp.nan, 0.9, jnp.inf, 0.1])
  for count, expected in ((1, [1]), (2, [1, 3]), (3, [1, 2, 3])):
    found = noisy_labels.most_uncertain(doubt, count / 5)
    np.testing.assert_array_equal(np.flatnonzero(found), expected)
  labels = jnp.zeros(4, jnp.int32)
  logits = jnp.array(
    [[jnp.nan, 1, 9], [0, jnp.inf, 0], [0, 0, 9], [9, 0, 0]], jnp.float32
  )
  final, changed = noisy_labels.relabelled(logits, labels, labels == 0, 0.2)
  np.testing.assert_array_equal(final, [0, 0, 2, 0])
  np.testing.assert_array_equal(changed, [False, False, True, False])


def test_equally_uncertain_images_fill_the_share_exactly():
  found = noisy_labels.most_uncertain(jnp.full(10, 0.5), 0.3)
  assert found.sum() == 3
