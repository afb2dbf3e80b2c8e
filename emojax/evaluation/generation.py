"""The evaluation of one generation."""

from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import baselines, curves, detection, scores, truth
from emojax.evaluation.context import FIT_SPLIT, Context
from emojax.evaluation.frames import pick, valid
from emojax.evaluation.predictions import Predictions

Json = dict[str, Any]


def evaluate_generation(
  context: Context, prediction: Predictions
) -> tuple[Json, Json]:
  """Returns (results, curves) of a generation; see `evaluate`."""
  logits = _logits(prediction.logits, prediction.name, context.split)
  index = valid(context.clips)
  ensemble = detection.frame_uncertainty(context.schema, logits, index)
  singles = [
    detection.frame_uncertainty(context.schema, one, index)
    for one in detection.by_member(logits)
  ]
  tasks_ = [
    _Task(context, task, logits, index, ensemble, singles)
    for task in context.scored
  ]
  results = _emotion(context, tasks_, prediction)
  results |= _truth(context, tasks_)
  results |= _baselines(context, prediction, logits)
  results['uncertainty'] = detection.summary(ensemble)
  found, roc = _out_of_domain(context, prediction, logits, index, ensemble)
  results['ood'] = found
  drawn = {'roc': roc, 'reliability': {}, 'rejection': {}, 'entropy': {}}
  for kind in ('single', 'ensemble'):
    drawn['reliability'][kind] = {
      t.task.name: t.reliability(kind) for t in tasks_
    }
    drawn['rejection'][kind] = {t.task.name: t.rejection(kind) for t in tasks_}
  if context.optimum:
    drawn['entropy'] = {t.task.name: t.density() for t in tasks_}
  return results, drawn


def _logits(sets: dict[str, Any], generation: str, name: str):
  if name not in sets:
    raise ValueError(
      f'{generation}: no predictions of {name!r}, only of {sorted(sets)}; '
      'predict that set or evaluate another split'
    )
  return sets[name]


class _Task:
  """Probabilities of one task on its labelled frames, scored in many ways."""

  def __init__(
    self, context, task: tasks.Task, logits, index, ensemble, singles
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

  def _metrics(self, probs) -> scores.Metrics:
    return scores.task_metrics(
      self.task, probs, self.frames.target, self.context.bin_values
    )

  def distance(self, probs, metrics) -> scores.Metrics:
    return truth.distance(
      self.task,
      probs,
      self.frames.truth,
      metrics,
      self.context.optimum['metrics'],
    )

  def true_entropy(self) -> np.ndarray:
    true = self.frames.truth[None]
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
    probs = self.probs if kind == 'single' else self.mean[None]
    return curves.reliability(
      self.task, probs, self.frames.target, self.context.bin_values
    )

  def rejection(self, kind: str) -> Json:
    pairs = [(self.mean, self.uncertainty.total)]
    if kind == 'single':
      pairs = zip(self.probs, self.single_totals)
    arguments = self.frames.target, self.context.bin_values
    found = []
    for probs, doubt in pairs:
      quality = curves.frame_scores(self.task, probs, *arguments)
      found.append(curves.rejection(self.task, quality, doubt))
    return curves.mean_rejection(found)

  def density(self) -> Json:
    true, total = self.true_entropy(), self.uncertainty.total
    rank = truth.rank_correlation(total, true)
    return curves.density(true, total) | {'spearman': rank}


def _joined(context: Context, parts: list[scores.Metrics]) -> scores.Metrics:
  metrics = {key: value for part in parts for key, value in part.items()}
  return scores.add_total(metrics, context.scored)


def _emotion(context, tasks_: list[_Task], prediction: Predictions) -> Json:
  members = [
    _joined(context, parts) for parts in zip(*(t.members for t in tasks_))
  ]
  mean, std = scores.over_members(members)
  return {
    'num_members': prediction.num_members,
    'epochs': [int(epoch) for epoch in prediction.epochs],
    'members': members,
    'single_mean': mean,
    'single_std': std,
    'ensemble': _joined(context, [t.ensemble for t in tasks_]),
  }


def _truth(context: Context, tasks_: list[_Task]) -> Json:
  if context.optimum is None:
    return {'truth': None}
  found = {'single_mean': {}, 'single_std': {}, 'ensemble': {}}
  for t in tasks_:
    name = t.task.name
    ranks, rank = t.correlations()
    rows = [
      t.distance(*pair) | extra
      for *pair, extra in zip(t.probs, t.members, ranks)
    ]
    mean, std = scores.over_members(rows)
    found['single_mean'][name], found['single_std'][name] = mean, std
    found['ensemble'][name] = t.distance(t.mean, t.ensemble) | rank
  return {'truth': found}


def _baselines(context: Context, prediction: Predictions, logits) -> Json:
  found = {'ts': None, 'mc': None, 'notes': []}
  try:
    found['ts'] = _scaling(context, prediction, logits)
  except ValueError as error:
    # Too few labels to fit or to split is no reason to lose all other numbers.
    found['notes'].append(f'no temperature scaling: {error}')
  if context.split in prediction.mc:
    found['mc'] = baselines.dropout(
      context.scored,
      prediction.mc[context.split],
      context.frames,
      context.bin_values,
    )
  return found


def _scaling(context: Context, prediction: Predictions, logits) -> Json | None:
  scaled = tuple(t for t in context.scored if t.kind != 'binned')
  if not scaled:
    return None
  return {
    'test_time': baselines.cross_validated_scaling(
      scaled, logits, context.frames, context.seed
    ),
    'val': _held_out(context, scaled, prediction, logits),
  }


def _held_out(context: Context, scaled, prediction, logits) -> Json | None:
  """None if the validation set is itself scored, or lacks labels of a task."""
  fit_frames = context.fit_frames
  if any(fit_frames.get(task.name) is None for task in scaled):
    return None
  fit_logits = _logits(prediction.logits, prediction.name, FIT_SPLIT)
  return baselines.held_out_scaling(
    scaled, fit_logits, fit_frames, logits, context.frames
  )


def _out_of_domain(context, prediction, logits, index, ensemble):
  """AUROCs and ROC curves by set; ({}, {}) without out-of-domain clips."""
  found, curve = {}, {}
  for name, clips in context.ood.items():
    key, outside_index = f'ood/{name}', valid(clips)
    outside = _logits(prediction.logits, prediction.name, key)
    values, roc = detection.aurocs(
      ensemble,
      detection.frame_uncertainty(context.schema, outside, outside_index),
    )
    values = {f'ensemble/{kind}': value for kind, value in values.items()}
    pairs = [('single/total', 'total', logits, outside)]
    mc = prediction.mc
    if context.split in mc and key in mc:
      pairs.append(('mc/epistemic', 'epistemic', mc[context.split], mc[key]))
    for label, kind, inside, outside in pairs:
      values[label] = detection.member_auroc(
        context.schema, kind, (inside, index), (outside, outside_index)
      )
    found[name], curve[name] = values, curves.roc(roc)
  return found, curve
