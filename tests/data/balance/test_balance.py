"""Balancing against hand-made cases and the paper's definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import class_weight

from emojax import tasks
from emojax.data.balance import balance, distributions


def _labels(seed=0, n=2000):
  rng = np.random.default_rng(seed)
  p = np.array([0.5, 0.3, 0.1, 0.02])
  return (rng.random((n, 4)) < p).astype(np.float32)


def test_imbalance_ratio():
  labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0]])
  np.testing.assert_array_equal(balance.imbalance_ratio(labels), [1, 2, np.inf])
  assert balance.mean_imbalance_ratio(labels) == 1.5
  with pytest.raises(ValueError, match='no label has a positive'):
    balance.mean_imbalance_ratio(np.zeros((3, 2)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(1, 80))
def test_ml_ros_clones_minorities_within_the_budget(seed, percent):
  labels = _labels(seed, 400)
  index = balance.ml_ros(labels, percent, seed)
  clones = index[400:]
  np.testing.assert_array_equal(index[:400], np.arange(400))
  assert len(clones) <= 400 * percent / 100
  limit = balance.mean_imbalance_ratio(labels)
  minority = balance.imbalance_ratio(labels) > limit
  assert labels[clones][:, minority].any(axis=1).all()
  # It stops for one of two reasons only.
  after = balance.imbalance_ratio(labels[index])[minority]
  assert len(clones) == int(400 * percent / 100) or (after <= limit).any()


def test_ml_ros_ends_when_every_minority_reached_the_mean():
  labels = np.zeros((110, 2))
  labels[:100, 0] = 1
  labels[100:, 1] = 1  # ratios 1 and 10, mean 5.5: 19 positives are enough
  index = balance.ml_ros(labels, percent=90)
  assert len(index) == 110 + 9
  assert (index[110:] >= 100).all()


def test_ml_ros_is_seeded_and_skips_absent_labels():
  labels = np.concatenate([_labels(), np.zeros((2000, 1))], axis=1)
  first = balance.ml_ros(labels, seed=3)
  np.testing.assert_array_equal(first, balance.ml_ros(labels, seed=3))
  assert (first != balance.ml_ros(labels, seed=4)).any()


def _published_oracle(labels, seed, threshold, percent, draw):
  """The published loop as its description reads, on whole label matrices."""
  rng = np.random.default_rng(seed)

  def ratio(matrix):
    return matrix.sum(0).max() / matrix.sum(0)

  cloned, matrix, done = [], labels, False
  for a in np.flatnonzero(ratio(labels) > threshold):
    bag = list(np.flatnonzero(labels[:, a]))
    while not done:
      picked = rng.choice(bag, draw)
      bag += list(picked)
      cloned += list(picked)
      matrix = np.concatenate([matrix, labels[picked]])
      done = len(cloned) >= len(labels) * percent / 100
      if ratio(matrix)[a] <= threshold:
        break
  weights = np.ones(len(labels))
  for item, count in zip(*np.unique(cloned, return_counts=True)):
    weights[int(item)] = count
  return weights


@pytest.mark.parametrize('percent', [5.0, 50.0, 500.0])
def test_ml_ros_published_equals_its_description(percent):
  labels = _labels(1, 500)
  np.testing.assert_array_equal(
    balance.ml_ros_published(labels, 7, 2.0, percent, 32),
    _published_oracle(labels, 7, 2.0, percent, 32),
  )


def test_class_weights_equal_sklearn():
  classes = np.random.default_rng(0).integers(0, 7, 300)
  ours = balance.class_weights(classes)
  theirs = class_weight.compute_sample_weight('balanced', classes)
  np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum())
  mask = np.arange(300) % 3 > 0
  masked = balance.class_weights(np.where(mask, classes, -1), mask)
  assert (masked[~mask] == 0).all()
  np.testing.assert_allclose(masked[mask], balance.class_weights(classes[mask]))


@pytest.mark.parametrize('limits', balance.LIMITS)
def test_va_weights_equal_histogram2d(limits):
  values = np.random.default_rng(1).uniform(-0.8, 1, (500, 2))
  values[:3] = [[1, 1], [-0.8, 1], [1, 0.3]]
  edge = [[-1, 1]] * 2 if limits == 'unit' else None
  count, xs, ys = np.histogram2d(*values.T, bins=20, range=edge)
  cell = [
    np.minimum(np.digitize(v, e) - 1, 19) for v, e in zip(values.T, (xs, ys))
  ]
  np.testing.assert_allclose(
    balance.va_weights(values, limits=limits), 1 / count[tuple(cell)]
  )
  with pytest.raises(ValueError, match='expected one of'):
    balance.va_weights(values, limits='both')


def test_expr_va_weights_add_both_and_peak_at_one():
  rng = np.random.default_rng(2)
  classes, values = rng.integers(0, 7, 200), rng.uniform(-1, 1, (200, 2))
  mask = rng.random(200) < 0.8
  weights = balance.expr_va_weights(classes, values, mask=mask)
  both = balance.class_weights(classes, mask) + balance.va_weights(
    values, mask=np.stack([mask, mask], axis=1)
  )
  np.testing.assert_allclose(weights, both / both.max())
  assert (weights[~mask] == 0).all()
  assert not balance.expr_va_weights(classes, values, mask=0 * mask).any()


def test_resample_evens_out_classes():
  classes = np.repeat(np.arange(4), [2000, 300, 50, 5])
  index = balance.resample(balance.class_weights(classes), 20000, seed=1)
  share = np.bincount(classes[index]) / 20000
  np.testing.assert_allclose(share, 0.25, atol=0.02)
  for bad in ([0.0, 0.0], [1.0, np.nan], [2.0, -1.0]):
    with pytest.raises(ValueError, match='sampling weights'):
      balance.resample(np.array(bad), 3)


def test_keep_one_in_thins_by_the_running_position():
  classes = np.array([0] * 20 + [4] * 6 + [1] * 3)
  kept = balance.keep_one_in(classes, {0: 10, 4: 2})
  # Positions 0 and 10 of the neutrals; then happiness sits at 2..7.
  np.testing.assert_array_equal(kept, [0, 10, 20, 22, 24, 26, 27, 28])
  np.testing.assert_array_equal(balance.every(11, 5), [0, 5, 10])
  with pytest.raises(ValueError, match='class 0'):
    balance.keep_one_in(classes, {0: 0})


def _targets(n=50):
  rng = np.random.default_rng(0)
  mask = (rng.random((n, 2)) < 0.7).astype(np.float32)
  return {
    'au': tasks.Target(
      rng.integers(0, 2, (n, 2, 12)).astype(np.float32),
      rng.integers(0, 2, (n, 2, 12)).astype(np.float32),
    ),
    'expr': tasks.Target(
      np.eye(7, dtype=np.float32)[rng.integers(0, 7, (n, 2))], mask
    ),
    'va': tasks.Target(
      rng.uniform(-1, 1, (n, 2, 2)).astype(np.float32),
      np.stack([mask, mask], axis=-1),
    ),
  }


@pytest.mark.parametrize('task', tasks.ABAW2021, ids=lambda t: t.name)
def test_label_counts_add_up_and_are_drawn(task, tmp_path):
  target = _targets()[task.name]
  whole = distributions.label_counts(task, target)
  parts = sum(
    distributions.label_counts(task, tasks.Target(v, m))
    for v, m in zip(target.value, target.mask)
  )
  np.testing.assert_allclose(whole, parts)
  valid = target.mask[..., 0].sum() if task.name == 'va' else target.mask.sum()
  assert whole.sum() == valid
  path = tmp_path / 'figure.png'
  distributions.draw(task, {'merged': whole, 'resampled': parts}, path)
  assert path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
  with pytest.raises(ValueError, match='no distribution'):
    distributions.draw(task, {}, path)
