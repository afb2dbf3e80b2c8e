"""Losses per frame of papers 001 and 002, against NumPy and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks
from emojax.losses import incomplete

AU, EXPR, VA = tasks.ABAW2020
SHAPE = (4, 3)


def logits_of(task, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(0, 2, (*SHAPE, task.num_outputs)).astype(np.float32)


def target_of(task, seed=1, missing=0.0):
  rng = np.random.default_rng(seed)
  target = tasks.empty_targets((task,), SHAPE)[task.name]
  if task.kind == 'binary':
    value = rng.integers(0, 2, target.value.shape)
  elif task.kind == 'categorical':
    value = np.eye(7)[rng.integers(0, 7, SHAPE)]
  else:
    value = rng.uniform(-1, 1, target.value.shape)
  mask = rng.random(target.mask.shape) >= missing
  return tasks.Target(value.astype(np.float32), mask.astype(np.float32))


def softmax(x, temperature=1.0):
  e = np.exp(np.asarray(x, np.float64) / temperature)
  return e / e.sum(-1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(
  st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=6),
  st.floats(0.25, 8, width=32),
)
def test_temperature_softmax(values, temperature):
  values = np.array(values, np.float32)
  found = incomplete.temperature_softmax(values, temperature)
  np.testing.assert_allclose(found, softmax(values, temperature), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
  st.floats(-1, 1, width=32, allow_subnormal=False), st.sampled_from((2, 20))
)
def test_bins_are_those_of_digitize(value, bins):
  edges = np.linspace(-1, 1, bins + 1, dtype=np.float32)
  expected = min(np.digitize(np.float32(value), edges) - 1, bins - 1)
  found = incomplete.one_hot_bins(jnp.float32(value), bins)
  assert found.sum() == 1
  assert int(found.argmax()) == expected


@pytest.mark.parametrize('bin_', range(20))
def test_edges_belong_to_the_bin_above(bin_):
  edge = np.float32(bin_ / 10 - 1)
  assert incomplete.one_hot_bins(edge).argmax() == bin_


def test_ends_of_the_range_are_in_the_outer_bins():
  found = incomplete.one_hot_bins(jnp.array([-1.0, 1.0, -1.5, 1.5]))
  np.testing.assert_array_equal(found.argmax(-1), [0, 19, 0, 19])


def test_supervision_of_action_units_is_a_sum():
  logits, target = logits_of(AU), target_of(AU, missing=0.3)
  p = 1 / (1 + np.exp(-logits.astype(np.float64)))
  bce = -(target.value * np.log(p) + (1 - target.value) * np.log(1 - p))
  found = incomplete.supervision(AU, logits, target)
  np.testing.assert_allclose(found, (bce * target.mask).sum(-1), rtol=1e-4)


def test_supervision_of_expressions():
  logits, target = logits_of(EXPR), target_of(EXPR, missing=0.3)
  expected = -(target.value * np.log(softmax(logits))).sum(-1) * target.mask
  found = incomplete.supervision(EXPR, logits, target)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_supervision_of_valence_and_arousal():
  logits, target = logits_of(VA), target_of(VA, missing=0.3)
  number = np.digitize(target.value, np.linspace(-1, 1, 21)) - 1
  logs = np.log(softmax(logits.reshape(*SHAPE, 2, 20)))
  picked = np.take_along_axis(logs, number[..., None], -1)[..., 0]
  found = incomplete.supervision(VA, logits, target)
  np.testing.assert_allclose(found, -(picked * target.mask).sum(-1), rtol=1e-4)


def test_concordance_is_over_all_labelled_frames():
  logits, target = logits_of(VA), target_of(VA, missing=0.3)
  values = tasks.bin_values()
  mean = softmax(logits.reshape(*SHAPE, 2, 20)) @ values
  expected = 0.0
  for d in range(2):
    keep = target.mask[..., d] > 0
    x, y = mean[..., d][keep], target.value[..., d][keep].astype(np.float64)
    c = np.cov(x, y)
    spread = c[0, 0] + c[1, 1] + (x.mean() - y.mean()) ** 2
    expected += 1 - 2 * c[0, 1] / spread
  found = incomplete.concordance(VA, logits, target, values)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_distillation_of_action_units_has_no_temperature():
  student, teacher = logits_of(AU), logits_of(AU, 3)
  found = incomplete.distillation(AU, student, teacher, 1.5)
  same = incomplete.distillation(AU, student, teacher, 4.0)
  np.testing.assert_array_equal(found, same)
  p, q = (1 / (1 + np.exp(-x.astype(np.float64))) for x in (student, teacher))
  expected = -(q * np.log(p) + (1 - q) * np.log(1 - p)).sum(-1)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('task', [EXPR, VA], ids=['expr', 'va'])
def test_distillation_by_softmaxes(task):
  student, teacher = logits_of(task), logits_of(task, 3)
  shape = (*SHAPE, -1, 20) if task is VA else (*SHAPE, 1, 7)
  q = softmax(teacher.reshape(shape), 1.5)
  p = softmax(student.reshape(shape), 1.5)
  cross = -(q * np.log(p)).sum((-1, -2))
  kl = (q * np.log(q / p)).sum((-1, -2))
  for divergence, expected in (('cross_entropy', cross), ('kl', kl)):
    found = incomplete.distillation(
      task, student, teacher, 1.5, divergence=divergence
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('task', tasks.ABAW2020, ids=lambda t: t.name)
def test_both_divergences_have_one_gradient(task):
  student, teacher = logits_of(task), logits_of(task, 3)

  def total(student, teacher, divergence):
    return incomplete.distillation(
      task, student, teacher, 1.5, divergence
    ).sum()

  both = [
    jax.jit(jax.grad(total, (0, 1)), static_argnums=2)(student, teacher, name)
    for name in incomplete.DIVERGENCES
  ]
  np.testing.assert_allclose(both[0][0], both[1][0], atol=1e-5)
  assert not both[0][1].any()  # the teacher is fixed


@pytest.mark.parametrize('task', tasks.ABAW2020, ids=lambda t: t.name)
def test_nothing_labelled_is_nothing_lost(task):
  target = target_of(task, missing=1.1)
  target = target._replace(value=np.full_like(target.value, np.nan))

  def total(logits):
    loss = incomplete.supervision(task, logits, target).sum()
    if task is VA:
      loss += incomplete.concordance(task, logits, target, tasks.bin_values())
    return loss

  value, gradient = jax.jit(jax.value_and_grad(total))(logits_of(task))
  assert value == 0
  assert not gradient.any()


@pytest.mark.parametrize('task', tasks.ABAW2020, ids=lambda t: t.name)
def test_extreme_logits_have_finite_losses_and_gradients(task):
  logits = 1e4 * np.sign(logits_of(task))

  def total(student):
    loss = incomplete.supervision(task, student, target_of(task)).sum()
    return loss + incomplete.distillation(task, student, -student).sum()

  value, gradient = jax.jit(jax.value_and_grad(total))(logits)
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()


def test_unknown_divergence():
  with pytest.raises(ValueError, match="'js': expected one of cross_entropy"):
    incomplete.distillation(EXPR, logits_of(EXPR), logits_of(EXPR), 1, 'js')
