"""Scores against labels and votes, and as a function of the samples."""

import made_up
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.evaluation import resampling
from emojax.experiments.bayesian import evaluate, sampling, scores
from emojax.experiments.bayesian.evaluate import Setting


@pytest.fixture(scope='module')
def data():
  faces, logits = made_up.faces()
  judges = evaluate.judges_of(faces)
  noise = np.random.default_rng(5).normal(size=logits.shape)
  return faces, judges, made_up.softmax(logits + noise)


def test_scores_against_labels(data):
  _, judges, probs = data
  found = scores.score(probs, judges)
  keep = judges.labelled > 0
  p, label = probs[keep], judges.label[keep].argmax(-1)
  assert found['error'] == pytest.approx((p.argmax(-1) != label).mean())
  log_loss = sklearn.metrics.log_loss(label, p, labels=np.arange(8))
  assert found['nll'] == pytest.approx(log_loss, rel=1e-5)
  bernoulli = [
    sklearn.metrics.log_loss(label == c, p[:, c], labels=[0, 1])
    for c in range(8)
  ]
  assert found['nll_bernoulli'] == pytest.approx(np.sum(bernoulli), rel=1e-5)
  brier = ((p - judges.label[keep]) ** 2).sum(-1).mean()
  assert found['brier'] == pytest.approx(brier)
  right = p.argmax(-1) == label
  assert found['overconfidence'] == pytest.approx((p.max(-1) - right).mean())
  alone = evaluate.errors(np.stack([probs, judges.label, probs]), judges)
  wrong = found['error']
  assert alone['error'] == pytest.approx(wrong * 2 / 3)
  assert alone['std'] == pytest.approx(wrong / np.sqrt(3))
  assert evaluate.errors(probs[None], judges)['std'] is None


def test_calibration_errors_are_over_bins(data):
  _, judges, probs = data
  found = scores.score(probs, judges)
  keep = judges.labelled > 0
  p = probs[keep]
  right = p.argmax(-1) == judges.label[keep].argmax(-1)
  gaps, counts = [], []
  for low in range(10):
    inside = (p.max(-1) >= low / 10) & (p.max(-1) < (low + 1) / 10)
    if inside.any():
      gaps.append(abs(right[inside].mean() - p.max(-1)[inside].mean()))
      counts.append(inside.sum())
  assert found['ece'] == pytest.approx(np.average(gaps, weights=counts))
  assert found['ece_unweighted'] == pytest.approx(np.mean(gaps))


def test_scores_against_votes(data):
  _, judges, probs = data
  found = scores.score(probs, judges)
  kl = scipy.stats.entropy(judges.votes, probs, axis=1)
  assert found['votes/kl'] == pytest.approx(kl.mean(), rel=1e-5)
  entropy = scipy.stats.entropy(judges.votes, axis=1)
  crosses = found['votes/cross_entropy']
  assert crosses == pytest.approx((kl + entropy).mean(), rel=1e-5)
  correlation = scipy.stats.spearmanr(
    scipy.stats.entropy(probs, axis=1), entropy.round(5)
  )
  ours = found['votes/entropy_correlation']
  assert ours == pytest.approx(correlation.statistic, abs=1e-6)
  top = judges.votes[np.arange(len(probs)), probs.argmax(-1)]
  assert found['votes/agreement'] == pytest.approx(top.mean())
  sure = probs.max(-1).mean() - top.mean()
  assert found['votes/overconfidence'] == pytest.approx(sure)


def test_votes_are_perfect_predictions_of_votes_and_underconfident(data):
  _, judges, _ = data
  found = evaluate.votes_as_predictions(judges)
  for name in ('kl', 'brier', 'top_ece', 'class_ece', 'overconfidence'):
    assert found[f'votes/{name}'] == pytest.approx(0, abs=1e-6)
  # Ties of votes are broken by rounding in predictions.
  assert found['votes/entropy_correlation'] > 0.99
  # What the paper's Figure 3 shows: labels make honest predictions look bad.
  assert found['error'] == 0
  assert found['ece'] == pytest.approx(1 - found['confidence'])


def test_without_votes():
  faces, logits = made_up.faces(votes=False)
  judges = evaluate.judges_of(faces)
  found = scores.score(made_up.softmax(logits), judges)
  assert not any(name.startswith('votes') for name in found)
  assert evaluate.votes_as_predictions(judges) is None


def test_resampling_agrees_with_the_scores(data):
  _, judges, probs = data
  counts = resampling.draws(0, len(probs), 3)
  found = sampling.resampled(probs, judges, counts)
  want = scores.score(probs, judges)
  for name, values in found.items():
    assert values[0] == pytest.approx(want[name], rel=1e-5, abs=1e-7), name
  # A replicate is the sample with repetitions.
  index = np.repeat(np.arange(len(probs)), counts[1].astype(int))
  again = scores.score(probs[index], judges.take(index))
  for name, values in found.items():
    if not name.endswith('ece'):  # whose replicates are free of their bias
      assert values[1] == pytest.approx(again[name], rel=1e-5, abs=1e-7), name


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 9))
def test_draws_are_samples_of_the_pool(size, largest, seed):
  pool = made_up.softmax(np.random.default_rng(seed).normal(size=(size, 5, 3)))
  draws = sampling.make_draws(pool, largest, 4, seed)
  most = min(size, largest)
  assert draws.orders.shape == (4, most)
  for row in draws.orders:
    assert len(set(row)) == most
  np.testing.assert_allclose(draws.mean(0, 1), pool[draws.orders[0, 0]])
  mean = pool[draws.orders[2]].mean(0)
  np.testing.assert_allclose(draws.mean(2, most), mean)


def test_the_whole_pool_has_no_spread(data):
  _, judges, probs = data
  pool = np.stack([probs, probs[::-1]])
  draws = [sampling.make_draws(pool, 15, 20, 0)]
  found = sampling.curves(draws, judges, {})
  assert found['sizes'] == [1, 2]
  assert found['std']['error'][0] > 0.05
  assert found['std']['error'][1] == 0
  assert found['between']['error'] is None
  # Each of the two is drawn about as often; jointly they are their mean.
  want = scores.score(pool.mean(0), judges)
  assert found['mean']['nll'][1] == pytest.approx(want['nll'], abs=1e-5)


def study(method, **options):
  faces, logits = made_up.faces(200)
  made = made_up.predictions(f'alexnet-{method}', logits, **options)
  judges = evaluate.judges_of(faces)
  return evaluate.study(made, method, faces, judges, Setting(4, 50, 0))


def test_an_ensemble_of_noisy_copies_gets_better():
  found, curves = study('ensemble', members=15, noise=2.0)
  assert found['sizes'] == list(range(1, 16))
  assert found['members'] == 1
  assert found['pool'] == 15
  for name in ('error', 'nll', 'votes/kl', 'confidence'):
    assert found['mean'][name][-1] < found['mean'][name][0]
    assert found['change'][name]['high'] < 0
  for name, change in found['change'].items():
    first, *_, last = found['mean'][name]
    assert change['value'] == pytest.approx(last - first, abs=2e-6), name
    assert change['low'] < change['value'] < change['high'], name
  for curve in curves['reliability'].values():  # faces, whatever the draws
    assert sum(curve['count']) == pytest.approx(100)
  assert found['change']['votes/entropy_correlation']['low'] > 0
  assert found['mean']['ood/noise'][-1] > found['mean']['ood/noise'][0]
  kinds = found['uncertainty']
  total = kinds['aleatoric']['mean'] + kinds['epistemic']['mean']
  assert kinds['total']['mean'] == pytest.approx(total, abs=1e-6)
  assert list(curves['uncertain'][0]['probs']) == ['1', '5', '10', '15']


def test_each_network_has_its_own_passes():
  found, _ = study('dropout', members=2, passes=6, noise=1.0)
  assert (found['members'], found['pool']) == (2, 6)
  assert found['sizes'] == [1, 2, 3, 4, 5, 6]
  assert len(found['between']['error']) == 6
  # Without noise the networks are better than with one noisy pass.
  assert found['deterministic']['nll'] < found['mean']['nll'][0]


def test_the_most_uncertain_faces_are_in_order(data):
  faces, judges, probs = data
  pool = np.stack([probs, probs])
  found = evaluate.most_uncertain(pool, judges, faces.clips.clip_id)
  entropies = scipy.stats.entropy(probs, axis=1)
  assert [row['index'] for row in found] == list(np.argsort(-entropies)[:5])
  first = found[0]
  assert first['clip_id'] == f'test{first["index"]}'
  assert first['entropy'] == pytest.approx(entropies.max())
  np.testing.assert_allclose(first['votes'], judges.votes[first['index']])
  np.testing.assert_allclose(
    first['probs']['1'], probs[first['index']], atol=1e-5
  )


def test_nothing_to_score():
  faces, _ = made_up.faces()
  target = faces.clips.targets['expr']
  target.mask[:] = 0
  with pytest.raises(ValueError, match='no face of the test split has a label'):
    evaluate.judges_of(faces)
