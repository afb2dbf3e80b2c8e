"""Figures about calibration, selective prediction, OOD and the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colors
from matplotlib.ticker import LogLocator, NullLocator

from emojax.report import style

Curves = Mapping[str, Any]
FEWEST = 10  # predictions in a bin of a reliability diagram


def ood_roc(results: Mapping[str, Any], curves: Curves, apart: str = ''):
  """ROC of the ensembles' epistemic uncertainty, one panel a set.

  Args:
    results: Results.
    curves: Curves.
    apart: As of `style.stack_styles`.
  """
  styles = style.stack_styles(results['names'], apart)
  sets = sorted({name for run in curves['roc'].values() for name in run})
  if not sets:
    return None
  figure, axes = style.grid(1, len(sets), width=4.3, height=4.2)
  for axis, name in zip(axes[0], sets):
    axis.plot([0, 1], [0, 1], color=style.GREY, linestyle=':', linewidth=1)
    for generation in results['names']:
      curve = curves['roc'].get(generation, {}).get(name)
      if curve is None:
        continue
      axis.plot(
        curve['fpr'],
        curve['tpr'],
        color=styles[generation]['color'],
        label=f'{generation}  AUC {curve["auc"]:.3f}',
      )
    axis.set(
      title=f'OOD: {name}',
      xlabel='false positive rate',
      ylabel='true positive rate' if axis is axes[0][0] else '',
      xlim=(-0.01, 1),
      ylim=(0, 1.01),
      aspect='equal',
    )
    axis.legend(loc='lower right')
  return figure


def reliability(
  results: Mapping[str, Any], curves: Curves, kind: str, apart: str = ''
):
  """Reliability diagrams, one panel a task; dashed after prior correction.

  Args:
    results: Results.
    curves: Curves.
    kind: 'single' (all members pooled) or 'ensemble'.
    apart: As of `style.stack_styles`.
  """
  runs = {name: curves['reliability'][name] for name in results['names']}
  tasks = list(runs[results['names'][0]][kind])
  if not tasks:
    return None
  styles = style.stack_styles(results['names'], apart)
  figure, axes = style.grid(
    2, len(tasks), width=3.6, height=2.6, height_ratios=[3, 1], sharex='col'
  )
  for column, task in enumerate(tasks):
    pair = axes[0][column], axes[1][column]
    pair[0].plot([0, 1], [0, 1], color=style.GREY, linestyle=':', linewidth=1)
    for name in results['names']:
      look = styles[name] | {'markersize': 4, 'label': name}
      _curve(pair, runs[name][kind][task], look)
      corrected = runs[name].get(f'pc/{kind}', {}).get(task)
      # Tasks without class weights stay as they are.
      if corrected and corrected != runs[name][kind][task]:
        look = look | {'label': f'{name}, prior correction'}
        _curve(pair, corrected, look | {'linestyle': '--', 'fillstyle': 'none'})
    pair[0].set(title=task.upper(), xlim=(0, 1), ylim=(0, 1.02), aspect='auto')
    pair[1].set(ylim=(0, None))
    _axis_titles(pair, task, runs[results['names'][0]][kind][task])
  style.legend(figure)
  return figure


def _curve(pair, curve: Mapping[str, Any], look: Mapping[str, Any]):
  """One model in a panel, and below it how many, or how large."""
  curve = {k: np.array(v, float) for k, v in curve.items()}
  thin = {**look, 'linewidth': 1.2}
  if 'covered' in curve:
    pair[0].plot(curve['mass'], curve['covered'], **look)
    pair[1].plot(curve['mass'], curve['size'], **thin)
    return
  kept = curve['count'] >= FEWEST
  pair[0].plot(curve['confidence'][kept], curve['accuracy'][kept], **look)
  share = curve['count'] / curve['count'].sum()
  pair[1].plot((np.arange(len(share)) + 0.5) / len(share), share, **thin)


def _axis_titles(pair, task: str, curve: Mapping[str, Any]):
  names = 'confidence', 'accuracy', 'share'
  if 'covered' in curve:
    names = 'claimed by set of bins', 'labels in the set', 'bins in it'
  elif task == 'au':
    names = 'predicted probability', 'observed frequency', 'share'
  pair[1].set(xlabel=names[0], ylabel=names[2])
  pair[0].set_ylabel(names[1])


def rejection(results: Mapping[str, Any], curves: Curves, apart: str = ''):
  """Error of the frames kept when the most uncertain ones are rejected.

  Args:
    results: Results.
    curves: Curves.
    apart: As of `style.stack_styles`.
  """
  first = curves['rejection'][results['names'][0]]['ensemble']
  if not first:
    return None
  styles = style.stack_styles(results['names'], apart)
  figure, axes = style.grid(1, len(first), width=3.6, height=3.5)
  for axis, task in zip(axes[0], first):
    for name in results['names']:
      color = styles[name]['color']
      for kind, line in (('single', '--'), ('ensemble', '-')):
        curve = curves['rejection'][name][kind][task]
        axis.plot(
          100 * np.array(curve['rejected']),
          curve['value'],
          color=color,
          linestyle=line,
          label=f'{name}, {kind}',
        )
    best = curves['rejection'][results['names'][0]].get('optimum', {}).get(task)
    if best:
      axis.plot(
        100 * np.array(best['rejected']),
        best['value'],
        color=style.TRUTH,
        linestyle='-.',
        label='Bayes optimum',
      )
    axis.set(
      title=f'{task.upper()}: {first[task]["measure"]}',
      xlabel='rejected frames [%]',
      xlim=(0, 95),
      ylim=(0, None),
    )
  # Column by column: single over ensemble.
  style.legend(figure, columns=len(results['names']))
  return figure


def _density(axis, curve, title: str, norm):
  edges, counts = np.array(curve['edges']), np.array(curve['counts'])
  mesh = axis.pcolormesh(
    edges,
    edges,
    np.ma.masked_equal(counts.T, 0),
    cmap=style.density_colors(),
    norm=norm,
  )
  axis.plot([0, 1], [0, 1], color=style.GREY, linestyle=':', linewidth=1)
  rho = curve['spearman']
  rho = 'undefined' if rho is None else f'{rho:.2f}'
  axis.set_title(f'{title}\nSpearman ρ = {rho}')
  axis.set(xlim=(0, 1), ylim=(0, 1), aspect='equal', xlabel='true entropy')
  return mesh


def entropy(results: Mapping[str, Any], curves: Curves):
  """Predicted against true entropy: first generation, corrected, last."""
  found = _entropy_rows(results, curves)
  if not found:
    return None
  keys = list(next(iter(found.values())))
  most = max(
    np.max(row[key]['counts']) for row in found.values() for key in row
  )
  norm = colors.LogNorm(vmin=1, vmax=max(2, most))  # one for all panels
  figure, axes = style.grid(len(found), len(keys), width=2.9, height=3.3)
  for row, (name, panels) in zip(axes, found.items()):
    for axis, key in zip(row, keys):
      mesh = _density(axis, panels[key], f'{name}, {key.upper()}', norm)
    row[0].set_ylabel('predicted (ensemble)')
  bar = figure.colorbar(mesh, ax=axes.ravel(), label='frames', shrink=0.5)
  bar.ax.yaxis.set_major_formatter('{x:g}')
  bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  bar.ax.yaxis.set_minor_locator(NullLocator())
  return figure


def _entropy_rows(results, curves: Curves) -> dict[str, Mapping[str, Any]]:
  """Title -> densities by task."""
  found = {n: c for n in results['names'] if (c := curves['entropy'].get(n))}
  ends = list(dict.fromkeys([*list(found)[:1], *list(found)[-1:]]))
  rows = {name: found[name] for name in ends[:1]}
  for name in ends:
    corrected = curves.get('entropy_pc', {}).get(name)
    rows |= (
      {f'{name} corrected': corrected} if corrected else {name: found[name]}
    )
  return rows
