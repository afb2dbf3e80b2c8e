"""Tests of emojax/losses/class_balance.py."""

import numpy as np
import pytest

from emojax import losses


def test_positive_weights_are_negatives_over_positives():
  values = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
  mask = np.ones((4, 3))
  np.testing.assert_allclose(losses.positive_weights(values, mask), [3, 1, 1])


def test_powers_of_weights_are_milder():
  values = np.array([[1, 1], [0, 1], [0, 0], [0, 0], [0, 0]])
  mask = np.ones((5, 2))
  np.testing.assert_allclose(
    losses.positive_weights(values, mask, 0.5), np.sqrt([4, 1.5]), rtol=1e-6
  )
  classes, mask = np.eye(4)[[0] * 16 + [1] * 4 + [2]], np.ones(21)
  weights = losses.class_weights(classes, mask, 0.5)
  np.testing.assert_allclose(weights, np.array([1, 2, 4, 0]) / 7, rtol=1e-6)
  np.testing.assert_array_equal(
    losses.class_weights(classes, mask, 1.0),
    losses.class_weights(classes, mask),
  )


def test_positive_weights_count_only_labelled_entries():
  values = np.array([[1.0, 0], [0, 1], [np.nan, -1], [0, 0]])
  mask = np.array([[1, 1], [1, 1], [0, 0], [0, 1]])
  np.testing.assert_allclose(losses.positive_weights(values, mask), [1, 2])


def test_class_weights_are_inverse_frequencies():
  labels = np.repeat([0, 1, 2], [6, 3, 1])
  weights = losses.class_weights(np.eye(4)[labels], np.ones(10))
  inverse = np.array([1 / 6, 1 / 3, 1, 0])
  np.testing.assert_allclose(weights, inverse / inverse.sum(), rtol=1e-6)
  assert weights.dtype == np.float32


def test_masked_junk_does_not_count():
  labels = np.eye(3)[[0, 0, 1, 2]].reshape(2, 2, 3)
  mask = np.array([[1, 1], [1, 0]])
  clean = losses.class_weights(labels, mask)
  labels[1, 1] = np.nan
  np.testing.assert_array_equal(losses.class_weights(labels, mask), clean)
  np.testing.assert_allclose(clean, [1 / 3, 2 / 3, 0], rtol=1e-6)


def test_class_weights_need_a_label():
  with pytest.raises(ValueError, match='no labelled example'):
    losses.class_weights(np.eye(3), np.zeros(3))
