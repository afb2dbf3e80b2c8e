"""Writes report.md, report.html and figures/*.png into a run's folder."""

import io
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from emojax import files, processes, workdir
from emojax.report import (
  contents,
  findings,
  page,
  style,
  table,
  tables,
  votes,
  votes_findings,
)
from emojax.report.summary import headline
from emojax.terminal import say, show_rows

TITLE = 'Uncertainty by iterative self-distillation'


@processes.by_one
def write(
  folder: str | os.PathLike,
  examples=None,
  runs: Mapping[str, Mapping] | None = None,
) -> pathlib.Path:
  """Writes the report of a finished run.

  Reads `results.json` and `curves.json`, and, if they are there,
  `metrics.jsonl`, `config.json` and `predictions/<last generation>.npz`.

  Args:
    folder: The run's folder.
    examples: `Clips` of the evaluated split, for a figure of example frames.
    runs: Results of runs with and without multitask balancing by label, for
      Table 5.

  Returns:
    Path of `report.html`.

  Raises:
    FileNotFoundError: if the folder has no results.
  """
  folder = pathlib.Path(folder)
  run = read(folder, examples, runs)
  with style.use():
    pictures = draw(folder / 'figures', contents.figures(run))
  blocks = contents.blocks(run, pictures)
  workdir.write_text(folder / 'report.md', page.to_markdown(TITLE, blocks))
  workdir.write_text(folder / 'report.html', page.to_html(TITLE, blocks))
  return folder / 'report.html'


def read(
  folder: pathlib.Path,
  examples=None,
  runs: Mapping[str, Mapping] | None = None,
) -> contents.Run:
  """Everything that a report is made of; as `write`."""
  return contents.Run(
    results=read_json(folder, 'results.json'),
    curves=read_json(folder, 'curves.json'),
    lines=_read_lines(folder / 'metrics.jsonl'),
    config=_read_config(folder / 'config.json'),
    predictions=folder / 'predictions',
    clips=examples,
    runs=runs or {},
  )


def terminal(results: Mapping[str, Any], console: Console):
  """Prints the summary, the verdicts and the tables, as wide as they fit."""
  found = [*findings.all_findings(results), *votes_findings.findings(results)]
  say(console, headline(results, found), wrap=True)
  show_rows(console, ((page.SYMBOLS[f.verdict], f.claim) for f in found))
  for item in [*tables.all_tables(results), *votes.tables(results)]:
    table.show(item, console)


def read_json(folder: pathlib.Path, name: str):
  """Reads a file of a run; raises FileNotFoundError that explains."""
  path = folder / name
  if not path.exists():
    raise FileNotFoundError(
      f'{path} is missing; the report is written after the evaluation'
    )
  return json.loads(path.read_text())


def _read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines()]


def _read_config(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text()) if path.exists() else {}


def draw(folder: pathlib.Path, figures) -> dict[str, page.Picture]:
  """Saves the figures that have something to show."""
  pictures = {}
  folder.mkdir(exist_ok=True)
  for name, draw, caption in figures:
    figure = draw()
    path = folder / f'{name}.png'
    path.unlink(missing_ok=True)  # of an earlier report
    if figure is not None:
      buffer = io.BytesIO()
      # Without the version of matplotlib, equal figures are equal files.
      figure.savefig(buffer, format='png', metadata={'Software': None})
      files.write_bytes(path, buffer.getvalue())
      relative = f'{folder.name}/{path.name}'
      pictures[name] = page.Picture(buffer.getvalue(), relative, caption)
  return pictures
