"""Metrics of one set of probabilities, and their mean over members."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from emojax import tasks
from emojax.metrics import calibration, emotion
from emojax.uncertainty import temperature

Metrics = dict[str, float | None]

# All members and generations share their shapes: one compilation a task.
_emotion_metrics = jax.jit(emotion.emotion_metrics, static_argnames=('schema',))


def task_metrics(
  task: tasks.Task, probs: np.ndarray, target: tasks.Target, bin_values
) -> Metrics:
  """Emotion and calibration metrics of one task.

  Args:
    task: The task.
    probs: Probabilities of the labelled frames, without a sample axis.
    target: Their labels.
    bin_values: [K], needed by binned tasks.

  Returns:
    The metrics. None for single labels that no frame has, which are in no mean.

  Raises:
    ValueError: if a prediction that counts is not finite.
  """
  arguments = ({task.name: probs}, {task.name: target}, (task,), bin_values)
  metrics = dict(_emotion_metrics(*arguments))
  del metrics['total']  # of this task alone
  metrics |= calibration.calibration_metrics(*arguments)
  if task.kind != 'categorical':
    kind = 'f1' if task.kind == 'binary' else 'ccc'
    for label in temperature.unlabelled(task, target.mask):
      metrics[f'{task.name}/{kind}/{label}'] = np.nan
  return {name: finite(value) for name, value in metrics.items()}


def add_total(metrics: Metrics, schema: tasks.Schema) -> Metrics:
  """Adds the total emotion metric, the sum of the tasks' scores."""
  scores = [metrics[f'{task.name}/score'] for task in schema]
  known = [score for score in scores if score is not None]
  total = sum(known) if len(known) == len(scores) else None
  return metrics | {'total': total}


def finite(value) -> float | None:
  """A Python float; None instead of NaN and infinity, for JSON."""
  value = float(value)
  return value if math.isfinite(value) else None


def over_members(
  members: Sequence[Mapping[str, Any]],
) -> tuple[Metrics, Metrics]:
  """Mean and sample standard deviation of metrics over members.

  Returns:
    (mean, std) of all keys that any member has; None where a member has no
    value: no mean is of some of them only. All standard deviations are None
    with a single member.
  """
  mean, std = {}, {}
  for key in dict.fromkeys(key for member in members for key in member):
    values: list[Any] = [member.get(key) for member in members]
    known = None not in values
    mean[key] = float(np.mean(values)) if known else None
    spread = known and len(values) > 1
    std[key] = float(np.std(values, ddof=1)) if spread else None
  return mean, std


def summarise(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """{'members', 'mean', 'std'} of metrics of several members."""
  mean, std = over_members(members)
  return {'members': list(members), 'mean': mean, 'std': std}
