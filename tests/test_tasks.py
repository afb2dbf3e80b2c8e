"""The label schema: targets at an index."""

import numpy as np

from emojax import tasks


def test_targets_are_taken_with_their_masks():
  rng = np.random.default_rng(0)
  full = tasks.empty_targets(tasks.ABAW2021, (5, 2))
  made = {
    name: tasks.Target(
      rng.normal(size=value.shape), rng.integers(0, 2, mask.shape)
    )
    for name, (value, mask) in full.items()
  }
  chosen = np.array([4, 0, 0])
  for index in (chosen, np.array([True, False, True, False, False]), 3):
    found = tasks.take(made, index)
    assert list(found) == list(made)
    for name, target in found.items():
      np.testing.assert_array_equal(target.value, made[name].value[index])
      np.testing.assert_array_equal(target.mask, made[name].mask[index])
  # An index of clips and frames, as sequences have.
  places = np.array([[1], [3]]), np.array([[0, 1], [1, 0]])
  found = tasks.take(made, places)['expr']
  np.testing.assert_array_equal(found.value[1, 0], made['expr'].value[3, 1])
  assert found.mask.shape == (2, 2)
