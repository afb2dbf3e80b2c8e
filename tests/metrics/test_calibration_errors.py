"""Calibration errors against their definitions, written out, and scikit-learn."""

import numpy as np
import pytest
import sklearn.calibration
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.metrics import calibration
from emojax.metrics import calibration_errors as errors


def binary(seed=0, n=500, power=1.0):
  """Confidences and outcomes; calibrated for power 1."""
  rng = np.random.default_rng(seed)
  confidence = rng.uniform(size=n)
  return confidence, np.float64(rng.uniform(size=n) < confidence**power)


def classes(seed=0, n=300, power=1.0, count=5):
  """Distributions and one-hot labels; calibrated for power 1."""
  rng = np.random.default_rng(seed)
  probs = rng.dirichlet(np.ones(count), n)
  true = probs**power / (probs**power).sum(-1, keepdims=True)
  index = (true.cumsum(-1) < rng.uniform(size=(n, 1))).sum(-1)
  return probs, np.eye(count)[np.minimum(index, count - 1)]


def test_bins_of_equal_width_are_the_ece_that_reports_have():
  confidence, outcome = binary(power=2)
  curve = calibration.reliability_curve(confidence, outcome, 10)
  assert errors.binned_error(confidence, outcome, 10) == pytest.approx(
    curve.error()
  )
  worst = np.nanmax(np.abs(curve.accuracy - curve.confidence))
  found = errors.binned_error(confidence, outcome, 10, worst=True)
  assert found == pytest.approx(worst)


def test_bins_of_equal_mass_are_those_of_scikit_learn():
  confidence, outcome = binary(n=600, power=2)
  true, predicted = sklearn.calibration.calibration_curve(
    outcome, confidence, n_bins=12, strategy='quantile'
  )
  # Its bins hold 50 each but for rounding at the edges.
  count = np.bincount(errors.bin_numbers(confidence, 12, 'mass'))
  np.testing.assert_array_equal(count, 50)
  found = errors.binned_error(confidence, outcome, 12, 'mass')
  assert found == pytest.approx(np.abs(true - predicted).mean(), abs=0.005)


def test_bins_of_equal_mass_written_out():
  confidence, outcome = binary(n=600, power=2)
  order = np.argsort(confidence)
  gaps = [
    abs(outcome[part].mean() - confidence[part].mean())
    for part in np.split(order, 12)
  ]
  found = errors.binned_error(confidence, outcome, 12, 'mass')
  assert found == pytest.approx(np.mean(gaps))


def test_equal_confidences_stay_together():
  confidence = np.repeat([0.2, 0.7], [30, 70])
  index = errors.bin_numbers(confidence, 10, 'mass')
  assert [len(set(index[confidence == c])) for c in (0.2, 0.7)] == [1, 1]
  with pytest.raises(ValueError, match="'width' or 'mass'"):
    errors.bin_numbers(confidence, 10, 'other')


def test_the_debiased_error_written_out():
  confidence, outcome = binary(n=90, power=2)
  total = 0.0
  index = errors.bin_numbers(confidence, 6, 'mass')
  for b in range(6):
    c, y = confidence[index == b], outcome[index == b]
    noise = y.mean() * (1 - y.mean()) / (len(y) - 1)
    total += len(y) / 90 * ((y.mean() - c.mean()) ** 2 - noise)
  assert errors.debiased_error(confidence, outcome, 6) == pytest.approx(total)


def test_what_is_without_bias_is_0_on_average_where_probabilities_are_right():
  found = [errors.debiased_error(*binary(s, 200)) for s in range(400)]
  assert abs(np.mean(found)) < 3 * np.std(found) / 20 + 1e-4
  assert min(found) < 0
  # The plain error is not: it is above 0 by noise alone.
  assert min(errors.binned_error(*binary(s, 200)) for s in range(50)) > 0.02
  pairs = [errors.skce(*classes(s, 60)) for s in range(200)]
  assert abs(np.mean(pairs)) < 3 * np.std(pairs) / np.sqrt(200)
  wrong = [errors.skce(*classes(s, 60, 6.0)) for s in range(20)]
  assert np.mean(wrong) > 3 * np.std(pairs) / np.sqrt(20)


def test_bins_with_one_entry_count_nothing():
  confidence, outcome = np.array([0.1, 0.9]), np.array([1.0, 0.0])
  assert errors.debiased_error(confidence, outcome, 2, 'width') == 0


def test_the_ks_error_written_out():
  confidence, outcome = binary(n=80, power=2)
  order = np.argsort(confidence)
  steps = np.cumsum(outcome[order] / 80) - np.cumsum(confidence[order] / 80)
  found = errors.ks_error(confidence, outcome)
  assert found == pytest.approx(np.abs(steps).max())
  # Of equal confidences no order is the right one.
  assert errors.ks_error([0.5] * 4, [1, 1, 0, 0]) == 0


def test_classwise_errors_written_out():
  probs, labels = classes(power=2)
  for binning in ('width', 'mass'):
    total = []
    for c in range(5):
      index = errors.bin_numbers(probs[:, c], 7, binning)
      for b in range(7):
        rows = index == b
        if rows.any():
          gap = labels[rows, c].mean() - probs[rows, c].mean()
          total.append(rows.mean() * abs(gap))
    found = errors.classwise_error(probs, labels, 7, binning)
    assert found == pytest.approx(sum(total) / 5)


def test_mmce_written_out():
  confidence, outcome = binary(n=70, power=2)
  gap = outcome - confidence
  kernel = np.exp(-np.abs(confidence[:, None] - confidence) / 0.4)
  expected = np.sqrt(gap @ kernel @ gap) / 70
  assert errors.mmce(confidence, outcome) == pytest.approx(expected)


@pytest.mark.parametrize('count', [2, 5])
@pytest.mark.parametrize('width', [0.05, 0.5, None])
def test_skce_written_out(count, width):
  probs, labels = classes(n=60, power=2, count=count)
  found = errors.skce(probs, labels, width)
  assert found == pytest.approx(skce_by_pairs(probs, labels, width), rel=1e-9)


def skce_by_pairs(probs, labels, width=None):
  apart = np.linalg.norm(probs[:, None] - probs, axis=-1)
  pairs = np.triu_indices(len(probs), 1)
  residual = labels - probs
  h = np.exp(-apart / (width or np.median(apart[pairs]))) * (
    residual @ residual.T
  )
  return h[pairs].mean()


@pytest.mark.parametrize('count', [2, 3, 8])
def test_skce_of_sure_predictions_that_are_much_alike(count):
  """Distances far below what products of float32 matrices can tell."""
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 1, (150, count)) + 9 * (np.arange(count) == 0)
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  labels = np.eye(count)[(rng.random(150) < 0.2).astype(int)]
  found, expected = errors.skce(probs, labels), skce_by_pairs(probs, labels)
  assert found == pytest.approx(expected, rel=1e-9)
  narrow = skce_by_pairs(probs, labels, 1e-5)
  assert errors.skce(probs, labels, 1e-5) == pytest.approx(narrow, rel=1e-9)


def test_blocks_of_rows_are_all_pairs(monkeypatch):
  probs, labels = classes(n=60, count=4)
  expected = errors.skce(probs, labels)
  monkeypatch.setattr(errors, 'ROWS', 7)
  assert errors.skce(probs, labels) == pytest.approx(expected, rel=1e-12)


def test_skce_of_predictions_that_are_all_the_same():
  """The width is 1 then, whatever the last digits are."""
  for count in (2, 3, 8):
    row = np.random.default_rng(count).dirichlet(np.ones(count))
    labels = classes(n=40, count=count)[1]
    found = errors.skce(np.tile(row, (40, 1)), labels)
    expected = skce_by_pairs(np.tile(row, (40, 1)), labels, 1.0)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('width', [1e-6, 1e-3, 0.1])
def test_mmce_of_narrow_kernels(width):
  confidence, outcome = binary(n=70, power=2)
  confidence = np.round(confidence, 2)  # some are equal
  gap = outcome - confidence
  kernel = np.exp(-np.abs(confidence[:, None] - confidence) / width)
  expected = np.sqrt(max(gap @ kernel @ gap, 0)) / 70
  assert errors.mmce(confidence, outcome, width) == pytest.approx(expected)
  with pytest.raises(ValueError, match='width 0: expected a number above 0'):
    errors.mmce(confidence, outcome, 0)


@pytest.mark.parametrize('n', [1, 19, 20, 21, 920, 1840])
def test_bins_of_equal_mass_have_as_many(n):
  confidence = np.random.default_rng(n).permutation(n) / n
  count = np.bincount(errors.bin_numbers(confidence, 20, 'mass'), minlength=20)
  assert count.max() - count.min() <= 1


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_data_does_not_matter(seed):
  rng = np.random.default_rng(seed)
  confidence, outcome = binary(seed, 60, 2)
  confidence = np.round(confidence, 1)  # with ties
  order = rng.permutation(60)
  for error in (
    errors.binned_error,
    lambda *pair: errors.binned_error(*pair, 5, 'mass'),
    errors.debiased_error,
    errors.ks_error,
    errors.mmce,
  ):
    expected = error(confidence, outcome)
    assert error(confidence[order], outcome[order]) == pytest.approx(
      expected, abs=1e-12
    )


def test_known_probabilities_may_stand_for_labels():
  confidence, _ = binary()
  for error in (errors.binned_error, errors.ks_error, errors.mmce):
    assert error(confidence, confidence) == 0
    assert error(confidence, confidence**2) > 0.01


def test_what_is_no_confidence_is_refused():
  with pytest.raises(ValueError, match='one-dimensional'):
    errors.ks_error(np.ones((2, 2)), np.ones((2, 2)))
  with pytest.raises(ValueError, match='at least one'):
    errors.mmce([], [])
  with pytest.raises(ValueError, match='finite'):
    errors.ks_error([0.5, np.nan], [0, 1])
  with pytest.raises(ValueError, match='logits'):
    errors.binned_error([0.5, 3.0], [0, 1])
  with pytest.raises(ValueError, match='at least 2'):
    errors.skce([[0.5, 0.5]], [[1, 0]])
  with pytest.raises(ValueError, match='finite'):
    errors.skce([[0.5, np.nan]] * 2, [[1, 0]] * 2)
