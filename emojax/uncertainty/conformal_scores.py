"""Nonconformity scores and the sets that they make of a threshold.

A score says how surprising a possible label is; the set of a frame are the labels
that score at most the threshold. All functions take and return NumPy arrays
without a sample axis but for `quantiles`, which takes members.
"""

import numpy as np

from emojax.uncertainty import conformal

# RAPS: constants, as a choice by calibration data would need data of its own.
FREE_CLASSES, PENALTY = 2, 0.05
SHARE = 0.2  # of the votes, from which a class has to be in the set


def lac(probs: np.ndarray) -> np.ndarray:
  """1 - p, [..., E]: the smallest sets on average (Sadinle et al. 2019)."""
  return 1 - np.asarray(probs, np.float64)


def _sorted_mass(probs):
  """(mass of the classes that are more likely, how many they are), [..., E]."""
  order = np.argsort(-probs, axis=-1, kind='stable')
  ranked = np.take_along_axis(probs, order, -1)
  before = np.cumsum(ranked, -1) - ranked
  place = np.broadcast_to(np.arange(probs.shape[-1]), probs.shape)
  # Classes that are equally likely come in together.
  new = np.concatenate(
    [np.ones_like(ranked[..., :1], bool), ranked[..., 1:] < ranked[..., :-1]],
    -1,
  )
  first = np.maximum.accumulate(np.where(new, place, 0), -1)
  back = np.argsort(order, axis=-1)
  mass = np.take_along_axis(before, first, -1)
  return (np.take_along_axis(x, back, -1) for x in (mass, first))


def aps(probs: np.ndarray, u: float | np.ndarray | None = None) -> np.ndarray:
  """Mass of the classes down to each, [..., E] (Romano et al. 2020).

  Args:
    probs: Distributions [..., E].
    u: Numbers in [0, 1], [...], which randomise how much of its own mass a
      class counts; 1 if None, so that the most likely class scores its
      probability.
  """
  probs = np.asarray(probs, np.float64)
  mass, _ = _sorted_mass(probs)
  own = probs if u is None else probs * np.asarray(u, np.float64)[..., None]
  return mass + own


def raps(
  probs: np.ndarray,
  u: float | np.ndarray | None = None,
  penalty: float = PENALTY,
  free: int = FREE_CLASSES,
) -> np.ndarray:
  """`aps` and a penalty for each class beyond some (Angelopoulos et al. 2021).

  Args:
    probs: Distributions [..., E].
    u: As for `aps`.
    penalty: For every rank beyond `free`.
    free: Classes without a penalty.
  """
  _, rank = _sorted_mass(np.float64(probs))
  return aps(probs, u) + penalty * np.maximum(0, rank + 1 - free)


def units(probs: np.ndarray) -> np.ndarray:
  """Scores of an action unit's two states, [..., A, 2]: absent, present."""
  probs = np.asarray(probs, np.float64)
  return np.stack([probs, 1 - probs], -1)


def three_way(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
  """Decides action units where one state alone is in the set.

  Args:
    scores: Of `units`, [..., A, 2].
    thresholds: [A, 2], [2] or one number.

  Returns:
    int8 [..., A]: 1 present, 0 absent, -1 unsure, as both states are in the set
    or neither is.
  """
  absent, present = np.moveaxis(scores <= np.asarray(thresholds), -1, 0)
  return np.where(absent == present, -1, present).astype(np.int8)


def holm(absent: np.ndarray, present: np.ndarray, level: float) -> np.ndarray:
  """Decides action units such that no decision is wrong, but for `level`.

  Holm's step-down procedure over the units, once on "is absent" and once on "is
  present", each at level / 2: exactly one of a unit's two hypotheses is true. It
  needs p-values that are valid given *all* labels of the frame; conformal ones
  are valid given the unit's own, which is enough where units do not tell of each
  other's scores. `joint` needs no such assumption.

  Args:
    absent: p-values of "is absent" (`conformal.p_values`), [..., A].
    present: Those of "is present".
    level: Accepted probability of any wrong decision.

  Returns:
    int8 [..., A] as of `three_way`.
  """
  conformal.check_coverage(level)
  is_present = _step_down(np.float64(absent), level / 2)
  is_absent = _step_down(np.float64(present), level / 2)
  decided = is_present != is_absent
  return np.where(decided, is_present, -1).astype(np.int8)


def _step_down(p, level):
  order = np.argsort(p, axis=-1, kind='stable')
  count = p.shape[-1]
  passed = np.take_along_axis(p, order, -1) <= level / (
    count - np.arange(count)
  )
  passed = np.logical_and.accumulate(passed, -1)
  return np.take_along_axis(passed, np.argsort(order, axis=-1), -1)


def joint(
  scores: np.ndarray, present: np.ndarray, mask: np.ndarray
) -> np.ndarray:
  """The worst score of a frame's true states, [...].

  Thresholds of it hold for all units of a frame at once, without assumptions on
  how they depend on each other.

  Args:
    scores: Of `units`, [..., A, 2].
    present: The truth, bool [..., A].
    mask: Where it is known; frames without any score -infinity.
  """
  true = np.where(present, scores[..., 1], scores[..., 0])
  return np.where(np.asarray(mask) > 0, true, -np.inf).max(-1)


def grown(probs: np.ndarray) -> np.ndarray:
  """Scores of bins by an interval that grows from the most likely one.

  It takes in the likelier of its two neighbours each time. Of distributions with
  one peak these are the shortest sets of bins by mass.

  Args:
    probs: Distributions over bins [..., K].

  Returns:
    float64 [..., K]: mass of the interval before it reaches a bin; 0 for the
    most likely one, which is in every set.
  """
  probs = np.asarray(probs, np.float64)
  flat = probs.reshape(-1, probs.shape[-1])
  rows, bins = np.arange(len(flat)), flat.shape[1]
  padded = np.pad(flat, ((0, 0), (1, 1)), constant_values=-1.0)
  low = high = flat.argmax(1)
  scores, mass = np.zeros_like(flat), flat[rows, low]
  for _ in range(bins - 1):
    left, right = padded[rows, low], padded[rows, high + 2]
    down = left >= right
    low, high = low - down, high + ~down
    scores[rows, np.where(down, low, high)] = mass
    mass = mass + np.where(down, left, right)
  return scores.reshape(probs.shape)


def edges(bin_values: np.ndarray) -> np.ndarray:
  """Ends of the cells of nearest bin values within [-1, 1], [K + 1]."""
  values = np.asarray(bin_values, np.float64)
  return np.concatenate([[-1.0], (values[1:] + values[:-1]) / 2, [1.0]])


def span(
  scores: np.ndarray, limit: float | np.ndarray, bin_values: np.ndarray
) -> np.ndarray:
  """Ends [..., 2] of the interval of the bins that score at most `limit`."""
  inside, ends = scores <= limit, edges(bin_values)
  first = inside.argmax(-1)
  last = inside.shape[-1] - 1 - inside[..., ::-1].argmax(-1)
  return np.stack([ends[first], ends[last + 1]], -1)
