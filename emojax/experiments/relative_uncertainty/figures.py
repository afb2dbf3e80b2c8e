"""Figures 3 to 6 of paper 003, and accuracy against rejection."""

import numpy as np
import sklearn.manifold
from matplotlib import cm

from emojax.experiments.relative_uncertainty.outputs import evenly
from emojax.experiments.relative_uncertainty.setup import METHODS
from emojax.report import style

COLORS = (
  '#8a919e #cc79a7 #e69f00 #0072b2 #d55e00 #009e73 #56b4e9 #7a5c00'.split()
)
SHOWN = 8  # images of a row in the gallery


def method_style(name: str) -> dict:
  """Colour and marker of a method, the same in every figure."""
  place = list(METHODS).index(name)
  return {
    'color': COLORS[place % len(COLORS)],
    'marker': style.MARKERS[place % len(style.MARKERS)],
    'label': METHODS[name],
  }


def rejection(results, curves):
  """Accuracy of the images that are kept, one panel for each noise level."""
  levels = results['levels']
  figure, axes = style.panels(len(levels), 3.9, 3.3)
  rejected = 100 * np.array(curves['rejected'])
  for axis, level in zip(axes, levels):
    for name, by_level in curves['methods'].items():
      values = 100 * np.array(by_level[level]['rejection'])
      axis.plot(rejected, values, markevery=10, **method_style(name))
    axis.set(title=f'noise: {level}', xlabel='rejected [%]', xlim=(0, 50))
    axis.set_ylabel('accuracy [%]')
  style.legend(figure)
  return figure


def histograms(results, curves):
  """Figures 5 and 6: test uncertainties brought to [0, 1], one panel a method."""
  level = results['levels'][0]
  names = list(curves['methods'])
  figure, axes = style.panels(len(names), 3.6, 2.6)
  for axis, name in zip(axes, names):
    counts = curves['methods'][name][level]['histogram']
    edges = np.linspace(0, 1, len(counts) + 1)
    look = method_style(name)
    axis.stairs(counts, edges, fill=True, color=look['color'], alpha=0.8)
    axis.set(title=look['label'], xlim=(0, 1), ylabel='images')
    axis.set_xlabel('normalised uncertainty')
  return figure


def embedding(run, found, name: str):
  """Figure 3: t-SNE of test features, coloured by class and by uncertainty.

  Args:
    run: See `run.Run`.
    found: Arrays of the method's outputs.
    name: The method.

  Returns:
    A figure; None if `eval.tsne_images` is below 3.
  """
  limit, task = run.config.eval.tsne_images, run.task
  target = run.dataset.test.targets[task.name]
  labelled = np.flatnonzero(np.asarray(target.mask)[:, 0])
  chosen = labelled[evenly(len(labelled), limit)] if limit else labelled[:0]
  if len(chosen) < 3:
    return None
  places = sklearn.manifold.TSNE(
    perplexity=min(30, (len(chosen) - 1) / 3), random_state=0, init='pca'
  ).fit_transform(found['test/features'][chosen])
  label = np.asarray(target.value)[chosen, 0].argmax(-1)
  figure, axes = style.grid(1, 2, width=4.4, height=3.9)
  left, right = axes[0]
  for k, title in enumerate(task.labels):
    here = places[label == k].T
    color = cm.tab10(k % 10)
    left.scatter(*here, s=7, color=color, label=title, linewidths=0)
  doubt = _ranks(found['test/uncertainty'][0][chosen])
  points = right.scatter(*places.T, s=7, c=doubt, cmap='viridis', linewidths=0)
  figure.colorbar(points, ax=right, label='rank of the uncertainty')
  left.set_title(f'{METHODS[name]}: classes')
  right.set_title('uncertainty')
  for axis in (left, right):
    axis.set(xticks=[], yticks=[])
  style.legend(figure)
  return figure


def _ranks(values):
  """Ranks from 0 to 1; unlike values they are not ruled by a few outliers."""
  order = np.argsort(np.argsort(values))
  return order / max(1, len(values) - 1)


def gallery(run, found, name: str):
  """Figure 4: the most and the least uncertain test images.

  Wrong predictions are red, as in the paper.
  """
  doubt = found['test/uncertainty'][0]
  predicted = found['test/logits'][0].argmax(-1)
  target = run.dataset.test.targets[run.task.name]
  mask = np.asarray(target.mask)[:, 0]
  label = np.asarray(target.value)[:, 0].argmax(-1)
  order = np.argsort(-doubt, kind='stable')
  order = order[mask[order] > 0]
  count = min(SHOWN, len(order) // 2)
  if not count:
    return None
  rows = (order[:count], order[-count:])
  images = [run.dataset.test.take(row).image[:, 0] for row in rows]
  low, high = doubt.min(), doubt.max()
  figure, axes = style.grid(2, count, width=1.1, height=1.55)
  for line, row, pictures in zip(axes, rows, images):
    for axis, i, image in zip(line, row, pictures):
      axis.imshow(image.squeeze(), cmap='gray')
      value = (doubt[i] - low) / (high - low) if high > low else 0.0
      axis.set_title(f'{value:.2f}', fontsize=8, fontweight='normal')
      color = style.INK if predicted[i] == label[i] else '#c00000'
      axis.set_xlabel(run.task.labels[predicted[i]], color=color, fontsize=8)
      axis.set(xticks=[], yticks=[])
      axis.grid(visible=False)
  axes[0][0].set_ylabel('most uncertain', fontsize=8)
  axes[1][0].set_ylabel('least uncertain', fontsize=8)
  return figure
