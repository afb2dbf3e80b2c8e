"""The tables of a distillation run, each beside those of paper 000.

A table is left out where its task is not part of the run. Rows of the paper
carry only the columns that the run has, found by metric name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from emojax.experiments.distillation import published
from emojax.experiments.distillation.comparability import (
  learned_corrected,
  same_data,
  split_name,
)
from emojax.report.table import Section, Table, cells

Results = Mapping[str, Any]
_HEADERS = {
  'au/score': 'AU',
  'expr/score': 'EXPR',
  'va/ccc/valence': 'Valence',
  'va/ccc/arousal': 'Arousal',
  'total': 'Total',
  'au/nll': 'Mean',
  'expr/nll': 'EXPR NLL',
  'va/rmse/valence': 'Valence RMSE',
  'va/rmse/arousal': 'Arousal RMSE',
}
EMOTION = tuple(_HEADERS)[:5]
OTHER = tuple(_HEADERS)[6:]


def comparability(results: Results) -> str:
  """What may be compared between this run's rows and the paper's."""
  if same_data(results):
    return (
      'Same data set as the paper. All valid frames are scored here; the '
      'published code leaves out incomplete 64-frame windows.'
    )
  return (
    f"This run's numbers are from {results['dataset']} ({split_name(results)} "
    "set), the paper's from Aff-Wild2: other data, so that levels cannot be "
    'compared, only directions: which row of a section is better, and whether '
    'it is the same row in the paper.'
  )


def reminder(results: Results) -> str:
  """`comparability` in a few words, for below a table."""
  if same_data(results):
    return 'Same data set as the paper.'
  return "Other data than the paper's: compare directions, not levels."


def header(key: str) -> str:
  """Column title of a metric."""
  return _HEADERS.get(key, key.rsplit('/', 1)[-1])


def _present(results: Results, keys: Sequence[str]) -> list[str]:
  first = results['generations'][results['names'][0]]
  return [key for key in keys if key in first['ensemble']]


def _here(results: Results) -> str:
  return f'This run: {results["dataset"]}, {split_name(results)} set'


def single_and_ensemble(results: Results, names, keys, prefix: bool):
  """Two rows for each of some generations."""
  rows = []
  for name in names:
    run = results['generations'][name]
    label = f'{name}, ' if prefix else ''
    rows.append(
      (
        f'{label}single',
        cells(keys, run['single_mean'], run['single_std']),
      )
    )
    rows.append(
      (
        f'{label}ensemble (T = {run["num_members"]})',
        cells(keys, run['ensemble']),
      )
    )
  return rows


def corrected(results: Results) -> dict[str, Mapping[str, Any]]:
  """Label -> scores of the generations that are corrected for class weights.

  Empty in runs without weights, and in those that were scored before.
  """
  found = {
    name: results['generations'][name].get('pc') for name in results['names']
  }
  return {f'PC of {name}': one for name, one in found.items() if one}


PC_NOTE = (
  'PC: prior correction, the log weights of the classes in training subtracted '
  'from the logits; nothing is fitted.'
)
_HANDED_ON = (
  " Students without weights of their own have learned their teachers' and are "
  'corrected by the same.'
)
_NOT_HANDED_ON = ' Students have learned corrected answers: there is nothing to correct in them.'


def note(results: Results, text: str) -> str:
  """A note, with sentences about PC where there are such rows."""
  if not corrected(results):
    return text
  handed = _NOT_HANDED_ON if learned_corrected(results) else _HANDED_ON
  return f'{text} {PC_NOTE}{handed if len(results["names"]) > 1 else ""}'


def corrected_section(results: Results, names, keys) -> list[Section]:
  """Two rows for each corrected generation, or no section."""
  rows = []
  for name in names:
    pc = results['generations'][name].get('pc')
    if pc:
      rows.append((f'{name}, single', cells(keys, pc['mean'], pc['std'])))
      count = len(pc['members'])
      ensemble = cells(keys, pc['ensemble'])
      rows.append((f'{name}, ensemble (T = {count})', ensemble))
  title = f'{_here(results)}, prior correction (PC)'
  return [Section(title, rows)] if rows else []


def teachers(results: Results) -> Table | None:
  """Table 1: teachers, single models and their ensemble."""
  keys = _present(results, EMOTION)
  name = results['names'][0]
  here = single_and_ensemble(results, [name], keys, prefix=False)
  sections = [Section(f'{_here(results)}, {name}', here)]
  sections += corrected_section(results, [name], keys)
  for reweighted in (True, False):
    rows = [
      (f'T = {size}', cells(keys, values))
      for (weights, size), values in published.TABLE1.items()
      if weights == reweighted
    ]
    title = 'with' if reweighted else 'without'
    sections.append(
      Section(f'Paper, EMENet-V, {title} class re-weighting', rows)
    )
  return Table(
    title='Table 1. Emotion metrics of the teachers',
    columns=[header(key) for key in keys],
    sections=sections,
    better=['high'] * len(keys),
    digits=4,
    note=note(
      results,
      'Singles are mean ± standard deviation over the members; here and below the '
      'best of a section is bold, where its rows compete.',
    )
    + ' '
    + reminder(results),
  )


def generations(results: Results) -> Table | None:
  """Table 2: emotion metrics of every generation."""
  keys = _present(results, EMOTION)
  here = single_and_ensemble(results, results['names'], keys, prefix=True)
  paper = [
    (f'EMENet-{model}, {name}, T = {size}', cells(keys, values))
    for (model, name, size), values in published.TABLE2.items()
  ]
  return Table(
    title='Table 2. Emotion metrics by generation',
    columns=[header(key) for key in keys],
    sections=[
      Section(_here(results), here),
      *corrected_section(results, results['names'], keys),
      Section('Paper, Aff-Wild2 test set', paper, ranked=False),
    ],
    better=['high'] * len(keys),
    digits=4,
    note=note(
      results,
      "The paper's rows are its submissions to the challenge's hidden test set.",
    )
    + ' '
    + reminder(results),
  )


def _uncertainty_rows(results: Results, keys):
  """Single models by generation, TS and MC of the teachers, then PC."""

  def spread(values):
    # Thirteen columns have no room for the deviation of each AU.
    return {
      k: v for k, v in values.items() if k.count('/') < 2 or len(keys) < 5
    }

  rows = []
  for name in results['names']:
    run = results['generations'][name]
    rows.append(
      (name, cells(keys, run['single_mean'], spread(run['single_std'])))
    )
  first = results['generations'][results['names'][0]]
  for method, title in (('ts', 'TS'), ('mc', 'MC')):
    found = first.get(method)
    if found:
      found = found['test_time'] if method == 'ts' else found
      name = f'{title} of {results["names"][0]}'
      rows.append((name, cells(keys, found['mean'], spread(found['std']))))
  rows += [
    (name, cells(keys, pc['mean'], spread(pc['std'])))
    for name, pc in corrected(results).items()
  ]
  return rows


def _ensemble_rows(results: Results, keys):
  rows = [
    (name, cells(keys, results['generations'][name]['ensemble']))
    for name in results['names']
  ]
  first = results['generations'][results['names'][0]]
  scaled = (first.get('ts') or {}).get('test_time', {})
  for found, title in ((scaled, 'TS'), (first.get('mc') or {}, 'MC')):
    if 'ensemble' in found:
      name = f'{title} of {results["names"][0]}'
      rows.append((name, cells(keys, found['ensemble'])))
  rows += [
    (name, cells(keys, pc['ensemble']))
    for name, pc in corrected(results).items()
  ]
  if results.get('optimum'):
    rows.append(('Bayes optimum', cells(keys, results['optimum']['metrics'])))
  if alone := results.get('frame_optimum'):
    name = 'Bayes optimum of single silent frames'
    rows.append((name, cells(keys, alone['metrics'])))
  return rows


def _uncertainty(results: Results, title, keys, printed, headers, text):
  here = _here(results)
  model = f'EMENet-{results["modality"]}'
  paper = [(row, cells(keys, values)) for row, values in printed.items()]
  return Table(
    title=title,
    columns=headers,
    sections=[
      Section(f'{here}, single models', _uncertainty_rows(results, keys)),
      Section(
        f'{here}, ensembles', _ensemble_rows(results, keys), ranked=False
      ),
      Section(f'Paper, {model}, single models', paper),
    ],
    better=['low'] * len(keys),
    note=f'{note(results, text)} {reminder(results)}',
  )


def au_nll(results: Results) -> Table | None:
  """Table 3 (EMENet-VA: Table 6): NLL of every action unit."""
  labels = [
    label
    for task in results['schema']
    if task['name'] == 'au'
    for label in task['labels']
  ]
  keys = _present(results, [f'au/nll/{label}' for label in labels] + ['au/nll'])
  if not keys:
    return None
  visual = results['modality'] == 'V'
  return _uncertainty(
    results,
    title=f'Table {3 if visual else 6}. Negative log-likelihood of the AUs',
    keys=keys,
    printed=published.TABLE3 if visual else published.TABLE6,
    headers=[header(key) for key in keys],
    text='TS: temperature scaling of single teachers with test-time '
    'cross-validation; MC: Monte Carlo dropout of single teachers.',
  )


def other_nll(results: Results) -> Table | None:
  """Table 4 (EMENet-VA: Table 7): expression NLL, valence and arousal RMSE."""
  keys = _present(results, OTHER)
  if not keys:
    return None
  visual = results['modality'] == 'V'
  return _uncertainty(
    results,
    title=f'Table {4 if visual else 7}. Expressions, valence and arousal',
    keys=keys,
    printed=published.TABLE4 if visual else published.TABLE7,
    headers=[header(key) for key in keys],
    text='Temperature scaling optimises the NLL and is not applied to valence '
    'and arousal.',
  )


def balancing(runs: Mapping[str, Results]) -> Table | None:
  """Table 5: teachers with and without Algorithm 1.

  Args:
    runs: Results by label, such as 'without balancing' and 'with balancing'.
  """
  if not runs:
    return None
  first = next(iter(runs.values()))
  keys = _present(first, EMOTION)
  rows = []
  for label, results in runs.items():
    teacher = results['names'][:1]
    found = single_and_ensemble(results, teacher, keys, prefix=False)
    rows += [(f'{label}, {name}', cells) for name, cells in found]
  paper = [
    (f'{"with" if on else "without"} balancing, T = {size}', cells(keys, row))
    for (on, size), row in published.TABLE5.items()
  ]
  return Table(
    title='Table 5. Multitask balancing (Algorithm 1), teachers',
    columns=[header(key) for key in keys],
    sections=[
      Section(_here(first), rows),
      Section('Paper, EMENet-V', paper),
    ],
    better=['high'] * len(keys),
    digits=4,
    note=reminder(first),
  )


def all_tables(
  results: Results, runs: Mapping[str, Results] | None = None
) -> list[Table]:
  """All tables that the run has numbers for, in the paper's order."""
  found = [
    teachers(results),
    generations(results),
    au_nll(results),
    other_nll(results),
    balancing(runs or {}),
  ]
  return [table for table in found if table is not None]
