"""Calibration errors of the field beyond the ECE, computed from labels alone.

Two kinds. Errors of *confidences* [n] and outcomes [n] ask whether what is said with
a confidence of c comes true as often: `binned_error`, `debiased_error`, `ks_error`,
`mmce`. Errors of whole *distributions* [n, C] ask so of every class:
`classwise_error`, `skce`. An outcome is 0 or 1, or the probability that it is 1,
where that is known. `calibration.Reliability.error` is the ECE of paper 000.
"""

import numpy as np
from scipy.spatial import distance

from emojax.metrics import calibration

BINS = 15  # as Guo et al. (2017) and most of who followed
SAMPLE = 200  # entries whose distances the width of a kernel is of
SAME = 1e-6  # a distance that rounding may have made of float32 probabilities
ROWS = 1024  # of a kernel, at a time
STRETCH = 300  # widths within which exponentials are finite, and sums exact


def _pair(confidence, outcome):
  confidence = np.asarray(confidence, np.float64)
  outcome = np.asarray(outcome, np.float64)
  if confidence.ndim != 1 or confidence.shape != outcome.shape:
    raise ValueError(
      f'shapes {confidence.shape} and {outcome.shape} must be equal and '
      'one-dimensional'
    )
  if not len(confidence) or not np.isfinite([confidence, outcome]).all():
    raise ValueError('expected at least one confidence, and finite outcomes')
  return confidence, outcome


def bin_numbers(
  confidence: np.ndarray, bins: int = BINS, binning: str = 'width'
) -> np.ndarray:
  """Numbers of the bins of confidences [n].

  Args:
    confidence: In [0, 1].
    bins: Their number.
    binning: 'width', of equal width (`calibration.confidence_bins`), or 'mass',
      between quantiles, so that all have as many; equal confidences stay together.
  """
  if binning == 'width':
    return calibration.confidence_bins(confidence, bins)
  if binning == 'mass':
    # Inverted distribution function, by whole numbers: shares would round.
    last = (len(confidence) * np.arange(1, bins) - 1) // bins
    edges = np.sort(confidence)[last.clip(0)]
    return np.searchsorted(edges, confidence, side='left')
  raise ValueError(f"binning {binning!r}, expected 'width' or 'mass'")


def _gaps(confidence, outcome, bins, binning):
  """(mean outcome - mean confidence, entries, bin of each entry), by bin."""
  index = bin_numbers(confidence, bins, binning)
  count = np.bincount(index, minlength=bins)
  total = np.bincount(index, outcome - confidence, minlength=bins)
  return total / np.maximum(count, 1), count, index


def binned_error(
  confidence: np.ndarray,
  outcome: np.ndarray,
  bins: int = BINS,
  binning: str = 'width',
  worst: bool = False,
) -> float:
  """Expected (or maximum) calibration error over bins.

  ECE: sum of n_b / n |outcome - confidence| (Naeini et al., AAAI 2015). With bins of
  equal mass it is the adaptive ECE (Nguyen and O'Connor, EMNLP 2015; Mukhoti et al.,
  NeurIPS 2020).

  Args:
    confidence: In [0, 1], [n].
    outcome: [n].
    bins: Number of bins.
    binning: As `bin_numbers`.
    worst: The largest gap instead of the mean one (MCE).

  Returns:
    In [0, 1].
  """
  confidence, outcome = _pair(confidence, outcome)
  gap, count, _ = _gaps(confidence, outcome, bins, binning)
  if worst:
    return float(np.abs(gap).max())
  return float(count @ np.abs(gap) / len(confidence))


def debiased_error(
  confidence: np.ndarray,
  outcome: np.ndarray,
  bins: int = BINS,
  binning: str = 'mass',
) -> float:
  """Squared calibration error over bins without the bias of its noise.

  Kumar, Liang and Ma (NeurIPS 2019), the debiased estimator of section 5: from each
  squared gap the variance of the bin's mean outcome is subtracted. Bins with one
  entry have no variance and count as 0.

  Args:
    confidence: As `binned_error`, the other arguments, too.

  Returns:
    Squared; below 0 by chance where probabilities are calibrated.
  """
  confidence, outcome = _pair(confidence, outcome)
  gap, count, index = _gaps(confidence, outcome, bins, binning)
  mean = np.bincount(index, outcome, minlength=bins) / np.maximum(count, 1)
  spread = np.bincount(index, (outcome - mean[index]) ** 2, minlength=bins)
  several = count > 1
  noise = spread / np.where(several, count * (count - 1), 1)
  return float(count @ np.where(several, gap**2 - noise, 0) / len(confidence))


def ks_error(confidence: np.ndarray, outcome: np.ndarray) -> float:
  """Largest gap of the cumulative sums: a calibration error without bins.

  Gupta et al. (ICLR 2021), after the test of Kolmogorov and Smirnov: the largest
  |sum of (outcome - confidence) over all confidences up to c| / n.

  Args:
    confidence: [n].
    outcome: [n].

  Returns:
    In [0, 1].
  """
  confidence, outcome = _pair(confidence, outcome)
  _, group = np.unique(confidence, return_inverse=True)
  steps = np.bincount(group, outcome - confidence)
  return float(np.abs(np.cumsum(steps)).max() / len(confidence))


def classwise_error(
  probs: np.ndarray,
  labels: np.ndarray,
  bins: int = BINS,
  binning: str = 'width',
) -> float:
  """Mean over the classes of the binned error of each class's probability.

  Classwise ECE (Kull et al., NeurIPS 2019); with bins of equal mass the adaptive
  calibration error (ACE; Nixon et al., CVPR Workshops 2019).

  Args:
    probs: [n, C].
    labels: One-hot or soft labels [n, C].
    bins: Number of bins.
    binning: As `bin_numbers`.
  """
  pairs = zip(np.transpose(probs), np.transpose(labels), strict=True)
  return float(np.mean([binned_error(*pair, bins, binning) for pair in pairs]))


def mmce(
  confidence: np.ndarray, outcome: np.ndarray, width: float = 0.4
) -> float:
  """Maximum mean calibration error (Kumar, Sarawagi and Jain, ICML 2018).

  The root of mean_ij (outcome - confidence)_i (outcome - confidence)_j
  exp(-|c_i - c_j| / width) over all pairs, each with itself, too.

  Args:
    confidence: In [0, 1], [n].
    outcome: [n].
    width: Of the Laplacian kernel, above 0; 0.4 in the paper.
  """
  confidence, outcome = _pair(confidence, outcome)
  _check_width('mmce', width)
  total = _laplacian(confidence, (outcome - confidence)[:, None], width)
  own = np.sum((outcome - confidence) ** 2)
  return float(np.sqrt(max(2 * total + own, 0)) / len(confidence))


def _check_width(name: str, width: float):
  if not width > 0:
    raise ValueError(f'{name}: width {width}: expected a number above 0')


def _laplacian(place, values, width: float) -> float:
  """Sum over pairs i < j of values_i . values_j exp(-|place_i - place_j| / width).

  Sorted, each sum over what is below is a cumulative one: n log n, not n^2. Stretches
  of a few hundred widths come one after the other, as exponentials overflow.

  Args:
    place: In [0, 1], [n].
    values: [n, C].
    width: Above 0.
  """
  order = np.argsort(place, kind='stable')
  place, values = place[order], values[order]
  stretch = np.floor((place - place[0]) / (STRETCH * width))
  starts = np.flatnonzero(np.diff(stretch, prepend=-1))
  below, before, total = np.zeros(values.shape[1]), place[0], 0.0
  for rows in np.split(np.arange(len(place)), starts[1:]):
    first, some = place[rows[0]], values[rows]
    below = below * np.exp((before - first) / width)
    scale = np.exp((place[rows] - first) / width)[:, None]
    every = below + np.cumsum(some * scale, 0)
    total += np.sum(some * (every - some * scale) / scale)
    below, before = every[-1], first
  return float(total)


def skce(
  probs: np.ndarray, labels: np.ndarray, width: float | None = None
) -> float:
  """Squared kernel calibration error, unbiased (Widmann et al., NeurIPS 2019).

  The U-statistic, mean over pairs i != j of exp(-|p_i - p_j| / width) (y_i - p_i) .
  (y_j - p_j), with a Laplacian kernel times the identity.

  Args:
    probs: [n, C].
    labels: One-hot or soft labels [n, C].
    width: Of the kernel, above 0; if None the median distance (of at most `SAMPLE`
      evenly spaced entries), and 1 where that is `SAME` or less.

  Returns:
    Below 0 by chance where probabilities are calibrated.

  Raises:
    ValueError: If shapes differ, values are not finite, n < 2, or the width is not
      above 0.
  """
  probs = np.asarray(probs, np.float64)
  labels = np.asarray(labels, np.float64)
  if probs.ndim != 2 or probs.shape != labels.shape or len(probs) < 2:
    raise ValueError(
      f'skce: shapes {probs.shape} and {labels.shape}: expected [n, C] twice, n '
      'at least 2'
    )
  if not (np.isfinite(probs).all() and np.isfinite(labels).all()):
    raise ValueError('skce: probabilities and labels must be finite')
  width = _median_distance(probs) if width is None else width
  _check_width('skce', width)
  residual, n = labels - probs, len(probs)
  if probs.shape[1] == 2:  # a line: |p - q| is sqrt(2) times that of the first
    total = 2 * _laplacian(probs[:, 0], residual, width / np.sqrt(2))
    return total / (n * (n - 1))
  total = -np.sum(residual**2)  # each with itself
  # Some rows at a time: nobody has memory for all pairs of many frames. Distances
  # are of differences: products would round those of predictions that are alike.
  for start in range(0, n, ROWS):
    rows = slice(start, start + ROWS)
    kernel = np.exp(distance.cdist(probs[rows], probs) / -width)
    total += np.sum((kernel @ residual) * residual[rows])
  return float(total / (n * (n - 1)))


def _median_distance(probs) -> float:
  some = probs[:: -(-len(probs) // SAMPLE)]
  found = float(np.median(distance.pdist(some)))
  return found if found > SAME else 1.0
