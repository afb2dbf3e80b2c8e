"""Multitask balancing (paper 000, Algorithm 1) as a pure state update.

The weight of a task grows with the logarithm of the number of epochs for which
its validation score has not improved. Nothing here touches the host, so the
update can sit inside a jitted program and be vmapped over members.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

VARIANTS = ('paper', 'published')  # see `update`


class State(NamedTuple):
  """State of the balancing; arrays [number of tasks] in the schema's order.

  Attributes:
    m: int32, 1 + number of epochs since the last improvement.
    best: Best validation score so far; before the first epoch see `init`.
    factors: Weights before they are normalised.
    weights: Weights of the losses (lambda), which sum to 1.
  """

  m: Any
  best: Any
  factors: Any
  weights: Any


def init(schema: Sequence, variant: str = 'paper') -> State:
  """Returns the state before the first epoch: every task weighs the same.

  Args:
    schema: The tasks (of which only their number matters).
    variant: See `update`. In the published code the best score starts at 0, so
      that a negative one (of valence and arousal) is no improvement; else at
      minus infinity, and the first epoch is one.
  """
  size = len(schema)
  return State(
    m=jnp.ones(size, jnp.int32),
    best=jnp.full(size, 0.0 if variant == 'published' else -jnp.inf),
    factors=jnp.ones(size),
    weights=jnp.full(size, 1 / size),
  )


def _factors(state: State, m, variant: str):
  if variant == 'paper':
    return jnp.maximum(1, jnp.log2(m))
  if variant == 'published':
    stale = m - 1
    grown = jnp.log2(jnp.maximum(stale, 1))
    return jnp.where(stale > 1, grown, state.factors)
  known = ', '.join(VARIANTS)
  raise ValueError(f'task balance variant {variant!r}: expected one of {known}')


def update(state: State, scores, variant: str = 'paper') -> State:
  """Updates the weights after one epoch's validation.

  Args:
    state: State before this epoch.
    scores: Validation scores [number of tasks], higher is better, in the
      schema's order (`metrics.emotion.task_scores`). Neither NaN nor infinity
      is an improvement, and equal scores are none.
    variant: 'paper' is Algorithm 1: max(1, log2 m), back to 1 after an
      improvement. 'published' is what the published code does: log2 of the
      number of epochs without improvement (one epoch later), the last factor
      is kept after an improvement, and the best score starts at 0 (`init`).

  Returns:
    The new state.
  """
  improved = (scores > state.best) & jnp.isfinite(scores)
  m = jnp.where(improved, 1, state.m + 1)
  factors = _factors(state, m, variant)
  return State(
    m=m,
    best=jnp.where(improved, scores, state.best),
    factors=factors,
    weights=factors / jnp.sum(factors),
  )
