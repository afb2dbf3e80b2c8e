"""Thinning out and resampling of a subset's stills (papers 001 and 002)."""

from collections.abc import Sequence

import numpy as np

from emojax import tasks
from emojax.data.balance import balance
from emojax.data.clips.sampling import VARIANTS

# A resampled group has so many draws per item: an epoch takes a part of them, so
# that epochs differ.
DRAWS = 4


def thinned(main, indices: np.ndarray, name: str, data, schema) -> np.ndarray:
  """Main stills that are kept beside external ones (paper 001, III-A)."""
  if name == 'va':
    return indices[balance.every(len(indices), data.va_every)]
  if name == 'expr' and len(data.keep):
    task = next(task for task in schema if task.name == name)
    classes = main.targets[name].value[indices, 0].argmax(-1)
    factors = {task.labels.index(key): k for key, k in data.keep.items()}
    return indices[balance.keep_one_in(classes, factors)]
  return indices


def balanced(
  targets: tasks.Targets,
  indices: np.ndarray,
  names: Sequence[str],
  schema: tasks.Schema,
  variant: str,
  seed: int,
) -> np.ndarray:
  """A group resampled so that its labels are about equally frequent.

  Args:
    targets: Of all stills.
    indices: The group.
    names: Its tasks: action units by ML-ROS, expressions by class, valence and
      arousal by cell, expressions with both by the sum of the weights.
    schema: The tasks.
    variant: 'paper', or 'published' for the code's ML-ROS and cells.
    seed: Seed of the draws.
  """
  if variant not in VARIANTS:
    known = ', '.join(VARIANTS)
    raise ValueError(
      f'config.data.balance {variant!r}: expected one of {known}'
    )
  value = {n: targets[n].value[indices, 0] for n in names}
  mask = {n: targets[n].mask[indices, 0] for n in names}
  bins = {task.name: task.bins for task in schema}
  limits = 'unit' if variant == 'paper' else 'data'
  if tuple(names) == ('au',):
    labels = value['au'] * mask['au']
    if variant == 'paper':
      return indices[balance.ml_ros(labels, seed=seed)]
    weights = balance.ml_ros_published(labels, seed=seed)
  elif tuple(names) == ('expr',):
    weights = balance.class_weights(value['expr'].argmax(-1), mask['expr'])
  elif tuple(names) == ('va',):
    weights = balance.va_weights(value['va'], bins['va'], limits, mask['va'])
  else:
    weights = balance.expr_va_weights(
      value['expr'].argmax(-1),
      value['va'],
      bins['va'],
      limits,
      mask['expr'] * mask['va'].min(-1),
    )
  return indices[balance.resample(weights, DRAWS * len(indices), seed)]
