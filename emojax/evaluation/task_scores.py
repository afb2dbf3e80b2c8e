"""The evaluation of one task of one generation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import curves, scores, truth
from emojax.evaluation.context import Context
from emojax.evaluation.frames import pick

Json = dict[str, Any]


class TaskScores:
  """Probabilities of one task on its labelled frames, scored in many ways.

  Args:
    context: The evaluation split.
    task: The task.
    logits: Task -> [M, N, L, C] of the split.
    index: Positions of the valid frames that the uncertainties are of.
    ensemble: `detection.frame_uncertainty` of all members together.
    singles: The same of each member alone.
  """

  def __init__(
    self,
    context: Context,
    task: tasks.Task,
    logits: Mapping[str, np.ndarray],
    index: np.ndarray,
    ensemble: Mapping[str, uncertainty.Uncertainty],
    singles: Sequence[Mapping[str, uncertainty.Uncertainty]],
  ):
    self.context, self.task = context, task
    self.frames = context.frames[task.name]
    chosen = pick(logits[task.name], self.frames.index)
    self.probs = uncertainty.probabilities(task, chosen)
    self.mean = self.probs.mean(0)
    # Both lists of positions are sorted.
    rows = np.searchsorted(index, self.frames.index)
    self.uncertainty = uncertainty.Uncertainty(
      *(part[rows] for part in ensemble[task.name])
    )
    self.single_totals = [one[task.name].total[rows] for one in singles]
    self.members = [self._metrics(probs) for probs in self.probs]
    self.ensemble = self._metrics(self.mean)

  def without(self, member: int) -> scores.Metrics:
    """Metrics of the ensemble without one of its members."""
    return self._metrics(np.delete(self.probs, member, axis=0).mean(0))

  def _metrics(self, probs) -> scores.Metrics:
    return scores.task_metrics(
      self.task, probs, self.frames.target, self.context.bin_values
    )

  def distance(self, probs, metrics) -> scores.Metrics:
    """Distance of probabilities [F, ...] from the posteriors."""
    return truth.distance(
      self.task,
      probs,
      truth.known(self.frames.truth),
      metrics,
      truth.known(self.context.optimum)['metrics'],
    )

  def true_entropy(self) -> np.ndarray:
    """Normalised entropy of the posteriors, [F], mean over the labels."""
    true = truth.known(self.frames.truth)[None]
    return uncertainty.task_uncertainty(self.task, true).total

  def correlations(self) -> tuple[list[scores.Metrics], scores.Metrics]:
    """Rank correlation with the true entropy: (of members, of ensemble)."""
    true = self.true_entropy()

    def rank(values):
      return truth.rank_correlation(values, true)

    members = [{'spearman_total': rank(total)} for total in self.single_totals]
    return members, {
      'spearman_total': rank(self.uncertainty.total),
      'spearman_aleatoric': rank(self.uncertainty.aleatoric),
    }

  def reliability(self, kind: str) -> Json:
    """Reliability curve of 'single' models, pooled, or of the 'ensemble'."""
    probs = self.probs if kind == 'single' else self.mean[None]
    return curves.reliability(
      self.task, probs, self.frames.target, self.context.bin_values
    )

  def rejection(self, kind: str) -> Json:
    """Rejection curve: mean of 'single' models' curves, or the 'ensemble'."""
    pairs = [(self.mean, self.uncertainty.total)]
    if kind == 'single':
      pairs = zip(self.probs, self.single_totals)
    arguments = self.frames.target, self.context.bin_values
    found = []
    for probs, doubt in pairs:
      quality = curves.frame_scores(self.task, probs, *arguments)
      found.append(curves.rejection(self.task, quality, doubt))
    return curves.mean_rejection(found)

  def selective(self) -> dict[str, scores.Metrics]:
    """Risk and coverage by total uncertainty (`curves.selective`).

    Returns:
      `mean` and `std` over single models, and `ensemble`.
    """
    arguments = self.frames.target, self.context.bin_values

    def one(probs, doubt):
      quality = curves.frame_scores(self.task, probs, *arguments)
      return curves.selective(self.task, quality, doubt)

    pairs = zip(self.probs, self.single_totals, strict=True)
    mean, std = scores.over_members([one(*pair) for pair in pairs])
    whole = one(self.mean, self.uncertainty.total)
    return {'mean': mean, 'std': std, 'ensemble': whole}

  def best_rejection(self) -> Json:
    """Rejection curve of the posteriors themselves, by their own entropy."""
    quality = curves.frame_scores(
      self.task,
      truth.known(self.frames.truth),
      self.frames.target,
      self.context.bin_values,
    )
    return curves.rejection(self.task, quality, self.true_entropy())

  def density(self) -> Json:
    """Histogram of the ensemble's total uncertainty and the true entropy."""
    true, total = self.true_entropy(), self.uncertainty.total
    rank = truth.rank_correlation(total, true)
    return curves.density(true, total) | {'spearman': rank}
