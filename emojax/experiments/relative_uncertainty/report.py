"""Writes report.md, report.html and the figures of a run of paper 003."""

import io

import numpy as np
from rich.console import Console

from emojax.data import unseen
from emojax.experiments.relative_uncertainty import figures, findings, tables
from emojax.experiments.relative_uncertainty.setup import METHODS
from emojax.host import files, processes
from emojax.host.terminal import say, show_rows
from emojax.report import page, style, table, verdicts
from emojax.runtime import workdir

TITLE = 'Relative uncertainty learning under label noise'


@processes.by_one
def write(run, results, curves):
  """Writes the report of a run whose methods are all done.

  Args:
    run: See `experiment.Run`.
    results: See `evaluation.evaluate`.
    curves: See `evaluation.evaluate`.
  """
  blocks = make_blocks(run, results, curves)
  folder = run.session.folder.path
  workdir.write_text(folder / 'report.md', page.to_markdown(TITLE, blocks))
  workdir.write_text(folder / 'report.html', page.to_html(TITLE, blocks))


def make_blocks(run, results, curves) -> list[page.Block]:
  """The report as blocks; draws the figures into `figures/`."""
  (run.path('figures')).mkdir(exist_ok=True)
  rows = findings.all_findings(results)
  blocks: list[page.Block] = [page.Paragraph(summary(results), lead=True)]
  if rows:
    blocks += [page.Heading('Does it show what the paper says?')]
    blocks += [page.Verdicts(rows), page.Paragraph(findings.RULE)]
  blocks += [page.Heading('Numbers'), *tables.all_tables(results)]
  blocks += [page.Heading('Rejection and uncertainty')]
  with style.use():
    for name, figure, caption in (
      (
        'rejection',
        figures.rejection(results, curves),
        'Accuracy of the test images that are kept, against the share of the '
        'most uncertain ones that is rejected.',
      ),
      (
        'histograms',
        figures.histograms(results, curves),
        'Uncertainties of the test images, brought to [0, 1] (Figures 5 and '
        f'6), noise {results["levels"][0]}; mean of the repetitions.',
      ),
    ):
      blocks.append(_picture(run, name, figure, caption))
    blocks += [page.Heading('Features and images'), *_of_methods(run)]
  return blocks + [page.Heading('The run'), _facts(run, results)]


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


def _of_methods(run):
  """t-SNE and galleries of the first member of every method."""
  level = run.members.levels[0]
  for name in run.config.methods:
    with np.load(run.outputs_path(name)) as file:
      found = {k: file[k] for k in file.files if k.startswith('test/')}
    title = METHODS[name]
    for kind, figure, caption in (
      (
        'tsne',
        figures.embedding(run, found, name),
        f'{title}: t-SNE of test features (Figure 3), noise {level}.',
      ),
      (
        'gallery',
        figures.gallery(run, found, name),
        f'{title}: the most and the least uncertain test images (Figure 4), '
        'with normalised uncertainty and prediction; wrong ones in red.',
      ),
    ):
      if figure is not None:
        yield _picture(run, f'{kind}-{name}', figure, caption)


def _picture(run, name, figure, caption) -> page.Picture:
  buffer = io.BytesIO()
  # Without the version of matplotlib, equal figures are equal files.
  figure.savefig(buffer, format='png', metadata={'Software': None})
  files.write_bytes(run.path('figures', f'{name}.png'), buffer.getvalue())
  return page.Picture(buffer.getvalue(), f'figures/{name}.png', caption)


def _facts(run, results) -> page.Facts:
  config = run.config
  relabelled = ', '.join(
    METHODS[name] for name in config.methods if name in config.relabel.methods
  )
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
        f'{relabelled or "none"}; from epoch {config.relabel.start_epoch} on, '
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
