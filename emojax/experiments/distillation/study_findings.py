"""The paper's findings that need several runs: do they hold in these?

As in `findings`, a difference counts if its interval over the members does not
contain 0.
"""

from collections.abc import Callable, Sequence

from emojax.experiments.distillation import findings
from emojax.experiments.distillation import published as reference
from emojax.experiments.distillation.findings import Finding
from emojax.experiments.distillation.study_tables import Variant, Variants
from emojax.report.estimates import (
  UNCLEAR,
  Estimate,
  difference,
  judge,
  of_members,
)

LISTENING = {
  'au/nll': ('AU NLL', '8.7 % lower (0.348 against 0.381)', True),
  'expr/nll': ('EXPR NLL', '5.2 % lower with voices', True),
}


def _scores(variant: Variant, key: str, size: int = 1) -> Estimate:
  """Teachers: mean over the ensembles of a size that the members make up."""
  found = variant.sizes.get(size)
  if found is None:
    return Estimate(None, None)
  return of_members(found, key, len(found['members']))


def _by(variants: Variants, function: Callable[[Variant], bool]):
  """(first variant for which a setting is on, first for which it is off)."""
  on = next((v for v in variants if function(v)), None)
  off = next((v for v in variants if not function(v)), None)
  return on, off


def _compare(claim: str, paper: str, better: Estimate, worse: Estimate):
  gap = difference(better, worse)
  here = f'{better} against {worse} (difference {gap.signed()})'
  return Finding(claim, paper, here, judge(gap))


def reweighting(variants: Variants) -> list[Finding]:
  """Section 5.1 on Table 1: what class re-weighting does to teachers."""
  on, off = _by(variants, lambda v: v.config['loss']['reweight'])
  if on is None or off is None:
    return []
  with_, without = reference.TABLE1[True, 1], reference.TABLE1[False, 1]
  found = []
  for key, title, better in (
    ('expr/score', 'raises the expression score', True),
    ('au/score', 'lowers the AU score', False),
    ('total', 'raises the total emotion metric', True),
  ):
    first, second = (on, off) if better else (off, on)
    found.append(
      _compare(
        f'Class re-weighting {title} of single teachers',
        f'{with_[key]:.4f} with, {without[key]:.4f} without',
        _scores(first, key),
        _scores(second, key),
      )
    )
  return found + ensemble_size(variants)


def ensemble_size(variants: Variants) -> list[Finding]:
  """Section 5.1 on Table 1: ten members are hardly better than five."""
  found = []
  for variant in variants:
    if 5 not in variant.sizes:
      continue
    total = {s: _scores(variant, 'total', s).value for s in variant.sizes}
    if None in total.values():
      continue
    gains = [f'T = 1 to 5: {total[5] - total[1]:+.3f}']
    small = None
    if 10 in total:
      gains.append(f'5 to 10: {total[10] - total[5]:+.3f}')
      small = total[10] - total[5] < total[5] - total[1]
    verdict = UNCLEAR if small is None else ('yes' if small else 'no')
    found.append(
      Finding(
        'The step from five to ten members adds less to the total metric than '
        f'that from one to five ({variant.name})',
        '+4.0 % and +0.6 % (without re-weighting)',
        ', '.join(gains),
        verdict,
      )
    )
  return found


def balancing(variants: Variants) -> list[Finding]:
  """Appendix B on Table 5: what Algorithm 1 does to teachers."""
  on, off = _by(variants, lambda v: v.config['train']['balance'] != 'off')
  if on is None or off is None:
    return []
  with_, without = reference.TABLE5[True, 1], reference.TABLE5[False, 1]
  found = []
  for key, title, better in (
    ('total', 'raises the total emotion metric', True),
    ('expr/score', 'lowers the expression score', False),
    ('va/ccc/arousal', 'lowers the CCC of arousal', False),
  ):
    first, second = (on, off) if better else (off, on)
    found.append(
      _compare(
        f'Multitask balancing {title} of single teachers',
        f'{with_[key]:.4f} with, {without[key]:.4f} without',
        _scores(first, key),
        _scores(second, key),
      )
    )
  return found


def _last(variant: Variant, key: str) -> Estimate:
  run = variant.results['generations'][variant.results['names'][-1]]
  rows = {'mean': run['single_mean'], 'std': run['single_std']}
  return of_members(rows, key, run['num_members'])


def listening(variants: Variants) -> list[Finding]:
  """Section 5.1 and appendix C: EMENet-VA against EMENet-V, last students."""
  va, v = _by(variants, lambda x: x.results['modality'] == 'VA')
  if va is None or v is None:
    return []
  found = [
    _compare(
      'EMENet-VA beats EMENet-V in the total emotion metric (last students)',
      'always (section 5.1)',
      _last(va, 'total'),
      _last(v, 'total'),
    )
  ]
  for key, (title, paper, _) in LISTENING.items():
    claim = f'Voices lower the {title} of single students'
    found.append(_compare(claim, paper, _last(v, key), _last(va, key)))
  return found


def all_findings(
  variants: dict[str, Variant], shown: dict[str, Sequence[str]]
) -> list[tuple[str, list[Finding]]]:
  """Findings by heading.

  Args:
    variants: All runs of the study by name.
    shown: Table -> the variants that it compares.
  """

  def of(table):
    return [variants[name] for name in shown.get(table, ())]

  groups = [
    ('Class re-weighting and ensemble size (Table 1)', reweighting, 'table1'),
    ('Multitask balancing (Table 5)', balancing, 'table5'),
    ('Voices (Figure 4, Tables 6 and 7)', listening, 'figure4'),
  ]
  found = [
    (title, make(of(table)) if of(table) else [])
    for title, make, table in groups
  ]
  for variant in variants.values():
    if len(variant.results['names']) > 1:
      title = f'Generations of {variant.model} ("{variant.name}")'
      found.append((title, list(findings.all_findings(variant.results))))
  return [(title, group) for title, group in found if group]
