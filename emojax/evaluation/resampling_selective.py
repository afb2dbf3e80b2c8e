"""Selective prediction under many weightings at once; see `resampling`.

Counts are [R, n], row 0 all ones, and results [R]: those of `metrics.selective` and
`metrics.scod` on replicates built in full.
"""

import numpy as np

from emojax.evaluation import resampling
from emojax.evaluation.resampling import by_value
from emojax.metrics.selective import ROUNDING


def aurc(counts, loss, uncertainty) -> np.ndarray:
  """Area under the risk-coverage curve.

  Args:
    counts: [R, n].
    loss: [n], >= 0.
    uncertainty: [n], finite.
  """
  return resampling.rejection_area(counts, loss, uncertainty)


def e_aurc(counts, loss, uncertainty) -> np.ndarray:
  """`aurc` less that of the best order; arguments as there."""
  return aurc(counts, loss, uncertainty) - aurc(counts, loss, loss)


def coverage_at(counts, loss, uncertainty, risk: float) -> np.ndarray:
  """Largest coverage of a threshold with at most this risk; 0 if none.

  Args:
    counts: [R, n].
    loss: [n].
    uncertainty: [n], finite.
    risk: Of the loss.
  """
  sizes, _ = by_value(counts, uncertainty)
  losses, _ = by_value(counts * np.float64(loss), uncertainty)
  kept, lost = np.cumsum(sizes, 1), np.cumsum(losses, 1)
  good = lost <= (risk + ROUNDING) * kept
  return np.where(good, kept, 0).max(1) / counts.sum(1)


def error_auroc(counts, wrong, uncertainty) -> np.ndarray:
  """Probability that a wrong answer is more uncertain than a right one.

  Args:
    counts: [R, n].
    wrong: bool, [n].
    uncertainty: [n], finite.

  Returns:
    NaN in replicates without right or without wrong answers.
  """
  wrong, found = np.asarray(wrong, bool), np.full(len(counts), np.nan)
  known = (counts[:, wrong].sum(1) > 0) & (counts[:, ~wrong].sum(1) > 0)
  if known.any():
    found[known] = resampling.auroc(
      counts[known][:, ~wrong], uncertainty[~wrong],
      counts[known][:, wrong], uncertainty[wrong],
    )  # fmt: skip
  return found


def scod_area(
  counts, wrong, uncertainty, out_counts, foreign, share=0.5, cost=0.5
) -> np.ndarray:
  """Mean risk over all recalls among foreign samples (`metrics.scod`).

  Args:
    counts: [R, n].
    wrong: bool, [n].
    uncertainty: [n], finite.
    out_counts: Of the foreign samples, [R, m], drawn apart.
    foreign: Their uncertainties, [m].
    share: Of foreign samples, in (0, 1).
    cost: Of keeping one, in [0, 1].

  Returns:
    NaN in replicates without right answers.
  """
  wrong = np.asarray(wrong, bool)
  mine = counts * (1 - share) / counts.sum(1, keepdims=True)
  theirs = out_counts * share / out_counts.sum(1, keepdims=True)
  weight = np.concatenate([mine, theirs], 1)
  price = np.append(wrong * (1 - cost), np.full(len(foreign), cost))
  right = np.append(~wrong, np.zeros(len(foreign)))
  values = np.append(uncertainty, foreign)
  kept, costs, recall = (
    by_value(weight * x, values)[0] for x in (1, price, right)
  )
  before, paid = (np.cumsum(x, 1) - x for x in (kept, costs))
  before = np.maximum(before, 0)  # below 0 by rounding
  some, later = kept > 0, (before > ROUNDING) & (kept > 0)
  rate = np.where(some, costs, 0) / np.where(some, kept, 1)
  ratio = np.where(later, kept, 1) / np.where(later, before, 1)
  logs = np.where(later, np.log1p(ratio) / np.where(later, kept, 1), 0)
  area = (recall * (rate + (paid - rate * before) * logs)).sum(1)
  total = recall.sum(1)
  return np.where(total > 0, area / np.where(total > 0, total, 1), np.nan)
