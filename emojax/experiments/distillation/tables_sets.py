"""Prediction sets: how often they hold the truth, how large, and for whom not."""

from collections.abc import Mapping, Sequence
from typing import Any

from emojax.evaluation.coverage_generation import COVERAGES, SHOWN
from emojax.report.table import Cell, Section, Table

Results = Mapping[str, Any]
_TITLES = {
  'held_out': 'thresholds of the validation set, as exported',
  'halves': 'thresholds of half of the subjects, tested on the others',
}
_NOTE = (
  'Conformal prediction sets of the ensembles, calibrated and counted by subject, '
  'without class weights where there were any. Brackets: the exact 95 % band of '
  'what is to be seen if the promise is kept (one frame a subject; several vary '
  'less); < and > lie outside. Of methods with several parts (action units by '
  'state, classes, valence and arousal) the mean, and how many parts are inside '
  'theirs. "all" where too few subjects are there for any promise: the sets hold '
  'everything. Size: classes, share of the units that are unsure, width within '
  '[-1, 1]. The validation set has chosen the epochs, too. What this means: '
  'docs/guarantees.md.'
)
_OTHER = (
  ' Labels of {} are shares of votes in one of both sets and the most frequent '
  'class in the other: thresholds of one promise another thing than is counted.'
)


def _sections(results: Results):
  """Yields (generation, calibrated on what, task -> method -> measures)."""
  for name in results['names']:
    found = results['generations'][name].get('sets') or {}
    for key, title in _TITLES.items():
      if found.get(key):
        yield name, title, found[key]


def _rows(tasks_: Mapping[str, Any]):
  for task, methods in tasks_.items():
    for method, by_level in methods.items():
      yield f'{task.upper()}, {method}', by_level


def coverage_text(one: Mapping[str, Any]) -> str:
  """Coverage with its band, or with how many parts are inside theirs."""
  parts = [part for part in one['parts'].values() if not part['infinite']]
  if not parts:
    return 'all'
  if len(one['parts']) > 1:
    inside = sum(not outside(part) for part in parts)
    return f'{one["coverage"]:.3f} ({inside} of {len(parts)})'
  low, high = parts[0]['band']
  return f'{outside(parts[0])}{one["coverage"]:.3f} [{low:.3f}, {high:.3f}]'


def outside(part: Mapping[str, Any]) -> str:
  """'<' or '>' where a coverage lies outside its band, else ''."""
  low, high = part['band']
  if part['coverage'] < low - 1e-9:
    return '<'
  return '>' if part['coverage'] > high + 1e-9 else ''


def coverage(results: Results) -> Table | None:
  """Coverage and size; None for results of before there were sets."""
  sections = [
    Section(
      f'{name}, {title}', [(n, _cells(x)) for n, x in _rows(found)], False
    )
    for name, title, found in _sections(results)
  ]
  if not sections:
    return None
  columns = [f'{c:.0%}' for c in COVERAGES]
  columns += [f'Size at {SHOWN:.0%}', 'Size, single models']
  return Table(
    title='Prediction sets: coverage and size',
    columns=columns,
    sections=sections,
    better=[''] * len(columns),
    note=_NOTE + _other(results),
  )


def _cells(by_level: Mapping[str, Any]) -> list[Cell | str]:
  shown = by_level[str(SHOWN)]
  found: list[Cell | str] = [coverage_text(x) for x in by_level.values()]
  single = (shown.get('single') or {}).get('size')
  return [*found, Cell(shown['size']), Cell(single)]


def _other(results: Results) -> str:
  names = {
    task
    for name in results['names']
    for task in (results['generations'][name].get('sets') or {}).get(
      'other_labels', ()
    )
  }
  return _OTHER.format(', '.join(sorted(names))) if names else ''


def worst(results: Results) -> Table | None:
  """Classes, sizes and subjects whose sets hold the truth least often."""
  sections = [
    Section(
      f'{name}, {title}', [(n, _cases(x)) for n, x in _rows(found)], False
    )
    for name, title, found in _sections(results)
  ]
  if not sections:
    return None
  return Table(
    title=f'Prediction sets of {SHOWN:.0%}: the worst cases',
    columns=['Class or part', 'Size', 'Subjects'],
    sections=sections,
    better=[''] * 3,
    note=(
      'Coverage in brackets. A promise holds for all frames together, not for '
      'those of a class, of a size or of a person. Subjects: those with five '
      'frames or more.'
    ),
  )


def _cases(by_level: Mapping[str, Any]) -> list[Cell | str]:
  shown = by_level[str(SHOWN)]
  if all(part['infinite'] for part in shown['parts'].values()):
    return [Cell(None)] * 3  # who is in a set of everything tells nothing
  told = shown['by_class'] or shown['parts']
  sizes = {f'{x["size"]:.3g}': x for x in shown['by_size']}
  people = {x['subject']: x for x in shown['worst']}
  return [_named(told, 1), _named(sizes, 1), _named(people, 2)]


def _named(told: Mapping[str, Mapping], count: int) -> str:
  names: Sequence[str] = sorted(told, key=lambda n: told[n]['coverage'])
  return ', '.join(f'{n} ({told[n]["coverage"]:.2f})' for n in names[:count])
