"""Credal sets: bounds, the intersection probability, extreme points, the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.ops import credal

AU = tasks.au_task(('AU1', 'AU2'))
EXPR = tasks.expr_task(('neutral', 'anger', 'disgust', 'fear'))
VA = tasks.va_task(bins=5)
TASKS = (AU, EXPR, VA)
INTERSECTION = jax.jit(credal.intersection)


def outputs(task, seed=0, frames=3):
  """What a network says: logits, widths and, of several classes, weights."""
  rng = np.random.default_rng(seed)
  sizes = [task.num_outputs, *(t.num_outputs for t in credal.further(task))]
  return [jnp.float32(rng.normal(size=(frames, n))) for n in sizes]


def teachers(task, members, seed=0, frames=3):
  rng = np.random.default_rng(seed)
  if task.kind == 'binary':
    return rng.uniform(size=(members, frames, 2))
  if task.kind == 'categorical':
    return rng.dirichlet(np.ones(4), (members, frames))
  return rng.dirichlet(np.ones(5), (members, frames, 2))


def test_a_network_has_two_outputs_a_class_and_one_more():
  count = [
    t.num_outputs + sum(o.num_outputs for o in credal.further(t)) for t in TASKS
  ]
  assert count == [2 * 2, 2 * 4 + 1, 2 * (2 * 5 + 1)]


@given(st.integers(0, 99), st.sampled_from([2, 3, 7]), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_the_intersection_is_a_distribution_within_the_bounds(seed, c, members):
  said = np.random.default_rng(seed).dirichlet(np.full(c, 0.3), members)
  lower, upper = said.min(0), said.max(0)
  middle, beta = INTERSECTION(np.float32(lower), np.float32(upper))
  np.testing.assert_allclose(middle.sum(), 1, atol=1e-5)
  assert (middle >= lower - 1e-6).all()
  assert (middle <= upper + 1e-6).all()
  # The one point of the line from lower to upper that sums to 1.
  right = 0.5
  if members > 1:
    at = lambda b: (lower + b * (upper - lower)).sum() - 1  # noqa: E731
    right = scipy.optimize.brentq(at, -1e-9, 1 + 1e-9)
  np.testing.assert_allclose(beta, [right], atol=1e-4)


def test_an_action_unit_is_two_classes():
  said = teachers(AU, 4)[..., 0]
  both = np.stack([1 - said, said], -1)
  middle, beta = credal.intersection(both.min(0), both.max(0))
  np.testing.assert_allclose(beta, 0.5, atol=1e-6)
  half = (said.min(0) + said.max(0)) / 2
  np.testing.assert_allclose(middle[..., 1], half, atol=1e-6)


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('seed', range(3))
def test_bounds_hold_a_distribution_and_draws_are_their_extreme_points(
  task, seed
):
  said = outputs(task, seed)
  lower, upper = map(np.asarray, credal.bounds(task, *said))
  assert (0 <= lower).all()
  assert (lower <= upper).all()
  assert (upper <= 1).all()
  keys = jax.random.split(jax.random.key(seed), 40)
  drawn = jax.vmap(lambda k: credal.draw(k, task, *said))(keys)
  drawn = np.float64(tasks.split_logits(task, drawn))
  if task.kind == 'binary':
    probs = scipy.special.expit(drawn)
    at = (
      np.isclose(probs, lower, atol=1e-4),
      np.isclose(probs, upper, atol=1e-4),
    )
    assert (at[0] | at[1]).all()
    assert all(one.any(0).all() for one in at)
    return
  probs = scipy.special.softmax(drawn, -1)
  assert (lower.sum(-1) <= 1 + 1e-6).all()
  assert (upper.sum(-1) >= 1 - 1e-6).all()
  assert (probs >= lower - 1e-4).all()
  assert (probs <= upper + 1e-4).all()
  # An extreme point has at most one class between its bounds.
  between = ~np.isclose(probs, lower, atol=2e-4)
  between &= ~np.isclose(probs, upper, atol=2e-4)
  assert between.sum(-1).max() <= 1
  assert probs.std(0).max() > 0.01


@pytest.mark.parametrize('task', TASKS)
def test_the_best_network_has_the_teachers_bounds(task):
  said = jnp.float32(teachers(task, 4, seed=2))
  start = [jnp.zeros_like(x) for x in outputs(task)]
  optimizer = optax.adam(0.1)

  def step(carry, _):
    found, state = carry
    slope = jax.grad(lambda x: credal.loss(task, said, *x)[0].sum())(found)
    updates, state = optimizer.update(slope, state)
    return (optax.apply_updates(found, updates), state), None

  carry = start, optimizer.init(start)
  (found, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, length=800))(
    carry
  )
  lower, upper = credal.bounds(task, *found)
  np.testing.assert_allclose(lower, said.min(0), atol=0.02)
  np.testing.assert_allclose(upper, said.max(0), atol=0.02)


@pytest.mark.parametrize('task', TASKS)
def test_what_is_extreme_is_finite_with_its_gradient(task):
  said = np.float32(teachers(task, 3)).round()
  said = np.concatenate([said[:1]] * 2)  # teachers that are sure, and agree

  @jax.jit
  def answers(found):
    loss = jax.value_and_grad(lambda x: credal.loss(task, said, *x)[0].sum())
    return loss(found), credal.draw(jax.random.key(0), task, *found)

  for size in (-1e4, 0.0, 1e4):
    found = [np.full_like(x, size) for x in outputs(task)]
    for x in found:
      x[..., 0] = -size
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(answers(found)))
