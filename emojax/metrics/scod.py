"""Rejecting what is wrong *and* what is foreign at once (SCOD).

A detector of foreign samples is judged as if every known one should be kept. Who
acts on answers wants the right ones: a known sample whose answer is wrong may as
well be rejected. Narasimhan et al. (ICLR 2024; its equations could not be
checked) minimise a weighted sum of the same two errors with a price on rejection;
here, as in Xia and Bouganis (ACCV 2022), the curve has all rates of rejection.
"""

from typing import NamedTuple

import numpy as np

from emojax.metrics.selective import ROUNDING


class Scod(NamedTuple):
  """Selective classification among foreign samples (see `scod`).

  Attributes:
    recall: Share of the right answers that are kept, at each threshold.
    risk: Mean cost of what is kept there.
    area: Mean risk over all recalls, 0 to 1 (AURR).
  """

  recall: np.ndarray
  risk: np.ndarray
  area: float

  def at(self, recall: float) -> float:
    """Risk at the strictest threshold that keeps this share of right answers."""
    return float(self.risk[np.searchsorted(self.recall, recall - ROUNDING)])


def scod(
  wrong: np.ndarray,
  uncertainty: np.ndarray,
  foreign: np.ndarray,
  share: float = 0.5,
  cost: float = 0.5,
) -> Scod:
  """Risk of keeping what is wrong *or* foreign, by the right answers kept.

  Xia and Bouganis (ACCV 2022): of what is kept, a right answer costs nothing, a
  wrong one 1 - `cost` and any foreign sample `cost`; a `share` of all samples is
  foreign, whatever the numbers at hand. The area is over recalls. Of equally
  uncertain samples a threshold keeps any part: the same part of the right, the
  wrong and the foreign ones. Compared with the authors' code (SIRC,
  plot_vary_sc_params.py), not with the text: their alpha is 1 - `share`, of an equal
  number of samples; their weight of known ones is 1 - `cost`; their area takes the
  risk at the end of each step of recall, equally uncertain ones together.

  Args:
    wrong: bool or 0/1, [n], of samples of the known kind.
    uncertainty: Theirs, [n], higher is rejected first.
    foreign: Uncertainty of foreign samples, [m].
    share: Of foreign samples, in (0, 1).
    cost: Of keeping a foreign one, in [0, 1].

  Raises:
    ValueError: If there are no right answers or no foreign samples, numbers are
      not finite, shapes differ, or share and cost are out of range.
  """
  wrong, inside, foreign = (
    np.asarray(x, np.float64) for x in (wrong, uncertainty, foreign)
  )
  _check_scod(wrong, inside, foreign, share, cost)
  weight = np.concatenate(
    [
      np.full(len(wrong), (1 - share) / len(wrong)),
      np.full(len(foreign), share / len(foreign)),
    ]
  )
  price = np.append(wrong * (1 - cost), np.full(len(foreign), cost))
  right = np.append(1 - wrong, np.zeros(len(foreign)))
  _, group = np.unique(np.append(inside, foreign), return_inverse=True)
  kept, costs, right = (
    np.bincount(group, x) for x in (weight, weight * price, right)
  )
  # A sum of whole numbers, so that it ends at 1 however many there are.
  recall = np.cumsum(right) / right.sum()
  risk = np.cumsum(costs) / np.cumsum(kept)
  return Scod(recall, risk, _area(kept, costs, right / right.sum()))


def _area(kept, costs, recall) -> float:
  """Integral of risk over recall, groups of ties coming in part by part.

  With W and R of the groups before and w, r of a group, the risk after a part t of
  it is (R + t r) / (W + t w), whose mean over t has a logarithm.
  """
  before = np.cumsum(kept) - kept
  paid = np.cumsum(costs) - costs
  rate = costs / kept
  with np.errstate(divide='ignore', invalid='ignore'):
    logs = np.log1p(kept / before) / kept
  first = before == 0
  rest = np.where(first, 0, paid - rate * before) * np.where(first, 0, logs)
  return float(np.sum(recall * (rate + rest)))


def _check_scod(wrong, inside, foreign, share, cost):
  if wrong.ndim != 1 or wrong.shape != inside.shape or foreign.ndim != 1:
    raise ValueError(
      f'scod: shapes {wrong.shape} and {inside.shape} must be equal and '
      'one-dimensional, and foreign uncertainties, too'
    )
  if not np.isin(wrong, (0, 1)).all() or wrong.all() or not len(foreign):
    raise ValueError('scod: expected right answers and foreign samples')
  if not (np.isfinite(inside).all() and np.isfinite(foreign).all()):
    raise ValueError('scod: uncertainties are NaN or infinite')
  if not 0 < share < 1 or not 0 <= cost <= 1:
    raise ValueError(
      f'scod: share {share} and cost {cost}: expected numbers within (0, 1) and '
      '[0, 1]'
    )
