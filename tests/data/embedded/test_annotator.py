"""Posteriors: what they depend on, and that labels really follow them."""

import numpy as np
import pytest

from emojax import tasks
from emojax.data.embedded import affect, annotator, parameters


def pure(strength=0.9):
  """Posteriors of every expression's prototype, all of it visible."""
  return of(strength * affect.PROTOTYPES)


def of(channels, visible=1.0, clarity=1.0):
  shape = channels.shape[:-1]
  return annotator.posteriors(
    channels, np.full((*shape, 3), visible), np.full(shape, clarity)
  )


@pytest.fixture(scope='module')
def sampled():
  params = parameters.sample_clip_parameters(11, 400, 4, frame_rate=2)
  return params, parameters.posteriors(params)


def test_full_expressions_are_recognised():
  expr = pure()['expr']
  np.testing.assert_array_equal(expr.argmax(-1), np.arange(7))
  assert (expr.max(-1) > 0.9).all()
  assert pure(0.15)['expr'].argmax(-1).tolist() == [0] * 7


def test_blends_and_weak_expressions_are_ambiguous():
  names = tasks.AFFWILD2
  for first, second in (('fear', 'surprise'), ('anger', 'disgust')):
    i, j = names.index(first), names.index(second)
    blend = 0.45 * (affect.PROTOTYPES[i] + affect.PROTOTYPES[j])
    expr = of(blend)['expr']
    np.testing.assert_allclose(expr[i], expr[j], rtol=1e-4)
    assert expr[i] + expr[j] > 0.8
    assert annotator.entropy(expr) > 3 * annotator.entropy(pure()['expr'][i])
  weak = of(annotator.NEUTRAL_POINT * affect.PROTOTYPES[4])['expr']
  np.testing.assert_allclose(weak[0], weak[4], rtol=1e-4)


def test_au_posterior_rises_with_intensity_and_needs_to_see():
  intensity = np.linspace(0, 1, 11)[:, None] * np.ones(12)
  p = annotator.au_posterior(intensity, np.ones(12))
  assert (np.diff(p, axis=0) > 0).all()
  assert (p[0] < 0.1).all()
  assert (p[-1] > 0.9).all()
  hidden = annotator.au_posterior(intensity, np.zeros(12))
  np.testing.assert_allclose(hidden - annotator.AU_PREVALENCE, 0, atol=1e-12)


def test_hidden_mouth_hides_the_smile_only():
  channels = affect.PROTOTYPES[4]
  seen = of(channels)
  hidden = annotator.posteriors(channels, np.array([1, 1, 0.0]), np.array(1.0))
  au12, au6 = tasks.AU12.index('AU12'), tasks.AU12.index('AU6')
  assert seen['au'][au12] > 0.9
  np.testing.assert_allclose(
    hidden['au'][au12], annotator.AU_PREVALENCE[au12], rtol=1e-5
  )
  assert hidden['au'][au6] == seen['au'][au6]
  assert hidden['expr'][4] < seen['expr'][4]


def test_valence_and_arousal_are_discretised_normals():
  truth = pure()
  assert truth['va'].shape == (7, 2, 20)
  mean = (truth['va'] * tasks.bin_values()).sum(-1)
  assert tasks.AFFWILD2[mean[:, 0].argmax()] == 'happiness'
  assert mean[2, 0] < -0.4  # disgust is unpleasant
  assert mean[6, 1] > 0.5  # surprise is aroused
  np.testing.assert_allclose(
    mean, np.tanh(0.9 * affect.AFFECT_SPACE), atol=0.05
  )
  # log-odds of a normal distribution are quadratic in the bin's value.
  curvature = np.diff(np.log(truth['va'][0, 0, 7:13].astype(float)), 2)
  np.testing.assert_allclose(curvature, curvature[0], rtol=1e-3)


def test_valence_is_wider_where_the_expression_is_ambiguous(sampled):
  truth = sampled[1]
  ambiguity = annotator.entropy(truth['expr']).ravel()
  width = annotator.entropy(truth['va'][..., 0, :]).ravel()
  assert np.corrcoef(ambiguity, width)[0, 1] > 0.7


def test_ambiguity_varies_over_frames(sampled):
  truth = sampled[1]
  low, high = np.quantile(annotator.entropy(truth['expr']), [0.1, 0.9])
  assert low < 0.1 < 0.6 < high
  au = np.stack([truth['au'], 1 - truth['au']], -1)
  low, high = np.quantile(annotator.entropy(au).mean(-1), [0.1, 0.9])
  assert high > 2 * low


def test_posteriors_are_distributions(sampled):
  for name, p in sampled[1].items():
    assert p.dtype == np.float32
    assert p.min() >= 0
    assert p.max() <= 1
    if name != 'au':
      np.testing.assert_allclose(p.sum(-1), 1, atol=1e-5)


def test_labels_of_one_frame_follow_its_posterior(sampled):
  """Chi-square-like: deviations in units of their standard deviations."""
  count = 4000
  truth = {name: np.tile(p[:1, 0], (count,) + (1,) * (p.ndim - 2))
           for name, p in sampled[1].items()}  # fmt: skip
  labels = annotator.draw(truth, np.random.default_rng(0))
  bins = np.abs(labels['va'].value[..., None] - tasks.bin_values()) < 1e-6
  drawn = {
    'au': labels['au'].value,
    'expr': labels['expr'].value,
    'va': bins.astype(float),
  }
  for name, found in drawn.items():
    p = truth[name][0].astype(float)
    deviation = np.sqrt(np.maximum(p * (1 - p), 1e-3) / count)
    assert (np.abs(found.mean(0) - p) / deviation).max() < 4.5, name


def test_labels_of_many_frames_cost_the_entropy(sampled):
  """E[-log p(y)] = H(p): the posteriors are calibrated, none overconfident."""
  params, truth = sampled
  labels = parameters.draw_labels(params, truth)
  p = truth['expr'].astype(float)
  surprise = -np.log((labels['expr'].value * p).sum(-1))
  entropy = annotator.entropy(p) * np.log(7)
  error = (surprise - entropy).std() / np.sqrt(surprise.size)
  assert abs(surprise.mean() - entropy.mean()) < 4 * error
  p, y = truth['au'].astype(float), labels['au'].value
  z = (y - p).mean((0, 1)) / np.sqrt((p * (1 - p)).sum((0, 1))) * y[..., 0].size
  assert np.abs(z).max() < 4


def test_frames_of_a_clip_are_drawn_independently(sampled):
  params, truth = sampled
  residual = parameters.draw_labels(params, truth)['au'].value - truth['au']
  now, then = residual[:, :-1].ravel(), residual[:, 1:].ravel()
  assert abs(np.corrcoef(now, then)[0, 1]) < 4 / np.sqrt(now.size)
