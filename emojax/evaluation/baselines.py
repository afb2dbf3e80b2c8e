"""What the paper compares with: temperature scaling and MC dropout."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import scores
from emojax.evaluation.frames import Frames, pick
from emojax.metrics import calibration
from emojax.uncertainty import temperature


def _scaled_tasks(schema: tasks.Schema) -> list[tasks.Task]:
  # Temperature scaling minimises the NLL; the paper (Table 4) does not apply
  # it to valence and arousal, which are scored by their expectation.
  return [task for task in schema if task.kind != 'binned']


def _nll_rows(task: tasks.Task, nll: np.ndarray) -> scores.Metrics:
  # Labels without frames have no NLL and are in no mean.
  known = nll[~np.isnan(nll)]
  mean = np.mean(known) if known.size else np.nan
  rows = {f'{task.name}/nll': scores.finite(mean)}
  if task.kind == 'binary':
    rows |= {
      f'{task.name}/nll/{label}': scores.finite(value)
      for label, value in zip(task.labels, nll)
    }
  return rows


def cross_validated_scaling(
  schema: tasks.Schema,
  logits: Mapping[str, np.ndarray],
  frames: Mapping[str, Frames],
  seed: int,
) -> dict[str, Any]:
  """Temperature scaling by test-time cross-validation (section 5.2).

  Every member has its own split of the frames into halves. Each half is scored
  with temperatures that were fitted on the other, so that the numbers are of the
  same frames as those without scaling; the paper scores one half.

  Args:
    schema: Tasks with labels.
    logits: Task -> [M, N, L, C] of the evaluation split.
    frames: Task -> labelled frames of the same split.
    seed: Seed of the splits.

  Returns:
    `members`, `mean`, `std` of the NLL after scaling, `uncalibrated` (mean NLL
    before), `temperatures` (task -> by member, mean of the two), and
    `ensemble`: the NLL of the scaled members' mean probability, where all
    members share one pair of halves.
  """
  rows, before, found = [], [], {}
  for member in range(len(next(iter(logits.values())))):
    row, unscaled = {}, {}
    for task in _scaled_tasks(schema):
      index, target, _ = frames[task.name]
      result = temperature.cross_validate(
        task,
        pick(logits[task.name][member], index),
        target,
        seed + member,
        directions=2,
      )
      row |= _nll_rows(task, result.nll)
      unscaled |= _nll_rows(task, result.uncalibrated_nll)
      temperatures = result.temperatures.mean(0)
      found.setdefault(task.name, []).append(temperatures.tolist())
    rows.append(row)
    before.append(unscaled)
  uncalibrated, _ = scores.over_members(before)
  extra = {'uncalibrated': uncalibrated, 'temperatures': found}
  extra['ensemble'] = _scaled_ensemble(schema, logits, frames, seed)
  return scores.summarise(rows) | extra


def _scaled_ensemble(schema, logits, frames, seed: int) -> scores.Metrics:
  row = {}
  for task in _scaled_tasks(schema):
    index, target, _ = frames[task.name]
    members = pick(logits[task.name], index)
    order = np.random.default_rng(seed).permutation(len(index))
    halves = np.array_split(order, 2)
    both = [
      _scaled_half(task, members, target, fitted, scored)
      for fitted, scored in (halves, halves[::-1])
    ]
    row |= _nll_rows(task, np.mean(both, axis=0))
  return row


def _scaled_half(task, members, target, fitted, scored):
  """NLL of an ensemble's `scored` frames, scaled by what fits the others."""
  part, rest = (
    tasks.Target(target.value[half], target.mask[half])
    for half in (fitted, scored)
  )
  probs = np.mean(
    [
      _scaled(
        task,
        one[scored],
        temperature.fit(task, one[fitted], part, partial=True),
      )
      for one in members
    ],
    axis=0,
  )
  binary = task.kind == 'binary'
  nll = calibration.binary_nll if binary else calibration.categorical_nll
  return np.asarray(nll(probs, *rest))


def _scaled(task: tasks.Task, logits, temperatures) -> np.ndarray:
  scaled = temperature.apply(task, np.float64(logits), temperatures)
  return uncertainty.probabilities(task, scaled)


def held_out_scaling(
  schema: tasks.Schema,
  fit_logits: Mapping[str, np.ndarray],
  fit_frames: Mapping[str, Frames],
  logits: Mapping[str, np.ndarray],
  frames: Mapping[str, Frames],
) -> dict[str, Any]:
  """Temperatures fitted on one set and applied to another, per member.

  Returns:
    `members`, `mean`, `std` of all calibration metrics of binary and
    categorical tasks, `temperatures`, and `ensemble`: the same metrics of the
    scaled members' mean probability.
  """
  rows, found, means = [], {}, {}
  for member in range(len(next(iter(logits.values())))):
    row = {}
    for task in _scaled_tasks(schema):
      name = task.name
      index, target, _ = fit_frames[name]
      fitted = temperature.fit(
        task, pick(fit_logits[name][member], index), target, partial=True
      )
      found.setdefault(name, []).append(fitted.tolist())
      index, target, _ = frames[name]
      scaled = temperature.apply(
        task, pick(logits[name][member], index), fitted
      )
      probs = uncertainty.probabilities(task, scaled)
      row |= _calibration(task, probs, target)
      means[name] = means.get(name, 0) + probs / len(logits[name])
    rows.append(row)
  ensemble = {}
  for task in _scaled_tasks(schema):
    ensemble |= _calibration(task, means[task.name], frames[task.name].target)
  extra = {'temperatures': found, 'ensemble': ensemble}
  return scores.summarise(rows) | extra


def _calibration(task: tasks.Task, probs, target) -> scores.Metrics:
  arguments = {task.name: probs}, {task.name: target}, (task,)
  return {**calibration.calibration_metrics(*arguments)}


def dropout(
  schema: tasks.Schema,
  passes: Mapping[str, np.ndarray],
  frames: Mapping[str, Frames],
  bin_values,
) -> dict[str, Any]:
  """Metrics of the mean probability of each member's stochastic passes.

  Args:
    schema: Tasks with labels.
    passes: Task -> logits [M, S, N, L, C].
    frames: Task -> labelled frames.
    bin_values: [K], needed by binned tasks.

  Returns:
    `members`, `mean`, `std`, the number of `passes`, and `ensemble`: metrics
    of the mean over the members too.
  """
  rows, means = [], {}
  size, count = next(iter(passes.values())).shape[:2]
  for member in range(size):
    row = {}
    for task in schema:
      index, target, _ = frames[task.name]
      # One pass after the other: S passes at once may not fit.
      probs = sum(
        uncertainty.probabilities(task, pick(one, index))
        for one in passes[task.name][member]
      )
      row |= scores.task_metrics(task, probs / count, target, bin_values)
      means[task.name] = means.get(task.name, 0) + probs / (count * size)
    rows.append(scores.add_total(row, schema))
  ensemble = {}
  for task in schema:
    arguments = means[task.name], frames[task.name].target, bin_values
    ensemble |= scores.task_metrics(task, *arguments)
  extra = {'passes': count, 'ensemble': scores.add_total(ensemble, schema)}
  return scores.summarise(rows) | extra
