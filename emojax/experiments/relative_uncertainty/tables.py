"""The tables of paper 003 with this run's numbers and the paper's."""

from collections.abc import Mapping
from typing import Any

from emojax.experiments.relative_uncertainty import published
from emojax.experiments.relative_uncertainty.evaluate import REJECTED
from emojax.experiments.relative_uncertainty.setup import METHODS
from emojax.report.table import Cell, Section, Table

Results = Mapping[str, Any]
STRUCTURES = ('mix_output', 'loss_attention', 'rul')


def cell(results: Results, name: str, level: str, key: str, scale=100) -> Cell:
  """Mean and standard deviation over the repetitions."""
  found = results['methods'][name][level]
  mean, std = found['mean'].get(key), found['std'].get(key)
  return Cell(
    None if mean is None else scale * mean, None if std is None else scale * std
  )


def all_tables(results: Results) -> list[Table]:
  """All tables that this run has numbers for."""
  made = [accuracy(results), rejection(results), structures(results)]
  made += [detection(results), disagreement(results)]
  return [table for table in made if table is not None]


def prediction_sets(results: Results) -> dict[str, Any]:
  """What is known of prediction sets, by method and noise level."""
  return {
    f'{METHODS[name]}, noise {level}': found.get('sets')
    for name, levels in results['methods'].items()
    for level, found in levels.items()
  }


def _section(results: Results, make_cells) -> Section:
  return Section(
    f'{results["dataset"]}, this run',
    [(METHODS[name], make_cells(name)) for name in results['methods']],
  )


def accuracy(results: Results) -> Table:
  """Table 1: accuracy on clean test labels by noise level."""
  levels = results['levels']
  sections = [
    _section(
      results, lambda name: [cell(results, name, v, 'acc') for v in levels]
    )
  ]
  if set(levels) & set(published.LEVELS):
    for data, rows in published.TABLE1.items():
      sections.append(
        Section(
          f'{data}, paper',
          [
            (METHODS[name], [Cell(*row.get(v, (None, None))) for v in levels])
            for name, row in rows.items()
          ],
        )
      )
  return Table(
    'Accuracy [%] by share of wrong training labels (Table 1)',
    levels,
    sections,
    ['high'] * len(levels),
    digits=2,
    note=(
      f'Mean and standard deviation over {results["repetitions"]} repetitions; '
      "the test labels are not flipped. The paper's networks are larger, and "
      'pretrained on faces for RAF-DB and AffectNet.'
    ),
  )


def rejection(results: Results) -> Table:
  """Tables 2 and 6: accuracy against rejection, at the lowest noise level."""
  level = results['levels'][0]
  rates = [f'{100 * rate:g}' for rate in REJECTED]

  def cells(name, kind='reject'):
    return [cell(results, name, level, f'{kind}/{rate}') for rate in rates]

  sections = [_section(results, cells)]
  sections.append(
    Section(
      'the same networks, rejected by their highest probability',
      [(METHODS[name], cells(name, 'msp')) for name in results['methods']],
    )
  )
  for data, rows in published.REJECTION.items():
    found = [(METHODS[n], [Cell(v) for v in row]) for n, row in rows.items()]
    sections.append(Section(f'{data}, paper', found))
  return Table(
    f'Accuracy [%] without the most uncertain images, noise {level} '
    '(Tables 2 and 6)',
    [f'{rate} % rejected' for rate in rates],
    sections,
    ['high'] * len(rates),
    digits=2,
    note=(
      'Among equally uncertain images the expected accuracy of a random order '
      "is taken. The baseline's uncertainty is one minus its highest "
      "probability. The paper's networks saw no flipped labels."
    ),
  )


def structures(results: Results) -> Table | None:
  """Table 5: what is mixed."""
  names = [name for name in STRUCTURES if name in results['methods']]
  if len(names) < 2:
    return None
  level = results['levels'][0]
  rows = [
    (
      METHODS[name],
      [cell(results, name, level, f'reject/{rate}') for rate in (0, 10)],
    )
    for name in names
  ]
  theirs = [
    (METHODS[name], [Cell(v) for v in published.STRUCTURES[name]])
    for name in STRUCTURES
  ]
  return Table(
    f'Structures, noise {level} (Table 5)',
    ['accuracy [%]', '10 % rejected'],
    [
      Section(f'{results["dataset"]}, this run', rows),
      Section('RAF-DB, paper', theirs),
    ],
    ['high'] * 2,
    digits=2,
    note=(
      'Mixed logits of a linear classifier are logits of mixed features, so by '
      'default "mix output" mixes probabilities (loss.mix_output).'
    ),
  )


def detection(results: Results) -> Table | None:
  """Finding wrong training labels, which the paper does not evaluate."""
  levels = [
    level
    for level in results['levels']
    if any(
      by_level[level]['mean'].get('auroc/flipped') is not None
      for by_level in results['methods'].values()
    )
  ]
  if not levels:
    return None
  sections = []
  for title, key in (
    ('by the uncertainty of the image', 'auroc/flipped'),
    ('by one minus the probability of the given label', 'auroc/given'),
  ):
    rows = [
      (METHODS[n], [cell(results, n, level, key, 1) for level in levels])
      for n in results['methods']
    ]
    sections.append(Section(title, rows))
  right = [
    (METHODS[n], [cell(results, n, v, 'labels/right', 1) for v in levels])
    for n in results['methods']
  ]
  sections.append(Section('share of right labels after relabelling', right))
  return Table(
    'Wrong training labels: AUROC of detecting them',
    levels,
    sections,
    ['high'] * len(levels),
    note='0.5 is chance.',
  )


def disagreement(results: Results) -> Table | None:
  """Rank correlation with the annotators' disagreement, and error detection."""
  level = results['levels'][0]
  keys = {
    'wrong predictions: AUROC': 'auroc/error',
    'wrong predictions: AUROC by highest probability': 'auroc/error/msp',
    'disagreement: Spearman': 'spearman',
    'disagreement: Spearman by highest probability': 'spearman/msp',
  }
  return Table(
    f'What the uncertainty of test images tells, noise {level}',
    list(keys),
    [
      _section(
        results,
        lambda name: [cell(results, name, level, k, 1) for k in keys.values()],
      )
    ],
    ['high'] * len(keys),
    note=(
      "Disagreement is the entropy of several annotators' votes for a test "
      'image (embedded data: of the distribution that labels are drawn from).'
    ),
  )
