"""Symmetric label noise: rates, uniformity, nesting, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojax.data import label_noise


@given(
  st.integers(0, 300), st.integers(2, 9), st.floats(0, 1), st.integers(0, 99)
)
def test_exactly_the_share_is_flipped_to_other_classes(n, k, rate, seed):
  labels = np.random.default_rng(0).integers(0, k, n)
  noisy, flipped = label_noise.symmetric(labels, k, rate, seed)
  assert flipped.sum() == round(rate * n)
  np.testing.assert_array_equal(noisy != labels, flipped)
  assert ((noisy >= 0) & (noisy < k)).all()
  again = label_noise.symmetric(labels, k, rate, seed)
  np.testing.assert_array_equal(again.labels, noisy)


def test_low_rates_are_part_of_high_ones():
  labels = np.arange(1000) % 7
  low = label_noise.symmetric(labels, 7, 0.1, seed=3)
  high = label_noise.symmetric(labels, 7, 0.3, seed=3)
  assert high.flipped[low.flipped].all()
  np.testing.assert_array_equal(
    low.labels[low.flipped], high.labels[low.flipped]
  )
  other = label_noise.symmetric(labels, 7, 0.3, seed=4)
  assert (other.flipped != high.flipped).any()


def test_new_labels_are_uniform_over_the_other_classes():
  labels = np.full(7000, 2)
  noisy, _ = label_noise.symmetric(labels, 8, 1.0, seed=0)
  counts = np.bincount(noisy, minlength=8)
  assert counts[2] == 0
  np.testing.assert_allclose(np.delete(counts, 2), 1000, atol=150)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (([0, 1], 2, 1.5, 0), 'rate 1.5, expected a share'),
    (([0, 1], 1, 0.5, 0), '1 classes, expected two or more'),
    (([0, 3], 3, 0.5, 0), r'labels in \[0, 3\], expected classes 0 to 2'),
  ],
)
def test_what_cannot_be_is_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    label_noise.symmetric(np.array(arguments[0]), *arguments[1:])
