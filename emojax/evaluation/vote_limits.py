"""What a perfect predictor would reach against a few votes, from the votes alone.

A face has a posterior pi: the shares of everybody's votes. What is known of it are
the shares p of n votes. Who says pi itself is not at a KL of 0 from p, nor do the
entropies of all faces' pi rank them as those of p do. How far off a perfect
predictor is can be estimated, as votes tell of their own noise; docs/methods/
annotators-votes.md has the derivations.

Entropies and divergences are in nats. `counts` are votes [F, E] for E classes,
whole numbers; every face has one or more.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special

from emojax.evaluation import resampling
from emojax.evaluation.votes import entropy

LOWER, UPPER = 'lower bound (Zhang)', 'upper bound (leave one vote out)'
MODEL = 'Dirichlet-multinomial'
SPLITS, DRAWS = 20, 20


def drawn_entropy(counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
  """Expected entropy of the shares of some of a face's votes.

  Votes are drawn without putting them back, so that each face's number is an
  unbiased estimate of what so many votes from its posterior have on average.

  Args:
    counts: [F, E].
    drawn: Votes that are drawn of each face, int [F].

  Returns:
    [F]; NaN where a face has fewer votes, or none is drawn.
  """
  counts, drawn = np.asarray(counts, int), np.asarray(drawn, int)
  total = counts.sum(1)
  known = (drawn > 0) & (drawn <= total)
  found, size = np.zeros(counts.shape), np.where(known, drawn, 1)[:, None]
  for hits in range(1, int(size.max()) + 1):
    share = np.minimum(hits / size, 1)
    found -= _hypergeometric(total, counts, size, hits) * share * np.log(share)
  return np.where(known, found.sum(1), np.nan)


def _extrapolated(counts: np.ndarray, fewer: np.ndarray) -> np.ndarray:
  """Entropy of infinitely many votes, if what n lack is a / n; [F]."""
  total = counts.sum(1)
  plain, less = entropy(_shares(counts)), drawn_entropy(counts, fewer)
  gap = np.where(total > fewer, total - fewer, 1)
  return (total * plain - fewer * less) / gap


def _shares(counts: np.ndarray) -> np.ndarray:
  return counts / counts.sum(1, keepdims=True)


def miller_madow(counts: np.ndarray) -> np.ndarray:
  """Entropy of the votes and (classes seen - 1) / (2 n); [F] (Miller, 1955)."""
  classes, total = (counts > 0).sum(1), counts.sum(1)
  return entropy(_shares(counts)) + (classes - 1) / (2 * total)


def split_half(counts: np.ndarray) -> np.ndarray:
  """Extrapolates from all votes and any half of them; NaN for one vote; [F]."""
  return _extrapolated(counts, counts.sum(1) // 2)


def jackknife(counts: np.ndarray) -> np.ndarray:
  """Extrapolates from all votes and all but one; NaN for one vote; [F].

  Zahl, "Jackknifing an index of diversity", 1977.
  """
  return _extrapolated(counts, counts.sum(1) - 1)


def zhang(counts: np.ndarray) -> np.ndarray:
  """Entropy that is on average too low, never too high; [F].

  The first n - 1 terms of - x log x = sum_j x (1 - x)**j / j have unbiased
  estimates, and those that are missing are positive (Zhang, "Entropy estimation in
  Turing's perspective", 2012).
  """
  total = counts.sum(1, keepdims=True)
  seen = np.maximum(counts, 1)
  terms = scipy.special.digamma(total) - scipy.special.digamma(seen)
  return (_shares(counts) * terms).sum(1)


def concentration(
  counts: np.ndarray, steps: int = 100_000, tolerance: float = 1e-7
) -> np.ndarray:
  """Dirichlet distribution that posteriors of all faces are most likely from.

  Args:
    counts: [F, E].
    steps: At most so many of Minka's fixed-point iterations ("Estimating a
      Dirichlet distribution", 2000, Eq. 55); the more alike faces are, the more it
      takes.
    tolerance: Relative change from which it is done.

  Returns:
    [E]; a tiny number for classes without a vote. Where faces differ no more than
    chance makes them, no distribution is the likeliest: what all steps have reached.

  Raises:
    ValueError: If no face has two votes.
  """
  total = counts.sum(1)
  if total.max() < 2:
    raise ValueError('no face has two votes: they say nothing of their noise')
  alpha = np.maximum(_shares(counts).mean(0), 1e-9)
  # Many faces have as many votes of a class: each number is asked for once.
  seen = [np.unique(column, return_counts=True) for column in counts.T]
  sums = np.unique(total, return_counts=True)
  for _ in range(steps):
    above = np.array([_rise(*x, a) for x, a in zip(seen, alpha, strict=True)])
    new = alpha * above / _rise(*sums, alpha.sum())
    new = np.maximum(new, 1e-9)
    done = np.abs(new - alpha).max() <= tolerance * alpha.max()
    alpha = new
    if done:
      break
  return alpha


def _rise(numbers, faces, alpha) -> float:
  """Sum over faces of digamma(number + alpha) - digamma(alpha)."""
  digamma = scipy.special.digamma
  return float(faces @ (digamma(numbers + alpha) - digamma(alpha)))


def left_out(
  counts: np.ndarray, alpha: np.ndarray, asked: np.ndarray | None = None
) -> np.ndarray:
  """NLL of a vote given some of the face's others; [F].

  However well `alpha` fits, nobody's is lower on average than that of who says the
  posterior, and that is its entropy.

  Args:
    counts: [F, E].
    alpha: Dirichlet distribution before any vote is seen, [E].
    asked: How many others are seen, int [F]; all of them without it.

  Returns:
    Mean over the votes and over the choices of others; NaN where there are not so
    many.
  """
  counts = np.asarray(counts, int)
  others = counts.sum(1) - 1
  asked = np.asarray(others if asked is None else asked, int)
  known = (0 <= asked) & (asked <= others) & (others >= 0)
  size = np.where(known, asked, 0)[:, None]
  alike, found = np.maximum(counts - 1, 0), np.zeros(counts.shape)
  for hits in range(int(size.max()) + 1):
    said = (hits + alpha) / (size + alpha.sum())
    found -= _hypergeometric(others, alike, size, hits) * np.log(said)
  return np.where(known, (_shares(counts) * found).sum(1), np.nan)


def _hypergeometric(
  total: np.ndarray, alike: np.ndarray, size: np.ndarray, hits: int
) -> np.ndarray:
  """Chances that `size` [F, 1] of `total` [F] have `hits` of `alike` [F, E]."""
  others = total[:, None] - alike
  return (
    _choose(alike, hits)
    * _choose(others, size - hits)
    / _choose(total[:, None], size)
  )


def _choose(total: np.ndarray, size) -> np.ndarray:
  # 0 where more are wanted than there are; its annotations have numbers only.
  return np.asarray(scipy.special.comb(total, size))


class Limits(NamedTuple):
  """What a perfect predictor reaches, by estimator.

  Attributes:
    kl: Mean over the faces of the KL divergence of the votes from it.
    spearman: Rank correlation of its entropies with those of the votes.
    faces: Faces with two votes or more, which are those that count.
  """

  kl: dict[str, float]
  spearman: dict[str, float]
  faces: int


ENTROPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  LOWER: zhang,
  'Miller-Madow': miller_madow,
  'split half': split_half,
  'jackknife': jackknife,
}


def limits(counts: np.ndarray, seed: int) -> Limits:
  """All estimates of both limits.

  Args:
    counts: [F, E].
    seed: Of splits and of draws.
  """
  counts = np.asarray(counts, int)
  counts = counts[counts.sum(1) > 1]
  alpha, plain = concentration(counts), entropy(_shares(counts))
  made = {name: of(counts) for name, of in ENTROPIES.items()}
  made[UPPER] = left_out(counts, alpha)
  kl = {name: float((found - plain).mean()) for name, found in made.items()}
  model_kl, model_spearman = from_model(counts, alpha, seed)
  spearman = {
    'split half': halves_spearman(counts, seed),
    MODEL: model_spearman,
  }
  upper = kl.pop(UPPER)
  return Limits(kl | {MODEL: model_kl, UPPER: upper}, spearman, len(counts))


def halves_spearman(
  counts: np.ndarray, seed: int, splits: int = SPLITS
) -> float:
  """Spearman's rho of a perfect predictor, from how well halves agree.

  The entropies of both halves of the votes correlate by r, over the faces. All of
  them would with others of the same faces by R = 2 r / (1 + r) (Spearman and
  Brown, 1910), and with what they are a noisy measure of by the root of R. Both
  steps are exact for scores whose noise is added and do not know of ranks, so this
  is an approximation.

  Args:
    counts: [F, E].
    seed: Of the splits.
    splits: Random ones, over which r is averaged.

  Returns:
    0 if halves do not agree; NaN where the entropies of a half are all the same, as
    those of single votes are.
  """
  rng = np.random.default_rng(seed)
  every = np.mean(
    [
      spearman(*(entropy(_shares(half)) for half in halves(counts, rng)))
      for _ in range(splits)
    ]
  )
  if np.isnan(every):
    return float('nan')
  return float(np.sqrt(max(0.0, 2 * every / (1 + every))))


def halves(
  counts: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Splits the votes of each face at random; of an odd number one has one more."""
  total = counts.sum(1)
  # Every vote by its class, and behind them the class -1 of those not cast.
  places = np.arange(total.max())
  ends = counts.cumsum(1)
  classes = (places[None, :, None] >= ends[:, None]).sum(2)
  order = rng.random(classes.shape) + (places >= total[:, None])
  ranks = order.argsort(1).argsort(1)
  chosen = ranks < (total // 2)[:, None]
  first = np.stack(
    [(chosen & (classes == c)).sum(1) for c in range(counts.shape[1])], 1
  )
  return first, counts - first


def from_model(
  counts: np.ndarray, alpha: np.ndarray, seed: int, draws: int = DRAWS
) -> tuple[float, float]:
  """KL and Spearman's rho if posteriors are from a Dirichlet distribution.

  A posterior of each face is drawn given its votes, and new votes from it.

  Args:
    counts: [F, E].
    alpha: [E], `concentration`.
    seed: Of the draws.
    draws: Of the posteriors of all faces.
  """
  rng, found = np.random.default_rng(seed), []
  for _ in range(draws):
    gamma = rng.standard_gamma(counts + alpha)
    posterior = np.maximum(gamma, 1e-300) / gamma.sum(1, keepdims=True)
    posterior /= posterior.sum(1, keepdims=True)
    new = _shares(rng.multinomial(counts.sum(1), posterior))
    kl = scipy.special.rel_entr(new, posterior).sum(1).mean()
    found.append((kl, spearman(entropy(posterior), entropy(new))))
  kl, rho = np.mean(found, axis=0)
  return float(kl), float(rho)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
  """Rank correlation; entropies that differ by rounding alone are ties."""
  ones = np.ones((1, len(x)))
  return float(resampling.spearman(ones, np.round(x, 9), np.round(y, 9))[0])
