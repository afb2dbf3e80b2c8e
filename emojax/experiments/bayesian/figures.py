"""Figures of paper 004, and the same against the votes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax.experiments.bayesian.findings import METHODS, NETWORKS
from emojax.report import style

Results = Mapping[str, Any]
LINES = {
  'dropout': {'color': '#0072b2', 'marker': 'o'},
  'dropconnect': {'color': '#cc79a7', 'marker': 's'},
  'ensemble': {'color': '#d55e00', 'marker': '^'},
}
FEWEST = 10  # faces in a bin of a calibration curve


def by_size(results: Results, score: str, label: str):
  """A score by number of samples or members, one panel for each network.

  Bands are standard deviations over the draws; the dotted line scores the votes
  themselves as predictions, a note where a line would flatten the curves. None if
  there is no such score.
  """
  found = {
    network: {m: s for m, s in methods.items() if score in s['mean']}
    for network, methods in results['studies'].items()
  }
  found = {network: studies for network, studies in found.items() if studies}
  if not found:
    return None
  figure, axes = style.grid(1, len(found), 4.2, 3.4)
  for axis, (network, studies) in zip(axes[0], found.items()):
    for method, study in studies.items():
      _band(axis, study, score, METHODS[method], LINES[method])
    reference = (results['votes'] or {}).get(score)
    if reference is not None and score in ('error', 'nll', 'ece', 'brier'):
      _reference(axis, reference)
    axis.set(title=NETWORKS[network], xlabel='samples or members')
    axis.xaxis.get_major_locator().set_params(integer=True)
  axes[0][0].set_ylabel(label)
  style.legend(figure)
  return figure


def _band(axis, study, score: str, label: str, line):
  mean, std = (_numbers(study[kind][score]) for kind in ('mean', 'std'))
  axis.plot(study['sizes'], mean, markersize=4, label=label, **line)
  axis.fill_between(
    study['sizes'],
    mean - std,
    mean + std,
    color=line['color'],
    alpha=0.15,
    linewidth=0,
  )


def _reference(axis, value: float):
  """The score of the votes; only told if it is further away than curves are long."""
  low, high = axis.get_ylim()
  if 2 * low - high <= value <= 2 * high - low:
    axis.axhline(
      value, color=style.TRUTH, linestyle=':', label='votes themselves'
    )
    return
  # Beside the curves, where the text lies on none.
  below, room = value < low, 0.12 * (high - low)
  axis.set_ylim(low - room * below, high + room * (not below))
  axis.text(
    0.02 if below else 0.98,
    0.03 if below else 0.97,
    f'votes themselves: {value:.3g} {"↓" if below else "↑"}',
    transform=axis.transAxes,
    ha='left' if below else 'right',
    va='bottom' if below else 'top',
    color=style.TRUTH,
    fontsize=9,
  )


def _numbers(values) -> np.ndarray:
  return np.array(values, float)  # None becomes NaN


def calibration(results: Results, curves: Results, by_votes: bool = False):
  """Calibration curves at the best error and best calibration (Figure 5).

  One row for each method, one line for each network.

  Args:
    results: results.json.
    curves: curves.json.
    by_votes: Against the mean share of votes for the predicted class instead of
      the frequency of correct labels.
  """
  methods = [m for m in METHODS if any(m in found for found in curves.values())]
  if by_votes and results['votes'] is None:
    return None
  figure, axes = style.grid(len(methods), 2, 3.9, 3.4)
  titles = {'error': 'best error', 'ece': 'best calibration error'}
  for row, method in zip(axes, methods):
    for axis, (best, title) in zip(row, titles.items()):
      axis.plot([0, 1], [0, 1], color=style.GREY, linestyle=':', linewidth=1)
      for number, (network, found) in enumerate(curves.items()):
        if method in found:
          curve = found[method]['reliability'][best]
          _curve(axis, curve, network, number, by_votes)
      axis.set(xlim=(0, 1), ylim=(0, 1.02), title=f'{METHODS[method]}, {title}')
      axis.legend(loc='upper left')
    row[0].set_ylabel('share of votes' if by_votes else 'accuracy')
  for axis in axes[-1]:
    axis.set_xlabel('confidence')
  return figure


def _curve(axis, curve, network: str, number: int, by_votes: bool):
  names = ('confidence', 'accuracy', 'count')
  if by_votes:
    names = ('share_confidence', 'share', 'share_count')
  x, y, count = (_numbers(curve[name]) for name in names)
  x, y = x[count >= FEWEST], y[count >= FEWEST]
  colors = (style.SINGLE, style.ENSEMBLE, style.TRUTH, *style.OTHER_METHODS)
  axis.plot(
    x,
    y,
    color=colors[number],
    marker=style.MARKERS[number],
    markersize=5,
    label=f'{NETWORKS[network]} (n = {curve["size"]})',
  )


def uncertain(curves: Results, network: str, method: str, labels, clips):
  """The most uncertain faces, their votes and predictions (Figures 4, 6, 7).

  Args:
    curves: curves.json.
    network: The network.
    method: The method.
    labels: Names of the classes.
    clips: The faces that were scored.
  """
  faces = curves[network][method]['uncertain']
  sizes = list(faces[0]['probs'])
  voted = faces[0]['votes'] is not None
  columns = 1 + voted + len(sizes)
  figure, axes = style.grid(len(faces), columns, 1.9, 1.75)
  for row, face in zip(axes, faces):
    image = clips.image[face['index'], 0]
    grey = image.shape[-1] == 1
    row[0].imshow(image[..., 0] if grey else image, cmap='gray')
    row[0].axis('off')
    if face['label']:
      row[0].set_title(face['label'], fontsize=9)
    if voted:
      _bars(row[1], face['votes'], labels, style.TRUTH)
    for axis, size in zip(row[1 + voted :], sizes):
      probs = face['probs'][size]
      _bars(axis, probs, labels, LINES[method]['color'])
      axis.set_xlabel(labels[int(np.argmax(probs))], fontsize=9)
  _column_titles(axes[0], voted, sizes, method)
  return figure


def _bars(axis, values, labels, color):
  places = np.arange(len(labels))
  axis.bar(places, values, color=color)
  axis.set(ylim=(0, 1), yticks=(0, 1))
  axis.set_xticks(places, [label[:2] for label in labels])
  axis.tick_params(labelsize=7.5, length=0)
  axis.grid(visible=False)


def _column_titles(row, voted: bool, sizes, method: str):
  one = 'members' if method == 'ensemble' else 'samples'
  titles = ['votes'] * voted
  titles += [f'{n} {one}' if n != '1' else f'1 {one[:-1]}' for n in sizes]
  for axis, title in zip(row[1:], titles):
    axis.set_title(title, fontsize=9)
