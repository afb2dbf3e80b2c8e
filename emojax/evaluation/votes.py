"""Predictions against the votes of several annotators, which training ignores.

The votes for a face, as shares, are what an honest prediction would be. Votes
that name no class ("unknown", "no face") are left out, single votes stay in. Every
statistic is an array over bootstrap replicates of the test images, the sample
itself first (see `resampling`).
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from emojax import uncertainty
from emojax.evaluation import resampling
from emojax.metrics.calibration import EPSILON
from emojax.uncertainty import Uncertainty

Statistics = dict[str, np.ndarray]
REJECTED = 0.2
BINS = 8  # of the vote entropy, in the curve of predicted against it
GRID = np.linspace(0, 0.95, 96)


def shares(votes: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
  """Shares of the votes of each class, and which faces have any.

  Args:
    votes: [F, V]; the first columns are the classes, in order.
    classes: Number of classes, E.

  Returns:
    float64 [F', E] that sum to 1, and positions [F'] of these faces.
  """
  votes = np.asarray(votes[:, :classes], np.float64)
  index = np.flatnonzero(votes.sum(1) > 0)
  return votes[index] / votes[index].sum(1, keepdims=True), index


def entropy(probs: np.ndarray) -> np.ndarray:
  """Entropy of the last axis in nats; zeros are allowed."""
  return -np.sum(probs * np.log(np.where(probs > 0, probs, 1)), axis=-1)


def cross_entropy(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
  """NLL of each row in nats, with the constant of `calibration`."""
  return -np.sum(labels * np.log(probs + EPSILON), axis=-1)


def strata(votes: np.ndarray, parts: int) -> list[np.ndarray]:
  """Images by how much their annotators disagree.

  Args:
    votes: Shares of the votes, [F, E].
    parts: Groups of those that are disputed.

  Returns:
    Positions of the images that all agree on, and of the others in `parts` groups
    of rising entropy and about the same size: equal entropies stay together, so
    that a group may be empty.
  """
  disputed = np.round(entropy(votes), 9)
  known = np.sort(disputed[disputed > 0])
  # The last one of each group but the last; 0, of all that agree, before them.
  last = [max(len(known) * i // parts - 1, 0) for i in range(1, parts)]
  ends = [0, *known[last]] if len(known) else [0] * parts
  number = np.searchsorted(ends, disputed, side='left')
  return [np.flatnonzero(number == i) for i in range(parts + 1)]


@dataclasses.dataclass(frozen=True)
class Sample:
  """Test images, their labels, and how often each replicate has them.

  Attributes:
    counts: [R, F], `resampling.draws`.
    votes: Shares of the votes, [F, E].
    labelled: Positions of the images with a hard label.
    label: Their classes.
    outside: Counts of the images of each foreign set, [R, G].
  """

  counts: np.ndarray
  votes: np.ndarray
  labelled: np.ndarray
  label: np.ndarray
  outside: Mapping[str, np.ndarray]


def against_votes(
  sample: Sample, probs: np.ndarray, doubt: Uncertainty
) -> Statistics:
  """NLL and KL (nats) and the correlation of entropies.

  Args:
    sample: The test images.
    probs: [F, E].
    doubt: [F] each; of a single model only the total is taken.
  """
  # The same votes for other classes have the same rank, whatever the rounding.
  true = np.round(entropy(sample.votes), 9)
  nll = cross_entropy(sample.votes, probs)
  found = {
    'vote/nll': resampling.mean(sample.counts, nll),
    'vote/kl': resampling.mean(sample.counts, nll - true),
  }
  for kind, values in _varying(doubt):
    for name in ('spearman', 'pearson'):
      correlate = getattr(resampling, name)
      found[f'vote/{name}/{kind}'] = correlate(sample.counts, values, true)
  return found


def against_labels(
  sample: Sample, probs: np.ndarray, doubt: Uncertainty
) -> Statistics:
  """NLL, Brier score, ECE, accuracy and rejection on hard labels."""
  counts, label = sample.counts[:, sample.labelled], sample.label
  probs, total = probs[sample.labelled], doubt.total[sample.labelled]
  hard = np.eye(probs.shape[1])[label]
  correct = np.asarray(probs.argmax(1) == label, np.float64)
  ranked = counts, correct, total
  return {
    'hard/acc': resampling.mean(counts, correct),
    'hard/nll': resampling.mean(counts, cross_entropy(hard, probs)),
    'hard/brier': resampling.mean(counts, ((probs - hard) ** 2).sum(1)),
    'hard/ece': resampling.calibration_error(counts, probs.max(1), correct),
    'hard/rejection_area': resampling.rejection_area(*ranked),
    'hard/acc_kept': resampling.accuracy_at(*ranked, REJECTED),
  }


def against_outside(
  sample: Sample, doubt: Uncertainty, outside: Mapping[str, Uncertainty]
) -> Statistics:
  """AUROC of telling foreign images by each kind of uncertainty."""
  return {
    f'ood/{name}/{kind}': resampling.auroc(
      sample.counts, values, sample.outside[name], getattr(foreign, kind)
    )
    for name, foreign in outside.items()
    for kind, values in _varying(doubt)
  }


def _varying(doubt: Uncertainty) -> Iterator[tuple[str, np.ndarray]]:
  # All of a single model's uncertainty is aleatoric, by definition.
  kinds = doubt._fields if np.ptp(doubt.epistemic) > 1e-6 else ('total',)
  for kind in kinds:
    yield kind, getattr(doubt, kind)


def statistics(
  sample: Sample, probs: np.ndarray, outside: Mapping[str, np.ndarray]
) -> Statistics:
  """All statistics of one predictive distribution, each [R].

  Args:
    sample: The test images.
    probs: [S, F, E]; S models or passes that are averaged.
    outside: Foreign set -> [S, G, E].

  Raises:
    ValueError: if a prediction is not finite.
  """
  for name, values in {'the test set': probs, **outside}.items():
    if not np.isfinite(values).all():
      raise ValueError(
        f'votes: NaN among the predictions of {name}; the model has diverged'
      )
  doubt, mean = uncertainty.decompose(probs), probs.mean(0)
  foreign = {k: uncertainty.decompose(p) for k, p in outside.items()}
  return {
    **against_votes(sample, mean, doubt),
    **against_labels(sample, mean, doubt),
    **against_outside(sample, doubt, foreign),
  }


def curves(sample: Sample, probs: np.ndarray) -> dict[str, list[float]]:
  """Accuracy by fraction rejected, and predicted by vote entropy.

  The faces are put into equally large groups by the entropy of their votes;
  `vote_entropy` and `entropy` are means of the groups, normalised to [0, 1].
  """
  doubt, mean = uncertainty.decompose(probs).total, probs.mean(0)
  ones, label = np.ones((1, len(sample.label))), sample.label
  correct = np.asarray(mean[sample.labelled].argmax(1) == label, np.float64)
  ranked = ones, correct, doubt[sample.labelled]
  accuracy = [resampling.accuracy_at(*ranked, r)[0] for r in GRID]
  true = uncertainty.entropy(sample.votes)
  groups = np.array_split(np.argsort(true, kind='stable'), BINS)
  return {
    'rejected': rounded(GRID),
    'accuracy': rounded(accuracy),
    'vote_entropy': rounded([true[g].mean() for g in groups]),
    'entropy': rounded([doubt[g].mean() for g in groups]),
  }


def rounded(values) -> list[float]:
  """Six digits are enough for a figure."""
  return [round(float(value), 6) for value in values]
