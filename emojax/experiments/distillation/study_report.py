"""The report of a study: the paper's tables from several runs at once."""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from emojax.experiments.distillation import (
  comparability,
  findings,
  study_findings,
)
from emojax.experiments.distillation.study_tables import (
  FIGURES,
  TABLES,
  Variant,
)
from emojax.host import processes
from emojax.host.terminal import say
from emojax.report import files, page, table, verdicts

TITLE = 'Tables and figures of Iterative Distillation (paper 000)'
Shown = Mapping[str, Sequence[str]]


def make_tables(
  variants: Mapping[str, Variant], shown: Shown
) -> list[tuple[str, list[table.Table]]]:
  """(name of the table, tables) in the order of the configuration."""
  return [
    (name, TABLES[name]([variants[variant] for variant in names]))
    for name, names in shown.items()
    if name in TABLES
  ]


def _verdicts(group) -> page.Verdicts:
  return page.Verdicts([finding.row for finding in group])


def _summary(variants: Mapping[str, Variant], groups) -> str:
  every = [finding.verdict for _, group in groups for finding in group]
  found = verdicts.tally(every, 'finding of the paper', 'this study')
  return f'{len(variants)} runs: {", ".join(variants)}. {found}'


def blocks(
  variants: Mapping[str, Variant],
  shown: Shown,
  pictures: Mapping[str, page.Picture],
) -> list[page.Block]:
  """Returns the blocks of the report."""
  groups = study_findings.all_findings(dict(variants), dict(shown))
  content: list[page.Block] = [
    page.Paragraph(_summary(variants, groups), lead=True),
    page.Heading('What may be compared with the paper'),
    page.Facts([(name, _comparable(v)) for name, v in variants.items()]),
    page.Heading("The paper's findings in these runs"),
    page.Paragraph(findings.RULE),
  ]
  for title, group in groups:
    content += [page.Paragraph(title), _verdicts(group)]
  content.append(page.Heading('Tables and figures'))
  made = dict(make_tables(variants, shown))
  for name in shown:
    content += made.get(name, [])
    content += [pictures[name]] if name in pictures else []
  content.append(page.Heading('The runs'))
  for name, variant in variants.items():
    differing = comparability.table(variant.results, variant.config)
    content.append(page.Facts(_facts(name, variant)))
    content += [differing] if differing else []
  return content


def _comparable(variant: Variant) -> str:
  answer = comparability.verdict(variant.results, variant.config)
  return f'{answer}: {comparability.MEANING[answer]}'


def _facts(name: str, variant: Variant) -> list[tuple[str, str]]:
  results = variant.results
  seconds = sum(results.get('timings', {}).values())
  return [
    ('Run', f'{name} (variants/{name}/report.html has all about it)'),
    ('Settings of its own', ', '.join(variant.changes) or 'none'),
    ('Network', variant.model),
    ('Generations', ', '.join(results['names'])),
    ('Training time', f'{seconds:,.0f} s'),
  ]


@processes.by_one
def write(
  folder: pathlib.Path, variants: Mapping[str, Variant], shown: Shown
) -> pathlib.Path:
  """Writes report.md, report.html and figures/*.png; returns the HTML's path."""
  pictures = files.draw(folder / 'figures', _figures(variants, shown))
  return files.write(folder, TITLE, blocks(variants, shown, pictures))


def _figures(
  variants: Mapping[str, Variant], shown: Shown
) -> Iterator[files.Figure]:
  for name, names in shown.items():
    if name in FIGURES:
      make, caption = FIGURES[name]
      yield name, functools.partial(make, [variants[n] for n in names]), caption


def terminal(variants: Mapping[str, Variant], shown: Shown, console: Console):
  """Prints the summary, the verdicts and the tables."""
  groups = study_findings.all_findings(dict(variants), dict(shown))
  say(console, _summary(variants, groups), wrap=True)
  for title, group in groups:
    say(console, '\n', (title, 'bold'), wrap=True)
    for finding in group:
      symbol = page.SYMBOLS[finding.verdict]
      say(console, f'{symbol:<25}{finding.claim}', wrap=True)
  for _, found in make_tables(variants, shown):
    for item in found:
      table.show(item, console)
