"""Scores as a function of the number of samples or members (Figures 1-3).

A method hands over a pool of distributions: the members of an ensemble, or more
stochastic passes than are averaged. Draws of 1, 2, ... of the pool, without
replacement, show the spread that the choice of members or passes makes.
"""

from typing import NamedTuple

import numpy as np

from emojax.evaluation import resampling, votes
from emojax.experiments.bayesian import scores
from emojax.experiments.bayesian.scores import Judges
from emojax.metrics import calibration, divergence, ood


class Draws(NamedTuple):
  """Mean predictions of growing samples of one network's pool.

  Attributes:
    pool: [P, F, E].
    orders: int [draws, T]: draw d of n samples has the first n of its row.
  """

  pool: np.ndarray
  orders: np.ndarray

  def mean(self, draw: int, size: int, index=slice(None)) -> np.ndarray:
    """Mean distribution [F, E] of a draw of `size` samples.

    Divided by its sum, as keras-uncertainty does: it is 1 up to rounding.
    """
    order = self.orders[draw, :size]
    mean = self.pool[order][:, index].mean(0, dtype=np.float64)
    return mean / mean.sum(-1, keepdims=True)


def make_draws(pool: np.ndarray, largest: int, count: int, seed: int) -> Draws:
  """Random orders of a pool [P, F, E].

  Args:
    pool: Distributions.
    largest: Most samples of a draw; at most P are.
    count: Number of draws.
    seed: Seed of the orders.
  """
  rng = np.random.default_rng(seed)
  largest = min(largest, len(pool))
  orders = [rng.permutation(len(pool))[:largest] for _ in range(count)]
  return Draws(pool, np.stack(orders))


def curves(
  members: list[Draws], judges: Judges, foreign: dict[str, list[np.ndarray]]
) -> dict:
  """Scores by number of samples, with mean and spread.

  Args:
    members: Draws of each network that is sampled; a single one of ensembles.
    judges: Labels and votes.
    foreign: Pools of out-of-distribution images by name, for each network.

  Returns:
    `sizes` [T] and, by score, lists [T]: `mean` over draws and networks, `std`
    over draws (root mean square over the networks), `between`: standard
    deviation over the networks of their mean over draws (None for one).
    `ood/<name>` is the AUROC of the entropy of the mean distribution.
  """
  sizes = range(1, members[0].orders.shape[1] + 1)
  values = {}
  for number, draws in enumerate(members):
    other = {name: pools[number] for name, pools in foreign.items()}
    for draw in range(len(draws.orders)):
      for size in sizes:
        row = _scores(draws, draw, size, judges, other)
        for name, value in row.items():
          values.setdefault(name, []).append(value)
  shape = (len(members), -1, len(sizes))
  found = {'sizes': list(sizes), 'mean': {}, 'std': {}, 'between': {}}
  for name, array in values.items():
    array = np.reshape(array, shape)
    by_network = array.mean(1)
    found['mean'][name] = _list(by_network.mean(0))
    found['std'][name] = _list(np.sqrt(array.var(1).mean(0)))
    spread = None if len(members) < 2 else _list(by_network.std(0, ddof=1))
    found['between'][name] = spread
  return found


def _list(values) -> list[float | None]:
  """JSON has no NaN: what is undefined is None."""
  return [round(float(v), 6) if np.isfinite(v) else None for v in values]


def _scores(draws: Draws, draw: int, size: int, judges: Judges, other):
  probs = draws.mean(draw, size)
  row = scores.score(probs, judges)
  inside = votes.entropy(probs)
  for name, pool in other.items():
    outside = votes.entropy(draws._replace(pool=pool).mean(draw, size))
    row[f'ood/{name}'] = ood.detect(inside, outside).auroc
  return row


def resampled(probs, judges: Judges, counts) -> dict[str, np.ndarray]:
  """The scores that claims are about, under bootstrap counts [R, F]; [R] each.

  Names and values (those of row 0, which counts every face once) are those of
  `scores.score`.
  """
  known = judges.labelled > 0
  p, label, drawn = probs[known], judges.label[known], counts[:, known]
  right = np.asarray(p.argmax(-1) == label.argmax(-1), np.float64)
  nll = votes.cross_entropy(label, p)
  found = {
    'error': resampling.mean(drawn, 1 - right),
    'nll': resampling.mean(drawn, nll),
    'ece': resampling.calibration_error(drawn, p.max(-1), right),
    'confidence': resampling.mean(drawn, p.max(-1)),
  }
  if judges.votes is None:
    return found
  voted = judges.votes.sum(-1) > 0
  p, share, drawn = probs[voted], judges.votes[voted], counts[:, voted]
  kl = divergence.kl_divergence(judges.task, share, p)
  doubt = votes.entropy(p), scores.vote_entropy(share)
  errors = [
    resampling.calibration_error(drawn, p[:, c], share[:, c])
    for c in range(p.shape[1])
  ]
  return found | {
    'votes/kl': resampling.mean(drawn, kl),
    'votes/entropy_correlation': resampling.spearman(drawn, *doubt),
    'votes/class_ece': np.mean(errors, axis=0),
  }


def reliability(members: list[Draws], judges: Judges, size: int) -> dict:
  """Calibration curve of `size` samples, all draws and networks pooled.

  Returns:
    `confidence`, `accuracy` (None in empty bins) and `count`, mean number of
    faces, by bin; the same of the mean share of votes for the predicted class
    as `share_confidence`, `share` and `share_count` (`share` is None without
    votes).
  """
  means = [d.mean(i, size) for d in members for i in range(len(d.orders))]
  probs = np.concatenate(means)
  judges = judges.take(np.tile(np.arange(len(judges.label)), len(means)))
  curve = calibration.categorical_reliability(
    probs, judges.label, judges.labelled, scores.BINS
  )
  found = {
    'size': size,
    'confidence': _list(curve.confidence),
    'accuracy': _list(curve.accuracy),
    'count': _list(np.divide(curve.count, len(means))),
    'share': None,
  }
  if judges.votes is not None:
    voted = judges.votes.sum(-1) > 0
    p, named = probs[voted], judges.votes[voted]
    shares = np.take_along_axis(named, p.argmax(-1)[:, None], -1)[:, 0]
    by_vote = calibration.reliability_curve(p.max(-1), shares, scores.BINS)
    found['share'] = _list(by_vote.accuracy)
    found['share_confidence'] = _list(by_vote.confidence)
    found['share_count'] = _list(np.divide(by_vote.count, len(means)))
  return found
