"""Does the run show what paper 003 claims? Verdicts from paired repetitions."""

import dataclasses

import numpy as np

from emojax.experiments.relative_uncertainty import published
from emojax.experiments.relative_uncertainty.members import CLEAN
from emojax.experiments.relative_uncertainty.setup import METHODS
from emojax.report import validity, verdicts
from emojax.report.estimates import Estimate
from emojax.report.verdicts import Claim

# Points below plain training, without noise, from which RUL has not learned.
LAG = 2.0
RIVALS = ('baseline', 'scn', 'conf', 'dul')
RULE = (
  'Repetitions of the same number share data order, flipped labels and, where '
  'networks have the same shape, initial weights, so differences are taken '
  "pairwise (Student's t). RUL leads if it does before every rival. Accuracies "
  'differ in points. With few repetitions only large differences can be shown. '
) + verdicts.RULE


def paired(results, level: str, key: str, first: str, second: str) -> Estimate:
  """Mean difference of a metric between two methods over repetitions."""
  rows = [results['methods'][n][level]['members'] for n in (first, second)]
  values = [[row.get(key) for row in members] for members in rows]
  if None in values[0] + values[1]:
    return Estimate(None, None)
  difference = np.subtract(values[0], values[1])
  count = len(difference)
  if count < 2:
    return Estimate(float(difference.mean()), None)
  error = float(difference.std(ddof=1) / np.sqrt(count))
  return Estimate(float(difference.mean()), error, count - 1)


def all_findings(results) -> list[tuple[str, str, str, str]]:
  """Rows (claim, paper, this run, verdict) for `report.page.Verdicts`."""
  gated = validity.gate(
    claims(results), results.get('validity'), _accuracy(results)
  )
  late = _late(results)
  gated = [
    dataclasses.replace(claim, untestable=claim.untestable or late)
    for claim in gated
  ]
  return [finding.row for finding in verdicts.decide(gated)]


def _late(results) -> str:
  """Why RUL has not learned what plain training has; '' if it has.

  It is the slowest to learn, and what it says of noise before it has is no finding.
  Asked of runs that say from which accuracy they test claims.
  """
  methods, floor = results['methods'], results.get('validity', {}).get('floor')
  if not floor or CLEAN not in results['levels']:
    return ''
  both = [methods.get(name, {}).get(CLEAN) for name in ('rul', 'baseline')]
  if None in both:
    return ''
  ours, plain = (100 * found['mean']['acc'] for found in both)
  if ours >= plain - LAG:
    return ''
  return (
    f'without noise RUL is {plain - ours:.1f} points below plain training, more '
    f'than {LAG:g}'
  )


def _accuracy(results) -> float | None:
  """Of plain training with the fewest wrong labels, or of what comes first."""
  methods = results['methods']
  found = methods.get('baseline') or next(iter(methods.values()))
  return found[results['levels'][0]]['mean'].get('acc')


def claims(results) -> list[Claim]:
  """The paper's claims with this run's numbers; none without RUL or a rival."""
  if 'rul' not in results['methods']:
    return []
  rivals = [name for name in RIVALS if name in results['methods']]
  if not rivals:
    return []
  levels, lowest = results['levels'], results['levels'][0]
  noisy = [level for level in levels if level != CLEAN]
  rows = [
    _lead(
      results,
      f'RUL is more accurate with {level} wrong labels'
      if level != 'stored'
      else 'RUL is more accurate with the labels as they are stored',
      _paper_lead(level),
      level,
      'acc',
      rivals,
    )
    for level in noisy
  ]
  rows.append(
    _lead(
      results,
      f'RUL is best with 30 % of the images rejected (noise {lowest})',
      'over the second best: RAF-DB +1.45, FER2013 +2.50, CIFAR-10 -0.12',
      lowest,
      'reject/30',
      rivals,
    )
  )
  for key, claim in (
    ('auroc/flipped', 'RUL finds wrong training labels best'),
    ('spearman', 'RUL agrees best with the disagreement of annotators'),
  ):
    level = noisy[-1] if key == 'auroc/flipped' and noisy else lowest
    if results['methods']['rul'][level]['mean'].get(key) is not None:
      claim += f' (noise {level})'
      rows.append(_lead(results, claim, 'not evaluated', level, key, rivals, 1))
  return rows


def _paper_lead(level: str) -> str:
  """RUL's lead over the second best in Table 1, in points."""
  if level not in published.LEVELS:
    return 'not evaluated'
  leads = []
  for data, rows in published.TABLE1.items():
    others = [row[level][0] for name, row in rows.items() if name != 'rul']
    leads.append(f'{data} {rows["rul"][level][0] - max(others):+.2f}')
  return f'over the second best: {", ".join(leads)}'


def _lead(results, claim, theirs, level, key, rivals, scale=100):
  """The claim that RUL leads all rivals in one metric."""
  differences, parts = [], []
  for rival in rivals:
    found = paired(results, level, key, 'rul', rival)
    differences.append(found)
    if found.value is not None:
      error = None if found.error is None else scale * found.error
      scaled = Estimate(scale * found.value, error, found.freedom)
      parts.append(f'{METHODS[rival]} {scaled.signed()}')
  here = 'RUL minus ' + '; '.join(parts) if parts else '–'
  stacks = ('rul', *rivals)
  return Claim(claim, theirs, here, tuple(differences), stacks=stacks)
