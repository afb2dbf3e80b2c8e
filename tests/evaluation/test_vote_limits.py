"""Limits of a few votes: every outcome counted, or posteriors that are known."""

import itertools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from emojax.evaluation import vote_limits as limits_lib
from emojax.evaluation.votes import entropy

POSTERIOR = np.array([0.6, 0.3, 0.08, 0.02])


def outcomes(votes, posterior=POSTERIOR):
  """All counts that so many votes can have, and their probabilities."""
  every = itertools.product(range(votes + 1), repeat=len(posterior))
  counts = np.array([c for c in every if sum(c) == votes])
  return counts, scipy.stats.multinomial(votes, posterior).pmf(counts)


def expected(estimate, votes):
  counts, weight = outcomes(votes)
  return weight @ estimate(counts)


def plain(counts):
  return entropy(counts / counts.sum(1, keepdims=True))


def test_the_floor_is_what_the_entropy_of_votes_lacks():
  counts, weight = outcomes(5)
  kl = scipy.special.rel_entr(counts / 5, POSTERIOR).sum(1)
  floor = entropy(POSTERIOR) - expected(plain, 5)
  assert weight @ kl == pytest.approx(floor)


@pytest.mark.parametrize('fewer', [1, 3, 5])
def test_some_votes_of_a_face_are_as_so_many_of_everybody(fewer):
  found = expected(
    lambda counts: limits_lib.drawn_entropy(counts, [fewer] * len(counts)), 5
  )
  assert found == pytest.approx(expected(plain, fewer))


def test_more_votes_than_a_face_has_cannot_be_drawn():
  counts = np.array([[2, 1], [1, 0]])
  found = limits_lib.drawn_entropy(counts, np.array([2, 2]))
  # Of three votes, two differ in two of three cases.
  assert found[0] == pytest.approx(2 / 3 * math.log(2))
  assert np.isnan(found[1])
  assert np.isnan(limits_lib.jackknife(counts)[1])


def test_extrapolations_are_those_of_the_expectations():
  whole, half, less = (expected(plain, n) for n in (6, 3, 5))
  found = expected(limits_lib.split_half, 6)
  assert found == pytest.approx(2 * whole - half)
  found = expected(limits_lib.jackknife, 6)
  assert found == pytest.approx(6 * whole - 5 * less)
  one = limits_lib.miller_madow(np.array([[4, 0, 2, 0]]))
  assert one == pytest.approx(plain(np.array([[4, 2]])) + 1 / 12)


@pytest.mark.parametrize('votes', [2, 6])
def test_bounds_hold_for_any_posterior(votes):
  # The terms that votes tell of, of -x log x = sum_j x (1 - x)**j / j.
  order = np.arange(1, votes)
  terms = POSTERIOR[:, None] * (1 - POSTERIOR[:, None]) ** order / order
  assert expected(limits_lib.zhang, votes) == pytest.approx(terms.sum())
  assert terms.sum() < entropy(POSTERIOR)
  for alpha in (np.full(4, 0.01), np.ones(4), POSTERIOR * 50):
    upper = expected(lambda c, a=alpha: limits_lib.left_out(c, a), votes)
    assert upper > entropy(POSTERIOR)
  # Whoever knows the posterior attains it.
  upper = expected(lambda c: limits_lib.left_out(c, POSTERIOR * 1e9), votes)
  assert upper == pytest.approx(entropy(POSTERIOR))


def test_others_are_drawn_among_the_face_s_other_votes():
  alpha, votes = np.array([0.5, 0.2]), [0, 0, 0, 1, 1]
  found = []
  for vote, *others in itertools.permutations(votes):
    seen = np.bincount(others[:2], minlength=2) + alpha
    found.append(-np.log(seen[vote] / seen.sum()))
  counts = np.array([[3, 2], [1, 1]])
  one, unknown = limits_lib.left_out(counts, alpha, np.array([2, 2]))
  assert one == pytest.approx(np.mean(found))
  assert np.isnan(unknown)
  # Nobody is asked: the prior alone.
  one = limits_lib.left_out(counts[:1], alpha, np.array([0]))
  prior = alpha / alpha.sum()
  assert one == pytest.approx(-(np.array([0.6, 0.4]) * np.log(prior)).sum())


def test_the_concentration_is_the_most_likely_one():
  rng = np.random.default_rng(0)
  true = np.array([0.8, 0.4, 0.2])
  counts = rng.multinomial(10, rng.dirichlet(true, 2000))
  found = limits_lib.concentration(counts)
  np.testing.assert_allclose(found, true, rtol=0.1)

  def likelihood(alpha):
    pmf = scipy.stats.dirichlet_multinomial.logpmf
    return pmf(counts, alpha, 10).sum()

  best = likelihood(found)
  for place in range(3):
    for factor in (0.99, 1.01):
      other = found.copy()
      other[place] *= factor
      assert likelihood(other) < best
  with pytest.raises(ValueError, match='no face has two votes'):
    limits_lib.concentration(np.eye(3, dtype=int))


def test_halves_are_all_votes_once():
  counts = np.array([[5, 0, 4], [1, 1, 0], [0, 0, 1], [3, 3, 4]])
  rng = np.random.default_rng(0)
  drawn = [limits_lib.halves(counts, rng)[0] for _ in range(2000)]
  assert all((one >= 0).all() and (one <= counts).all() for one in drawn)
  assert all((one.sum(1) == [4, 1, 0, 5]).all() for one in drawn)
  # Every vote is in the first half as often: four times in nine, ...
  share = np.array([4 / 9, 1 / 2, 0, 1 / 2])[:, None]
  np.testing.assert_allclose(np.mean(drawn, 0), counts * share, atol=0.1)


def known(name, faces=3000):
  """Posteriors of faces, [faces, 8]."""
  rng = np.random.default_rng(1)
  if name == 'dirichlet':
    return rng.dirichlet(np.full(8, 0.1), faces)
  # Some faces are plain, others are not: no Dirichlet distribution.
  scale = rng.uniform(1, 8, (faces, 1))
  return scipy.special.softmax(rng.normal(size=(faces, 8)) * scale, -1)


@pytest.mark.parametrize(
  ('name', 'model'), [('dirichlet', 0.003), ('softmax', 0.02)]
)
def test_limits_of_known_posteriors(name, model):
  posterior = known(name)
  rng = np.random.default_rng(2)
  counts = rng.multinomial(10, posterior)
  share = counts / 10
  kl = scipy.special.rel_entr(share, posterior).sum(1).mean()
  rho = scipy.stats.spearmanr(entropy(posterior), entropy(share).round(9))[0]
  found = limits_lib.limits(counts, seed=0)
  assert found.faces == 3000
  order = list(found.kl)
  assert order[0] == limits_lib.LOWER
  assert order[-1] == limits_lib.UPPER
  assert found.kl[limits_lib.LOWER] < kl < found.kl[limits_lib.UPPER]
  # Ten votes do not tell of answers that are rarer: all of them fall short.
  names = ('Miller-Madow', 'split half', 'jackknife')
  short = [found.kl[name] for name in names]
  assert short == sorted(short)
  assert 0.7 * kl < short[-1] < kl
  assert found.kl[limits_lib.MODEL] == pytest.approx(kl, abs=model)
  assert found.spearman['split half'] == pytest.approx(rho, abs=0.01)
  assert found.spearman[limits_lib.MODEL] == pytest.approx(rho, abs=0.04)


def test_where_the_estimates_fail():
  # Two answers of each face, and all others so rare that ten votes miss them.
  rng = np.random.default_rng(0)
  posterior = np.full((2000, 8), 0.01)
  posterior[:, 0] = 0.93 * rng.beta(4, 1, 2000)
  posterior[:, 1] = 0.94 - posterior[:, 0]
  counts = rng.multinomial(10, posterior)
  kl = scipy.special.rel_entr(counts / 10, posterior).sum(1).mean()
  rho = limits_lib.spearman(entropy(posterior), plain(counts))
  found = limits_lib.limits(counts, seed=0)
  assert found.kl['jackknife'] < 0.7 * kl < kl < found.kl[limits_lib.UPPER]
  assert found.spearman['split half'] > rho


def test_votes_of_a_single_posterior_rank_nothing():
  counts = np.random.default_rng(0).multinomial(10, POSTERIOR, 2000)
  assert limits_lib.halves_spearman(counts, 0) < 0.25


def test_faces_with_one_vote_do_not_count():
  counts = np.random.default_rng(0).multinomial(4, known('softmax', 50))
  more = np.concatenate([counts, np.eye(8, dtype=int)])
  assert limits_lib.limits(more, 0) == limits_lib.limits(counts, 0)


def test_halves_of_which_one_is_a_single_vote_say_nothing():
  """Its entropy is 0 for every face: no correlation, which is not one of 0."""
  counts = np.random.default_rng(0).multinomial(3, known('softmax', 200))
  assert np.isnan(limits_lib.halves_spearman(counts, 0))


def test_the_concentration_of_faces_that_are_much_alike():
  """Where the iterations are slow; Newton's optimum, up to their tolerance."""
  rng = np.random.default_rng(1)
  true = np.array([50.0, 30.0, 20.0])
  counts = rng.multinomial(10, rng.dirichlet(true, 2000))
  found = limits_lib.concentration(counts)

  def negative(log_alpha):
    pmf = scipy.stats.dirichlet_multinomial.logpmf
    return -pmf(counts, np.exp(log_alpha), 10).sum() / len(counts)

  best = scipy.optimize.minimize(negative, np.log(true), tol=1e-12).fun
  assert negative(np.log(found)) == pytest.approx(best, abs=1e-8)
