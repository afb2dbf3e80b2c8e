"""Tests of emojax/uncertainty.py against the definitions of Eq. 14."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emojax import tasks, uncertainty

SCHEMA = tasks.ABAW2021
DECOMPOSE = jax.jit(uncertainty.decompose)


def _logits(shape=(5, 3, 4), seed=0, scale=2.0):
  rng = np.random.default_rng(seed)
  return {
    t.name: np.float32(rng.normal(0, scale, (*shape, t.num_outputs)))
    for t in SCHEMA
  }


def _probs(**options):
  logits = _logits(**options)
  return {t.name: uncertainty.probabilities(t, logits[t.name]) for t in SCHEMA}


@pytest.mark.parametrize('task', SCHEMA, ids=lambda t: t.name)
def test_probabilities_by_kind(task):
  logits = _logits()[task.name]
  on_host = uncertainty.probabilities(task, logits)
  on_device = uncertainty.probabilities(task, jnp.asarray(logits))
  assert isinstance(on_host, np.ndarray)
  assert isinstance(on_device, jax.Array)
  np.testing.assert_allclose(on_device, on_host, rtol=1e-5, atol=1e-7)
  if task.kind == 'binary':
    np.testing.assert_allclose(on_host, scipy.special.expit(logits), rtol=1e-6)
  else:
    np.testing.assert_allclose(on_host.sum(-1), 1, rtol=1e-5)
  shape = {'au': (5, 3, 4, 12), 'expr': (5, 3, 4, 7), 'va': (5, 3, 4, 2, 20)}
  assert on_host.shape == shape[task.name]


@pytest.mark.parametrize('junk', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('task', SCHEMA, ids=lambda t: t.name)
def test_logits_that_are_not_finite_are_no_answer(task, junk):
  logits = _logits()[task.name]
  logits[0, 1, 2, 3] = junk
  for array in (logits, jnp.asarray(logits)):
    probs = np.asarray(uncertainty.probabilities(task, array))
    bad = np.isnan(probs)
    assert bad[0, 1, 2].reshape(-1)[3]
    assert bad.sum() == {'binary': 1, 'categorical': 7, 'binned': 20}[task.kind]
    doubt = uncertainty.task_uncertainty(task, probs)
    assert np.isnan(doubt.total[1, 2])
    assert np.isfinite(np.delete(doubt.total.ravel(), 6)).all()


@pytest.mark.parametrize('classes', [2, 7, 20])
def test_decompose_matches_scipy(classes):
  probs = np.random.default_rng(0).dirichlet(np.ones(classes), (5, 6))
  total, aleatoric, epistemic = uncertainty.decompose(probs)
  entropy = functools.partial(scipy.stats.entropy, base=classes, axis=-1)
  np.testing.assert_allclose(total, entropy(probs.mean(0)))
  np.testing.assert_allclose(aleatoric, entropy(probs).mean(0))
  # Mutual information: mean divergence of the samples from their mean.
  mutual = entropy(probs, np.broadcast_to(probs.mean(0), probs.shape)).mean(0)
  np.testing.assert_allclose(epistemic, mutual, atol=1e-12)


@given(
  hnp.arrays(np.float32, (4, 3, 5), elements=st.floats(-60, 60, width=32)),
  st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_parts_are_bounded_and_add_up(logits, on_device):
  probs = scipy.special.softmax(logits, axis=-1)
  parts = (DECOMPOSE if on_device else uncertainty.decompose)(probs)
  total, aleatoric, epistemic = map(np.asarray, parts)
  for part in parts:
    assert (part >= -1e-5).all()
    assert (part <= 1 + 1e-5).all()
  np.testing.assert_allclose(aleatoric + epistemic, total, atol=1e-6)


def test_certain_and_uniform_distributions():
  certain = np.tile(np.eye(4), (3, 1, 1))
  for part in uncertainty.decompose(certain):
    np.testing.assert_array_equal(part, 0)
  uniform = uncertainty.decompose(np.full((3, 2, 4), 0.25))
  np.testing.assert_allclose(uniform.total, 1)
  np.testing.assert_allclose(uniform.epistemic, 0, atol=1e-12)


def test_samples_that_contradict_one_another_are_epistemic():
  parts = uncertainty.decompose(np.eye(4)[:, None])
  np.testing.assert_allclose([p[0] for p in parts], [1, 0, 1], atol=1e-12)


def test_a_single_sample_has_no_epistemic_uncertainty():
  mean, _ = uncertainty.multitask_uncertainty(_probs(shape=(1, 6)), SCHEMA)
  np.testing.assert_allclose(mean.epistemic, 0, atol=1e-6)


def test_gradient_is_finite_at_certainty():
  probs = jnp.tile(jnp.eye(3), (2, 1, 1))
  epistemic = lambda p: uncertainty.decompose(p).epistemic.sum()  # noqa: E731
  gradient = jax.jit(jax.grad(epistemic))(probs)
  assert np.isfinite(gradient).all()


def test_action_units_are_pairs():
  p = np.random.default_rng(0).uniform(size=(5, 3, 12))
  task = SCHEMA[0]
  labels = uncertainty.label_uncertainty(task, p)
  assert labels.total.shape == (3, 12)
  pairs = np.stack([1 - p, p], -1)
  for actual, expected in zip(labels, uncertainty.decompose(pairs)):
    np.testing.assert_allclose(actual, expected)
  mean = uncertainty.task_uncertainty(task, p)
  np.testing.assert_allclose(mean.epistemic, labels.epistemic.mean(-1))


def test_every_task_counts_the_same():
  probs = _probs()
  mean, parts = uncertainty.multitask_uncertainty(probs, SCHEMA)
  assert mean.total.shape == (3, 4)
  for i, field in enumerate(mean._fields):
    au = uncertainty.label_uncertainty(SCHEMA[0], probs['au'])[i].mean(-1)
    expr = uncertainty.decompose(probs['expr'])[i]
    va = uncertainty.decompose(probs['va'])[i].mean(-1)
    np.testing.assert_allclose(
      mean[i], (au + expr + va) / 3, rtol=1e-5, atol=1e-7, err_msg=field
    )
    np.testing.assert_array_equal(parts['expr'][i], expr)


def test_jit_equals_numpy():
  probs = _probs()
  run = functools.partial(uncertainty.multitask_uncertainty, schema=SCHEMA)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    jax.jit(run)(probs),
    run(probs),
  )


def test_one_column_is_an_error():
  with pytest.raises(ValueError, match='both probabilities'):
    uncertainty.decompose(np.full((5, 3, 1), 0.5))


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=15)
def test_the_order_of_samples_and_the_type_do_not_matter(seed):
  probs = _probs()
  order = np.random.default_rng(seed).permutation(5)
  shuffled = {k: np.float64(p[order]) for k, p in probs.items()}
  first, second = (
    uncertainty.multitask_uncertainty(p, SCHEMA)[0] for p in (probs, shuffled)
  )
  for a, b in zip(first, second):
    np.testing.assert_allclose(a, b, atol=2e-6)
