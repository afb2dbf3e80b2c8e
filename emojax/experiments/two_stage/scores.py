"""Scores of stacks: teachers, the mean of a teacher's students, ensembles."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import Predictions, scores

Metrics = dict[str, float | None]


def member_metrics(
  predictions: Predictions, split: str, targets: tasks.Targets, bin_values
) -> list[Metrics]:
  """Metrics of every member of a stack.

  Args:
    predictions: Of the stack.
    split: 'val' or 'test'.
    targets: Targets of that split.
    bin_values: [K].
  """
  probs = probabilities(predictions, split, targets)
  return [
    metrics_of(
      predictions.schema,
      {name: values[m] for name, values in probs.items()},
      targets,
      bin_values,
    )
    for m in range(predictions.num_members)
  ]


def ensemble_metrics(
  predictions: Predictions,
  split: str,
  targets: tasks.Targets,
  bin_values,
  seeds: int,
) -> list[Metrics]:
  """Metrics of the mean probabilities of each teacher's students.

  Args:
    predictions: Of students, those of one teacher next to each other.
    split: 'val' or 'test'.
    targets: Targets of that split.
    bin_values: [K].
    seeds: Number of teachers.
  """
  probs = probabilities(predictions, split, targets)
  found = []
  for seed in range(seeds):
    size = predictions.num_members // seeds
    part = slice(seed * size, (seed + 1) * size)
    mean = {name: values[part].mean(axis=0) for name, values in probs.items()}
    found.append(metrics_of(predictions.schema, mean, targets, bin_values))
  return found


def probabilities(
  predictions: Predictions, split: str, targets: tasks.Targets
) -> dict[str, np.ndarray]:
  """Probabilities of the labelled frames, task -> [M, frames, ...]."""
  found = {}
  for task in predictions.schema:
    logits = predictions.logits[split][task.name]
    logits = logits.reshape(len(logits), -1, logits.shape[-1])
    index = _labelled(task, targets[task.name])
    found[task.name] = uncertainty.probabilities(task, logits[:, index])
  return found


def _labelled(task: tasks.Task, target: tasks.Target) -> np.ndarray:
  mask = target.mask if task.kind == 'categorical' else target.mask.max(-1)
  return np.flatnonzero(mask.reshape(-1))


def metrics_of(
  schema: tasks.Schema,
  probs: Mapping[str, np.ndarray],
  targets: tasks.Targets,
  bin_values,
) -> Metrics:
  """Metrics of one set of probabilities of the labelled frames."""
  metrics: Metrics = {}
  for task in schema:
    value, mask = targets[task.name]
    index = _labelled(task, targets[task.name])
    target = tasks.Target(
      value.reshape(-1, value.shape[-1])[index],
      mask.reshape(-1, *mask.shape[2:])[index],
    )
    metrics |= scores.task_metrics(task, probs[task.name], target, bin_values)
  return scores.add_total(metrics, schema)


def mean_student(members: Sequence[Metrics], seeds: int) -> list[Metrics]:
  """Mean over the students of each teacher."""
  size = len(members) // seeds
  return [
    scores.over_members(members[seed * size : (seed + 1) * size])[0]
    for seed in range(seeds)
  ]


def joined(parts: Sequence[Sequence[Metrics]]) -> list[Metrics]:
  """Metrics of single-task models of a seed as those of one model."""
  found = []
  for metrics in zip(*parts, strict=True):
    whole = {k: v for part in metrics for k, v in part.items() if k != 'total'}
    totals = [part['total'] for part in metrics]
    whole['total'] = None if None in totals else sum(totals)
    found.append(whole)
  return found


def summary(seeds: Sequence[Metrics]) -> dict[str, Any]:
  """{'members', 'mean', 'std'} over the seeds."""
  return scores.summarise(seeds)
