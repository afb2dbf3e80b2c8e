"""Gaussian distributions over logits against SciPy, and their mean distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.ops import logit_gaussian

AU = tasks.au_task(('AU1', 'AU2'))
EXPR = tasks.expr_task(('neutral', 'anger', 'disgust'))
VA = tasks.va_task(bins=20)
TASKS = (AU, EXPR, VA)
LOSS = jax.jit(logit_gaussian.loss, static_argnums=0)


def outputs(task, seed=0, frames=2):
  rng = np.random.default_rng(seed)
  shape = (frames, task.num_outputs)
  return jnp.float32(rng.normal(0, 2, shape)), jnp.float32(
    rng.normal(size=shape)
  )


def probabilities(task, logits):
  found = np.float64(tasks.split_logits(task, logits))
  if task.kind == 'binary':
    return scipy.special.expit(found)
  return scipy.special.softmax(found, -1)


@pytest.mark.parametrize('task', TASKS)
def test_centred_logits_are_the_same_distribution(task):
  logits, _ = outputs(task)
  found = logit_gaussian.centred(task, logits)
  again = found.reshape(logits.shape)
  right = probabilities(task, logits)
  np.testing.assert_allclose(probabilities(task, again), right, atol=1e-6)
  if task.kind != 'binary':
    np.testing.assert_allclose(found.mean(-1), 0, atol=1e-5)
    moved = logit_gaussian.centred(task, logits + 3)
    np.testing.assert_allclose(moved, found, atol=1e-5)


@given(st.integers(0, 99), st.sampled_from([1, 4]), st.sampled_from(TASKS))
@settings(deadline=None, max_examples=20)
def test_the_loss_is_scipys_density(seed, members, task):
  rng = np.random.default_rng(seed)
  logits, spread = outputs(task, seed)
  said = rng.normal(size=(members, *tasks.split_logits(task, logits).shape))
  found, counts = LOSS(task, jnp.float32(said), logits, spread)
  deviation = np.exp(np.float64(logit_gaussian.log_variance(spread)) / 2)
  right = -scipy.stats.norm.logpdf(
    said,
    np.float64(tasks.split_logits(task, logits)),
    np.asarray(tasks.split_logits(task, deviation)),
  ).mean(0)
  right = right if task.kind == 'binary' else right.mean(-1)
  np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)
  assert counts == 1


@pytest.mark.parametrize('task', TASKS)
def test_the_mean_is_that_of_many_draws(task):
  logits, spread = outputs(task)
  keys = jax.random.split(jax.random.key(0), 20_000)
  drawn = jax.jit(
    jax.vmap(lambda k: logit_gaussian.draw(k, task, logits, spread))
  )(keys)
  right = probabilities(task, drawn).mean(0)
  found = probabilities(task, logit_gaussian.mean(task, logits, spread))
  np.testing.assert_allclose(found, right, atol=0.01)
  right = logit_gaussian.deviation(task, spread)
  np.testing.assert_allclose(drawn.std(0), right, rtol=0.05)


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('size', [0.3, 2.0])
def test_draws_disagree_as_the_teachers_that_they_are_of(task, size):
  """A student at the optimum of `loss` loses nothing of what teachers say."""
  rng = np.random.default_rng(0)
  teachers = rng.normal(0, size, (20_000, task.num_outputs))
  said = np.asarray(logit_gaussian.centred(task, jnp.float32(teachers)))
  said = said.reshape(len(said), -1)
  low, high = logit_gaussian.LOG_VARIANCE
  raw = np.linspace(low - 8, high + 8, 10_001)
  known = logit_gaussian.log_variance(jnp.float32(raw))
  spread = jnp.float32(np.interp(np.log(said.var(0)), known, raw))
  keys = jax.random.split(jax.random.key(1), len(teachers))
  drawn = jax.jit(
    jax.vmap(lambda k: logit_gaussian.draw(k, task, said.mean(0), spread))
  )(keys)
  found, right = (probabilities(task, x) for x in (drawn, teachers))
  np.testing.assert_allclose(found.mean(0), right.mean(0), atol=0.01)
  np.testing.assert_allclose(found.std(0), right.std(0), rtol=0.05)


def test_without_a_spread_the_mean_is_the_centre():
  for task in TASKS:
    logits, spread = outputs(task)
    found = logit_gaussian.mean(task, logits, spread - 1e3)
    right = probabilities(task, logits)
    np.testing.assert_allclose(probabilities(task, found), right, atol=2e-3)


def test_nodes_are_fixed_and_have_the_moments_of_a_gaussian():
  found = logit_gaussian.nodes(20)
  np.testing.assert_array_equal(found, logit_gaussian.nodes(20))
  np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
  np.testing.assert_allclose(found.std(0), 1, atol=0.1)


@pytest.mark.parametrize('task', TASKS)
def test_what_is_extreme_is_finite_with_its_gradient(task):
  said = jnp.zeros((2, *tasks.split_logits(task, outputs(task)[0]).shape))

  @jax.jit
  @jax.value_and_grad
  def loss(pair):
    found = logit_gaussian.loss(task, said, *pair)[0].sum()
    return found + logit_gaussian.mean(task, *pair).sum()

  for size in (-1e4, 0.0, 1e4):
    pair = [np.full_like(x, size) for x in outputs(task)]
    for x in pair:
      x[..., 0] = -size
    value, slopes = loss(pair)
    assert np.isfinite(value)
    assert all(np.isfinite(s).all() for s in slopes)
    low, high = logit_gaussian.LOG_VARIANCE
    bounded = np.asarray(logit_gaussian.log_variance(pair[1]))
    assert (bounded >= low - 1e-3).all()
    assert (bounded <= high + 1e-3).all()
