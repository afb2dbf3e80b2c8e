"""Dirichlet and Beta distributions against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.ops import dirichlet

AU = tasks.au_task(('AU1', 'AU2'))
EXPR = tasks.expr_task(('neutral', 'anger', 'disgust'))
VA = tasks.va_task(bins=4)
# Log precisions of a task have this many outputs.
WIDTH = {'au': 2, 'expr': 1, 'va': 2}
NLL = jax.jit(dirichlet.nll)


def drawn(task, seed=0, frames=5):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(frames, task.num_outputs)).astype(np.float32)
  precision = rng.normal(size=(frames, WIDTH[task.name])).astype(np.float32)
  return logits, precision


def smoothed(probs):
  eps = dirichlet.SMOOTHING
  return (1 - eps) * probs + eps / probs.shape[-1]


@pytest.mark.parametrize('task', [AU, EXPR, VA])
def test_the_mean_is_that_of_the_logits_and_the_precision_that_asked_for(task):
  logits, precision = drawn(task)
  alpha = np.asarray(dirichlet.concentrations(task, logits, precision))
  total = alpha.sum(-1, keepdims=True)
  if task.kind == 'binary':
    right = scipy.special.expit(logits)
    np.testing.assert_allclose((alpha / total)[..., 1], right, atol=1e-6)
  else:
    split = np.asarray(tasks.split_logits(task, logits))
    right = scipy.special.softmax(split, -1)
    np.testing.assert_allclose(alpha / total, right, atol=1e-6)
  found = np.log(total[..., 0] / alpha.shape[-1]).reshape(precision.shape)
  low, high = dirichlet.LOG_PRECISION
  bounded = high - np.logaddexp(0, high - np.float64(precision))
  bounded = low + np.logaddexp(0, bounded - low)
  np.testing.assert_allclose(found, bounded, atol=1e-4)
  np.testing.assert_allclose(found, precision, atol=0.3)


@given(st.integers(0, 99), st.sampled_from([2, 6]), st.sampled_from([1, 4]))
@settings(deadline=None, max_examples=20)
def test_nll_is_scipys(seed, choices, members):
  rng = np.random.default_rng(seed)
  alpha = np.float32(rng.gamma(2, 3, choices) + 0.1)
  probs = rng.dirichlet(np.ones(choices), members)
  right = [
    scipy.stats.dirichlet.logpdf(p / p.sum(), np.float64(alpha))
    for p in smoothed(probs)
  ]
  found = NLL(alpha, np.float32(probs))
  np.testing.assert_allclose(found, -np.mean(right), rtol=1e-4, atol=1e-4)


def test_of_two_choices_it_is_a_beta_distribution():
  probs = np.float32([0.2, 0.5, 0.9])
  alpha = jnp.float32([3.0, 1.5])  # absent, present
  both = jnp.stack([1 - probs, probs], -1)
  right = -scipy.stats.beta.logpdf(smoothed(np.array(both))[:, 1], 1.5, 3.0)
  np.testing.assert_allclose(
    dirichlet.nll(alpha, both), right.mean(), rtol=1e-5
  )


@pytest.mark.parametrize('task', [AU, EXPR, VA])
def test_draws_have_the_moments_of_the_distribution(task):
  logits, precision = drawn(task, frames=1)
  keys = jax.random.split(jax.random.key(0), 6_000)
  draw = jax.vmap(lambda k: dirichlet.draw(k, task, logits, precision))
  found = jax.jit(draw)(keys)
  found = np.asarray(tasks.split_logits(task, found[:, 0]), np.float64)
  probs = (
    scipy.special.expit(found)
    if task.kind == 'binary'
    else scipy.special.softmax(found, -1)
  )
  alpha = np.float64(dirichlet.concentrations(task, logits, precision))[0]
  total = alpha.sum(-1, keepdims=True)
  mean = alpha / total
  variance = mean * (1 - mean) / (total + 1)
  if task.kind == 'binary':
    mean, variance = mean[..., 1], variance[..., 1]
  np.testing.assert_allclose(probs.mean(0), mean, atol=0.01)
  np.testing.assert_allclose(probs.var(0), variance, rtol=0.08, atol=1e-4)


def test_what_is_extreme_is_finite_with_its_gradient():
  probs = jnp.float32([[1, 0, 0], [0, 1, 0]])

  def loss(logits, precision):
    alpha = dirichlet.concentrations(EXPR, logits, precision)
    return dirichlet.nll(alpha, probs)

  @jax.jit
  def answers(*pair):
    drawn = dirichlet.draw(jax.random.key(0), EXPR, *pair)
    return jax.value_and_grad(loss, (0, 1))(*pair), drawn

  for size in (-1e4, -50.0, 0.0, 50.0, 1e4):
    for precision in (size, 0.0):
      found = answers(np.float32([size, -size, 0]), np.float32([precision]))
      assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
