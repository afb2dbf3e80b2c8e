"""Losses of one network that learns what every teacher says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from emojax import losses, tasks
from emojax.losses import one_network
from emojax.ops import dirichlet
from emojax.ops.families import FAMILIES

SCHEMA = (
  tasks.au_task(('AU1', 'AU2')),
  tasks.expr_task(('neutral', 'anger', 'disgust')),
  tasks.va_task(bins=5),
)
BINS = tasks.bin_values(5)
B, L, M = 3, 2, 4
WEIGHTS = jnp.float32([1, 2, 0.5])


def masks(rng, share=0.7):
  shapes = {'au': (B, L, 2), 'expr': (B, L), 'va': (B, L, 2)}
  return {k: np.float32(rng.uniform(size=s) < share) for k, s in shapes.items()}


def probabilities(rng, *lead):
  """What teachers say, by task."""
  return {
    'au': rng.uniform(size=(*lead, 2)),
    'expr': rng.dirichlet(np.ones(3), lead),
    'va': rng.dirichlet(np.ones(5), (*lead, 2)),
  }


def as_targets(values, mask):
  return {
    k: tasks.Target(jnp.float32(v), jnp.asarray(mask[k]))
    for k, v in values.items()
  }


@pytest.mark.slow
def test_every_head_learns_from_its_own_teacher():
  rng = np.random.default_rng(0)
  heads = {
    t.name: jnp.float32(rng.normal(size=(B, L, M, t.num_outputs)))
    for t in SCHEMA
  }
  said = probabilities(rng, B, L, M)
  said['va'] = said['va'] @ BINS
  mask = masks(rng)
  options = {'bin_values': BINS, 'pos_weight': jnp.float32([2, 3])}
  loss, by_task = one_network.hydra_loss(
    heads, as_targets(said, mask), SCHEMA, WEIGHTS, **options
  )
  each = [
    losses.multitask_loss(
      {k: x[:, :, m] for k, x in heads.items()},
      as_targets({k: x[:, :, m] for k, x in said.items()}, mask),
      SCHEMA,
      WEIGHTS,
      **options,
    )
    for m in range(M)
  ]
  np.testing.assert_allclose(loss, np.mean([x[0] for x in each]), rtol=1e-6)
  for name, value in by_task.items():
    right = np.mean([x[1][name] for x in each])
    np.testing.assert_allclose(value, right, rtol=1e-6)

  def first_head(found):
    return one_network.hydra_loss(
      found, as_targets(said, mask), SCHEMA, WEIGHTS, **options
    )[0]

  slopes = jax.grad(first_head)(heads)
  other = {k: x.at[:, :, 1:].add(1.0) for k, x in heads.items()}
  again = jax.grad(first_head)(other)
  for name in heads:  # heads do not know each other
    np.testing.assert_allclose(
      slopes[name][:, :, 0], again[name][:, :, 0], atol=1e-6
    )


def test_dirichlet_is_the_masked_mean_of_the_densities():
  rng = np.random.default_rng(1)
  said, mask = probabilities(rng, B, L, M), masks(rng)
  outputs = {
    t.name: (
      jnp.float32(rng.normal(size=(B, L, t.num_outputs))),
      jnp.float32(rng.normal(size=(B, L, 1 if t.name == 'expr' else 2))),
    )
    for t in SCHEMA
  }
  loss, by_task = jax.jit(
    lambda *given: one_network.distribution_loss(
      dirichlet, *given, SCHEMA, WEIGHTS
    )
  )(outputs, as_targets(said, mask))
  nll = jax.jit(dirichlet.nll)
  for task in SCHEMA:
    total = count = 0.0
    alpha = np.asarray(dirichlet.concentrations(task, *outputs[task.name]))
    value = np.moveaxis(said[task.name], 2, 0)
    if task.kind == 'binary':
      value = np.stack([1 - value, value], -1)
    for place in zip(*np.nonzero(mask[task.name]), strict=True):
      one = np.float32(value[(slice(None), *place)])
      total += float(nll(alpha[place], one))
      count += 1
    np.testing.assert_allclose(by_task[task.name], total / count, rtol=1e-4)
  right = sum(w * by_task[t.name] for w, t in zip(WEIGHTS, SCHEMA))
  np.testing.assert_allclose(loss, right, rtol=1e-6)


@pytest.mark.parametrize('family', FAMILIES)
def test_what_is_masked_is_in_no_gradient(family):
  family = FAMILIES[family]
  rng = np.random.default_rng(2)
  said = probabilities(rng, B, L, M)
  mask = {k: np.zeros_like(v) for k, v in masks(rng).items()}

  @jax.jit
  @jax.value_and_grad
  def loss(outputs, targets):
    return one_network.distribution_loss(
      family, outputs, targets, SCHEMA, WEIGHTS
    )[0]

  outputs = {
    task.name: [
      jnp.ones((B, L, t.num_outputs)) for t in (task, *family.further(task))
    ]
    for task in SCHEMA
  }
  for junk in (np.nan, np.inf):
    values = {k: np.full_like(v, junk) for k, v in said.items()}
    value, slopes = loss(outputs, as_targets(values, mask))
    assert value == 0
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(slopes))


def test_the_best_dirichlet_has_the_teachers_mean_and_their_spread():
  rng = np.random.default_rng(3)
  mean = np.array([0.2, 0.5, 0.3])
  said = np.stack(
    [rng.dirichlet(mean * 200, 400), rng.dirichlet(mean * 6, 400)]
  )  # [2 frames, M, E]
  targets = {'expr': tasks.Target(jnp.float32(said[:, None]), jnp.ones((2, 1)))}
  schema = SCHEMA[1:2]

  def loss(outputs):
    return one_network.distribution_loss(
      dirichlet, {'expr': outputs}, targets, schema, jnp.ones(1)
    )[0]

  outputs = jnp.zeros((2, 1, 3)), jnp.zeros((2, 1, 1))
  optimizer = optax.adam(0.05)

  def step(carry, _):
    outputs, state = carry
    updates, state = optimizer.update(jax.grad(loss)(outputs), state)
    return (optax.apply_updates(outputs, updates), state), None

  carry = outputs, optimizer.init(outputs)
  (found, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, length=1500))(
    carry
  )
  probs = scipy.special.softmax(np.asarray(found[0])[:, 0], -1)
  np.testing.assert_allclose(probs, [mean, mean], atol=0.03)
  alpha = dirichlet.concentrations(schema[0], *found)
  total = np.asarray(alpha).sum(-1)[:, 0]
  np.testing.assert_allclose(total, [200, 6], rtol=0.12)


def test_weights_of_a_family_count_in_the_mean():
  rng = np.random.default_rng(4)
  said, mask = probabilities(rng, B, L, M), masks(rng)
  family, schema = FAMILIES['beta'], SCHEMA[:1]
  outputs = [jnp.float32(rng.normal(size=(B, L, 2))) for _ in range(2)]
  targets = as_targets({'au': said['au']}, mask)
  found, _ = one_network.distribution_loss(
    family, {'au': outputs}, targets, schema, jnp.ones(1)
  )
  each = jnp.float32(np.moveaxis(said['au'], 2, 0))
  values, weights = map(np.asarray, family.loss(schema[0], each, *outputs))
  right = (values * weights * mask['au']).sum() / (weights * mask['au']).sum()
  np.testing.assert_allclose(found, right, rtol=1e-5)
