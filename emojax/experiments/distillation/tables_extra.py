"""Tables that the paper does not have: calibration, OOD scores, the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

from emojax.experiments.distillation.tables import corrected, note
from emojax.report.table import Cell, Section, Table

Results = Mapping[str, Any]
_CALIBRATION = {
  'au/ece': 'AU ECE',
  'au/brier': 'AU Brier',
  'expr/ece': 'EXPR ECE',
  'expr/brier': 'EXPR Brier',
}
_OOD = {
  'ensemble/epistemic': 'Epistemic',
  'ensemble/aleatoric': 'Aleatoric',
  'ensemble/total': 'Total',
  'single/total': 'Single, total',
  'mc/epistemic': 'MC, epistemic',
}


def _cells(
  keys: Sequence[str], metrics: Mapping, spread: Mapping | None = None
):
  return [Cell(metrics.get(k), (spread or {}).get(k)) for k in keys]


def calibration(results: Results) -> Table | None:
  """Expected calibration error and Brier score."""
  runs = results['generations']
  first = runs[results['names'][0]]
  keys = [key for key in _CALIBRATION if key in first['ensemble']]
  if not keys:
    return None
  single = [
    (name, _cells(keys, run['single_mean'], run['single_std']))
    for name, run in runs.items()
  ]
  scaled = (first['ts'] or {}).get('val')
  if scaled:
    row = _cells(keys, scaled['mean'], scaled['std'])
    single.append((f'TS of {results["names"][0]}', row))
  if first['mc']:
    row = _cells(keys, first['mc']['mean'], first['mc']['std'])
    single.append((f'MC of {results["names"][0]}', row))
  ensemble = [(n, _cells(keys, run['ensemble'])) for n, run in runs.items()]
  for name, pc in corrected(results).items():
    single.append((name, _cells(keys, pc['mean'], pc['std'])))
    ensemble.append((name, _cells(keys, pc['ensemble'])))
  return Table(
    title='Calibration',
    columns=[_CALIBRATION[key] for key in keys],
    sections=[
      Section('Single models', single),
      Section('Ensembles', ensemble),
    ],
    better=['low'] * len(keys),
    note=note(
      results,
      'ECE: expected calibration error, 10 bins; AUs by the probability of '
      'presence, expressions by the largest probability. TS here is fitted on '
      "the run's own validation set.",
    ),
  )


_SELECTIVE = {
  'aurc': ('AURC', 'low'),
  'e_aurc': ('E-AURC', 'low'),
  'coverage': ('coverage at 5 % risk', 'high'),
  'error_auroc': ('AUROC of errors', 'high'),
}


def selective(results: Results) -> Table | None:
  """Risk and coverage by total uncertainty; None for results of before."""
  found = {
    name: run['selective']
    for name, run in results['generations'].items()
    if run.get('selective')
  }
  if not found:
    return None
  keys = [
    (task, key)
    for task, one in next(iter(found.values())).items()
    for key in _SELECTIVE
    if key in one['ensemble']
  ]

  def row(run, kind, spread=None):
    return [
      Cell(run[task][kind][key], run[task][spread].get(key) if spread else None)
      for task, key in keys
    ]

  return Table(
    title='Selective prediction',
    columns=[f'{task.upper()} {_SELECTIVE[key][0]}' for task, key in keys],
    sections=[
      Section(
        'Single models', [(n, row(x, 'mean', 'std')) for n, x in found.items()]
      ),
      Section('Ensembles', [(n, row(x, 'ensemble')) for n, x in found.items()]),
    ],
    better=[_SELECTIVE[key][1] for _, key in keys],
    note=(
      'The most uncertain frames (total uncertainty) are rejected first. AURC: '
      'mean over all coverages of the error rate of what is kept (AU: share of '
      'wrong units; VA: mean squared error); E-AURC: less that of the best order. '
      'Without prior correction.'
    ),
  )


def out_of_domain(results: Results) -> Table | None:
  """AUROC of all uncertainty scores, a section a set."""
  runs = results['generations']
  first = runs[results['names'][0]]['ood']
  if not first:
    return None
  keys = [k for k in _OOD if any(k in s for r in runs.values() for s in r['ood'].values())]  # fmt: skip
  scored = {**runs, **corrected(results)}
  sections = [
    Section(
      f'"{name}"',
      [(n, _cells(keys, run['ood'][name])) for n, run in scored.items()],
    )
    for name in first
  ]
  return Table(
    title='AUROC of out-of-distribution detection',
    columns=[_OOD[key] for key in keys],
    sections=sections,
    better=['high'] * len(keys),
    note=note(
      results,
      "The first three are the ensemble's. Uncertainties are averaged over the "
      'tasks, each task counting the same. 0.5 is chance; below it, frames from '
      'outside look more certain than those from inside.',
    ),
  )


def truth(results: Results) -> Table | None:
  """Distance from the posteriors that the labels were drawn from."""
  if not results.get('optimum'):
    return None
  runs = results['generations']
  names = list(runs[results['names'][0]]['truth']['ensemble'])
  columns = [
    f'{n.upper()} {what}' for n in names for what in ('KL', 'Spearman')
  ]
  keys = [(n, key) for n in names for key in ('kl', 'spearman_total')]

  def row(values, spread=None):
    return [
      Cell(values[n][k], (spread or {}).get(n, {}).get(k)) for n, k in keys
    ]

  scored = {**runs, **corrected(results)}
  single = [
    (name, row(run['truth']['single_mean'], run['truth']['single_std']))
    for name, run in scored.items()
  ]
  ensemble = [(n, row(run['truth']['ensemble'])) for n, run in scored.items()]
  return Table(
    title='Distance from the true posteriors',
    columns=columns,
    sections=[
      Section('Single models', single),
      Section('Ensembles', ensemble),
    ],
    better=['low', 'high'] * len(names),
    note=note(
      results,
      'KL: mean KL(p* ‖ p) in nats, the excess of the expected NLL over the '
      'Bayes optimum. Spearman: rank correlation over frames of the predicted '
      'total uncertainty with the entropy of p*. The loss of valence and arousal '
      '(CCC) rewards the expectation of a distribution only, not its shape.',
    ),
  )
