"""Scores of one set of predicted distributions against labels and votes.

Labels say which class is right, votes how many annotators thought so. Paper 004
scores against labels only and finds that calibration gets worse the closer
predictions come to the votes; the scores against votes accept several classes.
"""

from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.evaluation import votes as vote_lib
from emojax.metrics import calibration, correlation, divergence

Metrics = dict[str, float]
BINS = 10


class Judges(NamedTuple):
  """What predictions are scored against.

  Attributes:
    task: The classes.
    label: One-hot labels [F, E].
    labelled: 1 where a face has a label, [F].
    votes: Distributions of votes [F, E] with rows of 0 where there are none, or
      None.
  """

  task: tasks.Task
  label: np.ndarray
  labelled: np.ndarray
  votes: np.ndarray | None

  def take(self, index) -> 'Judges':
    """Those of some of the faces."""
    votes = None if self.votes is None else self.votes[index]
    return Judges(self.task, self.label[index], self.labelled[index], votes)


def score(probs: np.ndarray, judges: Judges) -> Metrics:
  """All scores of predictions [F, E]; see `against_labels`, `against_votes`."""
  found = against_labels(probs, judges.label, judges.labelled)
  if judges.votes is not None:
    voted = judges.votes.sum(-1) > 0
    found |= against_votes(judges.task, probs[voted], judges.votes[voted])
  return found


def against_labels(probs, label, mask) -> Metrics:
  """Scores against hard labels.

  Args:
    probs: [F, E].
    label: One-hot [F, E].
    mask: [F].

  Returns:
    `error` in [0, 1]; `nll`, the categorical likelihood, and `nll_bernoulli`,
    keras-uncertainty's; `ece`, weighted, and `ece_unweighted`, the mean over
    bins that is that library's default; `brier`; `confidence`, the mean largest
    probability; `overconfidence`, that less the accuracy, whose sign the
    calibration errors do not have.
  """
  curve = calibration.categorical_reliability(probs, label, mask, BINS)
  keep = np.asarray(mask) > 0
  hits = (probs.argmax(-1) == label.argmax(-1))[keep]
  confidence = probs.max(-1)[keep].mean()
  return {
    'error': float(1 - hits.mean()),
    'nll': calibration.categorical_nll(probs, label, mask),
    'nll_bernoulli': calibration.bernoulli_nll(probs, label, mask),
    'ece': curve.error(),
    'ece_unweighted': curve.error(weighted=False),
    'brier': calibration.brier_categorical(probs, label, mask),
    'confidence': float(confidence),
    'overconfidence': float(confidence - hits.mean()),
  }


def against_votes(task: tasks.Task, probs, votes) -> Metrics:
  """Scores against the distribution of the annotators' votes.

  Args:
    task: The classes.
    probs: [F, E].
    votes: [F, E], distributions.

  Returns:
    `votes/cross_entropy` and `votes/kl`, KL(votes || p), in nats;
    `votes/brier`; `votes/entropy_correlation`, Spearman's, of both entropies;
    `votes/agreement`, the mean share of votes for the predicted class;
    `votes/top_ece`: calibration error of the largest probability as the share
    of votes for that class, and `votes/overconfidence`, the mean of the one less
    that of the other; `votes/class_ece`: calibration error of every probability
    as the share of votes for its class, mean over the classes. The last three are
    zero if predictions are the votes, whatever their entropy.
  """
  top = probs.argmax(-1)
  shares = np.take_along_axis(votes, top[:, None], -1)[:, 0]
  curve = calibration.reliability_curve(probs.max(-1), shares, BINS)
  probs = np.asarray(probs, np.float64)
  entropies = vote_lib.entropy(probs), vote_entropy(votes)
  divergences = divergence.kl_divergence(task, votes, probs)
  crosses = divergence.expected_nll(task, votes, probs)
  return {
    'votes/cross_entropy': float(crosses.mean()),
    'votes/kl': float(divergences.mean()),
    'votes/brier': float(((probs - votes) ** 2).sum(-1).mean()),
    'votes/entropy_correlation': correlation.spearman(*entropies),
    'votes/agreement': float(shares.mean()),
    'votes/top_ece': curve.error(),
    'votes/overconfidence': float(probs.max(-1).mean() - shares.mean()),
    'votes/class_ece': class_calibration_error(probs, votes),
  }


def vote_entropy(votes) -> np.ndarray:
  """Entropy of distributions of votes [F, E] in nats.

  Rounded, so that votes of 7, 2 and 1 tie whichever classes they are for: in
  ranks, the order of a sum's terms must not matter.
  """
  return np.round(vote_lib.entropy(np.asarray(votes, np.float64)), 6)


def class_calibration_error(probs, target) -> float:
  """Mean over the classes of the ECE of each class's probability.

  Nixon et al. (2019) call it static calibration error for one-hot targets.

  Args:
    probs: [F, E].
    target: One-hot labels or shares of votes, [F, E].
  """
  errors = [
    calibration.reliability_curve(p, share, BINS).error()
    for p, share in zip(np.transpose(probs), np.transpose(target))
  ]
  return float(np.mean(errors))
