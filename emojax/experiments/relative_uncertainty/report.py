"""Writes report.md, report.html and the figures of a run of paper 003."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console

from emojax.data import unseen
from emojax.experiments.relative_uncertainty import (
  figures,
  findings,
  setup,
  tables,
)
from emojax.experiments.relative_uncertainty.setup import METHODS
from emojax.host import processes
from emojax.host.terminal import say, show_rows
from emojax.report import files, page, prediction_sets, table, verdicts
from emojax.runtime import workdir

TITLE = 'Relative uncertainty learning under label noise'


@processes.by_one
def write(run, results, curves):
  """Writes the report of a run whose methods are all done.

  Args:
    run: See `run.Run`.
    results: See `evaluate.evaluate`.
    curves: See `evaluate.evaluate`.
  """
  pictures = files.draw(run.path('figures'), _figures(run, results, curves))
  files.write(run.path(), TITLE, _blocks(run, results, pictures))


def _blocks(run, results, pictures) -> list[page.Block]:
  rows = findings.all_findings(results)
  blocks: list[page.Block] = [page.Paragraph(summary(results), lead=True)]
  if rows:
    blocks += [page.Heading('Does it show what the paper says?')]
    blocks += [page.Verdicts(rows), page.Paragraph(findings.RULE)]
  of_all = [pictures.pop(name) for name in ('rejection', 'histograms')]
  return [
    *blocks,
    page.Heading('Numbers'),
    *tables.all_tables(results),
    page.Heading('Rejection and uncertainty'),
    *of_all,
    page.Heading('Features and images'),
    *pictures.values(),
    *prediction_sets.section(tables.prediction_sets(results), by='thresholds'),
    page.Heading('The run'),
    _facts(run, results),
  ]


def summary(results) -> str:
  """What was run, in a sentence or two."""
  names = ', '.join(METHODS[name] for name in results['methods'])
  levels = ', '.join(results['levels'])
  return (
    f'{names} on {results["dataset"]} ({results["train_images"]:,} training, '
    f'{results["test_images"]:,} test images), {results["repetitions"]} '
    f'repetitions at each noise level: {levels}. '
    + verdicts.tally(
      [row[-1] for row in findings.all_findings(results)], 'claim'
    )
  )


def _figures(run, results, curves) -> Iterator[files.Figure]:
  """Figures of all methods, then those of each."""
  yield (
    'rejection',
    lambda: figures.rejection(results, curves),
    'Accuracy of the test images that are kept, against the share of the '
    'most uncertain ones that is rejected.',
  )
  yield (
    'histograms',
    lambda: figures.histograms(results, curves),
    'Uncertainties of the test images, brought to [0, 1] (Figures 5 and '
    f'6), noise {results["levels"][0]}; mean of the repetitions.',
  )
  for name in run.config.methods:
    yield from _of_method(run, name)


def _of_method(run, name: str) -> Iterator[files.Figure]:
  """t-SNE and gallery of the first member of a method."""
  level, title = run.members.levels[0], METHODS[name]
  with np.load(run.predictions_path(name)) as file:
    found = {k: file[k] for k in file.files if k.startswith('test/')}
  yield (
    f'tsne-{name}',
    lambda: figures.embedding(run, found, name),
    f'{title}: t-SNE of test features (Figure 3), noise {level}.',
  )
  yield (
    f'gallery-{name}',
    lambda: figures.gallery(run, found, name),
    f'{title}: the most and the least uncertain test images (Figure 4), '
    'with normalised uncertainty and prediction; wrong ones in red.',
  )


def _facts(run, results) -> page.Facts:
  config = run.config
  relabelled = ', '.join(
    METHODS[name] for name in config.methods if name in config.relabel.methods
  )
  accuracy = setup.start_accuracy(config)
  learned = f' and a training accuracy of {accuracy:.0%}' if accuracy else ''
  first = config.relabel.start_epoch + 1  # the epochs before change none
  settings = workdir.flatten(config.to_dict())
  seconds = results['timings']
  return page.Facts(
    [
      (
        'network',
        f'{config.model.depth}, stem {config.model.stem}, width '
        f'{config.model.width:g}, {config.data.image_size} px',
      ),
      (
        'training',
        f'{config.train.epochs} epochs, batches of {config.train.batch_size}',
      ),
      ('weights', f'of the {config.eval.weights} epoch'),
      (
        'relabelling',
        f'{relabelled or "none"}; from epoch {first}{learned} on, '
        f'{config.relabel.fraction:.0%} most uncertain of a batch; never where '
        'no label was flipped',
      ),
      *unseen.facts(results),
      (
        'seconds',
        ', '.join(f'{name} {value:g}' for name, value in seconds.items())
        or '–',
      ),
      *((f'config: {k}', str(v)) for k, v in sorted(settings.items())),
    ]
  )


def terminal(results, console: Console):
  """Prints the summary, the verdicts and the tables."""
  say(console, summary(results), wrap=True)
  show_rows(
    console,
    (
      (page.SYMBOLS[verdict], claim, here)
      for claim, _, here, verdict in findings.all_findings(results)
    ),
  )
  for item in tables.all_tables(results):
    table.show(item, console)
