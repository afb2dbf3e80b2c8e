"""A table as data, and its three forms: Markdown, HTML and the terminal."""

import dataclasses
import html
from collections.abc import Mapping, Sequence

import rich.box
import rich.console
import rich.table
from rich.measure import Measurement
from rich.text import Text

from emojax.host.terminal import say
from emojax.report import markdown

MISSING = '–'


@dataclasses.dataclass(frozen=True)
class Cell:
  """A number with the spread it was measured with.

  Attributes:
    value: The number, or None where it is undefined.
    spread: Standard deviation over members, or None.
    interval: (low, high) of a confidence interval, or None.
  """

  value: float | None
  spread: float | None = None
  interval: tuple[float | None, float | None] | None = None


def cells(
  keys: Sequence[str],
  values: Mapping[str, float | None],
  spreads: Mapping[str, float | None] | None = None,
) -> list[Cell]:
  """A cell for each of `keys`; what is missing is undefined."""
  return [Cell(values.get(key), (spreads or {}).get(key)) for key in keys]


@dataclasses.dataclass(frozen=True)
class Section:
  """Rows that may be compared with one another.

  Attributes:
    title: Where the rows come from.
    rows: (name, cells), one cell per column.
    ranked: Whether the best cell of each column is marked.
  """

  title: str
  rows: Sequence[tuple[str, Sequence[Cell | str]]]
  ranked: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of sections with common columns.

  Attributes:
    title: One line.
    columns: Names of the columns after the first.
    sections: See `Section`.
    better: Per column 'high', 'low' or '' (no direction).
    digits: Digits after the point.
    note: What the reader must know; a sentence or two.
  """

  title: str
  columns: Sequence[str]
  sections: Sequence[Section]
  better: Sequence[str]
  digits: int = 3
  note: str = ''

  def __post_init__(self):
    for section in self.sections:
      for name, cells in section.rows:
        if len(cells) != len(self.columns):
          raise ValueError(
            f'table {self.title!r}, row {name!r}: {len(cells)} cells for '
            f'{len(self.columns)} columns'
          )


def text(cell: Cell | str, digits: int) -> str:
  """Returns a cell as it is printed."""
  if isinstance(cell, str):
    return cell
  if cell.value is None:
    return MISSING
  number = f'{cell.value:.{digits}f}'
  if cell.spread:
    number += f' ± {cell.spread:.{digits}f}'
  if cell.interval and None not in cell.interval:
    low, high = cell.interval
    number += f' [{low:.{digits}f}, {high:.{digits}f}]'
  return number


def best_rows(table: Table, section: Section, column: int) -> set[int]:
  """Rows of a section that are best in a column, as printed (ties all count)."""
  better = table.better[column]
  if not section.ranked or not better or len(section.rows) < 2:
    return set()
  values = {
    i: round(cell.value, table.digits)
    for i, (_, cells) in enumerate(section.rows)
    if isinstance(cell := cells[column], Cell) and cell.value is not None
  }
  if len(values) < 2:
    return set()
  best = (max if better == 'high' else min)(values.values())
  return {i for i, value in values.items() if value == best}


def _with_cells(table: Table, change) -> list[Section]:
  return [
    dataclasses.replace(
      section, rows=[(name, change(cells)) for name, cells in section.rows]
    )
    for section in table.sections
  ]


def without_spread(table: Table) -> Table:
  """The table without standard deviations and intervals."""

  def change(cells):
    return [
      Cell(cell.value) if isinstance(cell, Cell) else cell for cell in cells
    ]

  sections = [
    dataclasses.replace(s, title=s.title.replace('mean ± std', 'mean'))
    for s in _with_cells(table, change)
  ]
  return dataclasses.replace(table, sections=sections)


def last_column(table: Table) -> Table:
  """The table with its last column only."""
  note = f'The report has the other columns. {table.note}'.strip()
  return dataclasses.replace(
    table,
    columns=table.columns[-1:],
    better=table.better[-1:],
    sections=_with_cells(table, lambda cells: cells[-1:]),
    note=note,
  )


def _printed(table: Table, section: Section):
  """Yields (row name, [(text, whether it is best)])."""
  best = [best_rows(table, section, j) for j in range(len(table.columns))]
  for i, (name, cells) in enumerate(section.rows):
    yield (
      name,
      [
        (text(cell, table.digits), i in best[j]) for j, cell in enumerate(cells)
      ],
    )


def _headers(table: Table) -> list[str]:
  arrows = {'high': ' ↑', 'low': ' ↓', '': ''}
  return [
    name + arrows[better] for name, better in zip(table.columns, table.better)
  ]


def to_markdown(table: Table) -> str:
  """GitHub-flavoured Markdown; sections are rows of their own."""
  plain = markdown.escape
  headers = [plain(header) for header in _headers(table)]
  lines = [
    f'**{plain(table.title)}**',
    '',
    '| | ' + ' | '.join(headers) + ' |',
    '|---|' + '---:|' * len(headers),
  ]
  for section in table.sections:
    if section.title:
      lines.append(f'| *{plain(section.title)}* |' + ' |' * len(headers))
    for name, cells in _printed(table, section):
      marked = [f'**{plain(t)}**' if best else plain(t) for t, best in cells]
      lines.append(f'| {plain(name)} | ' + ' | '.join(marked) + ' |')
  return (
    '\n'.join([*lines, *(['', plain(table.note)] if table.note else [])]) + '\n'
  )


def to_html(table: Table) -> str:
  """A `<figure>` with the table in a box that scrolls sideways."""
  escape = html.escape
  head = ''.join(f'<th scope="col">{escape(h)}</th>' for h in _headers(table))
  body = []
  for section in table.sections:
    if section.title:
      body.append(
        f'<tr class="section"><th colspan="{len(table.columns) + 1}">'
        f'<span>{escape(section.title)}</span></th></tr>'
      )
    for name, cells in _printed(table, section):
      row = ''.join(
        f'<td class="best">{escape(t)}</td>' if b else f'<td>{escape(t)}</td>'
        for t, b in cells
      )
      body.append(f'<tr><th scope="row">{escape(name)}</th>{row}</tr>')
  wide = ' class="wide"' if len(table.columns) > 8 else ''
  note = f'<p class="note">{escape(table.note)}</p>' if table.note else ''
  return (
    f'<figure class="table"><figcaption>{escape(table.title)}</figcaption>'
    f'<div class="scroll"><table{wide}><thead><tr><th></th>{head}</tr></thead>'
    f'<tbody>{"".join(body)}</tbody></table></div>{note}</figure>'
  )


def to_rich(table: Table) -> rich.table.Table:
  """The body of a table for a terminal, without its title and note."""
  shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
  shown.add_column('', max_width=24)
  for header in _headers(table):
    shown.add_column(Text(header), justify='right', no_wrap=True)
  for section in table.sections:
    if section.title:
      shown.add_row(Text(section.title, 'italic'))
    for name, cells in _printed(table, section):
      # Brackets of intervals, and in names, are no markup.
      shown.add_row(
        Text(name), *(Text(t, 'bold' if b else '') for t, b in cells)
      )
    shown.add_section()
  return shown


def show(table: Table, console: rich.console.Console):
  """Prints a table: whole, without spreads, or its last column if too wide.

  The last column is the one with a mean or a total.
  """
  unlimited = console.options.update(width=10_000)
  narrow = without_spread(table)
  for chosen in (table, narrow, last_column(narrow)):
    width = Measurement.get(console, unlimited, to_rich(chosen)).maximum
    if width <= console.width:
      break
  say(console, '\n', (chosen.title, 'bold'), wrap=True)
  console.print(to_rich(chosen))
  say(console, (chosen.note, 'dim'), wrap=True)
