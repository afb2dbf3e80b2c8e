"""Tables of benchmarks/prior_correction.py: rows by method, cells over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import tables
from benchmarks.seeds import cell, estimate, two_sided
from emojax import tasks
from emojax.report import verdicts
from emojax.report.estimates import Estimate

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
# Of valence and arousal, which class weights do not bias.
ERRORS = {'va/rmse/valence': 'Valence RMSE', 'va/rmse/arousal': 'Arousal RMSE'}
UNITS = {f'au/nll/{unit}': unit for unit in tasks.AU12} | {'au/nll': 'mean'}
WAYS = {'plain': '', 'ts': ' + TS', 'mc': ' + MC dropout', 'pc': ' + PC'}
KINDS = {'mean': 'single', 'ensemble': 'ensemble'}
Run = Mapping[str, Any]
Pairs = Sequence[tuple[Run, Run]]


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


def _row(runs, title: str, keys, *, name, way, what='mean') -> list[str]:
  found = [scores(run, name, way, what) for run in runs]
  return [title, *(cell([one.get(key) for one in found]) for key in keys)]


def metrics(runs: Pairs, names) -> tables.Table:
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


def probabilities(runs: Pairs, names, numbers: str) -> tables.Table:
  """What the probabilities are worth: Tables 4 and 7, means of 3 and 6.

  Args:
    runs: By seed.
    names: Of the generations.
    numbers: Of the paper's tables, for the title.
  """
  columns = {**PROBABILITIES, **ERRORS}
  rows = _by_method(runs, names, columns, KINDS)
  best = [plain['optimum']['metrics'] for plain, _ in runs]
  cells = (cell([one.get(key) for one in best]) for key in columns)
  rows.append(['Bayes optimum', *cells])
  title = f'{numbers}: negative log-likelihood, calibration error, RMSE'
  return tables.Table(title, ['', *columns.values()], rows)


def units(runs: Pairs, names, number: str) -> tables.Table:
  """NLL of every action unit by single networks: Table 3, or 6 with voices."""
  rows = _by_method(runs, names, UNITS, ['mean'])
  best = [plain['optimum']['metrics'] for plain, _ in runs]
  cells = (cell([one.get(key) for one in best]) for key in UNITS)
  rows.append(['Bayes optimum', *cells])
  title = f'{number}: NLL of action units, single networks'
  return tables.Table(title, ['', *UNITS.values()], rows)


def _by_method(runs: Pairs, names, columns, kinds) -> list[list[str]]:
  """A row for each generation and way, with students of corrected teachers."""
  plain, corrected = zip(*runs)
  rows = []
  for what in kinds:
    many = KINDS[what]
    for name in names:
      for way, title in WAYS.items():
        if any(scores(run, name, way, what) for run in plain):
          label = f'{name}{title}, {many}'
          rows.append(
            _row(plain, label, columns, name=name, way=way, what=what)
          )
    for name in names[1:]:
      label = f'{name} of corrected teachers, {many}'
      rows.append(
        _row(corrected, label, columns, name=name, way='plain', what=what)
      )
  return rows


def balance(runs: Pairs, unbalanced: Sequence[Run], names) -> tables.Table:
  """Table 5: teachers with and without Algorithm 1, and what it changes.

  Args:
    runs: By seed.
    unbalanced: Runs of the same seeds with train.balance=off.
    names: Of the generations; the first are the teachers.
  """
  balanced = [plain for plain, _ in runs]
  keys, rows, gaps = {**SCORES, **PROBABILITIES}, [], {}
  for what, many in KINDS.items():
    for way in ('plain', 'pc'):
      of = {'name': names[0], 'way': way, 'what': what}
      tail = f'{WAYS[way]}, {many}'
      rows += [
        _row(unbalanced, f'without{tail}', keys, **of),
        _row(balanced, f'with{tail}', keys, **of),
      ]
      both = zip(
        (scores(run, names[0], way, what) for run in balanced),
        (scores(run, names[0], way, what) for run in unbalanced),
        strict=True,
      )
      both = list(both)
      gaps[f'with - without{tail}'] = [
        _paired([(a.get(key), b.get(key)) for a, b in both]) for key in keys
      ]
  changed, tested = _bold(gaps)
  title = 'Table 5: Algorithm 1, teachers'
  return tables.Table(title, ['', *keys.values()], rows + changed, [tested])


def _truth(run: Run, name: str, way: str, what: str) -> Mapping[str, Any]:
  found = run['generations'][name]
  found = found if way == 'plain' else found['pc']
  return found['truth']['single_mean' if what == 'mean' else what]


def truths(runs: Pairs, names) -> tables.Table:
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


def foreign(runs: Pairs, names) -> tables.Table:
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


def differences(runs: Pairs, names) -> tables.Table:
  """Paired by seed: does a step help, before and after the correction?"""
  keys = {**PROBABILITIES, 'total': 'Total'}
  found = {
    f'{title}, {many}': [_gap(runs, names, step, what, key) for key in keys]
    for what, many in KINDS.items()
    for title, step in STEPS.items()
  }
  rows, tested = _bold(found)
  title = 'Differences, paired by seed'
  notes = [tested, *_immature(runs)]
  return tables.Table(title, ['', *keys.values()], rows, notes)


def _bold(found: Mapping[str, Sequence[Estimate]]):
  """Rows of differences, in bold if beyond chance; what was tested.

  Args:
    found: Title -> differences.

  Returns:
    Rows of text, and the sentence about the test.
  """
  every = [
    one for row in found.values() for one in row if one.value is not None
  ]
  adjusted = iter(verdicts.holm([two_sided(one) for one in every]))

  def text(one: Estimate) -> str:
    if one.value is None:
      return tables.MISSING
    bold = '**' if next(adjusted) <= verdicts.LEVEL else ''
    return f'{bold}{one.signed()}{bold}'

  rows = [[title, *map(text, row)] for title, row in found.items()]
  return rows, (
    f"bold: differs from 0 at the level {verdicts.LEVEL} after Holm's adjustment "
    f'over the {len(every)} differences'
  )


def _gap(runs: Pairs, names, step, what: str, key: str) -> Estimate:
  """The difference of the two sides of a step, paired by seed."""
  one, other = step

  def score(pair, side):
    run, number, way = side
    return scores(pair[run], names[number], way, what).get(key)

  return _paired([(score(pair, one), score(pair, other)) for pair in runs])


def _paired(both: Sequence[tuple[float | None, float | None]]) -> Estimate:
  """Mean of first - second; unknown where one is."""
  return estimate([None if None in one else one[0] - one[1] for one in both])


def _immature(runs: Pairs) -> list[str]:
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
