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
    Size -> {'members' (one metric dictionary per ensemble), 'mean', 'std'}.

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
  return {
    size: scores.summarise(
      [
        _metrics(schema, probs, found, slice(first, first + size), bin_values)
        for first in range(0, prediction.num_members - size + 1, size)
      ]
    )
    for size in sizes
    if size <= prediction.num_members
  }


def _metrics(
  schema: tasks.Schema, probs, frames, members: slice, bin_values
) -> scores.Metrics:
  row = {}
  for task in schema:
    mean = np.mean(probs[task.name][members], axis=0)
    row |= scores.task_metrics(task, mean, frames[task.name].target, bin_values)
  return scores.add_total(row, schema)
