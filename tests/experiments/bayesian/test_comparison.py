"""Ensembles against one network: intervals, temperatures, and what noise shows."""

import made_up
import numpy as np
import pytest
import scipy.optimize

from emojax.evaluation import resampling
from emojax.experiments.bayesian import comparison, evaluate, findings, sampling

MEMBERS = 15


def judges_of(count=150):
  faces, logits = made_up.faces(count)
  return evaluate.judges_of(faces), logits


def members_of(rng, logits, noise):
  return made_up.softmax(
    logits + noise * rng.normal(size=(MEMBERS, *logits.shape))
  )


def results_of(pool, judges, seed=0, replicates=60):
  """results.json of an ensemble, as much of it as claims need."""
  draws = [sampling.make_draws(pool, MEMBERS, 2, seed)]
  change, rival = comparison.compare(draws, judges, None, seed, replicates)
  study = {'sizes': [1, MEMBERS], 'mean': {'error': [0.5]}}
  study |= {'change': change, 'rival': rival}
  return {'studies': {'alexnet': {'ensemble': study}}}


@pytest.mark.slow
@pytest.mark.parametrize('trials', [5, 60])
def test_members_without_skill_show_none_of_the_seven_claims(trials):
  """Pure noise has a lower NLL, confidence, divergence and error against votes."""
  judges, logits = judges_of()
  rng, wrong, fell = np.random.default_rng(0), 0, set()
  for trial in range(trials):
    pool = members_of(rng, np.zeros_like(logits), 2.0)
    results = results_of(pool, judges, trial)
    rows = findings.all_findings(results)
    assert len(rows) == 7
    verdicts = [row[-1] for row in rows]
    assert verdicts.count('identity') == 3
    wrong += 'yes' in verdicts
    change = results['studies']['alexnet']['ensemble']['change']
    fell |= {name for name, found in change.items() if found['high'] < 0}
  assert wrong == 0
  # What the rule without a rival took for shown.
  assert {'nll', 'confidence', 'votes/kl', 'votes/class_ece'} <= fell


def test_skilled_members_are_better_than_one_scaled_network():
  judges, logits = judges_of(400)
  pool = members_of(np.random.default_rng(0), logits, 2.0)
  rows = findings.all_findings(results_of(pool, judges))
  verdicts = {row[0]: row[-1] for row in rows}
  for claim in (
    'The error falls',
    'The negative log-likelihood falls',
    'Predictions get closer to the votes (KL divergence)',
    "Entropies rank faces more like the votes' do",
  ):
    assert verdicts[claim] == 'yes', claim


def test_copies_of_one_network_show_nothing():
  judges, logits = judges_of()
  pool = np.repeat(made_up.softmax(3 * logits)[None], MEMBERS, 0)
  rows = findings.all_findings(results_of(pool, judges))
  assert 'yes' not in {row[-1] for row in rows}


def test_best_temperature_is_fitted_on_the_other_half():
  judges, logits = judges_of(300)
  probs = made_up.softmax(3 * logits)
  known = judges.labelled > 0
  found = comparison.at_best_temperature(probs, judges.label, known, 3)
  np.testing.assert_array_equal(found[~known], probs[~known])
  index = np.random.default_rng(3).permutation(np.flatnonzero(known))
  halves = np.array_split(index, 2)
  for fitted, scored in (halves, halves[::-1]):

    def nll(log_t, fitted=fitted):
      scaled = made_up.softmax(3 * logits[fitted] / np.exp(log_t))
      return -np.log((scaled * judges.label[fitted]).sum(-1)).mean()

    best = scipy.optimize.minimize_scalar(nll, bounds=(-3, 5), method='bounded')
    want = made_up.softmax(3 * logits[scored] / np.exp(best.x))
    np.testing.assert_allclose(found[scored], want, atol=1e-3)


def test_certain_answers_can_be_scaled():
  judges, logits = judges_of(100)
  sure = np.eye(logits.shape[1])[logits.argmax(-1)]
  known = judges.labelled > 0
  found = comparison.at_best_temperature(sure, judges.label, known, 0)
  assert np.isfinite(found).all()
  np.testing.assert_allclose(found.sum(-1), 1)
  few = np.zeros_like(known)
  few[:1] = True
  assert comparison.at_best_temperature(sure, judges.label, few, 0) is None


def test_error_of_an_ensembles_change_is_over_members_and_faces():
  judges, logits = judges_of(200)
  pool = members_of(np.random.default_rng(1), logits, 1.0)
  draws = [sampling.make_draws(pool, MEMBERS, 1, 0)]
  change, _ = comparison.compare(draws, judges, None, 0, 100)
  counts = resampling.draws(0, 200, 100)

  def nll(probs, counts=counts[:1]):
    return sampling.resampled(probs, judges, counts)['nll']

  ones = np.array([nll(one)[0] for one in pool])
  gaps = [
    nll(np.delete(pool, m, 0).mean(0))[0] - np.delete(ones, m).mean()
    for m in range(MEMBERS)
  ]
  over_members = np.sqrt((MEMBERS - 1) * np.var(gaps))
  gap = nll(pool.mean(0), counts) - nll(pool[draws[0].orders[0, 0]], counts)
  over_faces = gap[1:].std(ddof=1) * np.sqrt(200 / 199)
  want = np.hypot(over_members, over_faces)
  assert change['nll']['error'] == pytest.approx(want)
  assert change['nll']['value'] == pytest.approx(gap[0])


def test_networks_with_passes_are_compared_with_themselves_without_noise():
  judges, logits = judges_of(120)
  rng = np.random.default_rng(2)
  networks = logits + 0.5 * rng.normal(size=(3, *logits.shape))
  passes = networks[:, None] + rng.normal(size=(3, 6, *logits.shape))
  draws = [sampling.make_draws(made_up.softmax(one), 6, 1, 0) for one in passes]
  singles = made_up.softmax(networks)
  change, rival = comparison.compare(draws, judges, singles, 0, 50)
  ones = np.ones((1, 120))

  def error(probs):
    return sampling.resampled(probs, judges, ones)['error'][0]

  want = np.mean([error(d.mean(0, 6)) - error(d.mean(0, 1)) for d in draws])
  assert change['error']['value'] == pytest.approx(want)
  # A temperature changes no answer.
  want = np.mean(
    [error(d.mean(0, 6)) - error(p) for d, p in zip(draws, singles)]
  )
  assert rival['error']['value'] == pytest.approx(want)
  assert rival['nll']['freedom'] < 200


def test_one_network_says_nothing_of_others():
  judges, logits = judges_of(60)
  rng = np.random.default_rng(3)
  passes = made_up.softmax(logits + rng.normal(size=(6, *logits.shape)))
  draws = [sampling.make_draws(passes, 6, 1, 0)]
  single = made_up.softmax(logits)[None]
  change, rival = comparison.compare(draws, judges, single, 0, 20)
  for found in (change['nll'], rival['nll']):
    assert found['value'] is not None
    assert found['error'] is found['low'] is None
