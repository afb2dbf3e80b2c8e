"""Coverage of prediction sets by class, by size and by subject."""

from typing import Any

import numpy as np

from emojax.evaluation.coverage_labels import Labels, mean

WORST, FEWEST = 3, 5  # subjects that are named, of those with so many frames
BINS = 4  # of shares and widths, which are no whole numbers
Json = dict[str, Any]


def by_class(of: Labels, size: np.ndarray, hit: np.ndarray) -> dict[str, Json]:
  """Of the frames of each class, the most voted one; {} for other tasks.

  Args:
    of: The frames.
    size: Of their sets, [F].
    hit: How much of their labels the sets hold, [F], NaN without labels.

  Returns:
    Class -> mean `coverage` and `mean_size`, and number of `frames`.
  """
  if of.task.kind != 'categorical':
    return {}
  label = np.asarray(of.target.value).argmax(-1)
  label = np.where(np.isnan(hit), -1, label)
  return {
    name: _of(of, label == i, size, hit)
    for i, name in enumerate(of.task.labels)
    if (label == i).any()
  }


def by_size(of: Labels, size: np.ndarray, hit: np.ndarray) -> list[Json]:
  """Of the frames with sets of each size, or up to it from the one before."""
  if of.task.kind == 'categorical':
    ends = np.unique(size)
  else:
    ends = np.linspace(0, 1 if of.task.kind == 'binary' else 2, BINS + 1)
  place = np.searchsorted(ends, size - 1e-9).clip(0, len(ends) - 1)
  place = np.where(np.isnan(hit), -1, place)
  return [
    {'size': float(end), **_of(of, place == i, size, hit)}
    for i, end in enumerate(ends)
    if (place == i).any()
  ]


def _of(of: Labels, rows: np.ndarray, size, hit) -> Json:
  groups = of.groups[rows]
  return {
    'coverage': mean(hit[rows], groups),
    'mean_size': mean(size[rows], groups),
    'frames': int(rows.sum()),
  }


def worst(of: Labels, hit: np.ndarray) -> list[Json]:
  """Subjects of several frames whose sets hold the truth least often."""
  known = ~np.isnan(hit)
  names, number, frames = np.unique(
    of.groups[known], return_inverse=True, return_counts=True
  )
  share = np.bincount(number, hit[known]) / frames
  order = [i for i in np.argsort(share, kind='stable') if frames[i] >= FEWEST]
  return [
    {
      'subject': str(names[i]),
      'coverage': float(share[i]),
      'frames': int(frames[i]),
    }
    for i in order[:WORST]
  ]
