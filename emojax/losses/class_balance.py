"""Class weights from training labels (paper 000, Eqs. 3 and 5).

Computed once on the host. The vectors of the paper and of its published code
are in `emojax.experiments.distillation.published`.
"""

import numpy as np


def positive_weights(
  values: np.ndarray, mask: np.ndarray, power: float = 1.0
) -> np.ndarray:
  """Negatives over positives of each binary label (paper 000, Eq. 3).

  Args:
    values: Hard labels [..., A].
    mask: [..., A].
    power: Of the ratio; 1 as in the paper, less is milder.

  Returns:
    float32 [A]. 1 for a label of which the positives or the negatives are
    missing: there is no class balance to restore.
  """
  mask = np.asarray(mask, np.float64)
  axes = tuple(range(mask.ndim - 1))
  positive = np.sum(mask * (np.asarray(values) > 0.5), axis=axes)
  negative = np.sum(mask, axis=axes) - positive
  both = (positive > 0) & (negative > 0)
  ratio = negative / np.where(both, positive, 1)
  return np.where(both, ratio**power, 1).astype(np.float32)


def class_weights(
  values: np.ndarray, mask: np.ndarray, power: float = 1.0
) -> np.ndarray:
  """Inverse class frequencies that sum to 1 (paper 000, Eq. 5, Appendix A).

  Args:
    values: One-hot labels [..., E].
    mask: [...].
    power: Of the inverse frequencies; 1 as in the paper, less is milder.

  Returns:
    float32 [E]; 0 for a class without examples.

  Raises:
    ValueError: if no example is labelled.
  """
  mask = np.asarray(mask, np.float64)[..., None]
  values = np.where(mask > 0, values, 0)
  count = np.sum(mask * values, axis=tuple(range(mask.ndim - 1)))
  if not count.any():
    raise ValueError(
      'class_weights: no labelled example; check that the training set has '
      'labels of this task, or use weights of 1'
    )
  known = count > 0
  inverse = np.where(known, (1 / np.where(known, count, 1)) ** power, 0)
  return (inverse / inverse.sum()).astype(np.float32)
