"""The evaluation of one generation."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from emojax.evaluation import (
  baselines,
  coverage_generation,
  curves,
  detection,
  scores,
)
from emojax.evaluation.context import FIT_SPLIT, Context
from emojax.evaluation.frames import valid
from emojax.evaluation.predictions import Predictions
from emojax.evaluation.task_scores import TaskScores
from emojax.metrics import ood
from emojax.uncertainty import prior, temperature

Json = dict[str, Any]


def evaluate_generation(
  context: Context, prediction: Predictions
) -> tuple[Json, Json]:
  """Returns (results, curves) of a generation; see `evaluate`.

  Raises:
    ValueError: if predictions of a set are missing or not finite.
  """
  results, tasks_, roc = _scored(context, prediction)
  logits = prediction.logits[context.split]
  results |= _baselines(context, prediction, logits)
  results['selective'] = {t.task.name: t.selective() for t in tasks_}
  results['sets'] = coverage_generation.of_generation(
    context, prediction, results['notes']
  )
  results['pc'], corrected = _prior_correction(context, prediction)
  results['without_member'] = {
    'ensemble': _without_member(context, tasks_, prediction.num_members),
    'ood': _ood_without_member(
      context, prediction, logits, valid(context.clips)
    ),
  }
  drawn = {'roc': roc, 'reliability': {}, 'rejection': {}}
  drawn |= {'entropy': {}, 'entropy_pc': {}}
  for kind in ('single', 'ensemble'):
    drawn['reliability'][kind] = {
      t.task.name: t.reliability(kind) for t in tasks_
    }
    if corrected:
      drawn['reliability'][f'pc/{kind}'] = {
        t.task.name: t.reliability(kind) for t in corrected
      }
    drawn['rejection'][kind] = {t.task.name: t.rejection(kind) for t in tasks_}
  if context.optimum:
    drawn['entropy'] = {t.task.name: t.density() for t in tasks_}
    drawn['entropy_pc'] = {t.task.name: t.density() for t in corrected}
    best = {t.task.name: t.best_rejection() for t in tasks_}
    drawn['rejection']['optimum'] = best
  return results, drawn


def _scored(context: Context, prediction: Predictions):
  """Scores of members and ensemble: (results, by task, ROC curves)."""
  logits = _logits(prediction.logits, prediction.name, context.split)
  index = valid(context.clips)
  prediction.check_finite(context.split, index)
  ensemble = detection.frame_uncertainty(context.schema, logits, index)
  singles = [
    detection.frame_uncertainty(context.schema, one, index)
    for one in detection.by_member(logits)
  ]
  tasks_ = [
    TaskScores(context, task, logits, index, ensemble, singles)
    for task in context.scored
  ]
  results = _emotion(context, tasks_, prediction)
  results |= _truth(context, tasks_)
  results['uncertainty'] = detection.summary(ensemble)
  found, roc = _out_of_domain(context, prediction, index, ensemble, singles)
  results['ood'] = found
  return results, tasks_, roc


def _prior_correction(
  context: Context, prediction: Predictions
) -> tuple[Json | None, list[TaskScores]]:
  """Scores without the class weights of the training, and by task.

  (None, []) if it had none.
  """
  shift = context.priors.get(prediction.name)
  if shift is None or not prior.changes(shift):
    return None, []
  sets = (context.split, *(f'ood/{name}' for name in context.ood))
  logits = {
    key: prior.correct(context.schema, prediction.logits[key], shift)
    for key in sets
  }
  corrected = dataclasses.replace(prediction, logits=logits, mc={})
  found, tasks_, _ = _scored(context, corrected)
  return {
    'log_weights': prior.to_json(context.scored, shift),
    'members': found['members'],
    'mean': found['single_mean'],
    'std': found['single_std'],
    'ensemble': found['ensemble'],
    **{key: found[key] for key in ('truth', 'uncertainty', 'ood')},
  }, tasks_


def _logits(sets: dict[str, Any], generation: str, name: str):
  if name not in sets:
    raise ValueError(
      f'{generation}: no predictions of {name!r}, only of {sorted(sets)}; '
      'predict that set or evaluate another split'
    )
  return sets[name]


def _joined(
  context: Context, parts: Sequence[scores.Metrics]
) -> scores.Metrics:
  metrics = {key: value for part in parts for key, value in part.items()}
  return scores.add_total(metrics, context.scored)


def _emotion(
  context, tasks_: list[TaskScores], prediction: Predictions
) -> Json:
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


def _without_member(
  context, tasks_: list[TaskScores], members: int
) -> list[scores.Metrics]:
  """Metrics of the ensemble without each member in turn; [] for one."""
  return [
    _joined(context, [t.without(m) for t in tasks_])
    for m in (range(members) if members > 1 else ())
  ]


def _ood_without_member(context, prediction, logits, index) -> Json:
  """AUROC by set of the epistemic uncertainty without each member in turn."""
  if not context.ood:
    return {}
  inside = detection.epistemic_without(context.schema, logits, index)
  found = {}
  for name, clips in context.ood.items():
    outside = detection.epistemic_without(
      context.schema, prediction.logits[f'ood/{name}'], valid(clips)
    )
    pairs = zip(inside, outside, strict=True)
    found[name] = [ood.detect(*pair).auroc for pair in pairs]
  return found


def _truth(context: Context, tasks_: list[TaskScores]) -> Json:
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
  found = {'ts': None, 'mc': None, 'notes': _left_out(context)}
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


def _left_out(context: Context) -> list[str]:
  """Sentences about labels that no frame has."""
  notes = []
  for task in context.scored:
    target = context.frames[task.name].target
    if missing := temperature.unlabelled(task, target.mask):
      notes.append(
        f'{task.name}: {len(missing)} of {len(task.labels)} labels have no '
        f'labelled frame and are in no mean: {", ".join(missing)}'
      )
    fit = context.fit_frames.get(task.name)
    if fit is None or not context.temperature or task.kind == 'binned':
      continue
    if missing := temperature.unlabelled(task, fit.target.mask):
      notes.append(
        f'{task.name}: {len(missing)} of {len(task.labels)} labels have no '
        'labelled validation frame and are not scaled by a temperature fitted '
        f'there: {", ".join(missing)}'
      )
  return notes


def _scaling(context: Context, prediction: Predictions, logits) -> Json | None:
  scaled = tuple(t for t in context.scored if t.kind != 'binned')
  if not scaled or not context.temperature:
    return None
  return {
    'test_time': baselines.cross_validated_scaling(
      scaled, logits, context.frames, context.seed
    ),
    'val': _held_out(context, scaled, prediction, logits),
  }


def _held_out(context: Context, scaled, prediction, logits) -> Json | None:
  """None if the validation set is itself scored, or lacks labels of a task."""
  fit_frames = {k: v for k, v in context.fit_frames.items() if v is not None}
  if any(task.name not in fit_frames for task in scaled):
    return None
  fit_logits = _logits(prediction.logits, prediction.name, FIT_SPLIT)
  return baselines.held_out_scaling(
    scaled, fit_logits, fit_frames, logits, context.frames
  )


def _out_of_domain(context, prediction, index, ensemble, singles):
  """AUROCs and ROC curves by set; ({}, {}) without out-of-domain clips."""
  found, curve = {}, {}
  inside = _member_scores(context, prediction, index, singles)
  for name, clips in context.ood.items():
    key, where = f'ood/{name}', valid(clips)
    outside = _logits(prediction.logits, prediction.name, key)
    prediction.check_finite(key, where)
    uncertain = detection.frame_uncertainty(context.schema, outside, where)
    values, roc = detection.aurocs(ensemble, uncertain)
    found[name] = {f'ensemble/{kind}': value for kind, value in values.items()}
    curve[name] = curves.roc(roc)
    for label, sets in (
      ('single/total', prediction.logits),
      ('mc/epistemic', prediction.mc),
    ):
      if label in inside and key in sets:
        kind = label.split('/')[1]
        scored = detection.member_scores(context.schema, kind, sets[key], where)
        found[name][label] = detection.mean_auroc(inside[label], scored)
  return found, curve


def _member_scores(context, prediction, index, singles):
  """In-domain uncertainty of every member, and of its dropout passes."""
  found = {'single/total': [one[detection.MEAN].total for one in singles]}
  if context.ood and context.split in prediction.mc:
    found['mc/epistemic'] = detection.member_scores(
      context.schema, 'epistemic', prediction.mc[context.split], index
    )
  return found
