"""Prior correction: exact for the best predictor of a weighted loss."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emojax import losses, tasks, uncertainty
from emojax.uncertainty import prior

AU, EXPR, VA = SCHEMA = tasks.ABAW2021
BINARY, CLASSES = (
  tasks.au_task(('a', 'b', 'c')),
  tasks.expr_task(('x', 'y', 'z')),
)


def numbers(shape, low, high):
  return hnp.arrays(np.float64, shape, elements=st.floats(low, high))


@given(numbers((5, 3), 1e-4, 1 - 1e-4), numbers(3, 1e-3, 1e3))
def test_the_best_weighted_predictor_becomes_the_posterior(pi, weights):
  odds = weights * pi / (1 - pi)  # where Eq. 2 has its minimum
  shift = {'au': prior.log_weights(BINARY, weights)}
  logits = prior.apply(BINARY, np.log(odds), shift)
  np.testing.assert_allclose(scipy.special.expit(logits), pi, rtol=1e-9)


@given(numbers((5, 3), 1e-4, 1), numbers(3, 1e-3, 1e3), st.floats(-9, 9))
def test_the_best_weighted_classifier_becomes_the_posterior(pi, weights, free):
  pi = pi / pi.sum(-1, keepdims=True)
  q = weights * pi / (weights * pi).sum(-1, keepdims=True)  # of Eq. 5
  shift = {'expr': prior.log_weights(CLASSES, weights)}
  # Logits have a free constant, and weights any scale.
  logits = prior.apply(CLASSES, np.log(q) + free, shift)
  found = uncertainty.probabilities(CLASSES, logits)
  np.testing.assert_allclose(found, pi, rtol=1e-9)
  direct = q / weights
  direct /= direct.sum(-1, keepdims=True)
  np.testing.assert_allclose(found, direct, rtol=1e-9)
  scaled = {'expr': prior.log_weights(CLASSES, 7 * weights)}
  np.testing.assert_allclose(shift['expr'], scaled['expr'], atol=1e-12)


@pytest.mark.parametrize('task', [BINARY, CLASSES], ids=lambda t: t.name)
def test_minima_of_our_own_losses_are_corrected(task):
  """The formula of the minimum is not taken on trust."""
  rng = np.random.default_rng(0)
  pi = rng.dirichlet([2, 2, 2])
  weights = np.array([0.3, 1.0, 6.0])
  loss = losses.bce_with_logits if task is BINARY else losses.cross_entropy

  def expected(logits):
    return float(jnp.sum(loss(jnp.float32(logits), jnp.float32(pi), weights)))

  found = scipy.optimize.minimize(expected, np.zeros(3), method='Nelder-Mead')
  shift = {task.name: prior.log_weights(task, weights)}
  for logits, close in (
    (found.x, False),
    (prior.apply(task, found.x, shift), True),
  ):
    probs = uncertainty.probabilities(task, logits)
    assert np.allclose(probs, pi, atol=5e-3) == close


@pytest.mark.parametrize('task', [AU, EXPR], ids=lambda t: t.name)
@pytest.mark.parametrize('xp', [np, jnp])
def test_equal_weights_change_no_bit(task, xp):
  logits = xp.asarray(
    np.random.default_rng(0).normal(size=(2, 4, task.num_outputs)), 'float32'
  )
  every = [np.ones(task.num_outputs, np.float32)]
  if task is EXPR:  # only the ratios of classes mean something
    every.append(np.full(7, 1 / 7, np.float32))
  for weights in every:
    shift = {task.name: prior.log_weights(task, weights)}
    assert not prior.changes(shift)
    found = prior.apply(task, logits, shift)
    assert type(found) is type(logits)
    assert found.dtype == logits.dtype
    np.testing.assert_array_equal(found, logits)


def test_other_tasks_are_not_touched():
  logits = {t.name: np.ones((2, t.num_outputs), np.float32) for t in SCHEMA}
  shift = {'au': prior.log_weights(AU, np.full(12, 2))}
  found = prior.correct(SCHEMA, logits, shift)
  assert found['expr'] is logits['expr']
  assert found['va'] is logits['va']
  np.testing.assert_allclose(found['au'], 1 - np.log(2), rtol=1e-6)
  with pytest.raises(ValueError, match="'va': weights of shape"):
    prior.log_weights(VA, np.ones(2))


def test_answers_change_where_the_weights_decided():
  """Classes that are favoured 1 : 9, at probabilities on both sides of it."""
  shift = {'expr': prior.log_weights(tasks.expr_task(('x', 'y')), [0.1, 0.9])}
  task = tasks.expr_task(('x', 'y'))
  logits = np.log([[0.2, 0.8], [0.05, 0.95]])
  assert logits.argmax(-1).tolist() == [1, 1]
  assert prior.apply(task, logits, shift).argmax(-1).tolist() == [0, 1]
  one = tasks.au_task(('a',))
  shift = {'au': prior.log_weights(one, [4.0])}  # of one present in five
  corrected = prior.apply(one, scipy.special.logit([[0.6], [0.9]]), shift)
  assert (scipy.special.expit(corrected) > 0.5).ravel().tolist() == [
    False,
    True,
  ]


def test_what_is_not_finite_stays_where_it_is():
  logits = np.float32([[np.nan, 1, 2], [0, np.inf, 1]])
  found = prior.apply(BINARY, logits, {'au': np.array([1.0, 2, 3])})
  np.testing.assert_array_equal(
    found, np.float32([[np.nan, -1, -1], [-1, np.inf, -2]])
  )


def test_a_class_without_examples_is_as_rare_as_the_rarest():
  weights = losses.class_weights(np.eye(3)[[0, 0, 0, 1]], np.ones(4))
  found = prior.log_weights(CLASSES, weights)
  np.testing.assert_allclose(found, [-np.log(3), 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
  ('task', 'weights'),
  [
    (BINARY, [1, 0, 1]),
    (BINARY, [1, -1, 1]),
    (BINARY, [1, np.nan, 1]),
    (BINARY, [1, np.inf, 1]),
    (BINARY, [1, 1]),
    (CLASSES, [0, 0, 0]),
    (CLASSES, [1, -1, 1]),
    (CLASSES, [np.nan, 1, 1]),
    (CLASSES, np.ones((1, 3))),
  ],
)
def test_weights_of_no_use(task, weights):
  with pytest.raises(ValueError, match=f'prior of {task.name!r}'):
    prior.log_weights(task, weights)


def test_weights_of_two_trainings_multiply():
  a = {'au': np.log([2.0, 3, 4]), 'expr': np.log([1.0, 2, 3])}
  b = {'au': np.log([5.0, 1, 1])}
  found = prior.plus(a, b)
  np.testing.assert_allclose(np.exp(found['au']), [10, 3, 4])
  np.testing.assert_array_equal(found['expr'], a['expr'])
  assert prior.plus({}, {}) == {}


def test_json_names_labels():
  found = {'au': np.arange(12) / 7, 'expr': -np.arange(7) / 3}
  said = prior.to_json(SCHEMA, found)
  assert said['au']['AU4'] == 2 / 7
  assert 'va' not in said
  said['expr'] = dict(reversed(said['expr'].items()))  # the order means nothing
  again = prior.from_json(SCHEMA, said)
  assert all((again[name] == found[name]).all() for name in found)
  kept = (tasks.au_task(('AU4', 'AU1')), VA)
  np.testing.assert_array_equal(
    prior.selected(SCHEMA, kept, found)['au'], found['au'][[2, 0]]
  )
  assert list(prior.selected(SCHEMA, kept, found)) == ['au']


@pytest.mark.parametrize(
  ('found', 'message'),
  [
    ([], 'here: expected an object'),
    ({'pose': {}}, 'here.pose: there is no such task'),
    ({'va': {'valence': 0, 'arousal': 0}}, 'here.va: tasks with bins'),
    ({'expr': [0] * 7}, 'here.expr: expected a number for each of neutral'),
    ({'expr': {'joy': 0}}, 'here.expr: expected a number for each of neutral'),
    (
      {'expr': dict.fromkeys(tasks.AFFWILD2, 101)},
      'here.expr.neutral: expected',
    ),
    (
      {'expr': dict.fromkeys(tasks.AFFWILD2, True)},
      'here.expr.neutral: expected',
    ),
    ({'expr': dict.fromkeys(tasks.AFFWILD2, np.nan)}, 'here.expr.neutral'),
  ],
)
def test_json_of_no_use(found, message):
  with pytest.raises(ValueError, match=message):
    prior.from_json(SCHEMA, found, 'here')


def test_favoured_answers_have_the_best_mean_of_class_accuracies():
  """Of all rules by which frames with known posteriors may be answered."""
  rng = np.random.default_rng(0)
  pi = rng.dirichlet([8, 2, 0.3], 300)
  share = pi.mean(0)  # every frame is equally frequent

  def accuracies(answers):
    right = np.eye(3)[answers] * pi
    return right.sum() / 300, (right.sum(0) / pi.sum(0)).mean()

  plain, half, full = (
    prior.favoured(pi, share, power).argmax(1) for power in (0, 0.5, 1)
  )
  np.testing.assert_array_equal(plain, pi.argmax(1))
  for _ in range(200):
    other = np.where(rng.random(300) < 0.05, rng.integers(0, 3, 300), full)
    assert accuracies(other)[1] <= accuracies(full)[1] + 1e-12
  assert accuracies(plain)[0] > accuracies(half)[0] > accuracies(full)[0]
  assert accuracies(plain)[1] < accuracies(half)[1] < accuracies(full)[1]


def test_classes_that_nobody_had_are_as_rare_as_the_rarest():
  probs = np.float32([[0.6, 0.25, 0.15, 0.0]])
  scores = prior.favoured(probs, [0.9, 0.1, 0, 0], 1.0)
  assert np.isfinite(scores).all()
  assert scores.argmax() == 1
  np.testing.assert_allclose(
    scores[0, 1] - scores[0, 2], np.log(0.25 / 0.15), rtol=1e-6
  )


@pytest.mark.parametrize('power', [-0.1, 1.1, np.nan])
def test_powers_of_no_use(power):
  with pytest.raises(ValueError, match='from 0 to 1'):
    prior.favoured(np.ones((1, 2)) / 2, [0.5, 0.5], power)
  with pytest.raises(ValueError, match='no class has a share'):
    prior.favoured(np.ones((1, 2)) / 2, [0, 0], 0.5)
