"""Writes report.md, report.html and figures/*.png into a run's folder."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from emojax.experiments.distillation import (
  contents,
  findings,
  plain,
  tables,
  votes,
)
from emojax.experiments.distillation.summary import headline
from emojax.host import processes
from emojax.host.terminal import say, show_rows
from emojax.report import files, page, table

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
  pictures = files.draw(folder / 'figures', contents.figures(run))
  return files.write(folder, TITLE, contents.blocks(run, pictures))


def read(
  folder: pathlib.Path,
  examples=None,
  runs: Mapping[str, Mapping] | None = None,
) -> contents.Contents:
  """Everything that a report is made of; as `write`."""
  return contents.Contents(
    results=files.read_json(folder, 'results.json'),
    curves=files.read_json(folder, 'curves.json'),
    lines=files.read_lines(folder / 'metrics.jsonl'),
    config=_read_config(folder / 'config.json'),
    predictions=folder / 'predictions',
    clips=examples,
    runs=runs or {},
  )


def terminal(results: Mapping[str, Any], console: Console):
  """Prints the summary, the verdicts and the tables, as wide as they fit."""
  found = findings.all_findings(results)
  for text in (*plain.sentences(results), headline(results, found)):
    say(console, text, wrap=True)
  show_rows(console, ((page.SYMBOLS[f.verdict], f.claim) for f in found))
  for item in [*tables.all_tables(results), *votes.tables(results)]:
    table.show(item, console)


def _read_config(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text()) if path.exists() else {}
