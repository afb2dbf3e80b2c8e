"""Beta distributions by evidence against SciPy, and what the asymmetry changes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats

from emojax import tasks
from emojax.ops import beta, dirichlet

AU = tasks.au_task(('AU1', 'AU2'))
EXPR = tasks.expr_task(('neutral', 'anger', 'disgust'))
VA = tasks.va_task(bins=4)


def evidence(seed=0, frames=4):
  rng = np.random.default_rng(seed)
  return [jnp.float32(rng.normal(size=(frames, 2))) for _ in range(2)]


def test_the_loss_is_scipys_density():
  present, absent = evidence()
  said = np.random.default_rng(1).uniform(0.01, 0.99, (3, 4, 2))
  found, _ = beta.loss(AU, jnp.float32(said), present, absent)
  alpha = np.float64(beta.concentrations(present, absent))
  smoothed = (1 - dirichlet.SMOOTHING) * said + dirichlet.SMOOTHING / 2
  right = -scipy.stats.beta.logpdf(smoothed, alpha[..., 1], alpha[..., 0])
  np.testing.assert_allclose(found, right.mean(0), rtol=1e-4, atol=1e-5)
  assert (alpha > 1).all()  # never a mode at either end, nor at both


def test_the_mean_and_draws_are_those_of_the_distribution():
  present, absent = evidence(frames=1)
  alpha = np.float64(beta.concentrations(present, absent))[0]
  right = scipy.stats.beta(alpha[..., 1], alpha[..., 0])
  mean = scipy.special.expit(np.float64(beta.mean(AU, present, absent)))[0]
  np.testing.assert_allclose(mean, right.mean(), atol=1e-6)
  keys = jax.random.split(jax.random.key(0), 20_000)
  drawn = jax.vmap(lambda k: beta.draw(k, AU, present, absent))(keys)
  probs = scipy.special.expit(np.float64(drawn))[:, 0]
  np.testing.assert_allclose(probs.mean(0), right.mean(), atol=0.01)
  np.testing.assert_allclose(probs.std(0), right.std(), rtol=0.03)


def test_what_all_hold_absent_counts_little_and_presence_all():
  sure = jnp.float32([[-4.0, -4.0]]), jnp.float32([[6.0, 6.0]])
  said = jnp.float32([[[0.02, 0.9]], [[0.04, 0.8]]])
  _, weight = beta.loss(AU, said, *sure)
  held = scipy.special.expit(np.float64(beta.mean(AU, *sure)))
  p = said.mean(0)
  right = p * (1 - held) ** 0 + (1 - p) * held**beta.FOCUS
  np.testing.assert_allclose(weight, right, atol=1e-6)
  assert weight[0, 0] < 0.05 < 0.8 < weight[0, 1]


def test_the_best_distribution_is_the_teachers_in_spite_of_the_weights():
  rng = np.random.default_rng(3)
  said = rng.beta([20.0, 3.0], [180.0, 2.0], (5000, 1, 2))
  start = [jnp.zeros((1, 2))] * 2
  optimizer = optax.adam(0.05)

  def loss(pair):
    values, weight = beta.loss(AU, jnp.float32(said), *pair)
    return (values * weight).sum()

  def step(carry, _):
    pair, state = carry
    updates, state = optimizer.update(jax.grad(loss)(pair), state)
    return (optax.apply_updates(pair, updates), state), None

  carry = start, optimizer.init(start)
  (pair, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, length=1500))(
    carry
  )
  mean = scipy.special.expit(np.float64(beta.mean(AU, *pair)))[0]
  np.testing.assert_allclose(mean, [0.1, 0.6], atol=0.01)
  total = np.asarray(beta.concentrations(*pair)).sum(-1)[0]
  np.testing.assert_allclose(total, [200, 5], rtol=0.15)


@pytest.mark.parametrize('task', [EXPR, VA])
def test_other_tasks_have_dirichlet_distributions(task):
  rng = np.random.default_rng(0)
  assert beta.further(task) == dirichlet.further(task)
  labels = 1 if task is EXPR else 2
  said = rng.dirichlet(np.ones(3 if task is EXPR else 4), (2, 5, labels))
  said = jnp.float32(said[:, :, 0] if task is EXPR else said)
  pair = [
    jnp.float32(rng.normal(size=(5, n))) for n in (task.num_outputs, labels)
  ]
  for name in ('mean', 'loss', 'draw'):
    lead = {'mean': (), 'loss': (said,), 'draw': (jax.random.key(0),)}[name]
    order = (lead[0], task) if name == 'draw' else (task, *lead)
    found, right = (
      getattr(module, name)(*order, *pair) for module in (beta, dirichlet)
    )
    np.testing.assert_array_equal(
      jax.tree.leaves(found)[0], jax.tree.leaves(right)[0]
    )


def test_what_is_extreme_is_finite_with_its_gradient():
  said = jnp.float32([[[0.0, 1.0]], [[1.0, 1.0]]])

  def loss(pair):
    values, weight = beta.loss(AU, said, *pair)
    return (values * weight).sum()

  @jax.jit
  def answers(pair):
    drawn = beta.draw(jax.random.key(0), AU, *pair)
    return jax.value_and_grad(loss)(pair), drawn

  for size in (-1e4, 0.0, 1e4):
    for signs in ((1, 1), (1, -1)):
      found = answers([np.full((1, 2), s * size, np.float32) for s in signs])
      assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
