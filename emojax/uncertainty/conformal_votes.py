"""Scores against annotators' votes, and conformalised quantiles of members."""

import numpy as np

from emojax.uncertainty.conformal_scores import SHARE, edges


def every_class(
  scores: np.ndarray, votes: np.ndarray, share: float = SHARE
) -> np.ndarray:
  """The worst score of the classes that have a share of the votes, [...].

  Args:
    scores: Of all classes, [..., E].
    votes: Shares of the votes, [..., E].
    share: From which a class has to be in the set; where none reaches it, the
      score is -infinity and any set will do.
  """
  votes = np.asarray(votes)
  wanted = votes >= share - 1e-9  # 2 of 10 are a fifth
  return np.where(wanted, scores, -np.inf).max(-1)


def quantiles(
  probs: np.ndarray, level: float, bin_values: np.ndarray
) -> np.ndarray:
  """Quantiles of members' distributions over bins, averaged over the members.

  Mass is spread evenly within a bin's cell.

  Args:
    probs: [M, ..., K].
    level: In [0, 1].
    bin_values: [K].

  Returns:
    float64 [...].
  """
  probs = np.asarray(probs, np.float64)
  ends, mass = edges(bin_values), np.cumsum(probs, -1)
  mass = mass / mass[..., -1:]
  index = (mass < level).sum(-1, keepdims=True).clip(0, probs.shape[-1] - 1)
  above = np.take_along_axis(mass, index, -1)
  own = np.take_along_axis(np.diff(mass, axis=-1, prepend=0), index, -1)
  part = 1 - (above - level) / np.where(own > 0, own, 1)
  width = np.diff(ends)[index]
  return (ends[index] + part.clip(0, 1) * width)[..., 0].mean(0)


def quantile_pair(
  probs: np.ndarray, coverage: float, bin_values: np.ndarray
) -> np.ndarray:
  """The central interval of `coverage` by `quantiles`, [..., 2]."""
  tail = (1 - coverage) / 2
  pair = [quantiles(probs, q, bin_values) for q in (tail, 1 - tail)]
  return np.stack(pair, -1)


def cqr(pair: np.ndarray, values: np.ndarray) -> np.ndarray:
  """How far values lie outside an interval, negative inside.

  Conformalised quantile regression (Romano et al. 2019, Eq. 6).

  Args:
    pair: [..., 2].
    values: [...].
  """
  return np.maximum(pair[..., 0] - values, values - pair[..., 1])


def widened(pair: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
  """Intervals [..., 2] with both ends moved by `limit`, within [-1, 1].

  A negative limit that would exchange the ends leaves their middle.
  """
  limit = np.asarray(limit)
  middle = pair.mean(-1)
  low = np.minimum(pair[..., 0] - limit, middle)
  high = np.maximum(pair[..., 1] + limit, middle)
  return np.stack([low, high], -1).clip(-1, 1)
