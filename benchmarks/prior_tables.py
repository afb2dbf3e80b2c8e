"""Tables of benchmarks/prior_correction.py: rows by method, cells over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


class Study(NamedTuple):
  """Results of finished runs, by seed.

  Attributes:
    plain: Runs whose teachers hand on what they say.
    corrected: Runs with the same teachers, corrected before; or none.
    unbalanced: Teachers without Algorithm 1; or none.
  """

  plain: Sequence[Run]
  corrected: Sequence[Run] = ()
  unbalanced: Sequence[Run] = ()

  @property
  def names(self) -> list[str]:
    """Of the generations; the first are the teachers."""
    return self.plain[0]['names']

  @property
  def students_of_corrected(self) -> list[str]:
    """Generations that corrected teachers have taught."""
    return self.names[1:] if self.corrected else []


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


def metrics(study: Study) -> tables.Table:
  """Tables 1 and 2: emotion metrics."""
  rows = _by_method(study, SCORES, KINDS, ('plain', 'pc'))
  title = 'Tables 1 and 2: emotion metrics'
  return tables.Table(title, ['', *SCORES.values()], rows)


def probabilities(study: Study, numbers: str) -> tables.Table:
  """What the probabilities are worth: Tables 4 and 7, means of 3 and 6.

  Args:
    study: Results.
    numbers: Of the paper's tables, for the title.
  """
  columns = {**PROBABILITIES, **ERRORS}
  rows = [*_by_method(study, columns, KINDS, WAYS), _optimum(study, columns)]
  title = f'{numbers}: negative log-likelihood, calibration error, RMSE'
  return tables.Table(title, ['', *columns.values()], rows)


def units(study: Study, number: str) -> tables.Table:
  """NLL of every action unit by single networks: Table 3, or 6 with voices."""
  rows = [*_by_method(study, UNITS, ['mean'], WAYS), _optimum(study, UNITS)]
  title = f'{number}: NLL of action units, single networks'
  return tables.Table(title, ['', *UNITS.values()], rows)


def _by_method(study: Study, columns, kinds, ways) -> list[list[str]]:
  """A row for each generation and way, with students of corrected teachers."""
  rows = []
  for what in kinds:
    many = KINDS[what]
    for name in study.names:
      for way in ways:
        if any(scores(run, name, way, what) for run in study.plain):
          label, of = f'{name}{WAYS[way]}, {many}', (name, way, what)
          rows.append(_row(study.plain, label, columns, *of))
    for name in study.students_of_corrected:
      label, of = f'{name} of corrected teachers, {many}', (name, 'plain', what)
      rows.append(_row(study.corrected, label, columns, *of))
  return rows


def _row(runs, title: str, keys, name, way, what) -> list[str]:
  found = [scores(run, name, way, what) for run in runs]
  return [title, *(cell([one.get(key) for one in found]) for key in keys)]


def _optimum(study: Study, keys) -> list[str]:
  best = [run['optimum']['metrics'] for run in study.plain]
  return [
    'Bayes optimum',
    *(cell([one.get(key) for one in best]) for key in keys),
  ]


def balance(study: Study) -> tables.Table:
  """Table 5: teachers with and without Algorithm 1, and what it changes."""
  keys, rows, gaps = {**SCORES, **PROBABILITIES}, [], {}
  for what, many in KINDS.items():
    for way in ('plain', 'pc'):
      of, tail = (study.names[0], way, what), f'{WAYS[way]}, {many}'
      rows += [
        _row(study.unbalanced, f'without{tail}', keys, *of),
        _row(study.plain, f'with{tail}', keys, *of),
      ]
      one, other = (
        [scores(run, *of) for run in runs]
        for runs in (study.plain, study.unbalanced)
      )
      gaps[f'with - without{tail}'] = [
        _paired(
          [(a.get(key), b.get(key)) for a, b in zip(one, other, strict=True)]
        )
        for key in keys
      ]
  changed, tested = _bold(gaps)
  title = 'Table 5: Algorithm 1, teachers'
  return tables.Table(title, ['', *keys.values()], rows + changed, [tested])


def _truth(run: Run, name: str, way: str, what: str) -> Mapping[str, Any]:
  found = run['generations'][name]
  found = found if way == 'plain' else found['pc']
  return found['truth']['single_mean' if what == 'mean' else what]


def _versions(study: Study):
  """(runs, title, generation, way) of all that has its own probabilities."""
  for name in study.names:
    for way in ('plain', 'pc'):
      yield study.plain, f'{name}{WAYS[way]}', name, way
  for name in study.students_of_corrected:
    yield study.corrected, f'{name} of corrected teachers', name, 'plain'


def truths(study: Study) -> tables.Table:
  """What only known posteriors can tell: excess, and order of the entropies."""
  columns, rows = [''], []
  keys = ('excess_nll', 'spearman_total')
  for task in TRUTH.values():
    columns += [f'{task} excess NLL', f'{task} entropy, Spearman']
  for what, many in KINDS.items():
    for runs, title, name, way in _versions(study):
      found = [_truth(run, name, way, what) for run in runs]
      cells = [cell([f[t][k] for f in found]) for t in TRUTH for k in keys]
      rows.append([f'{title}, {many}', *cells])
  title = 'Against the known posteriors'
  return tables.Table(title, columns, rows)


def foreign(study: Study) -> tables.Table:
  """Foreign images: AUC of the ensembles' uncertainty."""
  kinds = list(study.plain[0]['generations'][study.names[0]]['ood'])
  which = ('total', 'epistemic')
  rows = []
  for runs, title, name, way in _versions(study):
    found = [run['generations'][name] for run in runs]
    found = [(one if way == 'plain' else one['pc'])['ood'] for one in found]
    cells = [
      cell([f[kind].get(f'ensemble/{k}') for f in found])
      for kind in kinds
      for k in which
    ]
    rows.append([title, *cells])
  columns = ['', *(f'{kind}, {k}' for kind in kinds for k in which)]
  return tables.Table('Foreign images: AUC of ensembles', columns, rows)


# Title -> (runs, generation, way) that is compared, and with what.
STEPS = {
  'teachers: PC - none': (('plain', 0, 'pc'), ('plain', 0, 'plain')),
  'teachers: TS - none': (('plain', 0, 'ts'), ('plain', 0, 'plain')),
  'students - teachers': (('plain', 1, 'plain'), ('plain', 0, 'plain')),
  'students + PC - teachers + PC': (('plain', 1, 'pc'), ('plain', 0, 'pc')),
  'students of corrected teachers - teachers + PC': (
    ('corrected', 1, 'plain'),
    ('plain', 0, 'pc'),
  ),
  'students of corrected teachers - students + PC': (
    ('corrected', 1, 'plain'),
    ('plain', 1, 'pc'),
  ),
}


def differences(study: Study) -> tables.Table:
  """Paired by seed: does a step help, before and after the correction?"""
  keys = {**PROBABILITIES, 'total': 'Total'}
  found = {
    f'{title}, {many}': [_gap(study, step, what, key) for key in keys]
    for what, many in KINDS.items()
    for title, step in STEPS.items()
    if study.corrected or step[0][0] != 'corrected'
  }
  rows, tested = _bold(found)
  title = 'Differences, paired by seed'
  notes = [tested, *_immature(study)]
  return tables.Table(title, ['', *keys.values()], rows, notes)


def _gap(study: Study, step, what: str, key: str) -> Estimate:
  """The difference of the two sides of a step, paired by seed."""
  one, other = (
    [
      scores(run, study.names[number], way, what).get(key)
      for run in getattr(study, runs)
    ]
    for runs, number, way in step
  )
  return _paired(list(zip(one, other, strict=True)))


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


def _paired(both: Sequence[tuple[float | None, float | None]]) -> Estimate:
  """Mean of first - second; unknown where one is."""
  gaps = [
    None if first is None or second is None else first - second
    for first, second in both
  ]
  return estimate(gaps)


def _immature(study: Study) -> list[str]:
  """In how many seeds networks were still improving; see `report.validity`."""
  both = [study.plain, *([study.corrected] if study.corrected else [])]
  count = sum(
    any(run['validity']['improving'] for run in runs)
    for runs in zip(*both, strict=True)
  )
  if not count:
    return []
  return [
    f'in {count} of {len(study.plain)} seeds networks were still improving when '
    'training ended: what helps after longer training may differ'
  ]
