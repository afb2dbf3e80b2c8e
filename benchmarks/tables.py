"""Results of a benchmark as tables: in the terminal and as Markdown."""

import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Callable, Sequence

import rich.console
import rich.table

from benchmarks import workers
from emojax.host import files

MISSING = '–'
START, END = '<!-- tables -->', '<!-- end of tables -->'  # of a page


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of text under a title.

  Attributes:
    title: What was measured.
    columns: Their headings; the first is the rows' names.
    rows: Cells, as many as columns.
    notes: Sentences below the table.
  """

  title: str
  columns: Sequence[str]
  rows: Sequence[Sequence[str]]
  notes: Sequence[str] = ()

  def markdown(self) -> str:
    """The table and its notes in Markdown."""
    rule = ['---', *['---:'] * (len(self.columns) - 1)]
    lines = [f'| {" | ".join(r)} |' for r in (self.columns, rule, *self.rows)]
    notes = [f'- {note}' for note in self.notes]
    parts = [f'### {self.title}', '\n'.join(lines), '\n'.join(notes)]
    return '\n\n'.join(part for part in parts if part)

  def print(self, console: rich.console.Console):
    """Shows the table in the terminal."""
    table = rich.table.Table(title=self.title, title_justify='left')
    for i, column in enumerate(self.columns):
      table.add_column(column, justify='right' if i else 'left')
    for row in self.rows:
      table.add_row(*map(rich.markup.escape, row))
    console.print(table)
    for note in self.notes:
      console.print(f'  {note}', highlight=False, markup=False)


def markers(section: str = '') -> tuple[str, str]:
  """The lines around the tables of a page, or of one of its sections."""
  of = f' of {section} -->' if section else ' -->'
  return START.replace(' -->', of), END.replace(' -->', of)


def check(path: pathlib.Path, section: str = ''):
  """Raises ValueError unless a page has these markers."""
  text = path.read_text()
  start, end = markers(section)
  if start not in text or end not in text:
    raise ValueError(f'{path} has no lines {start} and {end}')


def fill(path: pathlib.Path, found: Sequence[Table], section: str = ''):
  """Puts tables between the markers of a page.

  Args:
    path: The page.
    found: The tables.
    section: Whose markers, where a page has several.

  Raises:
    ValueError: If the page has no such markers.
  """
  check(path, section)
  start, end = markers(section)
  before, rest = path.read_text().split(start, 1)
  after = rest.split(end, 1)[1]
  body = '\n\n'.join(table.markdown() for table in found)
  made = f'{before}{start}\n\n{body}\n\n{end}{after}'
  files.write_bytes(path, made.encode())


def median(samples: Sequence[float]) -> float:
  """The middle sample, or the mean of the two in the middle."""
  ordered, half = sorted(samples), len(samples) // 2
  return (ordered[half] + ordered[-half - 1]) / 2


def spread(samples: Sequence[float], scale: float) -> str:
  """Median and range of samples in seconds, in units of 1 / scale."""
  low, middle, high = (
    f'{scale * x:.3g}' if scale * x < 100 else f'{scale * x:.0f}'
    for x in (min(samples), median(samples), max(samples))
  )
  return middle if len(samples) == 1 else f'{middle} ({low}–{high})'


def comparison(
  title: str,
  contenders: Sequence[workers.Contender],
  rival: str,
  unit: str,
  units: Callable[[workers.Contender], int],
  images: Callable[[workers.Contender], int],
) -> Table:
  """A row per contender.

  Args:
    title: Of the table.
    contenders: After `workers.compete`.
    rival: Name of the contender that the others are compared with.
    unit: What the milliseconds are of.
    units: How many of these a contender's step has.
    images: How many images it has.
  """
  cost = {c: median(c.samples) / units(c) for c in contenders if c.samples}
  warm = [c for c in cost if not c.cold]
  base = next((cost[c] for c in warm if c.name == rival), None)
  rows, notes = [], []
  for c in contenders:
    if c in cost:
      known = base is not None and not c.cold
      ratio = f'{base / cost[c]:.2f}x' if known else MISSING
      rate = f'{images(c) / median(c.samples):.3g}'
      time = spread(c.samples, 1000 / units(c))
      busy = spread(c.processor, 1000 / units(c))
      memory = f'{c.memory / 1024:.2f}'
      rows.append([c.name, time, busy, rate, ratio, memory])
    else:
      rows.append([c.name, *[MISSING] * 5])
    notes += [f'{c.name}: {note}' for note in _notes(c)]
  columns = ['', f'ms per {unit}', 'of processors', 'images/s']
  columns += [f'vs {rival}', 'peak GiB']
  notes.append(f'{processor()}; load average behind it {load()}')
  return Table(title, columns, rows, notes)


def _notes(c: workers.Contender):
  """What a reader must know about a contender's row."""
  if c.reason is not None:
    yield c.reason
  if 'note' in c.facts:
    yield c.facts['note']
  if c.samples and not c.facts['fresh_peak']:
    yield 'the peak memory includes the compiler'


def environment() -> str:
  """A line on the machine and the versions."""
  versions = []
  for name in ('jax', 'jaxlib', 'flax', 'torch', 'onnxruntime'):
    try:
      versions.append(f'{name} {importlib.metadata.version(name)}')
    except importlib.metadata.PackageNotFoundError:
      versions.append(f'{name} is not installed')
  return (
    f'{datetime.date.today()}, {processor()}, {workers.cores()} cores in use, '
    f'Python {platform.python_version()}, {", ".join(versions)}; load average '
    f'at the start {load()} (0 on a quiet machine).'
  )


def load() -> str:
  """Processes that wanted a core in the last minute, those measured included."""
  return f'{os.getloadavg()[0]:.1f}' if hasattr(os, 'getloadavg') else '?'


def processor() -> str:
  """Model of the processor, as far as the system says it."""
  info = pathlib.Path('/proc/cpuinfo')
  if info.exists():
    for line in info.read_text().splitlines():
      if line.startswith('model name'):
        return line.split(':', 1)[1].strip()
  return platform.processor() or platform.machine()


def write(path: str, heading: str, tables: Sequence[Table]):
  """Writes everything as Markdown."""
  parts = [heading, *(table.markdown() for table in tables)]
  pathlib.Path(path).write_text('\n\n'.join(parts) + '\n')
