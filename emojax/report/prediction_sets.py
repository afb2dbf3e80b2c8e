"""Prediction sets: how often they hold the truth, how large, and for whom not.

What is shown is of `evaluation.coverage_generation`, by the name of a stack of
networks; a stack that has none is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emojax.evaluation.coverage_generation import COVERAGES, SHOWN
from emojax.report import page
from emojax.report.table import Cell, Section, Table

Found = Mapping[str, Mapping[str, Any] | None]  # by name
TITLE = 'Prediction sets'
_TITLES = {
  'held_out': 'thresholds of the validation set, as exported',
  'halves': 'thresholds of half of the subjects, tested on the others',
}
_NOTE = (
  'Conformal prediction sets of the ensembles (all members of a stack, as exports '
  'have them), calibrated and counted by subject, '
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


def of_generations(results: Mapping[str, Any]) -> Found:
  """What results.json of an evaluation says; results of before have none."""
  return {name: one.get('sets') for name, one in results['generations'].items()}


def tables(found: Found, by: str = 'stack') -> list[Table]:
  """The tables that there are numbers for; arguments as of `coverage`."""
  made = coverage(found, by), worst(found, by)
  return [table for table in made if table is not None]


def section(found: Found, by: str = 'stack') -> list[page.Block]:
  """A heading and `tables`, or nothing."""
  made = tables(found, by)
  return [page.Heading(TITLE), *made] if made else []


def _sections(found: Found, by: str, make) -> list[Section]:
  """A section for each stack and what it was calibrated on, or of all stacks."""
  rows: dict[str, list[tuple[str, list[Cell | str]]]] = {}
  for name, title, sets in _measured(found):
    where = f'{name}, {title}' if by == 'stack' else title
    prefix = '' if by == 'stack' else f'{name}: '
    for task, methods in sets.items():
      for method, by_level in methods.items():
        row = f'{prefix}{task.upper()}, {method}', make(by_level)
        rows.setdefault(where, []).append(row)
  return [Section(title, made, False) for title, made in rows.items()]


def _measured(found: Found) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
  """(stack, calibrated on what, task -> method -> measures)."""
  for name, sets in found.items():
    for key, title in _TITLES.items():
      if sets and sets.get(key):
        yield name, title, sets[key]


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


def coverage(found: Found, by: str = 'stack') -> Table | None:
  """Coverage and size; None without any.

  Args:
    found: Of `coverage_generation`, by name.
    by: 'stack': a section for each stack and what its thresholds are of;
      'thresholds': one for all stacks, whose rows name them.
  """
  sections = _sections(found, by, _cells)
  if not sections:
    return None
  columns = [f'{c:.0%}' for c in COVERAGES]
  columns += [f'Size at {SHOWN:.0%}', 'Size, single models']
  return Table(
    title='Prediction sets: coverage and size',
    columns=columns,
    sections=sections,
    better=[''] * len(columns),
    note=_NOTE + _remarks(found),
  )


def _cells(by_level: Mapping[str, Any]) -> list[Cell | str]:
  shown = by_level[str(SHOWN)]
  found: list[Cell | str] = [coverage_text(x) for x in by_level.values()]
  single = (shown.get('single') or {}).get('size')
  return [*found, Cell(shown['size']), Cell(single)]


def _remarks(found: Found) -> str:
  """What is peculiar to these data and networks."""
  sets = [one for one in found.values() if one]
  names = {task for one in sets for task in one.get('other_labels', ())}
  notes = dict.fromkeys(n for one in sets for n in one.get('notes', ()))
  text = _OTHER.format(', '.join(sorted(names))) if names else ''
  return text + ''.join(f' {note}.' for note in notes)


def worst(found: Found, by: str = 'stack') -> Table | None:
  """Classes, sizes and subjects whose sets hold the truth least often.

  Args:
    found: As `coverage`.
    by: As `coverage`.
  """
  sections = _sections(found, by, _cases)
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
