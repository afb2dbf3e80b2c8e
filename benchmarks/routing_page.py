"""Tables and figures of `benchmarks.routing`, and where a page has them.

Between the markers of the page everything is written anew; what is around them is
kept.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from benchmarks import tables
from emojax.data.transform import corruptions
from emojax.host import files
from emojax.report import files as report_files
from emojax.report import style

START, END = '<!-- tables -->', '<!-- end of tables -->'
KINDS = ('total', 'aleatoric', 'epistemic')
RULES = {
  'one': 'one threshold, total uncertainty',
  'two': 'two thresholds, epistemic rejects',
}
COLOURS = dict(zip(KINDS, (style.ENSEMBLE, style.SINGLE, style.TRUTH)))
Json = dict[str, Any]


def text(cell: Json, signed: bool = False) -> str:
  """'0.123 [0.100, 0.150]'."""
  sign = '+' if signed else ''
  low, high = cell['interval']
  return f'{cell["value"]:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]'


def tables_of(found: Json) -> list[tables.Table]:
  """All tables of the page."""
  return [
    _votes(found),
    _errors(found),
    _corruption(found),
    _foreign(found),
    *_equal(found),
    _routes(found),
  ]


def _votes(found: Json) -> tables.Table:
  votes = found['votes']
  rows = [[f'ensemble, {kind}', text(votes[kind])] for kind in KINDS]
  rows.append(['one network (mean), entropy', text(votes['single'])])
  return tables.Table(
    "Rank correlation with the entropy of the annotators' votes",
    ['uncertainty', 'Spearman'],
    rows,
    [f'{found["faces"]["test"]:,} faces of PublicTest'],
  )


def _errors(found: Json) -> tables.Table:
  errors = found['errors']
  keys = ('aurc', 'e_aurc', 'coverage', 'auroc')
  return tables.Table(
    'Errors of the ensemble, found by its uncertainty',
    [
      'uncertainty',
      'AURC',
      'E-AURC',
      'coverage at 5 % risk',
      'AUROC of errors',
    ],
    [[kind, *(text(errors[kind][key]) for key in keys)] for kind in KINDS],
    [
      f'{found["faces"]["majority"]:,} faces with a majority, of which '
      f'{errors["risk"]:.1%} are answered otherwise; lower AURC and E-AURC are '
      'better'
    ],
  )


def _corruption(found: Json) -> tables.Table:
  rows = []
  for name in corruptions.KINDS:
    for kind in KINDS:
      cells = _severities(found['corruption'][kind], name)
      rows.append([f'{name}, {kind}', *(f'{c:.3f}' for c in cells)])
    cells = _severities(found['accuracy'], name)
    rows.append([f'{name}, accuracy', *(f'{c:.3f}' for c in cells)])
  means = ', '.join(
    f'{kind} {text(found["corruption"][kind]["mean"])}' for kind in KINDS
  )
  clean = 1 - found['errors']['risk']
  return tables.Table(
    'Corrupted against clean faces: AUROC by severity',
    ['corruption, uncertainty', *map(str, range(1, 6))],
    rows,
    [
      f'mean over kinds and severities: {means}',
      f'accuracy: of corrupted faces with a majority; of clean ones {clean:.3f}',
    ],
  )


def _severities(values: Json, name: str) -> list[float]:
  found = [values[f'{name}-{severity}'] for severity in range(1, 6)]
  return [x['value'] if isinstance(x, dict) else x for x in found]


def _foreign(found: Json) -> tables.Table:
  rows = [
    [f'{name}, {kind}', text(one[kind]['auroc']), text(one[kind]['scod'])]
    for name, one in found['foreign'].items()
    for kind in KINDS
  ]
  return tables.Table(
    'Foreign images, and foreign or wrong ones (SCOD)',
    ['foreign set, uncertainty', 'AUROC of foreign', 'SCOD: mean risk'],
    rows,
    [
      'SCOD: mean over recalls of right answers of the risk of what is kept, if '
      'half of all images are foreign and keeping a wrong or a foreign one costs '
      '0.5 each; lower is better'
    ],
  )


def _equal(found: Json) -> Iterator[tables.Table]:
  for name, by_share in found['equal'].items():
    rows = []
    for share, one in by_share.items():
      rejected = [f'{one[rule]["rejected"]:.1%}' for rule in RULES]
      kept = [f'{one[rule]["kept"]["value"]:.1%}' for rule in RULES]
      ambiguous = [f'{one[rule]["ambiguous"]["value"]:.1%}' for rule in RULES]
      rows.append(
        [
          f'{float(share):.0%}',
          ' / '.join(rejected),
          ' / '.join(kept),
          ' / '.join(ambiguous),
          text(one['difference'], signed=True),
        ]
      )
    yield tables.Table(
      f'Faces kept at equal rejection of foreign images: {name}',
      [
        'rejection asked', 'rejected, other half', 'all faces kept',
        'ambiguous faces kept', 'difference',
      ],
      rows,
      [
        'one threshold on total / on epistemic uncertainty, each fitted on half '
        'of the foreign images',
        f'{found["faces"]["ambiguous"]:,} ambiguous faces: no class has more than '
        'half of their votes; difference: two less one, of the ambiguous ones',
      ],
    )  # fmt: skip


def _routes(found: Json) -> tables.Table:
  rows = []
  outside = list(found['foreign'])
  for one in found['routes']:
    reject, sets = one['budget']
    shares = one['shares']
    budget = (
      f'{reject:.0%}' if one['rule'] == 'one' else f'{reject:.0%}, {sets:.0%}'
    )
    held = tables.MISSING
    if 'votes_held' in one:
      held = f'{one["votes_held"]:.3f} in {one["size"]:.2f} classes'
    rows.append(
      [
        f'{one["rule"]} ({budget})',
        ' / '.join(f'{shares[k]:.1%}' for k in ('answer', 'set', 'reject')),
        f'{one["ambiguous_kept"]:.1%}',
        ' / '.join(
          f'{one["accuracy"][k]:.3f}'
          if k in one['accuracy']
          else tables.MISSING
          for k in ('answer', 'set', 'reject')
        ),
        held,
        *(f'{one["foreign"][name]:.1%}' for name in outside),
        f'{_worst(one["foreign"]):.1%}',
      ]
    )
  return tables.Table(
    'Routes by thresholds of the validation faces alone',
    [
      'thresholds (budget)', 'answer / set / reject', 'ambiguous kept',
      'accuracy of these', 'votes in sets',
      *(f'{name} rejected' for name in outside), 'corrupted rejected',
    ],
    rows,
    [
      'budget: share of validation faces that may be rejected (and get a set); '
      'sets: `vote_classes` of 0.9; corrupted: mean over the kinds at severity 5',
    ],
  )  # fmt: skip


def _worst(rejected: Json) -> float:
  found = [rejected[f'{name}-5'] for name in corruptions.KINDS]
  return sum(found) / len(found)


def corruption_figure(found: Json):
  """AUROC by severity, a panel a kind of corruption."""
  figure, axes = style.panels(len(corruptions.KINDS) + 1)
  axes[-1].remove()
  for axis, name in zip(axes, corruptions.KINDS):
    for kind, colour in COLOURS.items():
      cells = [found['corruption'][kind][f'{name}-{s}'] for s in range(1, 6)]
      low, high = zip(*(cell['interval'] for cell in cells))
      axis.plot(
        range(1, 6), [cell['value'] for cell in cells],
        color=colour, marker=style.MARKERS[KINDS.index(kind)], label=kind,
      )  # fmt: skip
      axis.fill_between(range(1, 6), low, high, color=colour, alpha=0.15, lw=0)
    axis.axhline(0.5, color=style.GREY, linewidth=1, linestyle=':')
    axis.set(
      title=name, xlabel='severity', ylabel='AUROC', xticks=range(1, 6),
      ylim=(0.45, 0.9),
    )  # fmt: skip
  style.legend(figure)
  return figure


def equal_figure(found: Json):
  """Ambiguous faces kept by the share of foreign images rejected."""
  figure, axes = style.panels(len(found['equal']))
  for axis, (name, by_share) in zip(axes, found['equal'].items()):
    for (rule, label), kind in zip(RULES.items(), ('total', 'epistemic')):
      x = [one[rule]['rejected'] for one in by_share.values()]
      cells = [one[rule]['ambiguous'] for one in by_share.values()]
      low, high = zip(*(cell['interval'] for cell in cells))
      axis.plot(
        x, [cell['value'] for cell in cells],
        color=COLOURS[kind], marker=style.MARKERS[KINDS.index(kind)],
        label=label,
      )  # fmt: skip
      axis.fill_between(x, low, high, color=COLOURS[kind], alpha=0.15, lw=0)
    axis.set(
      title=name, xlabel='foreign images rejected',
      ylabel='ambiguous faces kept', ylim=(0, 1),
    )  # fmt: skip
  style.legend(figure, columns=2)
  return figure


FIGURES = {
  'corruption': (
    corruption_figure,
    'AUROC of corrupted against clean faces by severity; bands are 95 % '
    'intervals over the faces, the dotted line is chance.',
  ),
  'equal': (
    equal_figure,
    'Ambiguous faces that are kept where the same share of foreign images is '
    'rejected; bands are 95 % intervals over the faces.',
  ),
}


def write(path: pathlib.Path, found: Json):
  """Replaces what is between the page's markers, and its figures.

  Raises:
    ValueError: If the page has no markers.
  """
  old = path.read_text()
  if old.count(START) != 1 or old.count(END) != 1:
    raise ValueError(f'{path} has not the markers {START} and {END} once each')
  folder = path.parent / 'figures' / path.stem
  folder.parent.mkdir(exist_ok=True)
  pictures = report_files.draw(
    folder,
    [
      (name, lambda make=make: make(found), caption)
      for name, (make, caption) in FIGURES.items()
    ],
  )
  parts = [one.markdown() for one in tables_of(found)]
  parts += [
    f'![{picture.caption}](figures/{path.stem}/{name}.png)\n\n*{picture.caption}*'
    for name, picture in pictures.items()
  ]
  before, rest = old.split(START)
  after = rest.split(END)[1]
  body = '\n\n'.join(parts)
  new = f'{before}{START}\n\n{body}\n\n{END}{after}'
  files.write_bytes(path, new.encode())
