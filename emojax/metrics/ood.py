"""Out-of-distribution detection by an uncertainty score (paper 000, Fig. 5)."""

from typing import NamedTuple

import numpy as np


class Detection(NamedTuple):
  """ROC curve of a detector of out-of-distribution samples.

  Attributes:
    auroc: Area under the ROC curve: the probability that a sample from outside
      has the higher score, ties counted half.
    false_positive_rate: In-distribution samples taken for outside.
    true_positive_rate: Outside samples found.
    thresholds: Scores at which the rates are taken, descending from infinity.
  """

  auroc: float
  false_positive_rate: np.ndarray
  true_positive_rate: np.ndarray
  thresholds: np.ndarray


def detect(in_scores: np.ndarray, out_scores: np.ndarray) -> Detection:
  """Scores a detector; out-of-distribution is the positive class.

  Args:
    in_scores: Scores of in-distribution samples [n], higher is stranger.
    out_scores: Scores of out-of-distribution samples [m].

  Returns:
    The curve; an AUROC of 0.5 if all scores are equal.

  Raises:
    ValueError: if either is empty or a score is not finite.
  """
  import sklearn.metrics  # slow to import: not for `emojax.load`

  groups = [np.float64(s).ravel() for s in (in_scores, out_scores)]
  for name, scores in zip(('in', 'out'), groups):
    if not len(scores) or not np.isfinite(scores).all():
      raise ValueError(
        f'{name}_scores: expected at least one sample and finite scores, got '
        f'{len(scores)} with {np.sum(~np.isfinite(scores))} not finite'
      )
  labels = np.repeat([0, 1], [len(scores) for scores in groups])
  curve = sklearn.metrics.roc_curve(labels, np.concatenate(groups))
  return Detection(float(sklearn.metrics.auc(*curve[:2])), *curve)
