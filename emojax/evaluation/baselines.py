"""What the paper compares with: temperature scaling and MC dropout."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax import tasks, temperature, uncertainty
from emojax.evaluation import scores
from emojax.evaluation.frames import Frames, pick
from emojax.metrics import calibration


def _scaled_tasks(schema: tasks.Schema) -> list[tasks.Task]:
  # Temperature scaling minimises the NLL; the paper (Table 4) does not apply
  # it to valence and arousal, which are scored by their expectation.
  return [task for task in schema if task.kind != 'binned']


def _nll_rows(task: tasks.Task, nll: np.ndarray) -> scores.Metrics:
  rows = {f'{task.name}/nll': scores.finite(np.mean(nll))}
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

  Every member has its own split of the frames into a half to fit the
  temperatures and a half to score them.

  Args:
    schema: Tasks with labels.
    logits: Task -> [M, N, L, C] of the evaluation split.
    frames: Task -> labelled frames of the same split.
    seed: Seed of the splits.

  Returns:
    `members`, `mean`, `std` of the NLL after scaling, `uncalibrated` (mean of
    the NLL of the same halves before), `temperatures` (task -> by member).
  """
  rows, before, found = [], [], {}
  for member in range(len(next(iter(logits.values())))):
    row, unscaled = {}, {}
    for task in _scaled_tasks(schema):
      index, target, _ = frames[task.name]
      result = temperature.cross_validate(
        task, pick(logits[task.name][member], index), target, seed + member
      )
      row |= _nll_rows(task, result.nll)
      unscaled |= _nll_rows(task, result.uncalibrated_nll)
      found.setdefault(task.name, []).append(result.temperatures[0].tolist())
    rows.append(row)
    before.append(unscaled)
  uncalibrated, _ = scores.over_members(before)
  extra = {'uncalibrated': uncalibrated, 'temperatures': found}
  return scores.summarise(rows) | extra


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
    categorical tasks, and `temperatures`.
  """
  rows, found = [], {}
  for member in range(len(next(iter(logits.values())))):
    row = {}
    for task in _scaled_tasks(schema):
      name = task.name
      index, target, _ = fit_frames[name]
      fitted = temperature.fit(
        task, pick(fit_logits[name][member], index), target
      )
      found.setdefault(name, []).append(fitted.tolist())
      index, target, _ = frames[name]
      scaled = temperature.apply(
        task, pick(logits[name][member], index), fitted
      )
      probs = uncertainty.probabilities(task, scaled)
      row |= calibration.calibration_metrics(
        {name: probs}, {name: target}, (task,)
      )
    rows.append(row)
  return scores.summarise(rows) | {'temperatures': found}


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
    `members`, `mean`, `std` and the number of `passes`.
  """
  rows = []
  count = next(iter(passes.values())).shape[1]
  for member in range(len(next(iter(passes.values())))):
    row = {}
    for task in schema:
      index, target, _ = frames[task.name]
      # One pass after the other: S passes at once may not fit.
      probs = sum(
        uncertainty.probabilities(task, pick(one, index))
        for one in passes[task.name][member]
      )
      row |= scores.task_metrics(task, probs / count, target, bin_values)
    rows.append(scores.add_total(row, schema))
  return scores.summarise(rows) | {'passes': count}
