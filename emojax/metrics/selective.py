"""Selective prediction: what is right, and what is wrong, among what is kept.

`rejection_curve` is of accuracy by the share rejected (paper 003), `risk_coverage`
of risk by the share kept (Geifman and El-Yaniv 2017). With foreign samples among those that
are kept, see `scod`.
"""

from typing import NamedTuple

import numpy as np

from emojax.metrics import ood


class Rejection(NamedTuple):
  """Accuracy-rejection curve of n samples.

  Attributes:
    rejected: Fraction of rejected samples, k / n for k = 0 ... n - 1.
    accuracy: Accuracy of the others, ties averaged (see `rejection_curve`).
    area: Mean of `accuracy`, the area under the curve.
  """

  rejected: np.ndarray
  accuracy: np.ndarray
  area: float

  def at(self, fraction: float) -> float:
    """Accuracy after rejecting round(fraction * n) samples.

    Args:
      fraction: In [0, 1]; at least one sample is always kept.
    """
    if not 0 <= fraction <= 1:
      raise ValueError(f'rejected fraction {fraction} is not within [0, 1]')
    size = len(self.accuracy)
    return float(self.accuracy[min(round(fraction * size), size - 1)])


def rejection_curve(correct: np.ndarray, uncertainty: np.ndarray) -> Rejection:
  """Accuracy as a function of the fraction of rejected samples.

  Samples are rejected from the most uncertain on (paper 003, Table 2,
  at 10, 20 and 30 %). Among equally uncertain samples the expected
  accuracy of a random order is taken, so that the order of the data does not
  matter.

  Args:
    correct: [n], 0 or 1, or any score whose mean is of interest.
    uncertainty: [n], higher is less certain.

  Raises:
    ValueError: if there are no samples, lengths differ, or values are not
      finite: a prediction that is NaN is neither certain nor uncertain.
  """
  correct = np.asarray(correct, np.float64)
  uncertainty = np.asarray(uncertainty, np.float64)
  if (
    correct.ndim != 1 or correct.shape != uncertainty.shape or not len(correct)
  ):
    raise ValueError(
      f'rejection_curve: shapes {correct.shape} and {uncertainty.shape} must '
      'be equal and one-dimensional with at least one sample'
    )
  if not (np.isfinite(correct).all() and np.isfinite(uncertainty).all()):
    raise ValueError('rejection_curve: values are NaN or infinite')
  _, group, sizes = np.unique(
    uncertainty, return_inverse=True, return_counts=True
  )
  expected = np.bincount(group, correct) / sizes
  kept = np.arange(1, len(correct) + 1)
  accuracy = (np.cumsum(np.repeat(expected, sizes)) / kept)[::-1]
  rejected = np.arange(len(correct)) / len(correct)
  return Rejection(rejected, accuracy, float(accuracy.mean()))


class RiskCoverage(NamedTuple):
  """Risk-coverage curve of n samples.

  Attributes:
    coverage: Share of samples that are kept, k / n for k = 1 ... n.
    risk: Mean loss of the kept ones, ties averaged (see `rejection_curve`).
    aurc: Mean of `risk`, the area under the curve.
    e_aurc: What of it a perfect order of the same losses would not have
      (Geifman, Uziel and El-Yaniv, ICLR 2019, section 3); >= 0.
    thresholds: Coverages that some threshold reaches, ascending: equally
      uncertain samples are kept together.
    at_threshold: Risk at each of them.
  """

  coverage: np.ndarray
  risk: np.ndarray
  aurc: float
  e_aurc: float
  thresholds: np.ndarray
  at_threshold: np.ndarray

  def coverage_at(self, risk: float) -> float:
    """Largest coverage that a threshold has with at most this risk; 0 if none.

    Args:
      risk: Of the loss, e.g. 0.05.
    """
    good = self.at_threshold <= risk + ROUNDING
    return float(self.thresholds[good].max(initial=0.0))


ROUNDING = 1e-12  # of a mean loss


def risk_coverage(loss: np.ndarray, uncertainty: np.ndarray) -> RiskCoverage:
  """Risk as a function of the share of samples that are kept.

  The discrete area of Geifman et al. (2019), with the expected risk of a random
  order among equally uncertain samples. Their closed form of the best area, r +
  (1 - r) ln(1 - r), is its limit for many samples; here it is the area of these
  losses in their own order.

  Args:
    loss: [n], 0 or 1, or any loss >= 0.
    uncertainty: [n], higher is less certain.

  Raises:
    ValueError: As `rejection_curve`.
  """
  curve = rejection_curve(loss, uncertainty)
  risk, n = curve.accuracy[::-1], len(curve.accuracy)
  best = rejection_curve(loss, loss).area
  _, sizes = np.unique(np.float64(uncertainty), return_counts=True)
  last = np.cumsum(sizes)
  return RiskCoverage(
    np.arange(1, n + 1) / n,
    risk,
    curve.area,
    max(curve.area - best, 0.0),  # below 0 by rounding
    last / n,
    risk[last - 1],
  )


def error_auroc(wrong: np.ndarray, uncertainty: np.ndarray) -> float | None:
  """Probability that a wrong answer is more uncertain than a right one.

  Ties count half.

  Args:
    wrong: bool or 0/1, [n].
    uncertainty: [n], higher is less certain.

  Returns:
    The AUROC of errors; None if all answers are right, or all are wrong.

  Raises:
    ValueError: If `wrong` is no such, or an uncertainty is not finite.
  """
  wrong, uncertainty = np.asarray(wrong), np.asarray(uncertainty, np.float64)
  if not np.isin(wrong, (0, 1)).all() or wrong.shape != uncertainty.shape:
    raise ValueError(
      f'error_auroc: expected 0 or 1 for each of {uncertainty.shape} samples'
    )
  wrong = wrong.astype(bool)
  if not np.isfinite(uncertainty).all():
    raise ValueError('error_auroc: uncertainties are NaN or infinite')
  if wrong.all() or not wrong.any():
    return None
  return ood.detect(uncertainty[~wrong], uncertainty[wrong]).auroc
