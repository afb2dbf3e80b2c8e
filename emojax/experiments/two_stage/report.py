"""Results, tables, findings and the report of papers 001 and 002."""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console

from emojax.evaluation.scores import summarise
from emojax.experiments.two_stage.published import COLUMNS
from emojax.host import processes
from emojax.host.terminal import show_rows
from emojax.report import files, page, prediction_sets, style, table, verdicts
from emojax.report.estimates import Estimate, difference, of_members
from emojax.report.verdicts import Claim, Finding

Row = Mapping[str, Any]  # {'members', 'mean', 'std'} over the seeds
NAMES = {
  'au/f1': 'AU F1',
  'expr/f1': 'EXPR F1',
  'total': 'total',
  **{key: name for name, key in COLUMNS.items()},
}
RULE = (
  "Differences are of means over the seeds (Student's t of the differences by "
  'seed where students are compared with their own teachers, or with others of '
  "the same teachers; else Welch's t). The intervals cover the random seeds, not "
  'the choice of frames. '
) + verdicts.RULE
COMPARABLE = (
  "The papers' numbers are of Aff-Wild2 and of networks that were pretrained on "
  'faces: compare differences between rows, not values.'
)


class Study(NamedTuple):
  """One table of a paper.

  Attributes:
    title: One line.
    rows: Name -> summary over the seeds.
    paper: Name -> the paper's numbers in the order of the columns.
    columns: Column -> metric.
    note: What the reader must know.
  """

  title: str
  rows: Mapping[str, Row]
  paper: Mapping[str, Sequence[float | None]]
  columns: Mapping[str, str]
  note: str = ''


def compare(
  claim: str,
  better: Row,
  worse: Row,
  keys: Sequence[str],
  paper: str,
  paired: bool = False,
  stacks: Sequence[str] = (),
) -> Claim:
  """The claim that one row is better than another in all of some metrics.

  Args:
    claim: A sentence.
    better: The row that the paper found better.
    worse: The other one.
    keys: Metrics.
    paper: The paper's numbers, as text.
    paired: Whether a seed's numbers of both rows go back to one teacher, so
      that what they have in common cancels.
    stacks: As in `Claim`: the stacks of both rows.
  """
  gain = _paired_gain if paired else _gain
  gains = {key: gain(better, worse, key) for key in keys}
  here = ', '.join(f'{NAMES[key]} {g.signed()}' for key, g in gains.items())
  return Claim(claim, paper, here, tuple(gains.values()), stacks=tuple(stacks))


def _gain(better: Row, worse: Row, key: str) -> Estimate:
  return difference(_of(better, key), _of(worse, key))


def _paired_gain(better: Row, worse: Row, key: str) -> Estimate:
  pairs = zip(better['members'], worse['members'], strict=True)
  gains = [(a.get(key), b.get(key)) for a, b in pairs]
  if any(None in pair for pair in gains):
    return Estimate(None, None)
  row = summarise([{key: a - b} for a, b in gains])
  return of_members(row, key, len(gains))


def _of(row: Row, key: str) -> Estimate:
  if row.get('exact'):  # one network, not a mean over seeds
    return Estimate(row['mean'].get(key))
  return of_members(row, key, len(row['members']))


def make_table(study: Study) -> table.Table:
  """A study as a table: this run's rows, then the paper's."""
  keys = [*study.columns.values(), 'total']
  ours = [
    (name, [table.Cell(row['mean'].get(k), row['std'].get(k)) for k in keys])
    for name, row in study.rows.items()
  ]
  sections = [table.Section('This run, mean ± std over the seeds', ours)]
  if study.paper:
    theirs = [
      (name, [*map(table.Cell, values), table.Cell(None)])
      for name, values in study.paper.items()
    ]
    sections.append(table.Section('The paper, Aff-Wild2', theirs))
  return table.Table(
    study.title,
    [*study.columns, 'Total'],
    sections,
    ['high'] * len(keys),
    note=study.note,
  )


def figure(study: Study):
  """Means of a study's rows with standard deviations, a panel per column.

  Points instead of bars: the axis need not start at 0 to be read.
  """
  made, axes = style.panels(len(study.columns), height=3.4)
  names = list(study.rows)
  for axis, (column, key) in zip(axes, study.columns.items()):
    for i, row in enumerate(study.rows.values()):
      value, spread = row['mean'].get(key), row['std'].get(key)
      marker = style.MARKERS[i % len(style.MARKERS)]
      if value is not None:
        axis.errorbar(
          i, value, spread or 0, color=style.SINGLE, marker=marker, capsize=3
        )
    axis.set_title(column)
    axis.set_xticks(range(len(names)), names, rotation=60, ha='right')
  return made


@processes.by_one
def write(
  folder: pathlib.Path,
  title: str,
  lead: str,
  studies: Sequence[Study],
  findings: Sequence[Finding],
  sets: prediction_sets.Found,
  facts: Sequence[tuple[str, str]],
):
  """Writes report.md, report.html and figures/*.png."""
  blocks: list[page.Block] = [
    page.Paragraph(lead, lead=True),
    page.Heading("The paper's findings in this run"),
    page.Paragraph(f'{RULE} {COMPARABLE}'),
    page.Verdicts([finding.row for finding in findings]),
  ]
  pictures = files.draw(folder / 'figures', _figures(studies))
  for study, picture in zip(studies, pictures.values(), strict=True):
    blocks += [page.Heading(study.title), make_table(study), picture]
  blocks += prediction_sets.section(sets, by='thresholds')
  blocks += [page.Heading('The run'), page.Facts(list(facts))]
  files.write(folder, title, blocks)


def _figures(studies: Sequence[Study]) -> Iterator[files.Figure]:
  for i, study in enumerate(studies, 1):
    yield (
      f'study{i}',
      functools.partial(figure, study),
      f'{study.title}: means over the seeds, error bars of one standard deviation.',
    )


def terminal(
  studies: Sequence[Study], findings: Sequence[Finding], console: Console
):
  """Prints verdicts and tables."""
  show_rows(
    console, ((page.SYMBOLS[f.verdict], f.claim, f.here) for f in findings)
  )
  for study in studies:
    table.show(make_table(study), console)


def results(
  name: str,
  split: str,
  studies: Sequence[Study],
  findings: Sequence[Finding],
  stacks: Mapping[str, Any],
  timings: Mapping[str, float],
) -> dict[str, Any]:
  """What results.json holds: rows of all tables, findings, every stack."""
  return {
    'format': 'emojax-two-stage-1',
    'dataset': name,
    'split': split,
    'studies': [
      {
        'title': s.title,
        'rows': {key: dict(row) for key, row in s.rows.items()},
        'paper': {key: list(values) for key, values in s.paper.items()},
        'columns': dict(s.columns),
      }
      for s in studies
    ],
    'findings': [
      {'claim': f.claim, 'here': f.here, 'verdict': f.verdict} for f in findings
    ],
    'stacks': dict(stacks),
    'timings': dict(timings),
  }
