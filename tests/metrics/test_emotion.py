"""Tests of emojax/metrics/emotion.py against scikit-learn and NumPy."""

import itertools

import jax
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.metrics import emotion

SCHEMA = tasks.ABAW2021
BINS = tasks.bin_values()
EMOTION = jax.jit(emotion.emotion_metrics, static_argnames='schema')
CONCORDANCE = jax.jit(emotion.ccc)
CATEGORICAL_F1 = jax.jit(emotion.categorical_f1)


def _frames(shape=(60,), seed=0):
  rng = np.random.default_rng(seed)
  probs = {
    'au': rng.uniform(size=(*shape, 12)),
    'expr': rng.dirichlet(np.ones(7), shape),
    'va': rng.dirichlet(np.full(20, 0.2), (*shape, 2)),
  }
  au = np.float32(rng.uniform(size=(*shape, 12)) > 0.7)
  expr = np.eye(7)[rng.integers(0, 7, shape)]
  va = (probs['va'] @ BINS) * 0.6 + rng.normal(0, 0.2, (*shape, 2))
  targets = {
    'au': tasks.Target(au, np.ones_like(au)),
    'expr': tasks.Target(expr, np.ones(shape)),
    'va': tasks.Target(va, np.ones_like(va)),
  }
  return jax.tree.map(np.float32, (probs, targets))


@jax.jit
def _metrics(probs, targets, **options):
  return emotion.emotion_metrics(probs, targets, SCHEMA, BINS, **options)


def _numpy_ccc(x, y):
  covariance = np.mean((x - x.mean()) * (y - y.mean()))
  return 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def _expected(probs, targets):
  """The challenge's metrics with scikit-learn, all frames labelled."""
  f1_score, accuracy = sklearn.metrics.f1_score, sklearn.metrics.accuracy_score
  predicted, actual = probs['au'] > 0.5, targets['au'].value > 0.5
  au_f1 = np.mean(
    [f1_score(a, p, zero_division=0) for a, p in zip(actual.T, predicted.T)]
  )
  au_acc = accuracy(actual.ravel(), predicted.ravel())
  predicted = probs['expr'].argmax(-1)
  actual = targets['expr'].value.argmax(-1)
  expr_f1 = f1_score(actual, predicted, average='macro')
  expr_acc = accuracy(actual, predicted)
  scalars = probs['va'].astype(np.float64) @ BINS
  ccc = [
    _numpy_ccc(scalars[:, i], np.float64(targets['va'].value[:, i]))
    for i in range(2)
  ]
  values = {'au/f1': au_f1, 'au/acc': au_acc}
  values |= {'expr/f1': expr_f1, 'expr/acc': expr_acc}
  values |= {'au/score': 0.5 * au_f1 + 0.5 * au_acc}
  values |= {'expr/score': 0.67 * expr_f1 + 0.33 * expr_acc}
  values |= {'va/ccc/valence': ccc[0], 'va/ccc/arousal': ccc[1]}
  values |= {'va/score': sum(ccc)}
  total = values['au/score'] + values['expr/score'] + sum(ccc)
  return values | {'total': total}


@pytest.mark.slow
@pytest.mark.parametrize('jit', [False, True])
def test_matches_scikit_learn(jit):
  probs, targets = _frames(seed=int(jit))
  if jit:
    actual = _metrics(probs, targets)
  else:
    actual = emotion.emotion_metrics(probs, targets, SCHEMA, BINS)
  for name, value in _expected(probs, targets).items():
    np.testing.assert_allclose(actual[name], value, rtol=1e-5, err_msg=name)


def test_per_label_f1_matches_scikit_learn():
  probs, targets = _frames()
  actual = _metrics(probs, targets)
  f1_score = sklearn.metrics.f1_score
  for i, name in enumerate(tasks.AU12):
    label, guess = targets['au'].value[:, i] > 0.5, probs['au'][:, i] > 0.5
    np.testing.assert_allclose(
      actual[f'au/f1/{name}'], f1_score(label, guess), rtol=1e-6
    )
  labels = targets['expr'].value.argmax(-1)
  per_class = f1_score(labels, probs['expr'].argmax(-1), average=None)
  for i, name in enumerate(tasks.AFFWILD2):
    np.testing.assert_allclose(
      actual[f'expr/f1/{name}'], per_class[i], rtol=1e-5
    )


@given(
  labels=st.lists(st.integers(0, 6), min_size=1, max_size=12),
  guesses=st.lists(st.integers(0, 6), min_size=12, max_size=12),
)
@settings(deadline=None, max_examples=40)
def test_macro_f1_is_over_the_classes_that_occur(labels, guesses):
  mask, eye = np.arange(12) < len(labels), np.eye(7, dtype=np.float32)
  padded = np.resize(labels, 12)
  _, macro = CATEGORICAL_F1(eye[guesses], eye[padded], mask)
  guesses = guesses[: len(labels)]
  expected = sklearn.metrics.f1_score(labels, guesses, average='macro')
  np.testing.assert_allclose(macro, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('junk', [np.nan, np.inf, 0.9])
def test_masked_frames_do_not_count(junk):
  probs, targets = _frames((3, 20))
  frame_mask = np.ones((3, 20), np.float32)
  frame_mask[:, 15:] = 0
  kept = jax.tree.map(lambda x: x[:, :15], (probs, targets))
  for task in SCHEMA:
    probs[task.name][:, 15:] = junk
    targets[task.name].value[:, 15:] = junk
  actual = _metrics(probs, targets, frame_mask=frame_mask)
  for name, value in _metrics(*kept).items():
    np.testing.assert_allclose(actual[name], value, rtol=1e-5, err_msg=name)


def test_masked_action_units_do_not_count():
  probs, targets = _frames()
  targets['au'].mask[10:, 3] = 0
  f1 = emotion.binary_f1(probs['au'], *targets['au'])
  expected = sklearn.metrics.f1_score(
    targets['au'].value[:10, 3] > 0.5, probs['au'][:10, 3] > 0.5
  )
  np.testing.assert_allclose(f1[3], expected, rtol=1e-6)


def test_action_units_without_labels_are_in_no_mean():
  """Perfect predictions of the units that have labels score 1, not 11 / 12."""
  _, targets = _frames()
  targets['au'].mask[:, 3] = 0
  probs = targets['au'].value.copy()
  probs[:, 3] = np.nan
  metrics = EMOTION({'au': probs}, targets, SCHEMA[:1])
  for key in ('au/f1', 'au/acc', 'au/score', 'total'):
    np.testing.assert_allclose(metrics[key], 1, rtol=1e-6, err_msg=key)


def test_undefined_f1_and_unlabelled_tasks_are_zero():
  probs, _ = _frames()
  targets = tasks.empty_targets(SCHEMA, (60,))
  assert all(value == 0 for value in _metrics(probs, targets).values())
  silent = emotion.binary_f1(
    np.zeros((5, 2)), np.zeros((5, 2)), np.ones((5, 2))
  )
  np.testing.assert_array_equal(silent, 0)


@pytest.mark.parametrize('task', ['au', 'expr', 'va'])
def test_nan_predictions_give_nan_scores(task):
  probs, targets = _frames()
  probs[task][7] = np.nan
  metrics = _metrics(probs, targets)
  assert np.isnan(metrics[f'{task}/score'])
  assert np.isnan(metrics['total'])


@pytest.mark.parametrize('task', ['au', 'expr', 'va'])
def test_nan_in_one_frame_of_one_label_is_enough(task):
  probs, targets = _frames()
  probs[task][7, 0] = np.nan
  metrics = _metrics(probs, targets)
  assert np.isnan(metrics[f'{task}/score'])
  assert not metrics['total'] > -np.inf  # no epoch is selected by it


@pytest.mark.parametrize('value', [0.1, 0.2, 0.3, 0.5, 0.7, -0.9, 1e-9, 0.0])
def test_constants_have_no_concordance(value):
  """Whatever rounding makes of their means, and a few float32 steps away."""
  x = np.full((1000, 1), value, np.float32)
  step = np.nextafter(x, np.float32(2))
  mixed = np.where(np.arange(1000)[:, None] % 3, x, step)
  varying = np.random.default_rng(0).uniform(-1, 1, x.shape)
  ones = np.ones_like(x)
  for a, b in itertools.product((x, step, mixed), (x, mixed, varying)):
    assert CONCORDANCE(a, np.float32(b), ones)[0] == 0
    assert CONCORDANCE(np.float32(b), a, ones)[0] == 0


def test_little_variation_is_no_constant():
  rng = np.random.default_rng(0)
  x = (0.3 + 1e-4 * rng.normal(size=(500, 1))).astype(np.float32)
  y = (x + 5e-5 * rng.normal(size=x.shape)).astype(np.float32)
  expected = _numpy_ccc(np.float64(x), np.float64(y))
  found = CONCORDANCE(x, y, np.ones_like(x))
  np.testing.assert_allclose(found, [expected], rtol=1e-3)


@given(seed=st.integers(0, 1000), wide=st.booleans())
@settings(deadline=None, max_examples=15)
def test_the_order_and_the_type_of_frames_do_not_matter(seed, wide):
  probs, targets = _frames(seed=3)
  for target in targets.values():
    target.mask[40:] = 0
  order = np.random.default_rng(seed).permutation(60)
  dtype = np.float64 if wide else np.float32
  shuffled = jax.tree.map(lambda x: x[order].astype(dtype), (probs, targets))
  expected = _metrics(probs, targets)
  for name, value in _metrics(*shuffled).items():
    np.testing.assert_allclose(
      value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name
    )


def test_equal_probabilities_are_the_first_class_and_no_action_unit():
  ones = np.ones(4)
  labels = np.eye(4)
  accuracy = emotion.categorical_accuracy(np.full((4, 4), 0.25), labels, ones)
  np.testing.assert_allclose(accuracy, 0.25)
  half = np.full((4, 2), 0.5)
  np.testing.assert_array_equal(
    emotion.binary_f1(half, np.ones((4, 2)), np.ones((4, 2))), 0
  )


def test_ccc_of_many_frames_keeps_its_precision():
  rng = np.random.default_rng(0)
  y = rng.uniform(-1, 1, (400_000, 1)).astype(np.float32)
  x = (0.3 * y + 0.2 + rng.normal(0, 0.1, y.shape)).astype(np.float32)
  expected = _numpy_ccc(np.float64(x), np.float64(y))
  actual = emotion.ccc(x, y, np.ones_like(y))
  np.testing.assert_allclose(actual, [expected], rtol=2e-5)


def test_total_of_a_single_task():
  probs, targets = _frames()
  schema = (tasks.expr_task(),)
  metrics = emotion.emotion_metrics(probs, targets, schema)
  assert metrics['total'] == metrics['expr/score']
  np.testing.assert_array_equal(
    emotion.task_scores(metrics, schema), [metrics['expr/score']]
  )


def test_binned_tasks_need_bin_values():
  probs, targets = _frames()
  with pytest.raises(ValueError, match='pass bin_values'):
    emotion.emotion_metrics(probs, targets, SCHEMA)
