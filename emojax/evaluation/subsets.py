"""Ensembles of some of a generation's members (Table 1: T = 1, 5, 10)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import scores
from emojax.evaluation.frames import labelled, pick
from emojax.evaluation.predictions import Predictions


def ensembles(
  prediction: Predictions,
  clips,
  split: str,
  sizes: Sequence[int],
  bin_values=None,
) -> dict[int, dict[str, Any]]:
  """Scores ensembles of several sizes that are made of the same members.

  Members are taken in order, so that ensembles of one size share none: of ten
  members there are ten of size 1, two of size 5 and one of size 10.

  Args:
    prediction: A generation.
    clips: The clips of the split, with labels.
    split: Name of the split in the predictions.
    sizes: Ensemble sizes; those larger than the generation are left out.
    bin_values: [K] values of the bins of binned tasks; by default
      `tasks.bin_values`.

  Returns:
    Size -> {'members' (one metric dictionary per ensemble), 'mean', 'std',
    'without' (metrics of each of these members' ensemble without it, in the order
    of the members; [] for ensembles of one)}.

  Raises:
    ValueError: If no frame has a label.
  """
  found = {
    task.name: frames
    for task in prediction.schema
    if (frames := labelled(task, clips)) is not None
  }
  schema = tuple(task for task in prediction.schema if task.name in found)
  if not schema:
    raise ValueError(f'no frame of {split!r} has a label')
  bins = {task.bins for task in schema if task.kind == 'binned'}
  if bin_values is None and bins:
    bin_values = tasks.bin_values(bins.pop())
  logits = prediction.logits[split]
  probs = {
    task.name: uncertainty.probabilities(
      task, pick(logits[task.name], found[task.name].index)
    )
    for task in schema
  }

  def score(members):
    return _metrics(schema, probs, found, members, bin_values)

  made = {}
  for size in sizes:
    starts = range(0, prediction.num_members - size + 1, size)
    parts = [np.arange(first, first + size) for first in starts]
    if parts:
      made[size] = scores.summarise([score(part) for part in parts])
      made[size]['without'] = [
        score(part[part != m]) for part in parts if size > 1 for m in part
      ]
  return made


def _metrics(
  schema: tasks.Schema, probs, frames, members: np.ndarray, bin_values
) -> scores.Metrics:
  row = {}
  for task in schema:
    mean = np.mean(probs[task.name][members], axis=0)
    row |= scores.task_metrics(task, mean, frames[task.name].target, bin_values)
  return scores.add_total(row, schema)
