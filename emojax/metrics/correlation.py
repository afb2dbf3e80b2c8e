"""Correlation of predicted with true uncertainty."""

import numpy as np

# Below this share of its size, a deviation from the mean is rounding.
ROUNDING = 1e-12


def _finite_pairs(x, y):
  x, y = np.float64(x).ravel(), np.float64(y).ravel()
  if x.shape != y.shape or len(x) < 2:
    raise ValueError(
      f'correlation: {len(x)} and {len(y)} samples, expected the same number '
      'and at least two'
    )
  if not (np.isfinite(x).all() and np.isfinite(y).all()):
    raise ValueError('correlation: remove samples that are not finite')
  return x, y


def spearman(x: np.ndarray, y: np.ndarray) -> float:
  """Spearman's rank correlation of x [n] and y [n].

  Returns:
    In [-1, 1]; NaN if either is constant (undefined, to be left out). Equal
    values share their mean rank.

  Raises:
    ValueError: if the lengths differ, n < 2, or values are not finite.
  """
  import scipy.stats  # slow to import: not for `emojax.load`

  x, y = _finite_pairs(x, y)
  return pearson(scipy.stats.rankdata(x), scipy.stats.rankdata(y))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
  """Pearson's linear correlation.

  Arguments, errors and what is undefined as `spearman`; what varies by no more
  than rounding is constant.
  """
  x, y = _finite_pairs(x, y)
  if _constant(x) or _constant(y):
    return float('nan')
  x, y = x - x.mean(), y - y.mean()
  norm = np.sqrt(np.sum(x**2) * np.sum(y**2))
  return float(np.sum(x * y) / norm) if norm > 0 else float('nan')


def _constant(x) -> bool:
  return np.ptp(x) <= ROUNDING * np.abs(x).max()
