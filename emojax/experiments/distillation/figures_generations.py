"""Figures with the generations on the horizontal axis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from emojax.report import style

TITLES = {
  'total': 'Total emotion metric',
  'au/score': 'AU score',
  'expr/score': 'EXPR score',
  'va/ccc/valence': 'Valence CCC',
  'va/ccc/arousal': 'Arousal CCC',
  'au/nll': 'AU NLL',
  'expr/nll': 'EXPR NLL',
  'va/rmse/valence': 'Valence RMSE',
  'va/rmse/arousal': 'Arousal RMSE',
}
SCORES = tuple(TITLES)[:5]
UNCERTAINTY = tuple(TITLES)[5:]


def series(results: Mapping[str, Any], kind: str, key: str) -> np.ndarray:
  """Values of a metric by generation, NaN where undefined."""
  runs = (results['generations'][name] for name in results['names'])
  return np.array([run[kind].get(key) for run in runs], float)


def panel(axis, results, key: str):
  """Draws a metric by generation: single models and the ensemble."""
  places = np.arange(len(results['names']))
  axis.errorbar(
    places - 0.05,
    series(results, 'single_mean', key),
    yerr=np.nan_to_num(series(results, 'single_std', key)),
    color=style.SINGLE,
    marker='o',
    capsize=3,
    label='single models (mean ± std)',
  )
  axis.plot(
    places + 0.05,
    series(results, 'ensemble', key),
    color=style.ENSEMBLE,
    marker='s',
    label='ensemble',
  )
  axis.set_title(TITLES[key])
  axis.set_xticks(places, results['names'])
  axis.set_xlim(-0.4, len(places) - 0.6)
  axis.yaxis.set_major_locator(MaxNLocator(6))


def _available(results, keys) -> list[str]:
  return [
    key for key in keys if np.isfinite(series(results, 'ensemble', key)).any()
  ]


def total(results: Mapping[str, Any]):
  """Figure 4: the total emotion metric, single models and ensembles."""
  figure, axes = style.grid(1, 1, width=5.6, height=4)
  panel(axes[0][0], results, 'total')
  axes[0][0].set_xlabel('generation')
  style.legend(figure)
  return figure


def scores(results: Mapping[str, Any]):
  """The parts of the total emotion metric; None if there is only one."""
  keys = _available(results, SCORES[1:])
  if len(keys) < 2:
    return None
  figure, axes = style.panels(len(keys))
  for axis, key in zip(axes, keys):
    panel(axis, results, key)
  style.legend(figure)
  return figure


def _other_methods(axis, run, key: str, places):
  """Levels of TS, MC dropout and prior correction of the teachers."""
  found = {
    'TS of teachers': (run.get('ts') or {}).get('test_time'),
    'MC dropout of teachers': run.get('mc'),
    'Prior correction of teachers': run.get('pc'),
  }
  # Unlike the Bayes optimum, which has dashes and single dots.
  lines = ('--', ':', (0, (6, 1.5, 1, 1.5, 1, 1.5)))
  for (name, rows), color, line in zip(
    found.items(), style.OTHER_METHODS, lines
  ):
    value = (rows or {}).get('mean', {}).get(key)
    weighted = (rows or {}).get('log_weights')
    if weighted is not None and key.split('/')[0] not in weighted:
      continue  # nothing is corrected in this task
    if value is not None:
      axis.plot(
        [places[0] - 0.4, places[-1] + 0.4],
        [value, value],
        color=color,
        linestyle=line,
        label=name,
      )


def _optimum(axis, value: float):
  """A line, or a remark where it would squeeze everything else."""
  low, high = axis.get_ylim()
  if low - value < 2 * (high - low):
    look = {'color': style.TRUTH, 'linestyle': '-.', 'label': 'Bayes optimum'}
    axis.axhline(value, **look)
    return
  axis.text(
    1,
    1.03,
    f'Bayes optimum {value:.3f}',
    color=style.TRUTH,
    fontsize=9.5,
    ha='right',
    transform=axis.transAxes,
  )


def uncertainty(results: Mapping[str, Any]):
  """Tables 3 and 4 as a figure: NLL and RMSE by generation (lower is better)."""
  keys = _available(results, UNCERTAINTY)
  if not keys:
    return None
  figure, axes = style.panels(len(keys), height=3.1)
  places = np.arange(len(results['names']))
  best = (results.get('optimum') or {}).get('metrics', {})
  for axis, key in zip(axes, keys):
    panel(axis, results, key)
    _other_methods(
      axis, results['generations'][results['names'][0]], key, places
    )
    if best.get(key) is not None:
      _optimum(axis, best[key])
  style.legend(figure, columns=3)
  return figure


def excess(results: Mapping[str, Any]):
  """Distance to the optimum: mean KL(p* || p) by generation."""
  if not results.get('optimum'):
    return None
  names = results['names']
  keys = [
    task['name']
    for task in results['schema']
    if task['name'] in results['generations'][names[0]]['truth']['ensemble']
  ]
  if not keys:
    return None
  figure, axes = style.grid(1, len(keys), width=3.4, height=3.5)
  places = np.arange(len(names))
  for axis, key in zip(axes[0], keys):
    truth = [results['generations'][name]['truth'] for name in names]
    mean = [t['single_mean'][key]['kl'] for t in truth]
    std = [t['single_std'][key]['kl'] or 0 for t in truth]
    axis.errorbar(
      places - 0.05,
      mean,
      yerr=std,
      color=style.SINGLE,
      marker='o',
      capsize=3,
      label='single models (mean ± std)',
    )
    axis.plot(
      places + 0.05,
      [t['ensemble'][key]['kl'] for t in truth],
      color=style.ENSEMBLE,
      marker='s',
      label='ensemble',
    )
    axis.axhline(0, color=style.TRUTH, linestyle='-.', label='Bayes optimum')
    axis.set_title(f'{key.upper()}: KL(p* ‖ p) [nats]')
    axis.set_xticks(places, names)
    axis.set_xlim(-0.4, len(places) - 0.6)
  style.legend(figure)
  return figure
