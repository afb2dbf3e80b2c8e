"""Tables: rounding, best cells, the three forms."""

import io

import pytest
from rich.console import Console

from emojax.report import table as tables
from emojax.report.table import Cell, Section, Table


def make(**changes):
  arguments = {
    'title': 'Scores <of> models',
    'columns': ['AU', 'NLL'],
    'sections': [
      Section(
        'Here',
        [
          ('a', [Cell(0.5, 0.01), Cell(1.25)]),
          ('b', [Cell(0.6004), Cell(None)]),
          ('c', [Cell(0.6001), Cell(1.5)]),
        ],
      ),
      Section('Paper', [('d', [Cell(0.9), Cell(0.1)])]),
    ],
    'better': ['high', 'low'],
    'note': 'A note.',
  }
  return Table(**(arguments | changes))


def test_best_is_marked_within_its_section_as_printed():
  table = make()
  # 0.6004 and 0.6001 print alike, so neither is better.
  assert tables.best_rows(table, table.sections[0], 0) == {1, 2}
  assert tables.best_rows(table, table.sections[0], 1) == {0}
  assert tables.best_rows(table, table.sections[1], 0) == set()
  unranked = make(better=['', ''])
  assert tables.best_rows(unranked, table.sections[0], 0) == set()


def test_markdown():
  assert tables.to_markdown(make()).splitlines() == [
    '**Scores \\<of> models**',
    '',
    '| | AU ↑ | NLL ↓ |',
    '|---|---:|---:|',
    '| *Here* | | |',
    '| a | 0.500 ± 0.010 | **1.250** |',
    '| b | **0.600** | – |',
    '| c | **0.600** | 1.500 |',
    '| *Paper* | | |',
    '| d | 0.900 | 0.100 |',
    '',
    'A note.',
  ]


def test_html_escapes_and_marks():
  text = tables.to_html(make())
  assert 'Scores &lt;of&gt; models' in text
  assert text.count('class="best"') == 3
  assert '<td>0.500 ± 0.010</td>' in text
  assert 'class="wide"' not in text


def printed(table, width):
  console = Console(file=io.StringIO(), width=width)
  tables.show(table, console)
  return console.file.getvalue()


def test_terminal_drops_spreads_then_columns():
  assert '0.500 ± 0.010' in printed(make(), 80)
  middle = printed(make(), 24)
  assert '0.500' in middle
  assert '±' not in middle
  narrow = printed(make(), 16)
  assert '0.500' not in narrow
  assert '1.250' in narrow
  assert 'report has the other' in ' '.join(narrow.split())
  for text, width in ((middle, 24), (narrow, 16)):
    assert '…' not in text
    assert max(map(len, text.splitlines())) <= width


def test_rows_must_fit_the_columns():
  with pytest.raises(ValueError, match="row 'a': 1 cells for 2 columns"):
    make(sections=[Section('', [('a', [Cell(1.0)])])])


def test_cells_of_scores():
  found = tables.cells(['a', 'b', 'c'], {'a': 0.5, 'b': None}, {'a': 0.1})
  assert found == [Cell(0.5, 0.1), Cell(None), Cell(None)]
  assert tables.cells(['a'], {'a': 1.0}) == [Cell(1.0)]
