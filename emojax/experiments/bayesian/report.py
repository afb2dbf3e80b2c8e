"""Writes report.md, report.html and figures/*.png of a run of paper 004."""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console

from emojax.data import unseen
from emojax.experiments.bayesian import figures, findings, tables
from emojax.experiments.bayesian.findings import METHODS, NETWORKS
from emojax.host import processes
from emojax.host.terminal import show_rows
from emojax.report import files, page, prediction_sets, table, verdicts
from emojax.runtime import workdir

TITLE = 'Bayesian neural networks for facial emotion'
Results = Mapping[str, Any]
# Score, axis and caption of the figures by number of samples.
CURVES = {
  'error': ('error', 'error', 'Like Figure 1 of the paper: error'),
  'nll': ('nll', 'NLL', 'Like Figure 2: negative log-likelihood'),
  'ece': ('ece', 'ECE', 'Like Figure 3: calibration error against labels'),
  'kl': (
    'votes/kl',
    'KL [nats]',
    'Divergence of the predictions from the votes',
  ),
  'class_ece': (
    'votes/class_ece',
    'ECE, all classes',
    'Calibration error against the votes of every class',
  ),
  'entropy_correlation': (
    'votes/entropy_correlation',
    'rank correlation',
    "Correlation of the predictions' entropies with the votes'",
  ),
}
LABEL_FIGURES, VOTE_FIGURES = list(CURVES)[:3], list(CURVES)[3:]


@processes.by_one
def write(folder: pathlib.Path, clips) -> pathlib.Path:
  """Writes the report of a finished run from its JSON files.

  Args:
    folder: The run's folder.
    clips: The faces that were scored.

  Returns:
    Path of `report.html`.
  """
  results, curves, config = (
    json.loads((folder / f'{name}.json').read_text())
    for name in ('results', 'curves', 'config')
  )
  pictures = files.draw(folder / 'figures', _figures(results, curves, clips))
  return files.write(folder, TITLE, _blocks(results, config, pictures))


def terminal(results: Results, console: Console):
  """Prints the verdicts and the tables."""
  found = findings.all_findings(results)
  show_rows(console, ((page.SYMBOLS[row[-1]], row[0]) for row in found))
  for item in _tables(results):
    table.show(item, console)


def _tables(results: Results) -> list[table.Table]:
  makers = (
    tables.against_labels,
    tables.against_votes,
    tables.uncertainty,
    tables.out_of_domain,
  )
  return [made for maker in makers if (made := maker(results)) is not None]


def _figures(
  results: Results, curves: Results, clips
) -> Iterator[tuple[str, Callable[[], Any], str]]:
  """Yields (file name, function that draws it or returns None, caption)."""
  for name, (score, label, caption) in CURVES.items():
    yield (
      name,
      lambda score=score, label=label: figures.by_size(results, score, label),
      f'{caption} by the number of samples or members. Bands: standard '
      'deviation over random draws of these (with all members or passes that '
      'there are, there is only one draw).',
    )
  yield (
    'calibration',
    lambda: figures.calibration(results, curves),
    'Like Figure 5: calibration at the number of samples with the least error '
    'and the least calibration error. Below the diagonal, predictions are too '
    f'sure. Bins with fewer than {figures.FEWEST} faces are not drawn.',
  )
  yield (
    'calibration_votes',
    lambda: figures.calibration(results, curves, by_votes=True),
    'The same predictions against the share of votes for the predicted class.',
  )
  labels = results['schema'][0]['labels']
  for network, methods in curves.items():
    # As in the paper; a run without an ensemble shows its other methods.
    for method in ['ensemble'] if 'ensemble' in methods else methods:
      yield (
        f'uncertain_{network}_{method}',
        lambda network=network, method=method: figures.uncertain(
          curves, network, method, labels, clips
        ),
        f'Like Figures 4, 6 and 7: the most uncertain faces, '
        f'{NETWORKS[network]}, {METHODS[method]}. Above the faces their labels, '
        'below the bars the predictions; classes: '
        f'{", ".join(f"{name[:2]} {name}" for name in labels)}.',
      )


def _blocks(results: Results, config: Results, pictures) -> list[page.Block]:
  found = findings.all_findings(results)
  made = _tables(results)
  shown = [name for name in pictures if name.startswith('uncertain_')]
  content = [
    page.Paragraph(_summary(results, found), lead=True),
    page.Heading("The paper's findings in this run"),
    page.Paragraph(findings.RULE),
    page.Verdicts(found),
  ]
  for title, names, items in (
    ('Against labels', [*LABEL_FIGURES, 'calibration'], made[:1]),
    (
      "Against the annotators' votes",
      [*VOTE_FIGURES, 'calibration_votes'],
      made[1:2] if results['voted_faces'] else [],
    ),
    ('The most uncertain faces', shown, []),
    ('Kinds of uncertainty', [], made[2 if results['voted_faces'] else 1 :]),
  ):
    blocks = [pictures[name] for name in names if name in pictures] + items
    if blocks:
      content += [page.Heading(title), *blocks]
  return [
    *content,
    *prediction_sets.section(tables.prediction_sets(results), by='thresholds'),
    page.Heading('The run'),
    page.Facts(_facts(results, config)),
  ]


def _summary(results: Results, found) -> str:
  return (
    f'{len(list(findings.studies(results)))} methods and networks, scored on '
    f'{results["scored_faces"]:,} faces of {results["dataset"]} '
    f'({results["split"]} split); training labels by the rule '
    f'{results["rule"]!r}. '
    + verdicts.tally([row[-1] for row in found], 'claim')
  )


def _facts(results: Results, config: Results) -> list[tuple[str, str]]:
  names = ('dataset', 'split', 'training_faces', 'scored_faces')
  names += ('labelled_faces', 'voted_faces', 'rule', 'eval_rule', 'select')
  rows = [(name.replace('_', ' '), str(results[name])) for name in names]
  rows += unseen.facts(results)
  for title, study in findings.studies(results):
    best = study['best']
    text = f'{best["error"]} for the error, {best["ece"]} for the ECE'
    rows.append((f'Best number, {title}', text))
  rows += [(f'Time, {k}', f'{v:,.1f} s') for k, v in results['timings'].items()]
  for title in ('environment', 'config'):
    flat = workdir.flatten(config.get(title, {}))
    rows += [(f'{title}: {k}', str(v)) for k, v in sorted(flat.items())]
  return rows
