"""Tests of emojax/engine/task_balance.py against Algorithm 1 written out by hand."""

import functools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.engine import task_balance

histories = st.lists(
  st.tuples(*[st.integers(-3, 8).map(lambda i: i / 8)] * 3),
  min_size=1,
  max_size=12,
)


def _algorithm1(history, variant):
  """Paper 000, Algorithm 1 and the published code, in plain Python."""
  m, factor = [1] * 3, [1.0] * 3
  best = [0.0 if variant == 'published' else -math.inf] * 3
  rows = []
  for scores in history:
    for i, score in enumerate(scores):
      m[i] = 1 if score > best[i] else m[i] + 1
      best[i] = max(best[i], score)
      if variant == 'paper':
        factor[i] = max(1, math.log2(m[i]))
      elif m[i] - 1 > 1:
        factor[i] = math.log2(m[i] - 1)
    rows.append([f / sum(factor) for f in factor])
  return rows


@functools.partial(jax.jit, static_argnames='variant')
def _scan(history, variant):
  def step(state, scores):
    state = task_balance.update(state, scores, variant)
    return state, state.weights

  state = task_balance.init(tasks.ABAW2021, variant)
  return jax.lax.scan(step, state, history)[1]


def _run(history, variant):
  padded = np.zeros((12, 3), np.float32)  # one shape: one compilation
  padded[: len(history)] = history
  return _scan(padded, variant)[: len(history)]


@pytest.mark.parametrize('variant', ['paper', 'published'])
@given(history=histories)
@settings(deadline=None, max_examples=15)
def test_matches_algorithm_1(variant, history):
  weights = _run(history, variant)
  np.testing.assert_allclose(weights, _algorithm1(history, variant), rtol=1e-5)


def test_starts_with_equal_weights():
  state = task_balance.init(tasks.ABAW2021)
  np.testing.assert_allclose(state.weights, [1 / 3] * 3)


def test_paper_resets_after_an_improvement_and_published_does_not():
  stale = [(1, 1, 1)] + [(0, 2 + i, 2 + i) for i in range(4)]
  improved = [*stale, (2, 9, 9)]
  for variant, before, after in [
    ('paper', math.log2(5), 1),
    ('published', math.log2(4), math.log2(4)),
  ]:
    weights = _run(improved, variant)
    np.testing.assert_allclose(weights[4][0] / weights[4][1], before, rtol=1e-5)
    np.testing.assert_allclose(weights[5][0] / weights[5][1], after, rtol=1e-5)


def test_negative_scores_improve_on_nothing_in_the_published_code():
  scores = np.array([-0.2, 0.0, 0.1])
  for variant, best, m in [
    ('paper', [-0.2, 0, 0.1], [1, 1, 1]),
    ('published', [0, 0, 0.1], [2, 2, 1]),
  ]:
    state = task_balance.init(tasks.ABAW2021, variant)
    state = task_balance.update(state, scores, variant)
    np.testing.assert_allclose(state.best, best)
    np.testing.assert_array_equal(state.m, m)


@pytest.mark.parametrize('variant', ['paper', 'published'])
def test_infinite_scores_are_no_improvement(variant):
  state = task_balance.init(tasks.ABAW2021, variant)
  state = task_balance.update(state, np.array([np.inf, np.nan, 0.3]), variant)
  np.testing.assert_array_equal(state.m, [2, 2, 1])
  state = task_balance.update(state, np.array([0.1, 0.2, 0.2]), variant)
  np.testing.assert_array_equal(state.m, [1, 1, 2])


def test_nan_scores_are_no_improvement():
  state = task_balance.init(tasks.ABAW2021)
  state = task_balance.update(state, np.array([0.5, 0.5, np.nan]))
  state = task_balance.update(state, np.array([np.nan, 0.6, 0.1]))
  np.testing.assert_array_equal(state.m, [2, 1, 1])
  np.testing.assert_allclose(state.best, [0.5, 0.6, 0.1])


def test_vmap_over_members():
  histories = np.random.default_rng(0).uniform(size=(4, 12, 3))
  stacked = jax.vmap(lambda h: _scan(h, 'paper'))(np.float32(histories))
  alone = [_run(history, 'paper') for history in histories]
  np.testing.assert_allclose(stacked, alone, rtol=1e-6)


def test_unknown_variant_is_an_error():
  state = task_balance.init(tasks.ABAW2021)
  with pytest.raises(ValueError, match='expected one of paper'):
    task_balance.update(state, np.zeros(3), 'other')
