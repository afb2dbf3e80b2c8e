"""What many samples or members change, and what one network reaches as well.

The mean of distributions has a lower NLL and divergence and less confidence than
the distributions have on average, whatever they are (Jensen's inequality): a claim
about these says something only if one network, divided by its best temperature,
does not do as well (Ashukha et al., "Pitfalls of in-domain uncertainty estimation
and ensembling in deep learning", 2020).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.special

from emojax.evaluation import intervals, resampling
from emojax.experiments.bayesian import sampling
from emojax.experiments.bayesian.sampling import Draws
from emojax.experiments.bayesian.scores import Judges
from emojax.uncertainty import temperature

Scores = Mapping[str, np.ndarray]
TINY = 1e-30  # probabilities of 0 have no logarithm


def compare(
  members: list[Draws],
  judges: Judges,
  singles: np.ndarray | None,
  seed: int,
  replicates: int,
) -> tuple[dict, dict]:
  """How scores differ between the most samples and one, with 95 % intervals.

  Intervals are over networks and faces (`intervals.members_and_images`).

  Args:
    members: Draws of each network that is sampled; a single one of an ensemble.
    judges: Labels and votes.
    singles: Predictions [M, F, E] of these networks without noise; None for an
      ensemble, whose members are the single networks.
    seed: Seed of the replicates and of the halves of temperature scaling.
    replicates: Bootstrap replicates of the faces.

  Returns:
    (change from one sample or member, difference from one network at its best
    temperature). By score: `value`, `low`, `high`, `error` and `freedom`. The
    second is empty where there are too few labels to fit a temperature.
  """
  counts = resampling.draws(seed, len(judges.label), replicates)
  first, last = (_mean_scores(members, n, judges, counts) for n in (1, None))
  if singles is None:
    pool = members[0].pool[members[0].orders[0]]
    without = _ensembles_without(pool, judges)
    ones = [_scores(one, judges, counts[:1]) for one in pool]
    scaled = _all_scaled(pool, judges, counts, seed)
  else:
    without = [without_each(last, name) for name in last[0]]
    without = dict(zip(last[0], without, strict=True))
    ones = first
    scaled = _all_scaled(singles, judges, counts, seed)
  change = _differences(last, first, without, ones, len(judges.label))
  rival = _differences(last, scaled, without, scaled, len(judges.label))
  return change, rival


def without_each(rows: Sequence[Scores], name: str) -> np.ndarray:
  """Mean over the rows of a score on all faces, without each of them; [M]."""
  values = np.array([row[name][0] for row in rows])
  if len(values) < 2:
    return np.empty(0)
  return (values.sum() - values) / (len(values) - 1)


def _scores(probs, judges: Judges, counts) -> Scores:
  return sampling.resampled(probs, judges, counts)


def _mean_scores(members, size: int | None, judges, counts) -> list[Scores]:
  """Scores [R] of each network, mean over its draws of `size` (None: all)."""
  found = []
  for draws in members:
    size = size or draws.orders.shape[1]
    rows = [
      _scores(draws.mean(draw, size), judges, counts)
      for draw in range(len(draws.orders))
    ]
    found.append({k: np.mean([row[k] for row in rows], 0) for k in rows[0]})
  return found


def _ensembles_without(pool: np.ndarray, judges: Judges) -> Scores:
  """Scores [M] of an ensemble without each of its members."""
  ones = np.ones((1, len(judges.label)))
  rows = [
    _scores(np.delete(pool, m, axis=0).mean(0), judges, ones)
    for m in (range(len(pool)) if len(pool) > 1 else ())
  ]
  return {k: np.array([row[k][0] for row in rows]) for k in (rows or [{}])[0]}


def _differences(last, rivals, without, ones, faces: int) -> dict:
  """Differences of mean scores with their intervals.

  Args:
    last: Scores [R] of the most samples, by network.
    rivals: Scores [R] of what they are compared with, by network or member.
    without: Scores [M] of the most samples without each network or member.
    ones: Scores of the networks or members that are left out.
    faces: Number of faces, F.
  """
  found = {}
  for name in last[0] if rivals else ():
    a, b = (np.mean([row[name] for row in rows], 0) for rows in (last, rivals))
    left, right = without.get(name, np.empty(0)), without_each(ones, name)
    left = left if len(left) == len(right) else np.empty(0)
    gap = intervals.members_and_images(a - b, left - right[: len(left)], faces)
    if np.isfinite(gap.value):
      found[name] = {
        key: float(value) if np.isfinite(value) else None
        for key, value in gap._asdict().items()
      }
  return found


def _all_scaled(singles, judges: Judges, counts, seed: int) -> list[Scores]:
  """Scores [R] of single networks at their best temperatures; [] if unknown.

  The best against labels fits the labels, the best against votes the votes.
  """
  found = []
  for probs in singles:
    parts = {}
    for target, known, mine in _targets(judges):
      scaled = at_best_temperature(probs, target, known, seed)
      if scaled is None:
        return []
      scores = _scores(scaled, judges, counts)
      parts |= {k: v for k, v in scores.items() if mine(k)}
    found.append(parts)
  return found


def _targets(judges: Judges):
  """(target, which faces have it, which scores are about it)."""
  yield judges.label, judges.labelled > 0, lambda k: not k.startswith('votes')
  if judges.votes is not None:
    voted = judges.votes.sum(-1) > 0
    yield judges.votes, voted, lambda k: k.startswith('votes')


def at_best_temperature(
  probs: np.ndarray, target: np.ndarray, known: np.ndarray, seed: int
) -> np.ndarray | None:
  """A network's predictions divided by the temperature that fits best.

  Test-time cross-validation as in `temperature.cross_validate`: each half of the
  faces is scaled by what fits the other half.

  Args:
    probs: [F, E].
    target: Hard or soft labels [F, E].
    known: Which faces have one, [F]; the others stay as they are.
    seed: Seed of the halves.

  Returns:
    [F, E]; None where fewer than two faces have a label.
  """
  index = np.random.default_rng(seed).permutation(np.flatnonzero(known))
  if len(index) < 2:
    return None
  logits = np.log(np.maximum(np.float64(probs), TINY))
  scaled = np.array(probs, np.float64)
  halves = np.array_split(index, 2)
  for fitted, scored in (halves, halves[::-1]):
    t = temperature.fit_categorical(logits[fitted], target[fitted])
    scaled[scored] = scipy.special.softmax(logits[scored] / t, axis=-1)
  return scaled
