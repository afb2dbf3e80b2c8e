"""The report of stacks of members on any data: what holds for every paper.

Runs that are evaluated again on other data have no numbers of a paper beside them,
and no claims. What is left is how good every stack is, single and as an ensemble,
what its probabilities are worth, and whether it notices foreign images.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from emojax.host import processes
from emojax.host.terminal import say
from emojax.report import (
  figures_uncertainty,
  files,
  page,
  prediction_sets,
  table,
)
from emojax.report.table import Cell, Section, Table, cells

Results = Mapping[str, Any]
TITLE = 'Trained networks on {dataset}'
EMOTION = {
  'au/score': 'AU',
  'au/f1': 'AU F1',
  'expr/score': 'EXPR',
  'expr/acc': 'EXPR accuracy',
  'expr/f1': 'EXPR F1',
  'va/ccc/valence': 'Valence',
  'va/ccc/arousal': 'Arousal',
  'total': 'Total',
}
PROBABILITIES = {
  'au/nll': 'AU NLL',
  'au/ece': 'AU ECE',
  'au/brier': 'AU Brier',
  'expr/nll': 'EXPR NLL',
  'expr/ece': 'EXPR ECE',
  'expr/brier': 'EXPR Brier',
  'va/rmse/valence': 'Valence RMSE',
  'va/rmse/arousal': 'Arousal RMSE',
}
SCORES = {
  'ensemble/total': 'ensemble, total',
  'ensemble/epistemic': 'ensemble, epistemic',
  'single/total': 'single, total',
  'mc/epistemic': 'MC, epistemic',
}
LEARNED = {
  'acc': 'Accuracy',
  'reject/10': 'without 10 %',
  'msp/10': '10 % by softmax',
  'reject/30': 'without 30 %',
  'msp/30': '30 % by softmax',
  'auroc/error': 'AUROC of errors',
  'auroc/error/msp': 'by softmax',
}


@processes.by_one
def write(folder: str | os.PathLike, clips=None) -> pathlib.Path:
  """Writes report.md, report.html and figures of results.json.

  Args:
    folder: Where results.json, curves.json and `predictions/` are.
    clips: Unused: no frames are shown.

  Returns:
    Path of `report.html`.

  Raises:
    FileNotFoundError: If the folder has no results.
  """
  del clips
  folder = pathlib.Path(folder)
  results = files.read_json(folder, 'results.json')
  curves = files.read_json(folder, 'curves.json')
  found = files.draw(folder / 'figures', _figures(results, curves))
  title = TITLE.format(dataset=results['dataset'])
  blocks = [
    page.Paragraph(headline(results), lead=True),
    *tables(results),
    *found.values(),
    *prediction_sets.section(prediction_sets.of_generations(results)),
    page.Heading('Where this comes from'),
    page.Facts(_facts(results)),
  ]
  return files.write(folder, title, blocks)


def terminal(results: Results, console: Console):
  """Prints the headline and the tables, as wide as they fit."""
  say(console, headline(results), wrap=True)
  for item in tables(results):
    table.show(item, console)


def headline(results: Results) -> str:
  """What was scored."""
  stacks = ', '.join(
    f'{name} ({one["num_members"]})'
    for name, one in results['generations'].items()
  )
  split = results.get('split_name', results['split'])
  return (
    f'Stacks (members): {stacks}; {results["num_frames"]:,} frames of the '
    f'{split} split of {results["dataset"]}.'
  )


def tables(results: Results) -> list[Table]:
  """The tables that the results have numbers for."""
  found = [
    _scores(results, 'Emotion metrics', EMOTION, 'high', ''),
    _scores(
      results,
      'What probabilities are worth',
      PROBABILITIES,
      'low',
      'TS: temperature scaling with test-time cross-validation; MC: Monte Carlo '
      'passes, means over them.',
    ),
    _foreign(results),
    _learned(results),
  ]
  return [one for one in found if one is not None]


def _scores(
  results: Results, title: str, columns: Mapping[str, str], better, note
) -> Table | None:
  """Single members and ensembles of every stack."""
  first = next(iter(results['generations'].values()))
  keys = [key for key in columns if key in first['ensemble']]
  if not keys:
    return None
  sections = [
    Section(name, _rows(one, keys))
    for name, one in results['generations'].items()
  ]
  if results.get('optimum'):
    best = cells(keys, results['optimum']['metrics'])
    sections.append(Section('Known posteriors', [('Bayes optimum', best)]))
  return Table(
    title=title,
    columns=[columns[key] for key in keys],
    sections=sections,
    better=[better] * len(keys),
    note=(
      'Singles are mean ± standard deviation over the members; the best of a section '
      f'is bold. {note}'
    ).strip(),
  )


def _rows(one: Results, keys) -> list[tuple[str, list[Cell]]]:
  """Rows of a stack; those of baselines have the probabilities only."""
  rows = [
    ('single', cells(keys, one['single_mean'], one['single_std'])),
    ('ensemble', cells(keys, one['ensemble'])),
  ]
  scaled = (one.get('ts') or {}).get('test_time')
  for word, found in (('TS', scaled), ('MC', one.get('mc'))):
    if found and any(key in found['mean'] for key in keys):
      rows.append((f'{word}, single', cells(keys, found['mean'], found['std'])))
      if 'ensemble' in found:
        rows.append((f'{word}, ensemble', cells(keys, found['ensemble'])))
  return rows


def _foreign(results: Results) -> Table | None:
  """AUROCs of telling foreign images; None without such sets."""
  generations = results['generations']
  keys = [
    key
    for key in SCORES
    if any(
      key in aucs
      for one in generations.values()
      for aucs in one['ood'].values()
    )
  ]
  if not keys:
    return None
  return Table(
    title='AUROC of telling foreign images by uncertainty',
    columns=[SCORES[key] for key in keys],
    sections=[
      Section(
        name, [(kind, cells(keys, a)) for kind, a in one['ood'].items()], False
      )
      for name, one in generations.items()
    ],
    better=['high'] * len(keys),
  )


def _learned(results: Results) -> Table | None:
  """What networks that have learned to doubt make of it; None of others."""
  found = results.get('learned')
  if not found:
    return None
  rows = [
    (name, cells(list(LEARNED), one['mean'], one['std']))
    for name, one in found.items()
  ]
  return Table(
    title='Learned uncertainty: rejection and detection of errors',
    columns=list(LEARNED.values()),
    sections=[Section('Means over the members', rows)],
    better=['high'] * len(LEARNED),
    note='Accuracy of what is left when the most uncertain images are rejected, by '
    'what the method has learned and by one minus the highest probability.',
  )


def _figures(results: Results, curves):
  """Yields (file name, function that draws it or returns None, caption)."""
  draw = figures_uncertainty
  yield (
    'reliability',
    lambda: draw.reliability(results, curves, 'ensemble'),
    'Reliability of the ensembles: share of right answers by confidence. Bins of '
    f'fewer than {draw.FEWEST} are not drawn above.',
  )
  yield (
    'rejection',
    lambda: draw.rejection(results, curves),
    'Error of the frames that are kept when the most uncertain ones are rejected.',
  )
  yield (
    'ood',
    lambda: draw.ood_roc(results, curves),
    'Telling foreign images by the epistemic uncertainty of the ensembles.',
  )


def _facts(results: Results) -> list[tuple[str, str]]:
  """Rows about data, networks and what the reader must know."""
  where = results.get('evaluation') or {}
  rows = [
    ('Run', str(where.get('run', '–'))),
    ('Trained on', str(where.get('trained_on', '–'))),
    ('Members', ', '.join(map(str, where.get('members', [])))),
  ]
  notes = [*where.get('notes', [])]
  for one in results['generations'].values():
    notes += [note for note in one.get('notes', []) if note not in notes]
  return [*rows, *(('Note', note) for note in notes)]
