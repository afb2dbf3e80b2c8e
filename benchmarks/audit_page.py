"""Tables and the figure of `benchmarks.audit`, and where a page has them."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import audit_metrics as metrics
from benchmarks import tables
from benchmarks.audit_ranks import Ranks, over_seeds, ranks
from benchmarks.seeds import cell, two_sided
from emojax.report import files as report_files
from emojax.report import style, verdicts
from emojax.report.estimates import Estimate

TITLES = {
  'au': 'action units',
  'expr': 'expressions',
  'va': 'valence and arousal',
}
REFERENCE = 'NLL'
NAMES = (*metrics.METRICS, metrics.SIZE)
DRAWN = ('NLL', 'Brier', 'ECE, equal width', 'classwise ECE')
MANY = {'single': 'o', 'ensemble': 's'}
COLOURS = dict(
  zip(
    ('none', 'MC', 'TS', 'TS of the mean', 'TS, one for all labels')
    + ('vector', 'Dirichlet', 'isotonic', 'PC', 'PC + TS'),
    ('#8a919e', '#22262e', '#56b4e9', '#0072b2', '#0b2545')
    + ('#e69f00', '#d55e00', '#cc79a7', '#009e73', '#7a5c00'),
    strict=True,
  )
)
Json = dict[str, Any]
Audits = Mapping[int, Json]  # of one task, by seed


def values(found: Audits, metric: str, of: str = 'labels') -> np.ndarray:
  """A metric of all methods, [seeds, K]; NaN for those without."""
  return np.array(
    [
      [(one[of] or {}).get(metric, np.nan) for one in audit['methods'].values()]
      for audit in found.values()
    ]
  )


def distances(found: Audits) -> np.ndarray:
  """True distances, [seeds, K]."""
  return np.array(
    [
      [one['kl'] for one in audit['methods'].values()]
      for audit in found.values()
    ]
  )


def methods(found: Audits) -> dict[str, Json]:
  """Of the first seed."""
  return next(iter(found.values()))['methods']


def unbiased(found: Audits) -> np.ndarray:
  """Whether class weights bias a method no more, bool [K]."""
  return np.array([one['unbiased'] for one in methods(found).values()])


def compared(found: Audits, rows: np.ndarray) -> dict[str, Ranks]:
  """Metric -> its ranks over some of the methods."""
  true = distances(found)[:, rows]
  made = {}
  for name in NAMES:
    value = values(found, name)[:, rows]
    if np.isfinite(value).all(0).sum() > 1:
      made[name] = ranks(value, true)
  return made


def text(one: Estimate) -> str:
  """'0.123 ± 0.045'."""
  return tables.MISSING if one.value is None else one.signed().lstrip('+')


def _distances(task: str, found: Audits) -> tables.Table:
  """KL by map, and by generation, single or together."""
  every = methods(found)
  true = dict(zip(every, distances(found).T, strict=True))
  columns = list(
    dict.fromkeys((one['stack'], one['many']) for one in every.values())
  )
  rows = []
  for name in dict.fromkeys(one['map'] for one in every.values()):
    cells = []
    for stack, many in columns:
      key = f'{stack}, {name}, {many}'
      cells.append(cell(list(true[key])) if key in true else tables.MISSING)
    rows.append([name, *cells])
  heading = ['', *(f'{stack}, {many}' for stack, many in columns)]
  title = f'True distance, KL(p* ‖ p) in nats: {TITLES.get(task, task)}'
  return tables.Table(title, heading, rows)


def differences(all_ranks: Mapping[str, Mapping[str, Ranks]]) -> dict:
  """(task, metric) -> (tau less that of the NLL, adjusted two-sided p)."""
  keys, gaps = [], []
  for task, by_metric in all_ranks.items():
    for name, one in by_metric.items():
      if name != REFERENCE:
        keys.append((task, name))
        gaps.append(over_seeds(one.kendall - by_metric[REFERENCE].kendall))
  adjusted = verdicts.holm([two_sided(gap) for gap in gaps])
  return dict(zip(keys, zip(gaps, adjusted, strict=True), strict=True))


def _ranks(
  task: str, found: Audits, near: Mapping[str, Ranks], gaps
) -> tables.Table:
  """A row for each metric."""
  inside, true = unbiased(found), distances(found)
  whole = compared(found, np.ones(len(inside), bool))
  names = list(methods(found))
  rows = []
  for name, one in whole.items():
    ideal = tables.MISSING
    if name in metrics.METRICS:
      soft = values(found, name, 'truth')[:, inside]
      ideal = text(over_seeds(ranks(soft, true[:, inside], 0).kendall))
    _, p = gaps.get((task, name), (None, 1.0))
    bold = '**' if p <= verdicts.LEVEL else ''
    most = collections.Counter(one.picked).most_common(1)[0][0]
    rows.append(
      [
        name,
        text(over_seeds(one.kendall)),
        f'{bold}{text(over_seeds(near[name].kendall))}{bold}',
        text(over_seeds(near[name].spearman)),
        ideal,
        text(over_seeds(one.regret)),
        names[most],
        _truth_best(found, name),
      ]
    )
  random = over_seeds(true.mean(1) - true.min(1))
  least = over_seeds(true[:, inside].mean(1) - true.min(1))
  rows.append(['(any method at random)', *[tables.MISSING] * 4, text(random)]
              + [tables.MISSING] * 2)  # fmt: skip
  rows.append(['(any without bias)', *[tables.MISSING] * 4, text(least)]
              + [tables.MISSING] * 2)  # fmt: skip
  nearest = names[true.mean(0).argmin()]
  return tables.Table(
    f'What metrics say of the true distance: {TITLES.get(task, task)}',
    [
      'metric', 'τ, all', 'τ, without bias', 'Spearman, without bias',
      'τ with p* for labels', 'regret', 'picked most often', 'p* is best',
    ],
    rows,
    [
      f'{len(names)} methods, {int(inside.sum())} without bias; nearest on '
      f'average: {nearest}',
      'of metrics that know nothing 95 % have a mean τ within '
      f'±{max(r.chance for r in whole.values()):.2f} (all) and '
      f'±{max(r.chance for r in near.values()):.2f} (without bias)',
    ],
  )  # fmt: skip


def _truth_best(found: Audits, name: str) -> str:
  """In how many seeds no method has a lower metric than the posteriors."""
  if name not in metrics.METRICS:
    return tables.MISSING
  best = np.array([one['optimum'][name] for one in found.values()])
  wins = (best <= values(found, name).min(1) + 1e-12).sum()
  return f'{wins} of {len(best)}'


def _sets(task: str, found: Audits) -> tables.Table:
  """True and counted coverage of prediction sets, by map, over the stacks."""
  every = methods(found)
  rows, gaps = [], []
  for name in dict.fromkeys(one['map'] for one in every.values()):
    keys = [
      key
      for key, one in every.items()
      if one['map'] == name and one['many'] == 'ensemble' and one['sets']
    ]
    if not keys:
      continue
    cells = []
    for asked in map(str, metrics.COVERAGES):
      made = np.array(
        [
          np.mean([a['methods'][k]['sets'][asked] for k in keys], axis=0)
          for a in found.values()
        ]
      )
      cells.append(f'{cell(list(made[:, 0]))} / {made[:, 1].mean():.3f}')
      gaps.append(made[:, 0] - made[:, 1])
      if asked == '0.9':
        size = cell(list(made[:, 2]))
    rows.append([name, *cells, size])
  units = {
    'au': 'share of units that are unsure',
    'expr': 'classes',
    'va': 'mean width of 2',
  }
  worst = np.abs(gaps).max()
  return tables.Table(
    f'Coverage of prediction sets, true / counted: {TITLES.get(task, task)}',
    ['ensembles', '80 %', '90 %', '95 %', 'size (90 %)'],
    rows,
    [
      f'means over the generations; size: {units.get(task, "")}; largest '
      f'difference of true and counted in a seed: {worst:.3f}'
    ],
  )


def _networks(task: str, found: Audits) -> tables.Table:
  """Coverage and size of the sets of each stack, alone and together."""
  every = methods(found)
  known = [key for key, one in every.items() if one['sets']]
  rows, first = [], None
  for stack, many in dict.fromkeys(
    (every[key]['stack'], every[key]['many']) for key in known
  ):
    key = f'{stack}, PC, {many}'
    key = key if key in every else f'{stack}, none, {many}'
    made = np.array(
      [
        [a['methods'][key]['sets'][str(c)] for c in metrics.COVERAGES]
        for a in found.values()
      ]
    )  # [seeds, coverages, (true, counted, size)]
    size = made[:, 1, 2]
    if many == 'ensemble' and first is None:
      first = size
    rows.append((key, made, size))
  lines = [
    [
      key,
      *(
        f'{cell(list(made[:, i, 0]))} / {made[:, i, 1].mean():.3f}'
        for i in range(len(metrics.COVERAGES))
      ),
      cell(list(size)),
      tables.MISSING if first is None else cell(list(size / first)),
    ]
    for key, made, size in rows
  ]
  return tables.Table(
    f'Sets of each network, true / counted coverage: {TITLES.get(task, task)}',
    [
      'networks', '80 %', '90 %', '95 %', 'size (90 %)',
      'of the first ensemble',
    ],
    lines,
  )  # fmt: skip


def _alone(found: Audits) -> bool:
  """Whether some stack is one network, which has no ensemble."""
  every = methods(found).values()
  together = {one['stack'] for one in every if one['many'] == 'ensemble'}
  return bool({one['stack'] for one in every} - together)


def tables_of(found: Mapping[str, Audits]) -> list[tables.Table]:
  """All tables of the page."""
  near = {task: compared(one, unbiased(one)) for task, one in found.items()}
  gaps = differences(near)
  made = [
    *(_ranks(task, one, near[task], gaps) for task, one in found.items()),
    *(_distances(task, one) for task, one in found.items()),
    *(_sets(task, one) for task, one in found.items()),
    *(_networks(task, one) for task, one in found.items() if _alone(one)),
  ]
  note = (
    "bold: another τ than the NLL's, paired by seed, at the level "
    f"{verdicts.LEVEL} after Holm's adjustment over the {len(gaps)} differences "
    'of all tasks'
  )
  if len(next(iter(found.values()))) == 1:
    note = 'one seed: no intervals, and no verdict on any difference'
  first = made[0]
  made[0] = tables.Table(
    first.title, first.columns, first.rows, [*first.notes, note]
  )
  return made


def scatter(found: Mapping[str, Audits]):
  """Metrics against the true distance, a point for each method."""
  figure, axes = style.grid(len(found), len(DRAWN), 2.9, 2.6)
  for row, (task, one) in zip(axes, found.items(), strict=True):
    true, every = distances(one).mean(0), methods(one)
    for axis, name in zip(row, DRAWN, strict=True):
      x = values(one, name).mean(0)
      for method, a, b in zip(every.values(), x, true, strict=True):
        colour = COLOURS.get(method['map'], style.INK)
        axis.plot(a, b, ls='', marker=MANY[method['many']], color=colour,
                  ms=5, alpha=0.75, mew=0, label=method['map'])  # fmt: skip
      best = np.mean([a['optimum'][name] for a in one.values()])
      axis.plot(best, 0, ls='', marker='*', color=style.ENSEMBLE, ms=11,
                label='p* itself')  # fmt: skip
      axis.set_xlabel(name)
    row[0].set_ylabel(f'{task.upper()}: KL(p* ‖ p)')
  style.legend(figure, 6)
  return figure


FIGURE = (
  'scatter',
  'Every metric against the true distance: a point for each method, mean over the '
  'seeds. Circles: single networks; squares: ensembles.',
)


def write(
  path: pathlib.Path,
  found: Mapping[str, Audits],
  made: Sequence[tables.Table],
  section: str = '',
) -> None:
  """Puts `tables_of` between the markers of a page, and draws its figure.

  Args:
    path: The page.
    found: Task -> audits.
    made: Its tables.
    section: Whose markers, where a page has several.

  Raises:
    ValueError: If the page has no such markers.
  """
  tables.check(path, section)
  folder = path.parent / 'figures' / path.stem
  folder.mkdir(parents=True, exist_ok=True)
  name, caption = FIGURE
  name = f'{name}-{section}' if section else name
  report_files.draw(folder, [(name, lambda: scatter(found), caption)])
  tables.fill(path, made, section)
