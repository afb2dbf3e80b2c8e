"""Tables and a figure about annotators' votes (`evaluation.judge`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emojax.evaluation.judge import SCALED_BY_VOTES
from emojax.experiments.distillation.published import TEACHERS
from emojax.experiments.distillation.tables import PC_NOTE
from emojax.report import style
from emojax.report.table import Cell, Section, Table

Results = Mapping[str, Any]
LOW, HIGH = 'low', 'high'
# Statistic -> (column, better).
VOTES = {
  'vote/nll': ('NLL', LOW),
  'vote/kl': ('KL', LOW),
  'vote/spearman/total': ('Spearman, total', HIGH),
  'vote/spearman/aleatoric': ('aleatoric', HIGH),
  'vote/spearman/epistemic': ('epistemic', HIGH),
  'vote/pearson/total': ('Pearson, total', HIGH),
  'vote/pearson/aleatoric': ('aleatoric', HIGH),
  'vote/pearson/epistemic': ('epistemic', HIGH),
}
HARD = {
  'hard/acc': ('Accuracy', HIGH),
  'hard/nll': ('NLL', LOW),
  'hard/ece': ('ECE', LOW),
  'hard/brier': ('Brier', LOW),
  'hard/acc_kept': ('Accuracy of the surest 80 %', HIGH),
  'hard/rejection_area': ('Area under accuracy-rejection', HIGH),
}
CLAIMS = {
  'vote/kl': 'match the votes better (KL)',
  'vote/spearman/total': "have entropies that follow the votes' better "
  '(Spearman)',
  'hard/nll': 'have a lower NLL on hard labels',
  'hard/ece': 'are better calibrated on hard labels (ECE)',
  'hard/rejection_area': 'know better which answers to reject (area under the '
  'accuracy-rejection curve)',
}
RULE = (
  'In brackets: 95 % confidence interval over members and test images. Both '
  'sides are scored on the same bootstrap replicates of the images, and member k '
  'of the students is left out together with member k of the teachers '
  '(jackknife). It does not cover other teachers for the students to learn from.'
)


def tables(results: Results) -> list[Table]:
  """All of the tables below; [] without votes."""
  made = (maker(results) for maker in MAKERS)
  return [table for table in made if table is not None]


def against_votes(results: Results) -> Table | None:
  """NLL, KL and correlations of entropies."""
  judged = results.get('votes')
  if not judged:
    return None
  return _table(judged, VOTES, _votes_title(judged), _votes_note(judged))


def against_labels(results: Results) -> Table | None:
  """Metrics of hard labels."""
  judged = results.get('votes')
  if not judged:
    return None
  title = f'Against the hard labels of {judged["labelled"]:,} images'
  return _table(judged, HARD, title, _HARD_NOTE)


def _votes_title(judged) -> str:
  return (
    f'Against the votes for {judged["faces"]:,} images: divergence in nats, '
    'correlation of predicted entropy with the entropy of the votes'
  )


def _votes_note(judged) -> str:
  corrected = any(name.endswith('+ PC') for name in judged['rows'])
  by_votes = any(name.endswith(SCALED_BY_VOTES) for name in judged['rows'])
  return (
    f'The NLL of the votes themselves, their mean entropy, is '
    f'{judged["entropy"]:.3f}. Single models: mean over the members ± standard '
    'deviation. In brackets: 95 % bootstrap interval over the images '
    f'({judged["replicates"]:,} replicates). TS: temperatures fitted on the '
    'validation set, one for each member; an ensemble with TS averages scaled '
    'members.'
    + (' TS on votes: fitted to the votes for the same faces.' * by_votes)
    + (f' {PC_NOTE}' if corrected else '')
  )


_HARD_NOTE = (
  'Images without a hard label (no majority of the votes) are left out. The '
  'surest 80 % are those of the lowest total uncertainty.'
)


def _sections(judged, keys: Sequence[str]) -> list[Section]:
  """Single models and ensembles apart, each in the order of the run."""
  return [
    Section(
      title,
      [
        (name, [_cell(row, key) for key in keys])
        for name, row in judged['rows'].items()
        if f' {kind}' in name
      ],
    )
    for kind, title in (('single', 'Single models'), ('ensemble', 'Ensembles'))
  ]


def _cell(row: Mapping[str, Any], key: str) -> Cell:
  spread = (row['std'] or {}).get(key)
  return Cell(row['mean'].get(key), spread, row['interval'].get(key))


def _table(judged, columns, title: str, note: str, digits: int = 3) -> Table:
  rows = judged['rows'].values()
  keys = [key for key in columns if any(key in row['mean'] for row in rows)]
  return Table(
    title=title,
    columns=[columns[key][0] for key in keys],
    sections=_sections(judged, keys),
    better=[columns[key][1] for key in keys],
    digits=digits,
    note=note,
  )


def outside_keys(judged) -> list[str]:
  """The statistics about foreign images, 'ood/<set>/<kind>'."""
  keys = [key for row in judged['rows'].values() for key in row['mean']]
  return list(dict.fromkeys(key for key in keys if key.startswith('ood/')))


def outside_total(results: Results) -> Table | None:
  """AUROC of total uncertainty by foreign set."""
  return _outside(results, 'total', '')


def outside_epistemic(results: Results) -> Table | None:
  """AUROC of epistemic uncertainty by foreign set."""
  note = 'Single models have no epistemic uncertainty without dropout.'
  return _outside(results, 'epistemic', note)


def _outside(results: Results, kind: str, note: str) -> Table | None:
  judged = results.get('votes')
  if not judged:
    return None
  columns = {
    key: (key.split('/')[1], HIGH)
    for key in outside_keys(judged)
    if key.endswith(f'/{kind}')
  }
  if not columns:
    return None
  title = f'AUROC of telling foreign images by {kind} uncertainty'
  return _without_empty(_table(judged, columns, title, note))


def _is_number(cell: Cell | str) -> bool:
  return isinstance(cell, Cell) and cell.value is not None


def _without_empty(table: Table) -> Table:
  """Leaves out rows that have no number at all."""
  sections = [
    Section(s.title, rows)
    for s in table.sections
    if (rows := [row for row in s.rows if any(map(_is_number, row[1]))])
  ]
  return Table(
    table.title,
    table.columns,
    sections,
    table.better,
    table.digits,
    table.note,
  )


def students(results: Results) -> Table | None:
  """Students less teachers, for the statistics that the claims are about."""
  judged = results.get('votes')
  if not judged or not judged['differences']:
    return None
  found = differences(judged)
  pairs = list(dict.fromkeys((row, rival) for row, rival, _ in found))
  rows = []
  for row, rival in pairs:
    cells = []
    for key in CLAIMS:
      one = found.get((row, rival, key))
      cells.append(
        Cell(one['difference'], None, one['interval']) if one else Cell(None)
      )
    rows.append((f'{row} − {rival}', cells))
  columns = VOTES | HARD
  return Table(
    title='Students less teachers',
    columns=[
      f'{columns[key][0]} ({"votes" if key in VOTES else "hard"})'
      for key in CLAIMS
    ],
    sections=[Section('', rows, ranked=False)],
    better=[columns[key][1] for key in CLAIMS],
    note='Below 0 is better for NLL, KL and ECE, above 0 for the others. '
    + RULE,
  )


def differences(judged) -> dict[tuple[str, str, str], Mapping[str, Any]]:
  """(row, rival, statistic) -> difference and interval."""
  return {
    (d['row'], d['rival'], d['statistic']): d for d in judged['differences']
  }


def figure(results: Results, curves: Mapping[str, Any]):
  """Accuracy after rejection, and predicted against vote entropy."""
  found = curves.get('votes')
  if not found:
    return None
  styles = style.stack_styles(results['names'], TEACHERS)
  sketch, ((left, right),) = style.grid(1, 2, width=4.6, height=4.2)
  ends = [results['names'][0], results['names'][-1]]
  for row, curve in found.items():
    name, kind = row.split(' ', 1)
    if kind not in ('single', 'ensemble') and name != ends[0]:
      continue
    look = {'color': styles[name]['color'], 'linestyle': _LINES.get(kind, ':')}
    for method, color in (
      ('on votes', style.OTHER_METHODS[1]),
      ('MC', style.OTHER_METHODS[0]),
      # The first students have the third colour, and there is no truth to draw.
      ('PC', style.TRUTH),
    ):
      if method in kind:
        look['color'] = color
    rejected = 100 * np.array(curve['rejected'])
    left.plot(rejected, curve['accuracy'], label=row, **look)
    right.plot(curve['vote_entropy'], curve['entropy'], marker='.', **look)
  right.plot([0, 1], [0, 1], color=style.GREY, linestyle=':', linewidth=1)
  left.set(
    xlabel='rejected images [%]', ylabel='accuracy, hard labels', xlim=(0, 95)
  )
  right.set(
    xlabel='entropy of the votes',
    ylabel='predicted entropy (total)',
    xlim=(0, None),
    ylim=(0, None),
  )
  style.legend(sketch, columns=3)
  return sketch


_LINES = {
  'single': '--',
  'ensemble': '-',
  'ensemble + TS': '-.',
  'ensemble + TS on votes': '-.',
  'single + PC': '--',
  'ensemble + PC': '-',
}
CAPTION = (
  'Left: accuracy of the images that are kept when the most uncertain ones '
  'are rejected. Right: mean predicted entropy of images grouped by the '
  'entropy of their votes, both normalised; on the dotted line models are as '
  'undecided as the annotators.'
)
MAKERS = (
  against_votes,
  against_labels,
  outside_total,
  outside_epistemic,
  students,
)
