"""Paper 000's tables with and without prior correction, over several seeds.

  python -m benchmarks.prior_correction runs/prior --out docs/results/prior-correction.md

reads finished runs of configs/gen.py in pairs: RUNS/plain-SEED and
RUNS/corrected-SEED, which differ in `loss.correct_teachers` alone. The teachers of
a pair are the same networks, so that their students can be compared by seed.
Cells are means over seeds with Student's 95 % interval. Between the markers of the
page everything is written anew; what is around them is kept.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rich.console
import scipy.stats

from benchmarks import tables
from emojax.report import verdicts
from emojax.report.estimates import Estimate

KINDS = ('plain', 'corrected')
TRUTH = {'au': 'AU', 'expr': 'EXPR'}
SCORES = {
  'au/score': 'AU',
  'expr/score': 'EXPR',
  'va/ccc/valence': 'Valence CCC',
  'va/ccc/arousal': 'Arousal CCC',
  'total': 'Total',
}
PROBABILITIES = {
  'au/nll': 'AU NLL',
  'au/ece': 'AU ECE',
  'expr/nll': 'EXPR NLL',
  'expr/ece': 'EXPR ECE',
}
Run = Mapping[str, Any]


def pairs(folder: pathlib.Path) -> list[tuple[Run, Run]]:
  """Results of the runs by seed: (students of plain, of corrected teachers).

  Raises:
    ValueError: If there are less than two pairs, a run is not finished, or the
      runs of a pair differ in more than what the teachers hand on.
  """
  seeds = sorted(
    run.name.removeprefix('plain-')
    for run in folder.glob('plain-*')
    if run.is_dir()
  )
  if len(seeds) < 2:
    raise ValueError(f'{folder} has {len(seeds)} folders plain-SEED, not two')
  found = []
  for seed in seeds:
    runs = [folder / f'{kind}-{seed}' for kind in KINDS]
    _check(*runs)
    found.append(tuple(_json(run / 'results.json') for run in runs))
  return found


def _json(path: pathlib.Path):
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} cannot be read ({error}): run it first'
    ) from error


def _check(plain: pathlib.Path, corrected: pathlib.Path):
  """That only `loss.correct_teachers` differs."""
  one, other = (
    _json(run / 'config.json')['config'] for run in (plain, corrected)
  )
  for made, expected in ((one, False), (other, True)):
    if made['loss'].pop('correct_teachers') is not expected:
      raise ValueError(
        f'{plain.parent}: {plain.name} and {corrected.name} are '
        'not without and with loss.correct_teachers'
      )
    made.pop('runtime')
  if one != other:
    raise ValueError(f'{plain} and {corrected} differ in other settings, too')


def scores(run: Run, name: str, way: str, what: str) -> Mapping[str, float]:
  """Metrics of a generation.

  Args:
    run: results.json.
    name: Of the generation.
    way: 'plain', 'pc' (prior correction), 'ts' (temperature scaling fitted on the
      validation set) or 'mc' (dropout).
    what: 'mean' of single members, or 'ensemble'.
  """
  found = run['generations'][name]
  if way == 'plain':
    return found['single_mean' if what == 'mean' else what]
  found = found.get(way) or {}
  return (found.get('val', {}) if way == 'ts' else found).get(what, {})


def estimate(values: Sequence[float | None]) -> Estimate:
  """Mean over the seeds with its standard error; unknown if a seed has none.

  A single seed has a value without an error.
  """
  if None in values:
    return Estimate(None, None)
  if len(values) == 1:
    return Estimate(values[0], None)
  return Estimate(
    float(np.mean(values)), float(scipy.stats.sem(values)), len(values) - 1
  )


def cell(values: Sequence[float | None]) -> str:
  """Mean of the seeds and half the width of its 95 % interval."""
  found = estimate(values)
  return tables.MISSING if found.value is None else found.signed().lstrip('+')


def _row(runs, title: str, keys, *, name, way, what='mean') -> list[str]:
  found = [scores(run, name, way, what) for run in runs]
  return [title, *(cell([one.get(key) for one in found]) for key in keys)]


def metrics(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Tables 1 and 2: emotion metrics."""
  plain, corrected = zip(*runs)
  rows = []
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    for name in names:
      for way, title in (('plain', ''), ('pc', ' + PC')):
        label = f'{name}{title}, {many}'
        rows.append(_row(plain, label, SCORES, name=name, way=way, what=what))
    for name in names[1:]:
      label = f'{name} of corrected teachers, {many}'
      row = _row(corrected, label, SCORES, name=name, way='plain', what=what)
      rows.append(row)
  title = 'Tables 1 and 2: emotion metrics'
  return tables.Table(title, ['', *SCORES.values()], rows)


def probabilities(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Tables 3 and 4, Figure 5: what the probabilities are worth."""
  plain, corrected = zip(*runs)
  ways = {'plain': '', 'ts': ' + TS', 'mc': ' + MC dropout', 'pc': ' + PC'}
  rows = []
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    for name in names:
      for way, title in ways.items():
        if any(scores(run, name, way, what) for run in plain):
          label, keys = f'{name}{title}, {many}', PROBABILITIES
          rows.append(_row(plain, label, keys, name=name, way=way, what=what))
    for name in names[1:]:
      label, keys = f'{name} of corrected teachers, {many}', PROBABILITIES
      rows.append(
        _row(corrected, label, keys, name=name, way='plain', what=what)
      )
  best = [run['optimum']['metrics'] for run in plain]
  rows.append(
    ['Bayes optimum', *(cell([b.get(k) for b in best]) for k in PROBABILITIES)]
  )
  title = (
    'Tables 3 and 4, Figure 5: negative log-likelihood and calibration error'
  )
  return tables.Table(title, ['', *PROBABILITIES.values()], rows)


def _truth(run: Run, name: str, way: str, what: str) -> Mapping[str, Any]:
  found = run['generations'][name]
  found = found if way == 'plain' else found['pc']
  return found['truth']['single_mean' if what == 'mean' else what]


def truths(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """What only known posteriors can tell: excess, and order of the entropies."""
  plain, corrected = zip(*runs)
  columns, rows = [''], []
  keys = ('excess_nll', 'spearman_total')
  for task in TRUTH.values():
    columns += [f'{task} excess NLL', f'{task} entropy, Spearman']
  versions = [
    (plain, f'{name}{title}', name, way)
    for name in names
    for way, title in (('plain', ''), ('pc', ' + PC'))
  ] + [
    (corrected, f'{name} of corrected teachers', name, 'plain')
    for name in names[1:]
  ]
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    for stack, title, name, way in versions:
      found = [_truth(run, name, way, what) for run in stack]
      cells = [cell([f[t][k] for f in found]) for t in TRUTH for k in keys]
      rows.append([f'{title}, {many}', *cells])
  title = 'Against the known posteriors'
  return tables.Table(title, columns, rows)


def foreign(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Foreign images: AUC of the ensembles' uncertainty."""
  plain, corrected = zip(*runs)
  kinds = list(plain[0]['generations'][names[0]]['ood'])
  which = ('total', 'epistemic')
  rows = []
  for name in names:
    versions = [
      (plain, name, lambda g: g['ood']),
      (plain, f'{name} + PC', lambda g: g['pc']['ood']),
    ]
    if name in names[1:]:
      label = f'{name} of corrected teachers'
      versions.append((corrected, label, lambda g: g['ood']))
    for stack, title, of in versions:
      found = [of(run['generations'][name]) for run in stack]
      cells = [
        cell([f[kind].get(f'ensemble/{k}') for f in found])
        for kind in kinds
        for k in which
      ]
      rows.append([title, *cells])
  columns = ['', *(f'{kind}, {k}' for kind in kinds for k in which)]
  return tables.Table('Foreign images: AUC of ensembles', columns, rows)


# Title -> (run of the pair, generation, way) that is compared, and with what.
STEPS = {
  'teachers: PC - none': ((0, 0, 'pc'), (0, 0, 'plain')),
  'teachers: TS - none': ((0, 0, 'ts'), (0, 0, 'plain')),
  'students - teachers': ((0, 1, 'plain'), (0, 0, 'plain')),
  'students + PC - teachers + PC': ((0, 1, 'pc'), (0, 0, 'pc')),
  'students of corrected teachers - teachers + PC': (
    (1, 1, 'plain'),
    (0, 0, 'pc'),
  ),
  'students of corrected teachers - students + PC': (
    (1, 1, 'plain'),
    (0, 1, 'pc'),
  ),
}


def differences(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Paired by seed: does a step help, before and after the correction?"""
  keys = {**PROBABILITIES, 'total': 'Total'}
  found = {
    f'{title}, {many}': [_gap(runs, names, step, what, key) for key in keys]
    for what, many in (('mean', 'single'), ('ensemble', 'ensemble'))
    for title, step in STEPS.items()
  }
  every = [
    one for row in found.values() for one in row if one.value is not None
  ]
  adjusted = iter(verdicts.holm([two_sided(one) for one in every]))

  def text(one: Estimate) -> str:
    if one.value is None:
      return tables.MISSING
    bold = '**' if next(adjusted) <= verdicts.LEVEL else ''
    return f'{bold}{one.signed()}{bold}'

  notes = [
    f"bold: differs from 0 at the level {verdicts.LEVEL} after Holm's adjustment "
    f'over the {len(every)} differences',
    *_immature(runs),
  ]
  rows = [[title, *map(text, row)] for title, row in found.items()]
  title = 'Differences, paired by seed'
  return tables.Table(title, ['', *keys.values()], rows, notes)


def _gap(runs, names, step, what: str, key: str) -> Estimate:
  """The difference of the two sides of a step, paired by seed."""
  gaps = []
  for pair in runs:
    both = [
      scores(pair[run], names[number], way, what).get(key)
      for run, number, way in step
    ]
    gaps.append(None if None in both else both[0] - both[1])
  return estimate(gaps)


def two_sided(one: Estimate) -> float:
  """p of no difference."""
  return min(1.0, 2 * min(verdicts.one_sided(one)))


def _immature(runs: Sequence[tuple[Run, Run]]) -> list[str]:
  """In how many seeds networks were still improving; see `report.validity`."""
  count = sum(
    any(run['validity']['improving'] for run in pair) for pair in runs
  )
  if not count:
    return []
  return [
    f'in {count} of {len(runs)} seeds networks were still improving when training '
    'ended: what helps after longer training may differ'
  ]


def everything(runs: Sequence[tuple[Run, Run]]) -> list[tables.Table]:
  """All tables of the page.

  Raises:
    ValueError: If the runs have no students, or are not corrected.
  """
  names = runs[0][0]['names']
  if len(names) < 2 or not runs[0][0]['generations'][names[0]].get('pc'):
    raise ValueError('expected runs with class weights and with students')
  makers = (metrics, probabilities, truths, foreign, differences)
  return [make(runs, names) for make in makers]


def main(argv: Sequence[str]):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('runs', type=pathlib.Path, help='folder of the runs')
  parser.add_argument('--out', type=pathlib.Path, help='a page with markers')
  args = parser.parse_args(argv)
  try:
    found = everything(pairs(args.runs))
    if args.out:
      tables.fill(args.out, found)
  except (OSError, ValueError) as error:
    parser.error(str(error))
  for table in found:
    table.print(rich.console.Console())


if __name__ == '__main__':
  main(sys.argv[1:])
