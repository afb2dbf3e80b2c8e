"""Tests of emojax/uncertainty/temperature.py: recovered temperatures and the protocol."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.metrics import calibration
from emojax.uncertainty import temperature

AU, EXPR, VA = SCHEMA = tasks.ABAW2021
BINS = tasks.bin_values()


def _calibrated(task, frames=400, seed=0):
  """Logits with soft labels equal to their own probabilities."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(0, 1.5, (frames, task.num_outputs))
  if task.kind == 'binary':
    value = scipy.special.expit(logits)
    return logits, tasks.Target(value, np.ones_like(value))
  value = scipy.special.softmax(logits, axis=-1)
  return logits, tasks.Target(value, np.ones(frames))


def _hard_va(frames=4000, seed=0):
  rng = np.random.default_rng(seed)
  logits = rng.normal(0, 1.5, (frames, 40))
  probs = scipy.special.softmax(logits.reshape(frames, 2, 20), axis=-1)
  draws = rng.uniform(size=(frames, 2, 1))
  index = (probs.cumsum(-1) < draws).sum(-1)
  value = BINS[np.minimum(index, 19)]
  return logits, tasks.Target(value, np.ones_like(value))


@pytest.mark.parametrize('task', [AU, EXPR], ids=lambda t: t.name)
@given(scale=st.floats(0.05, 20))
@settings(deadline=None, max_examples=10)
def test_recovers_the_temperature(task, scale):
  logits, target = _calibrated(task)
  t = temperature.fit(task, scale * logits, target)
  assert t.shape == ((12,) if task is AU else ())
  np.testing.assert_allclose(t, scale, rtol=1e-3)
  restored = temperature.apply(task, scale * logits, t)
  np.testing.assert_allclose(restored, logits, rtol=2e-3)


def test_recovers_the_temperatures_of_valence_and_arousal():
  logits, target = _hard_va()
  scaled = logits * np.repeat([0.5, 3.0], 20)
  t = temperature.fit(VA, scaled, target, BINS)
  np.testing.assert_allclose(t, [0.5, 3.0], rtol=0.1)
  restored = temperature.apply(VA, jnp.asarray(scaled), jnp.asarray(t))
  np.testing.assert_allclose(restored, logits, rtol=0.2)


def test_fit_is_the_minimum_of_the_nll():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 4, (300, 7))
  labels = np.eye(7)[rng.integers(0, 7, 300)]
  best = temperature.fit_categorical(logits, labels)

  def nll(t):
    probs = scipy.special.softmax(logits / t, axis=-1)
    return calibration.categorical_nll(probs, labels, np.ones(300))

  assert nll(best) <= min(nll(t) for t in np.geomspace(0.05, 900, 60)) + 1e-6


def test_matches_torch_lbfgs():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  rng = np.random.default_rng(1)
  logits = rng.normal(0, 3, (200, 7))
  labels = (logits / 2.5 + rng.gumbel(size=logits.shape)).argmax(-1)
  log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
  optimizer = torch.optim.LBFGS([log_t], max_iter=50)

  def closure():
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(
      torch.tensor(logits) / log_t.exp(), torch.tensor(labels)
    )
    loss.backward()
    return loss

  optimizer.step(closure)
  actual = temperature.fit_categorical(logits, np.eye(7)[labels])
  np.testing.assert_allclose(actual, log_t.exp().item(), rtol=1e-3)


def test_separable_and_contradictory_labels_stay_in_bounds():
  logits = np.array([-3.0, -1, 1, 3])
  low, high = temperature.BOUNDS
  for labels in (logits > 0, logits < 0, np.ones(4)):
    t = temperature.fit_binary(logits, labels)
    assert low <= t <= high
  assert temperature.fit_binary(logits, logits < 0) > 0.99 * high


@pytest.mark.parametrize('junk', [np.nan, np.inf])
def test_masked_frames_do_not_count(junk):
  logits, target = _calibrated(AU)
  expected = temperature.fit(
    AU, logits[:300], tasks.Target(*(v[:300] for v in target))
  )
  logits[300:], target.value[300:], target.mask[300:] = junk, junk, 0
  shape = (20, 20)
  actual = temperature.fit(
    AU,
    logits.reshape(*shape, 12),
    tasks.Target(*(v.reshape(*shape, 12) for v in target)),
  )
  np.testing.assert_allclose(actual, expected)


@pytest.mark.parametrize('task', SCHEMA, ids=lambda t: t.name)
def test_cross_validation_improves_on_miscalibrated_logits(task):
  logits, target = _hard_va(600) if task is VA else _calibrated(task)
  result = temperature.cross_validate(task, 4 * logits, target, 0, BINS, 2)
  assert result.temperatures.shape == (2, *np.shape(result.nll))
  assert (result.nll < result.uncalibrated_nll).all()
  np.testing.assert_allclose(result.temperatures, 4, rtol=0.3)


def test_cross_validation_scores_only_unseen_frames():
  logits, target = _calibrated(EXPR, 101)
  logits = 3 * logits
  first, second = np.array_split(np.random.default_rng(7).permutation(101), 2)
  nll, temperatures = [], []
  for fitted, scored in [(first, second), (second, first)]:
    t = temperature.fit_categorical(logits[fitted], target.value[fitted])
    probs = scipy.special.softmax(logits[scored] / t, axis=-1)
    ones = np.ones(len(scored))
    nll.append(calibration.categorical_nll(probs, target.value[scored], ones))
    temperatures.append(t)
  one = temperature.cross_validate(EXPR, logits, target, 7)
  np.testing.assert_allclose(one.nll, nll[0])
  both = temperature.cross_validate(EXPR, logits, target, 7, directions=2)
  np.testing.assert_allclose(both.nll, np.mean(nll))
  np.testing.assert_allclose(both.temperatures, temperatures)


def test_the_seed_decides_the_split():
  logits, target = _calibrated(EXPR, 60)
  first, again, other = (
    temperature.cross_validate(EXPR, logits, target, seed).nll
    for seed in (0, 0, 1)
  )
  assert first == again
  assert first != other


def test_errors_name_what_is_missing():
  logits, target = _calibrated(AU, 10)
  target.mask[:, 4] = 0
  with pytest.raises(ValueError, match='AU7 has no labelled frame'):
    temperature.fit(AU, logits, target)
  with pytest.raises(ValueError, match='labels that count must be finite'):
    temperature.fit_binary([0.5], [np.nan])
  with pytest.raises(ValueError, match='expected 1 or 2'):
    temperature.cross_validate(AU, logits, target, 0, directions=3)
  with pytest.raises(ValueError, match='pass bin_values'):
    temperature.fit(VA, *_hard_va(5))
  empty = tasks.Target(np.zeros((3, 7)), np.zeros(3))
  with pytest.raises(ValueError, match='cannot be split'):
    temperature.cross_validate(EXPR, np.zeros((3, 7)), empty, 0)
  with pytest.raises(ValueError, match='has diverged'):
    temperature.fit_binary([np.nan], [1.0])


def test_labels_without_frames_are_left_out_on_request():
  logits, target = _calibrated(AU, 100)
  expected = temperature.fit(AU, 2 * logits, target)
  target.mask[:, 4] = 0
  target.value[:, 4] = np.nan
  assert temperature.unlabelled(AU, target.mask) == ('AU7',)
  found = temperature.fit(AU, 2 * logits, target, partial=True)
  assert found[4] == 1
  keep = np.arange(12) != 4
  np.testing.assert_array_equal(found[keep], expected[keep])
  target.mask[:] = 0
  with pytest.raises(ValueError, match='AU26 has no labelled frame'):
    temperature.fit(AU, logits, target, partial=True)


def test_cross_validation_leaves_out_labels_without_frames():
  logits, target = _calibrated(AU, 100)
  expected = temperature.cross_validate(AU, logits, target, 0, directions=2)
  target.mask[:, 4] = 0
  found = temperature.cross_validate(AU, logits, target, 0, directions=2)
  keep = np.arange(12) != 4
  for one, other in zip(found[:2], expected[:2]):
    np.testing.assert_array_equal(one[keep], other[keep])
    assert np.isnan(one[4])
  target.mask[7, 4] = 1  # one frame cannot be in both halves
  with pytest.raises(ValueError, match='AU7 has no labelled frame in one of'):
    temperature.cross_validate(AU, logits, target, 0)


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_the_order_and_the_type_of_frames_do_not_matter(seed):
  logits, target = _calibrated(EXPR, 60)
  order = np.random.default_rng(seed).permutation(60)
  expected = temperature.fit(EXPR, 3 * logits, target)
  shuffled = tasks.Target(*(np.float32(x[order]) for x in target))
  found = temperature.fit(EXPR, np.float32(3 * logits[order]), shuffled)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('value', [0.0, 0.3, -40.0])
def test_constant_logits_have_a_temperature_within_bounds(value):
  low, high = temperature.BOUNDS
  labels = np.arange(10) % 2
  assert low <= temperature.fit_binary(np.full(10, value), labels) <= high
  logits = np.full((10, 2), value)
  found = temperature.fit_categorical(logits, np.eye(2)[labels])
  assert low <= found <= high
