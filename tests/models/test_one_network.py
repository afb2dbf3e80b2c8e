"""One network with members inside it: heads, means and passes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from engine import toy

from emojax import models, tasks, uncertainty
from emojax.models import one_network
from emojax.ops.families import FAMILIES


def made(kind, heads=3):
  model = one_network.build(
    kind, heads, toy.SCHEMA, lambda schema: toy.Net(schema=schema)
  )
  variables = models.init(model, jax.random.key(0))
  inputs = {'image': jax.random.uniform(jax.random.key(1), (2, 2, 8, 8, 3))}
  return model, variables, inputs


@pytest.mark.parametrize('kind', one_network.KINDS)
def test_the_logits_are_those_of_every_task(kind):
  model, variables, inputs = made(kind)

  @jax.jit
  def both(variables, inputs):
    rngs = {'dropout': jax.random.key(0)}
    return model.apply(variables, inputs, train=False), model.apply(
      variables, inputs, train=True, rngs=rngs, mutable=['batch_stats']
    )

  found, (learned, state) = both(variables, inputs)
  for task in toy.SCHEMA:
    assert found[task.name].shape == (2, 2, task.num_outputs)
    assert found[task.name].dtype == jnp.float32
  assert found.keys() == learned.keys()
  assert jax.tree.structure(state) == jax.tree.structure(
    {'batch_stats': variables['batch_stats']}
  )


def test_a_hydra_says_the_mean_of_its_heads():
  model, variables, inputs = made('hydra')
  found = model.apply(variables, inputs, train=False)
  for task in toy.SCHEMA:
    heads = found[one_network.MEMBERS][task.name]
    assert heads.shape == (2, 2, 3, task.num_outputs)
    each = np.stack(
      [
        uncertainty.probabilities(task, np.float64(heads[:, :, m]))
        for m in range(3)
      ]
    )
    said = uncertainty.probabilities(task, np.float64(found[task.name]))
    np.testing.assert_allclose(said, each.mean(0), atol=1e-6)
    assert np.ptp(each, 0).max() > 1e-3  # heads differ from the start


def test_passes_of_a_hydra_are_its_heads_in_order_and_around():
  model, variables, inputs = made('hydra')
  members = model.apply(variables, inputs, train=False)[one_network.MEMBERS]

  def run(number):
    return model.apply(
      variables, inputs, train=False, dropout=True, number=number,
      rngs={'dropout': jax.random.key(number)},
    )  # fmt: skip

  for number in range(5):
    found = run(number)
    assert set(found) == {task.name for task in toy.SCHEMA}
    for name, value in found.items():
      right = members[name][:, :, number % 3]
      np.testing.assert_array_equal(value, right)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['dirichlet', 'logit_gaussian', 'beta'])
def test_passes_of_a_distribution_are_draws_around_its_mean(kind):
  model, variables, inputs = made(kind)
  mean = model.apply(variables, inputs, train=False)

  def run(key):
    return model.apply(
      variables, inputs, train=False, dropout=True, number=0,
      rngs={'dropout': key},
    )  # fmt: skip

  keys = jax.random.split(jax.random.key(5), 4000)
  drawn = jax.jit(jax.vmap(run))(keys)
  for task in toy.SCHEMA:
    probs = uncertainty.probabilities(task, np.float64(drawn[task.name]))
    right = uncertainty.probabilities(task, np.float64(mean[task.name]))
    np.testing.assert_allclose(probs.mean(0), right, atol=0.03)
    assert probs.std(0).min() > 0.01


@pytest.mark.parametrize('kind', FAMILIES)
def test_what_the_loss_reads_are_the_outputs_of_the_further_tasks(kind):
  model, variables, inputs = made(kind)
  found = model.apply(variables, inputs, train=False)
  family = FAMILIES[kind]
  for task in toy.SCHEMA:
    outputs = found[one_network.PARAMETERS][task.name]
    sizes = [t.num_outputs for t in (task, *family.further(task))]
    assert [x.shape[-1] for x in outputs] == sizes
    right = family.mean(task, *outputs)
    np.testing.assert_array_equal(found[task.name], right)


def test_passes_have_no_dropout_and_training_has():
  model, variables, inputs = made('hydra')
  key = {'dropout': jax.random.key(0)}
  other = {'dropout': jax.random.key(1)}
  passes = [
    model.apply(variables, inputs, train=False, dropout=True, number=1, rngs=k)
    for k in (key, other)
  ]
  toy.assert_same(*passes)
  trained = [
    model.apply(variables, inputs, train=True, rngs=k, mutable=['batch_stats'])
    for k in (key, other)
  ]
  assert (trained[0][0]['expr'] != trained[1][0]['expr']).any()


def test_mean_logits_of_certain_members_are_finite():
  for task in toy.SCHEMA:
    logits = jnp.full((1, 1, 2, task.num_outputs), 80.0)
    logits = logits.at[:, :, 0, 0].set(-80.0)
    found = jax.jit(lambda x, t=task: one_network.mean_logits(t, x, 2))(logits)
    assert found.shape == (1, 1, task.num_outputs)
    assert np.isfinite(found).all()
  au = toy.SCHEMA[0]
  found = one_network.mean_logits(au, jnp.float32([[1.0, 2], [3, -4]]), 0)
  right = scipy.special.expit(np.array([[1.0, 2], [3, -4]])).mean(0)
  np.testing.assert_allclose(scipy.special.expit(found), right, atol=1e-6)


@pytest.mark.slow
def test_networks_of_the_registry_serve_as_trunk():
  schema = (tasks.expr_task(('neutral', 'anger')),)
  model = one_network.build(
    'dirichlet', 0, schema,
    lambda wide: models.build('emenet_v', wide, 32, width=0.125, hidden=8),
  )  # fmt: skip
  shapes = jax.eval_shape(
    lambda key: model.init(key, models.example_inputs(model), train=False),
    jax.random.key(0),
  )
  heads = {k for k in shapes['params']['trunk'] if k.startswith('head_')}
  assert heads == {'head_expr', 'head_expr_precision'}


def test_what_is_no_such_network_is_named():
  with pytest.raises(ValueError, match="'mean': expected one of"):
    one_network.widened('mean', toy.SCHEMA, 2)
  for heads in (-1, 0, 1, 65, 10**9):
    with pytest.raises(ValueError, match='from 2 to 64'):
      one_network.widened('hydra', toy.SCHEMA, heads)
