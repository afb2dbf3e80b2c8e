"""Do sets of the most probable classes hold the label as often as they claim?"""

from typing import NamedTuple

import numpy as np


class Coverage(NamedTuple):
  """How often prediction sets hold the label (see `set_coverage`).

  Attributes:
    mass: Mean probability that the sets claim, by level, [n].
    covered: Share of the sets that hold the label, [n].
    size: Mean number of classes in a set, [n].
  """

  mass: np.ndarray
  covered: np.ndarray
  size: np.ndarray


def set_coverage(
  probs: np.ndarray, index: np.ndarray, levels: np.ndarray
) -> Coverage:
  """Sets of the most probable classes that reach a level, against the labels.

  Of a calibrated distribution the sets hold the label as often as they claim, at
  every level. Where the classes are bins of a number this says what the
  frequency of the single most probable bin hides: its distribution may be right
  although no bin is likely (Kuleshov et al., ICML 2018, section 3.2, with
  highest-density sets instead of quantiles, as the distribution is discrete). A
  set of whole classes claims more than its level: `mass` is what it claims.

  Args:
    probs: [n, K]; a row sums to 1.
    index: Class of the label, int [n].
    levels: In (0, 1], any number of them.

  Returns:
    NaN for all levels if n is 0.

  Raises:
    ValueError: if a probability is NaN: it is in no order.
  """
  probs = np.asarray(probs, np.float64)
  if np.isnan(probs).any():
    raise ValueError('probabilities must be finite: NaN is in no order')
  if not len(probs):
    return Coverage(*np.full((3, len(levels)), np.nan))
  order = np.argsort(-probs, axis=-1, kind='stable')
  total = np.cumsum(np.take_along_axis(probs, order, -1), axis=-1)
  place = (order == np.asarray(index)[:, None]).argmax(-1)
  found = []
  for level in levels:
    last = np.minimum((total < level - 1e-9).sum(-1), probs.shape[-1] - 1)
    mass = np.take_along_axis(total, last[:, None], -1)[:, 0]
    found.append((mass.mean(), (place <= last).mean(), (last + 1).mean()))
  return Coverage(*np.transpose(found))
