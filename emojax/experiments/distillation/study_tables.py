"""Tables of paper 000 that need several runs, and figures of all of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emojax.experiments.distillation import (
  comparability,
  figures_generations,
  published,
  tables,
  tables_extra,
)
from emojax.report import figures_uncertainty, style
from emojax.report.table import Section, Table, cells

SIZES = (1, 5, 10)
# Of the report; configurations sort their keys.
ORDER = ('table1', 'table2', 'figure4', 'table3', 'table4', 'figure5')
ORDER += ('table5', 'table6', 'table7')


@dataclasses.dataclass(frozen=True)
class Variant:
  """One run of a study.

  Attributes:
    name: Its name in the study.
    changes: Assignments that distinguish it, as in the configuration.
    config: Its whole configuration, nested.
    results: Its results.json.
    curves: Its curves.json.
    sizes: Scores of ensembles of the teachers by size; see
      `evaluation.subsets`.
  """

  name: str
  changes: Sequence[str]
  config: Mapping[str, Any]
  results: Mapping[str, Any]
  curves: Mapping[str, Any]
  sizes: Mapping[int, Mapping[str, Any]]

  @property
  def model(self) -> str:
    """'EMENet-V' or 'EMENet-VA'."""
    return f'EMENet-{self.results["modality"]}'

  @property
  def here(self) -> str:
    """Where its numbers are from."""
    return (
      f'{self.results["dataset"]}, {comparability.split_name(self.results)} set'
    )


Variants = Sequence[Variant]


def _keys(variants: Variants) -> list[str]:
  first = variants[0].results
  found = first['generations'][first['names'][0]]['ensemble']
  return [key for key in tables.EMOTION if key in found]


def table1(variants: Variants) -> list[Table]:
  """Class re-weighting, and the size of an ensemble of teachers."""
  keys = _keys(variants)
  sections = []
  for variant in variants:
    on = variant.config['loss']['reweight']
    title = f'{"with" if on else "without"} class re-weighting'
    rows = []
    for size, found in sorted(variant.sizes.items()):
      count = len(found['members'])
      times = f' ({count} ensembles)' if size > 1 and count > 1 else ''
      row = cells(keys, found['mean'], found['std'])
      rows.append((f'T = {size}{times}', row))
    sections.append(Section(f'This run: {variant.here}, {title}', rows))
    paper = [
      (f'T = {size}', cells(keys, values))
      for (weighted, size), values in published.TABLE1.items()
      if weighted == on
    ]
    sections.append(Section(f'Paper, {title}', paper))
  return [
    Table(
      title='Table 1. Class re-weighting and ensemble size, teachers',
      columns=[tables.header(key) for key in keys],
      sections=sections,
      better=['high'] * len(keys),
      digits=4,
      note='Mean ± standard deviation over the members (T = 1), or over the '
      'disjoint ensembles that the members make up. '
      + tables.reminder(variants[0].results),
    )
  ]


def table2(variants: Variants) -> list[Table]:
  """Generations of EMENet-V and EMENet-VA."""
  keys = _keys(variants)
  sections = []
  for variant in variants:
    results = variant.results
    rows = tables.single_and_ensemble(results, results['names'], keys, True)
    title = f'This run: {variant.model}, {variant.here}'
    sections.append(Section(title, rows))
  models = {variant.results['modality'] for variant in variants}
  paper = [
    (f'EMENet-{model}, {name}, T = {size}', cells(keys, values))
    for (model, name, size), values in published.TABLE2.items()
    if model in models
  ]
  title = 'Paper, Aff-Wild2 test set'
  sections.append(Section(title, paper, ranked=False))
  return [
    Table(
      title='Table 2. Emotion metrics by generation',
      columns=[tables.header(key) for key in keys],
      sections=sections,
      better=['high'] * len(keys),
      digits=4,
      note="The paper's rows are its submissions to the challenge's hidden "
      'test set. ' + tables.reminder(variants[0].results),
    )
  ]


def table5(variants: Variants) -> list[Table]:
  """Algorithm 1 on and off."""
  runs = {}
  for variant in variants:
    on = variant.config['train']['balance'] != 'off'
    runs['with balancing' if on else 'without balancing'] = variant.results
  return _some(tables.balancing(runs))


def _some(*found: Table | None) -> list[Table]:
  return [table for table in found if table is not None]


def _au(variants: Variants) -> list[Table]:
  return _some(*(tables.au_nll(variant.results) for variant in variants))


def _other(variants: Variants) -> list[Table]:
  return _some(*(tables.other_nll(variant.results) for variant in variants))


def _ood(variants: Variants) -> list[Table]:
  return _some(*(tables_extra.out_of_domain(v.results) for v in variants))


# By the names that `config.study.tables` uses.
TABLES: dict[str, Callable[[Variants], list[Table]]] = {
  'table1': table1,
  'table2': table2,
  'table3': _au,
  'table4': _other,
  'table5': table5,
  'table6': _au,
  'table7': _other,
  'figure5': _ood,
}


def figure4(variants: Variants):
  """The total emotion metric by generation, a panel per network."""
  figure, axes = style.grid(1, len(variants), width=4.4, height=3.8)
  for axis, variant in zip(axes[0], variants):
    figures_generations.panel(axis, variant.results, 'total')
    axis.set_title(f'{variant.model}: total emotion metric')
    axis.set_xlabel('generation')
  style.legend(figure)
  return figure


def figure5(variants: Variants):
  """ROC curves of out-of-distribution detection by generation."""
  first = variants[0]
  return figures_uncertainty.ood_roc(
    first.results, first.curves, published.TEACHERS
  )


FIGURES: dict[str, tuple[Callable[[Variants], Any], str]] = {
  'figure4': (
    figure4,
    'Figure 4: total emotion metric by generation. Error bars are standard '
    'deviations over the members.',
  ),
  'figure5': (
    figure5,
    'Figure 5: detection of out-of-distribution frames by the epistemic '
    "uncertainty of each generation's ensemble, averaged over the tasks. The "
    "paper's best AUC is 0.898 (Stu2, Fashion-MNIST).",
  ),
}
