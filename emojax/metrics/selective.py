"""Selective prediction: accuracy after rejecting the most uncertain samples."""

from typing import NamedTuple

import numpy as np


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
