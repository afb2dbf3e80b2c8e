"""Tables: one sample or member against the most, for labels and for votes."""

from collections.abc import Mapping
from typing import Any

from emojax.experiments.bayesian.findings import METHODS, NETWORKS
from emojax.report.table import Cell, Section, Table

Results = Mapping[str, Any]
LABELS = (
  ('error', 'error', 'low'),
  ('NLL', 'nll', 'low'),
  ('NLL (Bernoulli)', 'nll_bernoulli', 'low'),
  ('ECE', 'ece', 'low'),
  ('ECE (unweighted)', 'ece_unweighted', 'low'),
  ('confidence − accuracy', 'overconfidence', ''),
  ('Brier', 'brier', 'low'),
  ('confidence', 'confidence', ''),
)
VOTES = (
  ('KL', 'votes/kl', 'low'),
  ('cross-entropy', 'votes/cross_entropy', 'low'),
  ('Brier', 'votes/brier', 'low'),
  ('entropy ρ', 'votes/entropy_correlation', 'high'),
  ('agreement', 'votes/agreement', 'high'),
  ('ECE, top class', 'votes/top_ece', 'low'),
  ('confidence − agreement', 'votes/overconfidence', ''),
  ('ECE, all classes', 'votes/class_ece', 'low'),
)
KINDS = ('total', 'aleatoric', 'epistemic')


def prediction_sets(results: Results) -> dict[str, Any]:
  """What is known of prediction sets, by network and method."""
  return {
    f'{NETWORKS[network]}, {METHODS[method]}': study.get('sets')
    for network, methods in results['studies'].items()
    for method, study in methods.items()
  }


def against_labels(results: Results) -> Table:
  """Error, likelihood and calibration against hard labels."""
  return _table(
    results,
    LABELS,
    f'Against labels (rule: {results["eval_rule"]}), '
    f'{results["labelled_faces"]:,} faces',
    'Mean ± standard deviation over the draws. NLL (Bernoulli) sums over all '
    'classes and ECE (unweighted) is the mean over the bins, as '
    'keras-uncertainty has them. Confidence − accuracy: above 0 answers are too '
    'sure, below 0 not sure enough, which a calibration error does not tell. '
    '"Votes" scores the distribution of the votes as if it were a prediction (on '
    'faces with both).',
  )


def against_votes(results: Results) -> Table | None:
  """Divergence and calibration against the annotators' votes."""
  if results['voted_faces'] is None:
    return None
  return _table(
    results,
    VOTES,
    f"Against the annotators' votes, {results['voted_faces']:,} faces",
    'KL(votes || prediction) and cross-entropy in nats. Entropy ρ: rank '
    "correlation of the predictions' and the votes' entropies. Agreement: "
    'share of votes for the predicted class. Calibration errors take the share '
    'of votes of a class as its frequency, so that several classes may be '
    'right.',
  )


def out_of_domain(results: Results) -> Table | None:
  """AUROC of foreign images by the entropy of the mean distribution."""
  names = sorted(
    {
      name
      for methods in results['studies'].values()
      for study in methods.values()
      for name in study['mean']
      if name.startswith('ood/')
    }
  )
  if not names:
    return None
  columns = tuple((name.removeprefix('ood/'), name, 'high') for name in names)
  return _table(
    results,
    columns,
    'Foreign images',
    'AUROC of the entropy of the mean distribution.',
  )


def _table(results: Results, columns, title: str, note: str) -> Table:
  """Scores that a run of before has not are left out."""
  labels = columns is LABELS
  first = next(iter(next(iter(results['studies'].values())).values()))
  columns = [column for column in columns if column[1] in first['mean']]
  sections = [
    Section(NETWORKS[network], _rows(methods, columns))
    for network, methods in results['studies'].items()
  ]
  if results['votes'] is not None and labels:
    cells = [Cell(results['votes'][key]) for _, key, _ in columns]
    sections.append(Section('', [('Votes', cells)], ranked=False))
  return Table(
    title,
    [name for name, *_ in columns],
    sections,
    [better for *_, better in columns],
    note=note,
  )


def _rows(methods, columns):
  rows = []
  for method, study in methods.items():
    for place in sorted({0, len(study['sizes']) - 1}):
      cells = [
        Cell(study['mean'][key][place], study['std'][key][place])
        for _, key, _ in columns
      ]
      rows.append((f'{METHODS[method]}, {study["sizes"][place]}', cells))
    plain = study.get('deterministic')
    if plain and columns[0][1] in plain:
      cells = [Cell(plain[key]) for _, key, _ in columns]
      rows.append((f'{METHODS[method]}, noise off', cells))
  return rows


def uncertainty(results: Results) -> Table:
  """What the parts of the uncertainty say, with as many samples as go."""
  first = next(iter(next(iter(results['studies'].values())).values()))
  keys: list[str] = list(first['uncertainty']['total'])
  names = {'mean': 'mean', 'votes': 'ρ with votes', 'error': 'AUROC of errors'}
  sections = []
  for network, methods in results['studies'].items():
    rows = []
    for method, study in methods.items():
      for kind in KINDS:
        found = study['uncertainty'][kind]
        cells = [Cell(found[key]) for key in keys]
        rows.append((f'{METHODS[method]}, {kind}', cells))
    sections.append(Section(NETWORKS[network], rows))
  return Table(
    'Aleatoric and epistemic uncertainty',
    [names.get(key, key.replace('ood/', 'AUROC of ')) for key in keys],
    sections,
    ['' if key == 'mean' else 'high' for key in keys],
    note='Normalised entropy of the mean distribution (total), mean entropy of '
    'the samples (aleatoric) and their difference (epistemic): rank correlation '
    'with the entropy of the votes, and how well they tell wrong predictions '
    'and foreign images.',
  )
