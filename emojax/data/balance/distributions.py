"""Label distributions: counts that add up over shards, and their figures.

The figures are those of paper 001 (figure 2: before merging, after merging,
after resampling) and paper 000 (appendix A).
"""

import pathlib
import warnings
from collections.abc import Mapping

import numpy as np
from matplotlib import figure

from emojax import tasks


def label_counts(task: tasks.Task, target: tasks.Target) -> np.ndarray:
  """Counts the labels of a task; soft labels count with their probability.

  Args:
    task: The task.
    target: Its targets, with any leading shape.

  Returns:
    float64. 'binary' [A, 2]: negatives and positives; 'categorical' [E];
    'binned' [bins, bins]: histogram of the first label (rows) and the second
    over [-1, 1], of the items that have both.
  """
  width = len(task.labels)
  value = np.asarray(target.value, np.float64).reshape(-1, width)
  if task.kind == 'categorical':
    return (value * np.reshape(target.mask, (-1, 1))).sum(axis=0)
  mask = np.asarray(target.mask, np.float64).reshape(-1, width)
  if task.kind == 'binary':
    positive = (value * mask).sum(axis=0)
    return np.stack([mask.sum(axis=0) - positive, positive], axis=-1)
  if width != 2:
    raise ValueError(
      f'task {task.name!r} has {width} binned labels: only a pair '
      '(valence, arousal) has a histogram'
    )
  pairs = value[mask.min(axis=1) > 0]
  edges = np.linspace(-1, 1, task.bins + 1)
  return np.histogram2d(pairs[:, 0], pairs[:, 1], bins=(edges, edges))[0]


def draw(
  task: tasks.Task, counts: Mapping[str, np.ndarray], path: str | pathlib.Path
) -> None:
  """Draws the distributions of one task side by side into a PNG file.

  Args:
    task: The task.
    counts: Name of a data set (or of a stage: 'merged', 'resampled') to its
      `label_counts`.
    path: PNG file to write.
  """
  if not counts:
    raise ValueError(f'task {task.name!r}: no distribution to draw')
  panels = _draw_maps if task.kind == 'binned' else _draw_bars
  with warnings.catch_warnings():
    # Class names of all scripts are fine, even if the font has boxes for them.
    warnings.filterwarnings('ignore', 'Glyph .* missing from font')
    panels(task, counts).savefig(path, dpi=120, format='png')


def _draw_bars(task, counts):
  """Grouped bars: share of positives per AU, or of every class."""
  shares = {name: _shares(task, count) for name, count in counts.items()}
  # Figure and not pyplot: no global state, no display, safe in threads.
  fig = figure.Figure(figsize=(8, 3.5), layout='constrained')
  axes = fig.subplots()
  place = np.arange(len(task.labels))
  width = 0.8 / len(shares)
  for number, (name, share) in enumerate(shares.items()):
    offset = (number - (len(shares) - 1) / 2) * width
    total = counts[name].sum() / (len(place) if task.kind == 'binary' else 1)
    axes.bar(place + offset, share, width, label=f'{name} (n = {total:,.0f})')
  axes.set_xticks(place, task.labels, rotation=30)
  axes.set_ylabel('positive' if task.kind == 'binary' else 'share')
  axes.legend(fontsize=8)
  return fig


def _shares(task, count):
  if task.kind == 'binary':
    return count[:, 1] / np.maximum(count.sum(axis=1), 1)
  return count / max(count.sum(), 1)


def _draw_maps(task, counts):
  """One 2-D histogram per data set, on a logarithmic colour scale."""
  fig = figure.Figure(
    figsize=(1 + 3.6 * len(counts), 3.4), layout='constrained'
  )
  panels = np.atleast_1d(fig.subplots(1, len(counts)))
  # One colour scale for all panels, or they could not be compared.
  top = max(1.0, *(np.log10(1 + count).max() for count in counts.values()))
  for axes, (name, count) in zip(panels, counts.items()):
    image = axes.imshow(
      np.log10(1 + count.T),
      origin='lower',
      extent=(-1, 1, -1, 1),
      vmin=0,
      vmax=top,
    )
    axes.set_title(f'{name} (n = {count.sum():,.0f})', fontsize=9)
    axes.set_xlabel(task.labels[0])
    axes.set_ylabel(task.labels[1])
  fig.colorbar(image, ax=list(panels), label='log10(1 + items)')
  return fig
