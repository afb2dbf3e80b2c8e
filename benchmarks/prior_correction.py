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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import rich.console

from benchmarks import tables
from emojax.evaluation import intervals
from emojax.host import files

KINDS = ('plain', 'corrected')
START, END = '<!-- tables -->', '<!-- end of tables -->'
TRUTH = {'expr': 'EXPR', 'au': 'AU'}
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
Read = Callable[[str], float]


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


def cell(values: Sequence[float | None], signed: bool = False) -> str:
  """Mean of the seeds and half the width of its 95 % interval."""
  if any(value is None for value in values):
    return tables.MISSING
  mean, error = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
  one = intervals.student(mean, error, len(values) - 1)
  margin = float(one.high - one.value)
  return f'{mean:{"+" if signed else ""}.3f} ± {margin:.3f}'


def _row(runs, title: str, keys, *, name, way, what='mean') -> list[str]:
  found = [scores(run, name, way, what) for run in runs]
  return [title, *(cell([one.get(key) for one in found]) for key in keys)]


def _students(names: Sequence[str]) -> Sequence[str]:
  return names[1:]


def metrics(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Tables 1 and 2: emotion metrics."""
  plain, corrected = zip(*runs)
  rows = []
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    for name in names:
      for way, title in (('plain', ''), ('pc', ' + PC')):
        label = f'{name}{title}, {many}'
        rows.append(_row(plain, label, SCORES, name=name, way=way, what=what))
    for name in _students(names):
      label = f'{name} of corrected teachers, {many}'
      row = _row(corrected, label, SCORES, name=name, way='plain', what=what)
      rows.append(row)
  title = 'Tables 1 and 2: emotion metrics'
  return tables.Table(title, ['', *SCORES.values()], rows)


def probabilities(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Table 3 and Figure 5: what the probabilities are worth."""
  plain, corrected = zip(*runs)
  ways = {'plain': '', 'ts': ' + TS', 'mc': ' + MC dropout', 'pc': ' + PC'}
  rows = []
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    for name in names:
      for way, title in ways.items():
        if any(scores(run, name, way, what) for run in plain):
          label, keys = f'{name}{title}, {many}', PROBABILITIES
          rows.append(_row(plain, label, keys, name=name, way=way, what=what))
    for name in _students(names):
      label, keys = f'{name} of corrected teachers, {many}', PROBABILITIES
      rows.append(
        _row(corrected, label, keys, name=name, way='plain', what=what)
      )
  best = [run['optimum']['metrics'] for run in plain]
  rows.append(
    ['Bayes optimum', *(cell([b.get(k) for b in best]) for k in PROBABILITIES)]
  )
  title = 'Table 3 and Figure 5: negative log-likelihood and calibration error'
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
    for name in _students(names)
  ]
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    for stack, title, name, way in versions:
      found = [_truth(run, name, way, what) for run in stack]
      cells = [cell([f[t][k] for f in found]) for t in TRUTH for k in keys]
      rows.append([f'{title}, {many}', *cells])
  title = 'Against the known posteriors'
  return tables.Table(title, columns, rows)


def foreign(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Table 4's question on foreign images: AUC of the ensembles' uncertainty."""
  plain, corrected = zip(*runs)
  kinds = list(plain[0]['generations'][names[0]]['ood'])
  which = ('total', 'epistemic')
  rows = []
  for name in names:
    versions = [
      (plain, name, lambda g: g['ood']),
      (plain, f'{name} + PC', lambda g: g['pc']['ood']),
    ]
    if name in _students(names):
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


def differences(runs: Sequence[tuple[Run, Run]], names) -> tables.Table:
  """Paired by seed: does a step help, before and after the correction?"""
  teacher, student = names[0], names[1]
  keys = {**PROBABILITIES, 'total': 'Total'}

  def of(run, name, way, what):
    return lambda key: scores(run, name, way, what).get(key)

  def steps(plain, corrected, what) -> dict[str, tuple[Read, Read]]:
    tea, tea_pc = (of(plain, teacher, way, what) for way in ('plain', 'pc'))
    stu, stu_pc = (of(plain, student, way, what) for way in ('plain', 'pc'))
    own = of(corrected, student, 'plain', what)
    return {
      'teachers: PC - none': (tea_pc, tea),
      'teachers: TS - none': (of(plain, teacher, 'ts', what), tea),
      'students - teachers': (stu, tea),
      'students + PC - teachers + PC': (stu_pc, tea_pc),
      'students of corrected teachers - teachers + PC': (own, tea_pc),
      'students of corrected teachers - students + PC': (own, stu_pc),
    }

  rows = []
  for what, many in (('mean', 'single'), ('ensemble', 'ensemble')):
    found = [steps(*pair, what) for pair in runs]
    for title in found[0]:
      cells = []
      for key in keys:
        both = [[read(key) for read in one[title]] for one in found]
        known = all(None not in pair for pair in both)
        gaps = [a - b for a, b in both] if known else [None]
        cells.append(cell(gaps, signed=True))
      rows.append([f'{title}, {many}', *cells])
  title = 'Differences, paired by seed'
  return tables.Table(title, ['', *keys.values()], rows)


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


def write(path: pathlib.Path, found: Sequence[tables.Table]):
  """Puts tables between the markers of a page.

  Raises:
    ValueError: If the page has no such markers.
  """
  text = path.read_text()
  if START not in text or END not in text:
    raise ValueError(f'{path} has no lines {START} and {END}')
  before, rest = text.split(START, 1)
  after = rest.split(END, 1)[1]
  body = '\n\n'.join(table.markdown() for table in found)
  made = f'{before}{START}\n\n{body}\n\n{END}{after}'
  files.write_bytes(path, made.encode())


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
      write(args.out, found)
  except (OSError, ValueError) as error:
    parser.error(str(error))
  for table in found:
    table.print(rich.console.Console())


if __name__ == '__main__':
  main(sys.argv[1:])
