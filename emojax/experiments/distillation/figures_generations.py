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


def corrected(results: Mapping[str, Any], kind: str, key: str) -> np.ndarray:
  """The same after prior correction ('mean', 'std' or 'ensemble').

  NaN too where nothing is corrected, as in tasks without class weights.
  """
  values = []
  for name in results['names']:
    pc = results['generations'][name].get('pc') or {}
    weighted = key == 'total' or key.split('/')[0] in pc.get('log_weights', {})
    values.append(pc[kind].get(key) if pc and weighted else None)
  return np.array(values, float)


def _lines(axis, names, kinds, prefix='', hollow=False):
  """Single models with error bars, and the ensemble, by generation.

  Args:
    axis: Where.
    names: Generations.
    kinds: (mean and deviation of single models, ensemble), each by generation.
    prefix: Of the names in the legend.
    hollow: Whether the marks are, as those of corrected predictions.
  """
  mean, std, ensemble = kinds
  if not np.isfinite(ensemble).any():
    return
  places = np.arange(len(names))
  look = {'fillstyle': 'none', 'linestyle': '--'} if hollow else {}
  axis.errorbar(
    places - 0.05,
    mean,
    yerr=np.nan_to_num(std),
    color=style.SINGLE,
    marker='o',
    capsize=3,
    label=f'{prefix}single models (mean ± std)',
    **look,
  )
  axis.plot(
    places + 0.05,
    ensemble,
    color=style.ENSEMBLE,
    marker='s',
    label=f'{prefix}ensemble',
    **look,
  )
  axis.set_xticks(places, names)
  axis.set_xlim(-0.4, len(places) - 0.6)


CORRECTED = 'prior correction: '


def panel(axis, results, key: str):
  """Draws a metric by generation: single models and the ensemble."""
  names = results['names']
  kinds = 'single_mean', 'single_std', 'ensemble'
  _lines(axis, names, [series(results, kind, key) for kind in kinds])
  kinds = 'mean', 'std', 'ensemble'
  found = [corrected(results, kind, key) for kind in kinds]
  _lines(axis, names, found, CORRECTED, hollow=True)
  axis.set_title(TITLES[key])
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
  """Levels of TS and MC dropout of the teachers."""
  found = {
    'TS of teachers': (run.get('ts') or {}).get('test_time'),
    'MC dropout of teachers': run.get('mc'),
  }
  lines = ('--', ':')  # the Bayes optimum has dashes and single dots
  for (name, rows), color, line in zip(
    found.items(), style.OTHER_METHODS, lines
  ):
    value = (rows or {}).get('mean', {}).get(key)
    if value is not None:
      axis.plot(
        [places[0] - 0.4, places[-1] + 0.4],
        [value, value],
        color=color,
        linestyle=line,
        label=name,
      )


def _optimum(axis, value: float):
  """The line that no model's expectation is below."""
  axis.axhline(value, color=style.TRUTH, linestyle='-.', label='Bayes optimum')


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
  for axis, key in zip(axes[0], keys):
    _lines(axis, names, _kl(results, key))
    found = _kl(results, key, corrected_only=True)
    _lines(axis, names, found, CORRECTED, hollow=True)
    axis.axhline(0, color=style.TRUTH, linestyle='-.', label='Bayes optimum')
    axis.set_title(f'{key.upper()}: KL(p* ‖ p) [nats]')
  style.legend(figure, columns=2)
  return figure


def _kl(results, task: str, corrected_only: bool = False) -> list[np.ndarray]:
  """KL(p* || p) of single models, its deviation, and that of the ensemble."""
  found = []
  for name in results['names']:
    run = results['generations'][name]
    if corrected_only:
      run = run.get('pc') or {}
      weighted = task in run.get('log_weights', {})
      run = run if weighted else {'truth': None}
    kinds = 'single_mean', 'single_std', 'ensemble'
    truth = run['truth']
    found.append([truth[k][task]['kl'] if truth else None for k in kinds])
  return list(np.array(found, float).T)
