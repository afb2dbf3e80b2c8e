"""Which epoch is the best one: the first of the highest finite total."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.engine import member
from emojax.engine.packing import pack

EPOCHS = 8
totals = st.lists(
  st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0, np.nan, np.inf, -np.inf]),
  min_size=1,
  max_size=EPOCHS,
)


def method(variant='off'):
  """Members whose weights are the number of the epoch, and their scores given."""
  return member.Method(
    init=lambda key: ({'w': jnp.zeros(2)}, {'s': jnp.zeros(1)}),
    objective=None,
    optimizer=optax.identity(),
    schedule=None,
    predict=None,
    sample=None,
    score=lambda outputs, targets: {'total': outputs['total'][0]},
    task_scores=lambda scores: scores['total'][None],
    soft_labels=None,
    tasks=('expr',),
    loss_names=('total',),
    balance_variant=variant,
  )


@jax.jit
def select(totals):
  made = method()

  def epoch(state, total):
    weights = pack({'w': jnp.full(2, state.epoch, jnp.float32)})
    return member.finish_epoch(
      made,
      state._replace(params=weights),
      member.zero_sums(made),
      jnp.int32(1),
      {'total': total[None]},
      {'expr': jnp.zeros(1)},
    )

  return jax.lax.scan(epoch, member.init(made, jax.random.key(0)), totals)


@given(totals)
@settings(deadline=None, max_examples=60)
def test_only_finite_totals_are_selected(totals):
  padded = np.float32(totals + [np.nan] * (EPOCHS - len(totals)))
  state, log = select(padded)
  finite = np.where(np.isfinite(padded), padded, -np.inf)
  best = np.argmax(finite)  # 0 if there is none
  assert state.best.score == finite[best]
  assert state.best.epoch == best
  np.testing.assert_array_equal(state.best.params.tree()['w'], best)
  seen = np.maximum.accumulate(np.append(-np.inf, finite))[:-1]
  np.testing.assert_array_equal(log['best'], finite > seen)


@pytest.mark.parametrize('variant', ['paper', 'published', 'off'])
def test_members_start_as_their_balancing_does(variant):
  state = member.init(method(variant), jax.random.key(0))
  expected = 0 if variant == 'published' else -np.inf
  np.testing.assert_array_equal(state.balance.best, [expected])
  assert state.best.score == -np.inf
