"""The paper's findings that need several runs: do they hold in these?

All rows of a study's report are one family (see `verdicts`). A claim cannot be tested
where one of the runs that it is about cannot; what other runs can says nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emojax.experiments.distillation import findings, published
from emojax.experiments.distillation.study_tables import Variant, Variants
from emojax.report import verdicts
from emojax.report.estimates import (
  Estimate,
  difference,
  of_ensemble,
  of_members,
)
from emojax.report.verdicts import Claim, Finding

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


def _compare(
  claim: str, paper: str, better: Estimate, worse: Estimate, stacks
) -> Claim:
  gap = difference(better, worse)
  here = f'{better} against {worse} (difference {gap.signed()})'
  return Claim(claim, paper, here, (gap,), stacks=stacks)


def _ends(which: int, *variants: Variant) -> tuple[str, ...]:
  """Names of the first or last generations."""
  return tuple(v.results['names'][which] for v in variants)


def _of_teachers(
  what: str, printed: Mapping, on: Variant, off: Variant, rows
) -> list[Claim]:
  """What a setting does to single teachers.

  Args:
    what: The setting.
    printed: (whether it is on, members) -> the paper's scores.
    on: The run with it.
    off: The run without it.
    rows: (score, what happens to it, whether it is better with the setting).
  """
  found = []
  for key, title, better in rows:
    first, second = (on, off) if better else (off, on)
    found.append(
      _compare(
        f'{what} {title} of single teachers',
        f'{printed[True, 1][key]:.4f} with, '
        f'{printed[False, 1][key]:.4f} without',
        _scores(first, key),
        _scores(second, key),
        _ends(0, first, second),
      )
    )
  return found


def reweighting(variants: Variants) -> list[Claim]:
  """Section 5.1 on Table 1: class re-weighting of teachers, and how many."""
  sizes = ensemble_size(variants)
  on, off = _by(variants, lambda v: v.config['loss']['reweight'])
  if on is None or off is None:
    return sizes
  rows = (
    ('expr/score', 'raises the expression score', True),
    ('au/score', 'lowers the AU score', False),
    ('total', 'raises the total emotion metric', True),
  )
  found = _of_teachers('Class re-weighting', published.TABLE1, on, off, rows)
  return _gated(found, (on, off)) + sizes


def ensemble_size(variants: Variants) -> list[Claim]:
  """Section 5.1 on Table 1: ten members are hardly better than five."""
  found = []
  for variant in variants:
    if 5 not in variant.sizes:
      continue
    total: dict[int, Any] = {
      size: _scores(variant, 'total', size).value for size in variant.sizes
    }
    if None in total.values():
      continue
    gains = [f'T = 1 to 5: {total[5] - total[1]:+.3f}']
    flattening = Estimate(None, None)
    if 10 in total:
      flattening = _flattening(variant)
      gains += [
        f'5 to 10: {total[10] - total[5]:+.3f}',
        f'difference {flattening.signed()}',
      ]
    claim = Claim(
      'The step from five to ten members adds less to the total metric than '
      f'that from one to five ({variant.name})',
      '+4.0 % and +0.6 % (without re-weighting)',
      ', '.join(gains),
      (flattening,),
      stacks=_ends(0, variant),
    )
    found += _gated([claim], (variant,))
  return found


def _flattening(variant: Variant) -> Estimate:
  """By how much the step from 1 to 5 members is larger than that to 10.

  Without a member, the ten, one of the fives and the mean of the ones lack it.
  """
  ones, fives, tens = (
    [row['total'] for row in variant.sizes[size]['members']]
    for size in (1, 5, 10)
  )
  rest = [
    [row['total'] for row in variant.sizes[size].get('without', ())]
    for size in (5, 10)
  ]
  value = 2 * np.mean(fives) - np.mean(ones) - np.mean(tens)
  # Of more than ten members some are in no ensemble, or the tens are several.
  if not all(rest) or len(ones) != 10 or None in rest[0] + rest[1]:
    return Estimate(float(value), None)
  without = []
  for m, (five, ten) in enumerate(zip(*rest, strict=True)):
    other = fives[1 - m // 5]
    one = np.mean(np.delete(ones, m))
    without.append(float(five + other - one - ten))
  return of_ensemble(float(value), without)


def balancing(variants: Variants) -> list[Claim]:
  """Appendix B on Table 5: what Algorithm 1 does to teachers."""
  on, off = _by(variants, lambda v: v.config['train']['balance'] != 'off')
  if on is None or off is None:
    return []
  rows = (
    ('total', 'raises the total emotion metric', True),
    ('expr/score', 'lowers the expression score', False),
    ('va/ccc/arousal', 'lowers the CCC of arousal', False),
  )
  found = _of_teachers('Multitask balancing', published.TABLE5, on, off, rows)
  return _gated(found, (on, off))


def _last(variant: Variant, key: str) -> Estimate:
  run = variant.results['generations'][variant.results['names'][-1]]
  rows = {'mean': run['single_mean'], 'std': run['single_std']}
  return of_members(rows, key, run['num_members'])


def listening(variants: Variants) -> list[Claim]:
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
      _ends(-1, va, v),
    )
  ]
  for key, (title, paper, _) in LISTENING.items():
    claim = f'Voices lower the {title} of single students'
    pair = _last(v, key), _last(va, key)
    found.append(_compare(claim, paper, *pair, _ends(-1, va, v)))
  return _gated(found, (va, v))


def _groups(
  variants: dict[str, Variant], shown: dict[str, Sequence[str]]
) -> list[tuple[str, list[Claim]]]:
  """Claims by heading."""

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
      found.append((title, findings.claims(variant.results)))
  return [(title, group) for title, group in found if group]


def _gated(claims: Sequence[Claim], variants: Variants) -> list[Claim]:
  """Marks what cannot be tested with one of its runs; see `validity`."""
  for variant in variants:
    claims = findings.gated(claims, variant.results)
  return list(claims)


def all_findings(
  variants: dict[str, Variant], shown: dict[str, Sequence[str]]
) -> list[tuple[str, list[Finding]]]:
  """Findings by heading.

  Args:
    variants: All runs of the study by name.
    shown: Table -> the variants that it compares.
  """
  groups = _groups(variants, shown)
  decided = verdicts.decide([claim for _, group in groups for claim in group])
  found, start = [], 0
  for title, group in groups:
    found.append((title, decided[start : start + len(group)]))
    start += len(group)
  return found
