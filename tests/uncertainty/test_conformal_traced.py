"""Prediction sets that JAX traces, against those of NumPy."""

import numpy as np
import pytest

from emojax import tasks
from emojax.uncertainty import conformal_scores as scoring
from emojax.uncertainty import conformal_sets, conformal_traced
from emojax.uncertainty.conformal_examples import DEFAULTS, parts

COVERAGES = (0.8, 0.9)
VALUES = tasks.bin_values(5)


def fitted(task, low, high):
  """Thresholds of every part, between two numbers or infinite."""
  rng = np.random.default_rng(0)
  names = parts(task, DEFAULTS[task.kind])
  made = {
    name: conformal_sets.Part(
      9, dict(zip(COVERAGES, np.sort(rng.uniform(low, high, 2))))
    )
    for name in names
  }
  made[names[0]].thresholds[COVERAGES[1]] = np.inf
  return made


@pytest.mark.parametrize(
  ('task', 'shape'),
  [
    (tasks.expr_task(), (7,)),
    (tasks.au_task(('AU1', 'AU2', 'AU4')), (3,)),
    (tasks.va_task(5), (2, 5)),
  ],
)
def test_sets_are_those_of_the_definition(task, shape):
  rng = np.random.default_rng(1)
  probs = rng.dirichlet(np.ones(shape[-1]), (200, *shape[:-1]))
  if task.kind == 'binary':
    probs = rng.uniform(size=(200, *shape))
  probs = probs.astype(np.float32)
  found = fitted(task, 0.3, 0.9)
  made = conformal_traced.sets(task, probs, found, COVERAGES, VALUES)
  for i, coverage in enumerate(COVERAGES):
    expected = conformal_sets.sets(
      task, DEFAULTS[task.kind], probs[None], found, coverage, VALUES
    )
    one = np.asarray(made).take(i, 1)
    np.testing.assert_allclose(one, expected, atol=1e-6)
    assert 0 < np.abs(one).mean()  # something is in the sets


def test_intervals_grow_as_defined():
  rng = np.random.default_rng(2)
  probs = rng.dirichlet(np.ones(20), (50, 2)).astype(np.float32)
  probs[0, 0] = 1 / 20  # all the same
  probs[1, 0] = np.eye(20)[19]  # at the end
  found = conformal_traced.grown(probs)
  np.testing.assert_allclose(found, scoring.grown(probs), atol=1e-5)
