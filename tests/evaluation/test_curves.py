"""Curves of the report against direct computations."""

import numpy as np
import pytest
import sklearn.metrics

from emojax import tasks
from emojax.evaluation import curves
from emojax.metrics import ood, selective

EXPR = tasks.expr_task()
RNG = np.random.default_rng(0)


def expr_case(frames=200):
  probs = RNG.dirichlet(np.ones(7), frames)
  value = np.eye(7)[RNG.integers(0, 7, frames)]
  return probs, tasks.Target(value, np.ones(frames))


def test_reliability_pools_the_models():
  probs, target = expr_case()
  other = RNG.dirichlet(np.ones(7), len(probs))
  both = curves.reliability(EXPR, np.stack([probs, other]), target, None)
  parts = [
    curves.reliability(EXPR, p[None], target, None) for p in (probs, other)
  ]
  assert both['count'] == [a + b for a, b in zip(*(p['count'] for p in parts))]
  assert sum(both['count']) == 400
  chosen = np.concatenate([probs, other])
  correct = np.tile(target.value.argmax(-1), 2) == chosen.argmax(-1)
  inside = (chosen.max(-1) >= 0.4) & (chosen.max(-1) < 0.5)
  assert both['accuracy'][4] == pytest.approx(correct[inside].mean(), abs=1e-6)
  assert both['accuracy'][0] is None  # the largest of seven exceeds 1/7


def test_binned_reliability_pools_models_and_leaves_out_what_is_masked():
  task = tasks.va_task()
  values = tasks.bin_values(20)
  target = tasks.Target(values[[[3, 5], [7, 9]]] + 0.01, np.ones((2, 2)))
  target.mask[1, 1] = 0
  probs = np.full((2, 2, 2, 20), 0.4 / 19)
  probs[:, [0, 0, 1], [0, 1, 0], [3, 5, 7]] = 0.6
  probs[1, 0, 0] = np.roll(probs[1, 0, 0], 1)  # one of six is wrong
  probs[:, 1, 1] = np.nan  # masked
  curve = curves.reliability(task, probs, target, values)
  sizes = curve['size']
  assert set(curve) == {'mass', 'covered', 'size'}
  assert sizes[0] == 1
  assert sizes == sorted(sizes)
  assert curve['mass'][0] == pytest.approx(0.6)
  assert curve['covered'][0] == pytest.approx(5 / 6, abs=1e-6)


def test_rejection_starts_at_the_error_and_drops_with_good_uncertainty():
  probs, target = expr_case()
  quality = curves.frame_scores(EXPR, probs, target, None)
  error = 1 - (probs.argmax(-1) == target.value.argmax(-1)).mean()
  oracle = curves.rejection(EXPR, quality, 1 - quality)
  assert oracle['value'][0] == pytest.approx(error, abs=1e-6)
  # Enough is rejected when only correct frames are left.
  kept = np.searchsorted(oracle['rejected'], error + 0.01)
  assert oracle['value'][kept] == 0
  constant = curves.rejection(EXPR, quality, np.ones(len(quality)))
  np.testing.assert_allclose(constant['value'], error, atol=1e-6)


def test_rejection_of_scalars_is_a_root_mean_square():
  task = tasks.va_task()
  values = tasks.bin_values(20)
  probs = RNG.dirichlet(np.ones(20), (50, 2))
  target = tasks.Target(RNG.uniform(-1, 1, (50, 2)), np.ones((50, 2)))
  quality = curves.frame_scores(task, probs, target, values)
  found = curves.rejection(task, quality, RNG.random(50))
  wanted = sklearn.metrics.mean_squared_error(target.value, probs @ values)
  assert found['value'][0] == pytest.approx(wanted**0.5, abs=1e-5)
  assert found['measure'] == 'RMSE'


def test_masked_action_units_do_not_count():
  task = tasks.au_task(tasks.AU8)
  value, mask = np.zeros((1, 8)), np.ones((1, 8))
  probs = np.zeros((1, 8))
  value[0, :2], mask[0, 0] = 1, 0  # one masked and one counted miss
  target = tasks.Target(value, mask)
  assert curves.frame_scores(task, probs, target, None)[0] == pytest.approx(
    6 / 7
  )


@pytest.mark.parametrize('kind', ['au', 'expr', 'va'])
def test_nan_is_neither_right_nor_wrong(kind):
  task = {t.name: t for t in tasks.ABAW2021}[kind]
  probs, value, mask = {
    'au': (np.full((3, 12), 0.9), np.ones((3, 12)), np.ones((3, 12))),
    'expr': (np.eye(7)[:3], np.eye(7)[:3], np.ones(3)),
    'va': (np.full((3, 2, 20), 0.05), np.zeros((3, 2)), np.ones((3, 2))),
  }[kind]
  probs[1, 0] = np.nan
  values = tasks.bin_values()
  quality = curves.frame_scores(task, probs, tasks.Target(value, mask), values)
  np.testing.assert_array_equal(np.isnan(quality), [False, True, False])
  with pytest.raises(ValueError, match='NaN or infinite'):
    curves.rejection(task, quality, np.arange(3))
  if kind != 'expr':
    mask[1, 0] = 0  # it does not count
    target = tasks.Target(value, mask)
    assert np.isfinite(curves.frame_scores(task, probs, target, values)).all()


def test_thinned_roc_keeps_its_shape():
  inside, outside = RNG.normal(size=4000), RNG.normal(1, size=3000)
  detection = ood.detect(inside, outside)
  assert len(detection.false_positive_rate) > curves.ROC_POINTS
  curve = curves.roc(detection)
  assert len(curve['fpr']) == curves.ROC_POINTS + 1
  assert (curve['fpr'][0], curve['tpr'][0]) == (0, 0)
  assert (curve['fpr'][-1], curve['tpr'][-1]) == (1, 1)
  area = np.trapezoid(curve['tpr'], curve['fpr'])
  assert area == pytest.approx(detection.auroc, abs=2e-3)


def test_density_counts_every_frame_once():
  true, predicted = RNG.random(500), np.full(500, 1 + 1e-7)
  found = curves.density(true, predicted)
  counts = np.array(found['counts'])
  assert counts.sum() == 500
  assert counts[:, -1].sum() == 500


def test_selective_numbers_are_those_of_the_metrics():
  probs, target = expr_case()
  doubt = RNG.uniform(size=len(probs))
  quality = curves.frame_scores(EXPR, probs, target, None)
  found = curves.selective(EXPR, quality, doubt)
  wrong = probs.argmax(-1) != target.value.argmax(-1)
  right = selective.risk_coverage(wrong, doubt)
  assert found['aurc'] == pytest.approx(right.aurc)
  assert found['e_aurc'] == pytest.approx(right.e_aurc)
  assert found['coverage'] == right.coverage_at(0.05)
  auroc = sklearn.metrics.roc_auc_score(wrong, doubt)
  assert found['error_auroc'] == pytest.approx(auroc)


def test_selective_numbers_that_a_task_cannot_have_are_left_out():
  au, va = tasks.au_task(('AU1', 'AU2')), tasks.va_task()
  value = RNG.integers(0, 2, (50, 2)).astype(float)
  target = tasks.Target(value, np.ones((50, 2)))
  probs, doubt = RNG.uniform(size=(50, 2)), RNG.uniform(size=50)
  quality = curves.frame_scores(au, probs, target, None)
  found = curves.selective(au, quality, doubt)
  assert set(found) == {'aurc', 'e_aurc', 'coverage'}
  wrong = ((probs > 0.5) != value).mean(-1)
  right = selective.risk_coverage(wrong, doubt)
  assert found['aurc'] == pytest.approx(right.aurc)
  of_scalars = curves.selective(va, -np.square(doubt), doubt)
  assert set(of_scalars) == {'aurc', 'e_aurc'}
  assert of_scalars['e_aurc'] == pytest.approx(0)
