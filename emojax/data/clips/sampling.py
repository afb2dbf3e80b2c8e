"""Balanced groups: which clips an epoch draws, from the labels of clips.

    weights = sampling.clip_weights(schema, clips.targets, ('expr',))
    group = balance.resample(weights, len(clips), seed=epoch)

Draw anew for every epoch, as the published samplers of papers 001 and 002 do.
"""

from collections.abc import Sequence

import numpy as np

from emojax import tasks
from emojax.data.balance import balance

VARIANTS = ('paper', 'published')


def clip_weights(
  schema: tasks.Schema,
  targets: tasks.Targets,
  names: Sequence[str],
  variant: str = 'paper',
  seed: int = 0,
) -> np.ndarray:
  """Sampling weights of clips that even out the labels of one or two tasks.

  A 'binary' task is balanced by ML-ROS, a 'categorical' one by class, a
  'binned' one by histogram cell, and a categorical with a binned one by the
  sum of both (EXPR_VA of paper 002). Frames are weighted; a clip's weight is
  the mean of its frames', and 0 if none of them is labelled.

  Args:
    schema: The tasks.
    targets: Targets of the clips, leading shape [N, L].
    names: Names of the tasks.
    variant: 'paper': ML-ROS as its authors have it, cells over [-1, 1];
      'published': the variants of the code of papers 001 and 002.
    seed: Seed of ML-ROS.

  Returns:
    float64 [N].
  """
  if variant not in VARIANTS:
    raise ValueError(
      f'variant {variant!r}: expected one of {", ".join(VARIANTS)}'
    )
  by_kind = {task.kind: task for task in schema if task.name in names}
  kinds = tuple(sorted(by_kind))
  if len(by_kind) != len(names) or kinds not in _WEIGHTS:
    raise ValueError(
      f'tasks {", ".join(names)} cannot be balanced together: expected one '
      'task, or a categorical and a binned one, of '
      + ', '.join(f'{task.name} ({task.kind})' for task in schema)
    )
  found = [_flat(targets[by_kind[kind].name]) for kind in kinds]
  # A histogram cell needs both numbers; any action unit makes a frame count.
  count = {'binned': np.min}
  mask = np.prod(
    [count.get(k, np.max)(m, axis=1) for k, (_, m) in zip(kinds, found)], axis=0
  )
  values = [value * (m > 0) for value, m in found]
  weights = _WEIGHTS[kinds](values, mask, variant, seed)
  frames = targets[names[0]].value.shape[1]
  weights = (weights * mask).reshape(-1, frames)
  labelled = mask.reshape(-1, frames).sum(axis=1)
  return weights.sum(axis=1) / np.maximum(labelled, 1)


def _flat(target: tasks.Target) -> tuple[np.ndarray, np.ndarray]:
  """Values [F, width] and masks [F, width or 1] of all frames."""
  value = np.asarray(target.value)
  rows = value.reshape(-1, value.shape[-1])
  return rows, np.asarray(target.mask).reshape(len(rows), -1)


def _binary(values, mask, variant, seed):
  labels = values[0][mask > 0]
  weights = np.zeros(len(mask))
  if variant == 'paper':
    clones = balance.ml_ros(labels, seed=seed)
    weights[mask > 0] = np.bincount(clones, minlength=len(labels))
  else:
    weights[mask > 0] = balance.ml_ros_published(labels, seed)
  return weights


def _categorical(values, mask, variant, seed):
  del variant, seed
  return balance.class_weights(values[0].argmax(axis=1), mask)


def _binned(values, mask, variant, seed):
  del seed
  return balance.va_weights(values[0], limits=_limits(variant), mask=mask)


def _both(values, mask, variant, seed):
  del seed
  binned, categorical = values
  return balance.expr_va_weights(
    categorical.argmax(axis=1), binned, limits=_limits(variant), mask=mask
  )


def _limits(variant: str) -> str:
  return 'unit' if variant == 'paper' else 'data'


_WEIGHTS = {
  ('binary',): _binary,
  ('categorical',): _categorical,
  ('binned',): _binned,
  ('binned', 'categorical'): _both,
}
