"""Tests of emojax/metrics/calibration.py against scikit-learn and by hand."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.losses import incomplete
from emojax.metrics import calibration

SCHEMA = tasks.ABAW2021
BINS = tasks.bin_values()
JUNK = [np.nan, np.inf, -5.0]


def _binary(n=200, seed=0):
  rng = np.random.default_rng(seed)
  probs = rng.uniform(size=(n, 3))
  labels = np.float64(rng.uniform(size=(n, 3)) < probs**2)
  return probs, labels, np.ones((n, 3))


def _categorical(n=200, seed=0):
  rng = np.random.default_rng(seed)
  probs = rng.dirichlet(np.ones(7), n)
  return probs, np.eye(7)[rng.integers(0, 7, n)], np.ones(n)


def _binned(n=50, seed=0):
  rng = np.random.default_rng(seed)
  probs = rng.dirichlet(np.ones(20), (n, 2))
  return probs, rng.uniform(-1, 1, (n, 2)), np.ones((n, 2))


def test_binary_nll_matches_scikit_learn():
  probs, labels, mask = _binary()
  log_loss = sklearn.metrics.log_loss
  expected = [log_loss(y, p) for y, p in zip(labels.T, probs.T)]
  actual = calibration.binary_nll(probs, labels, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_categorical_nll_matches_scikit_learn():
  probs, labels, mask = _categorical()
  expected = sklearn.metrics.log_loss(labels.argmax(-1), probs, labels=range(7))
  actual = calibration.categorical_nll(probs, labels, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_bernoulli_nll_is_a_sum_of_binary_ones():
  probs, labels, mask = _categorical()
  wide = np.repeat(mask[:, None], 7, axis=1)
  expected = calibration.binary_nll(probs, labels, wide).sum()
  actual = calibration.bernoulli_nll(probs, labels, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-5)
  assert actual > calibration.categorical_nll(probs, labels, mask)


def test_certain_and_wrong_predictions_are_finite():
  expected = -np.log(1e-8)
  actual = calibration.binary_nll([[0.0]], [[1.0]], [[1.0]])
  np.testing.assert_allclose(actual, [expected])
  one_hot = np.eye(7)[:1]
  actual = calibration.categorical_nll(one_hot[:, ::-1], one_hot, [1])
  np.testing.assert_allclose(actual, expected)
  assert np.isfinite(calibration.bernoulli_nll(one_hot[:, ::-1], one_hot, [1]))


def test_brier_matches_scikit_learn():
  probs, labels, mask = _binary()
  expected = sklearn.metrics.brier_score_loss(labels.ravel(), probs.ravel())
  actual = calibration.brier_binary(probs, labels, mask)
  np.testing.assert_allclose(actual, expected)
  probs, labels, mask = _categorical()
  one_vs_rest = [
    sklearn.metrics.brier_score_loss(y, p) for y, p in zip(labels.T, probs.T)
  ]
  actual = calibration.brier_categorical(probs, labels, mask)
  np.testing.assert_allclose(actual, np.sum(one_vs_rest))


def test_rmse_and_binned_nll_of_each_dimension():
  probs, values, mask = _binned()
  predicted = probs @ BINS
  expected = [
    sklearn.metrics.root_mean_squared_error(values[:, i], predicted[:, i])
    for i in range(2)
  ]
  actual = calibration.rmse(predicted, values, mask)
  np.testing.assert_allclose(actual, expected)
  nll = calibration.binned_nll(probs, values, mask, BINS)
  for i in range(2):
    inside = np.minimum(np.digitize(values[:, i], np.linspace(-1, 1, 21)), 20)
    chosen = probs[np.arange(50), i, inside - 1]
    np.testing.assert_allclose(nll[i], -np.log(chosen).mean(), rtol=1e-5)


@pytest.mark.parametrize('kind', ['ends', 'centres'])
@given(value=st.floats(-1, 1, width=32))
@settings(deadline=None, max_examples=50)
def test_nearest_bin(kind, value):
  bins = tasks.bin_values(20, kind)
  gaps = np.abs(np.float64(bins) - value)
  chosen = gaps[calibration.bin_index(value, bins, 'nearest')]
  np.testing.assert_allclose(chosen, gaps.min(), atol=1e-7)


@pytest.mark.parametrize('kind', ['ends', 'centres'])
@given(value=st.floats(-1, 1, width=32, allow_subnormal=False))
@settings(deadline=None, max_examples=100)
def test_scores_are_of_the_bins_that_papers_001_and_002_train(kind, value):
  trained = incomplete.one_hot_bins(np.float32(value)).argmax()
  scored = calibration.bin_index(value, tasks.bin_values(20, kind))
  assert scored == trained


def test_bins_of_the_papers():
  values = np.array([-1, -0.97, -0.93, 0.0, 0.99, 1])
  up = calibration.bin_index(values, BINS, 'up')
  np.testing.assert_array_equal(up, np.digitize(values, BINS, right=True))
  centres = tasks.bin_values(20, 'centres')
  inside = np.minimum(np.digitize(values, np.linspace(-1, 1, 21)) - 1, 19)
  for bins, rule in (
    (BINS, 'equal'),
    (centres, 'equal'),
    (centres, 'nearest'),
  ):
    found = calibration.bin_index(values, bins, rule)
    np.testing.assert_array_equal(found, inside)
  for rule in ('equal', 'nearest'):
    found = calibration.bin_index(BINS, BINS, rule)
    np.testing.assert_array_equal(found, range(20))
  with pytest.raises(ValueError, match="expected 'equal', 'nearest' or 'up'"):
    calibration.bin_index(values, BINS, 'down')


def test_binary_reliability_matches_scikit_learn():
  probs, labels, mask = _binary(2000)
  curve = calibration.binary_reliability(probs, labels, mask)
  accuracy, confidence = sklearn.calibration.calibration_curve(
    labels.ravel(), probs.ravel(), n_bins=10
  )
  np.testing.assert_allclose(curve.accuracy, accuracy)
  np.testing.assert_allclose(curve.confidence, confidence)
  assert curve.count.sum() == 6000


def test_calibration_error_by_hand():
  confidence = np.array([0.05, 0.95, 0.95, 1.0])
  curve = calibration.reliability_curve(confidence, np.array([0, 1, 0, 1]))
  gap = abs(2 / 3 - (0.95 + 0.95 + 1) / 3)
  np.testing.assert_allclose(curve.error(), 0.25 * 0.05 + 0.75 * gap)
  np.testing.assert_allclose(curve.error(weighted=False), (0.05 + gap) / 2)
  np.testing.assert_array_equal(curve.count, [1] + [0] * 8 + [3])
  assert np.isnan(curve.accuracy[1:9]).all()


def test_calibrated_predictions_have_a_small_error():
  rng = np.random.default_rng(0)
  p = rng.uniform(size=(20_000, 1))
  labels = rng.uniform(size=p.shape) < p
  curve = calibration.binary_reliability(p, labels, np.ones_like(p))
  assert curve.error() < 0.02
  over = calibration.binary_reliability(
    np.clip(2 * p - 0.5, 0, 1), labels, np.ones_like(p)
  )
  assert over.error() > 0.1


def test_categorical_confidence_is_the_largest_probability():
  probs, labels, mask = _categorical()
  curve = calibration.categorical_reliability(probs, labels, mask, bins=7)
  correct = probs.argmax(-1) == labels.argmax(-1)
  weights = curve.count / curve.count.sum()
  np.testing.assert_allclose(
    np.nansum(weights * curve.accuracy), correct.mean()
  )
  np.testing.assert_allclose(
    np.nansum(weights * curve.confidence), probs.max(-1).mean()
  )


@pytest.mark.parametrize('logits', [[-0.1], [1.5], [np.nan]])
def test_confidences_must_be_probabilities(logits):
  with pytest.raises(ValueError, match=r'within \[0, 1\]'):
    calibration.reliability_curve(logits, [1])


def _predictions():
  (au, au_y, au_m), (expr, expr_y, expr_m) = _binary(60), _categorical(60)
  va, va_y, va_m = _binned(60)
  au, au_y, au_m = (np.tile(v, (1, 4)) for v in (au, au_y, au_m))
  targets = {
    'au': tasks.Target(au_y, au_m),
    'expr': tasks.Target(expr_y, expr_m),
    'va': tasks.Target(va_y, va_m),
  }
  return {'au': au, 'expr': expr, 'va': va}, targets


@pytest.mark.parametrize('junk', JUNK)
def test_masked_junk_changes_nothing(junk):
  probs, targets = _predictions()
  frame_mask = np.ones(60)
  frame_mask[50:] = 0
  kept = {k: p[:50] for k, p in probs.items()}
  kept_targets = {
    k: tasks.Target(t.value[:50], t.mask[:50]) for k, t in targets.items()
  }
  for name in probs:
    probs[name][50:] = junk
    targets[name].value[50:] = junk
  actual = calibration.calibration_metrics(
    probs, targets, SCHEMA, BINS, frame_mask
  )
  expected = calibration.calibration_metrics(kept, kept_targets, SCHEMA, BINS)
  assert actual == pytest.approx(expected)


def test_dictionary_of_all_metrics():
  probs, targets = _predictions()
  metrics = calibration.calibration_metrics(probs, targets, SCHEMA, BINS)
  names = {'au/nll', 'au/ece', 'au/brier', 'expr/nll', 'expr/ece'}
  names |= {'expr/brier', *(f'au/nll/{name}' for name in tasks.AU12)}
  names |= {f'va/{m}/{d}' for m in ('rmse', 'nll') for d in SCHEMA[2].labels}
  assert set(metrics) == names
  per_au = [metrics[f'au/nll/{name}'] for name in tasks.AU12]
  assert metrics['au/nll'] == pytest.approx(np.mean(per_au))


def test_metrics_without_labels_are_left_out():
  probs, targets = _predictions()
  targets['au'].mask[:, 3] = 0
  targets['expr'].mask[:] = 0
  metrics = calibration.calibration_metrics(probs, targets, SCHEMA, BINS)
  assert 'au/nll/AU6' not in metrics
  assert not [name for name in metrics if name.startswith('expr')]
  assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize('task', ['au', 'expr', 'va'])
@pytest.mark.parametrize('junk', [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_an_error(task, junk):
  probs, targets = _predictions()
  probs[task][3, 1] = junk
  with pytest.raises(ValueError, match=f'{task!r}: NaN among the predictions'):
    calibration.calibration_metrics(probs, targets, SCHEMA, BINS)


def test_a_label_without_frames_changes_no_mean():
  """The numbers of eleven units are those of twelve of which one is unknown."""
  probs, targets = _predictions()
  targets['au'].mask[:, 3] = 0
  found = calibration.calibration_metrics(probs, targets, SCHEMA, BINS)
  keep = np.arange(12) != 3
  schema = (tasks.au_task(tuple(np.array(tasks.AU12)[keep])),)
  fewer = {'au': probs['au'][:, keep]}
  part = {'au': tasks.Target(*(x[:, keep] for x in targets['au']))}
  for key, value in calibration.calibration_metrics(
    fewer, part, schema
  ).items():
    assert found[key] == pytest.approx(value), key


@given(
  st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
  st.sampled_from([7, 10, 15]),
)
@settings(deadline=None, max_examples=50)
def test_bins_do_not_depend_on_the_type(values, bins):
  edges = np.arange(bins + 1) / bins
  values = np.concatenate([np.float64(values), edges])
  wide = calibration.confidence_bins(values, bins)
  narrow = calibration.confidence_bins(np.float32(values), bins)
  np.testing.assert_array_equal(narrow, wide)
  expected = np.minimum(np.arange(bins + 1), bins - 1)
  np.testing.assert_array_equal(wide[-bins - 1 :], expected)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_confidences_at_the_edges_are_in_the_upper_bin(dtype):
  for k in range(10):
    curve = calibration.reliability_curve(np.array([k / 10], dtype), [1])
    np.testing.assert_array_equal(curve.count, np.arange(10) == k)


@pytest.mark.parametrize('rule', ['equal', 'nearest', 'up'])
def test_scalar_bins_do_not_depend_on_the_type(rule):
  values = np.arange(-1000, 1001) / 1000  # labels have three decimals
  for bins in (tasks.bin_values(20), tasks.bin_values(20, 'centres')):
    wide = calibration.bin_index(values, bins, rule)
    narrow = calibration.bin_index(np.float32(values), bins, rule)
    again = calibration.bin_index(values, np.float64(bins), rule)
    np.testing.assert_array_equal(narrow, wide)
    np.testing.assert_array_equal(again, wide)


def test_outcomes_must_be_finite():
  with pytest.raises(ValueError, match='neither right nor wrong'):
    calibration.reliability_curve([0.5], [np.nan])


@given(st.integers(0, 200))
@settings(deadline=None, max_examples=15)
def test_the_order_and_the_type_of_frames_do_not_matter(seed):
  probs, targets = _predictions()
  order = np.random.default_rng(seed).permutation(60)
  expected = calibration.calibration_metrics(probs, targets, SCHEMA, BINS)
  probs = {k: np.float32(p[order]) for k, p in probs.items()}
  targets = {
    k: tasks.Target(*(np.float32(x[order]) for x in t))
    for k, t in targets.items()
  }
  found = calibration.calibration_metrics(probs, targets, SCHEMA, BINS)
  assert found == pytest.approx(expected, rel=1e-5)


def test_without_any_label_everything_is_left_out():
  probs, targets = _predictions()
  for target in targets.values():
    target.mask[:] = 0
    target.value[:] = np.nan
  assert calibration.calibration_metrics(probs, targets, SCHEMA, BINS) == {}
