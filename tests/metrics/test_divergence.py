"""Tests of emojax/metrics/divergence.py against SciPy and simulation."""

import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from emojax import tasks
from emojax.metrics import calibration, divergence

AU, EXPR, VA = SCHEMA = tasks.ABAW2021


def _probs(task, frames=30, seed=0):
  rng = np.random.default_rng(seed)
  if task.kind == 'binary':
    return rng.uniform(0.01, 0.99, (frames, 12))
  shape = (frames, 2) if task.kind == 'binned' else (frames,)
  classes = task.num_outputs // (2 if task.kind == 'binned' else 1)
  return rng.dirichlet(np.ones(classes), shape)


def _pairs(task, probs):
  return np.stack([1 - probs, probs], -1) if task is AU else probs


@pytest.mark.parametrize('task', SCHEMA, ids=lambda t: t.name)
def test_matches_scipy(task):
  p, q = _probs(task, seed=1), _probs(task, seed=2)
  entropy = divergence.posterior_entropy(task, p)
  kl = divergence.kl_divergence(task, p, q, eps=0)
  two = _pairs(task, p), _pairs(task, q)
  np.testing.assert_allclose(entropy, scipy.stats.entropy(two[0], axis=-1))
  np.testing.assert_allclose(kl, scipy.stats.entropy(*two, axis=-1))
  nll = divergence.expected_nll(task, p, q, eps=0)
  np.testing.assert_allclose(nll - entropy, kl, rtol=1e-9)
  excess = divergence.excess_nll(task, p, q)
  np.testing.assert_allclose(excess, (nll - entropy).mean(), rtol=1e-6)
  assert kl.shape == (
    (30, 12) if task is AU else (30, 2) if task is VA else (30,)
  )


@pytest.mark.parametrize('task', SCHEMA, ids=lambda t: t.name)
def test_nothing_is_better_than_the_posterior(task):
  p = _probs(task)
  np.testing.assert_allclose(divergence.kl_divergence(task, p, p), 0, atol=1e-6)
  for seed in range(1, 4):
    assert (
      divergence.kl_divergence(task, p, _probs(task, seed=seed)) > 0
    ).all()


def test_excess_is_what_sampled_labels_cost():
  rng, frames = np.random.default_rng(0), 20_000
  p, q = np.full((frames, 3), [0.6, 0.3, 0.1]), np.full((frames, 3), 1 / 3)
  labels = np.eye(3)[rng.choice(3, frames, p=p[0])]
  task, ones = tasks.expr_task(('a', 'b', 'c')), np.ones(frames)
  sampled = calibration.categorical_nll(q, labels, ones)
  expected = divergence.expected_nll(task, p, q).mean()
  np.testing.assert_allclose(sampled, expected, rtol=0.02)
  best = calibration.categorical_nll(p, labels, ones)
  np.testing.assert_allclose(
    sampled - best, divergence.excess_nll(task, p, q), atol=0.02
  )


@pytest.mark.parametrize('task', [AU, EXPR], ids=lambda t: t.name)
def test_certain_posteriors_and_predictions_are_finite(task):
  p = np.round(_probs(task))
  if task is EXPR:
    p = np.eye(7)[_probs(task).argmax(-1)]
  kl = divergence.kl_divergence(task, p, 1 - p if task is AU else p[:, ::-1])
  assert np.isfinite(kl).all()
  np.testing.assert_allclose(divergence.posterior_entropy(task, p), 0)


def test_frame_mask_and_shapes():
  p, q = _probs(AU, seed=1), _probs(AU, seed=2)
  mask = np.arange(30) < 12
  q[12:] = np.nan
  expected = divergence.kl_divergence(AU, p[:12], q[:12]).mean()
  np.testing.assert_allclose(divergence.excess_nll(AU, p, q, mask), expected)
  for junk in (np.nan, np.inf):
    for values in (p, q):
      spoilt = values.copy()
      spoilt[3] = junk
      pair = (spoilt, q) if values is p else (p, spoilt)
      with pytest.raises(ValueError, match="'au': NaN among"):
        divergence.excess_nll(AU, *pair, mask)
  with pytest.raises(ValueError, match='every frame is masked'):
    divergence.excess_nll(AU, p, q, 0 * mask)
  with pytest.raises(ValueError, match='must have the same shape'):
    divergence.expected_nll(AU, p, q[:, :3])


def test_distances_are_scipys():
  p, q = _probs(EXPR, seed=1), _probs(EXPR, seed=2)
  p[0], q[0] = np.eye(p.shape[1])[:2]  # nothing in common
  found = divergence.jensen_shannon(p, q)
  expected = scipy.spatial.distance.jensenshannon(p, q, axis=-1) ** 2
  np.testing.assert_allclose(found, expected, rtol=1e-9)
  np.testing.assert_allclose(divergence.jensen_shannon(q, p), found)
  assert found[0] == pytest.approx(np.log(2))
  apart = divergence.total_variation(p, q)
  # The largest difference of any set of classes is of those that p finds likelier.
  np.testing.assert_allclose(apart, np.where(p > q, p - q, 0).sum(-1))
  assert apart[0] == pytest.approx(1)
  for distance in (divergence.jensen_shannon, divergence.total_variation):
    np.testing.assert_allclose(distance(p, p), 0, atol=1e-12)
    assert np.isnan(distance(p * np.nan, q)).all()
  # Pinsker's inequality, for the KL divergence of each from their mean.
  assert (apart**2 / 2 <= found + 1e-12).all()
