"""Predictions over both views of an image against means in NumPy."""

import jax
import numpy as np
import pytest
from engine import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import uncertainty
from emojax.engine import flip


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 3, 60]))
@settings(max_examples=20, deadline=None)
def test_probabilities_are_the_mean_of_both(seed, scale):
  rng = np.random.default_rng(seed)
  for task in toy.SCHEMA:
    views = rng.normal(0, scale, (2, 4, 3, task.num_outputs))
    a, b = views.astype(np.float32)
    found = flip.mean_logits(task, a, b)
    assert found.shape == a.shape
    probs = [uncertainty.probabilities(task, np.float64(x)) for x in (a, b)]
    np.testing.assert_allclose(
      uncertainty.probabilities(task, np.float64(found)),
      np.mean(probs, 0),
      rtol=1e-4,
      atol=1e-6,
    )


@pytest.fixture(scope='module')
def problem():
  method = toy.method()
  params, state = method.init(jax.random.key(0))
  inputs = {'image': toy.clips(5).image}
  return method, params, state, inputs


def test_method_predicts_over_both_views(problem):
  method, params, state, inputs = problem
  both = flip.with_flip(method, toy.SCHEMA)
  found = both.predict(params, state, inputs)
  other = {'image': np.ascontiguousarray(inputs['image'][..., ::-1, :])}
  views = [method.predict(params, state, x) for x in (inputs, other)]
  mirror = both.predict(params, state, other)
  for task in toy.SCHEMA:
    probs = [
      uncertainty.probabilities(task, np.asarray(v[task.name])) for v in views
    ]
    assert np.abs(probs[0] - probs[1]).max() > 1e-4  # it is another view
    np.testing.assert_allclose(
      uncertainty.probabilities(task, np.asarray(found[task.name])),
      np.mean(probs, 0),
      atol=1e-6,
    )
    np.testing.assert_allclose(found[task.name], mirror[task.name], atol=1e-5)


def test_a_pass_has_one_mask_for_both_views(problem):
  method, params, state, inputs = problem
  both = flip.with_flip(method, toy.SCHEMA)
  even = {'image': np.repeat(inputs['image'][..., :1, :], toy.SIZE, -2)}
  # Images that are their own mirror images: any second mask would show.
  key = jax.random.key(5)
  once = method.sample(params, state, even, key)
  twice = both.sample(params, state, even, key)
  probs = uncertainty.probabilities
  for task in toy.SCHEMA:
    a, b = (np.asarray(x[task.name]) for x in (once, twice))
    np.testing.assert_allclose(probs(task, a), probs(task, b), atol=1e-6)


def test_training_is_not_touched(problem):
  method = problem[0]
  both = flip.with_flip(method, toy.SCHEMA)
  assert both.objective is method.objective
  assert both.init is method.init
