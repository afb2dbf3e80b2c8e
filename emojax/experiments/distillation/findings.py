"""Does the run show what the paper found? Verdicts computed from the numbers.

The last generation of students stands for "the students", so that no verdict
profits from choosing among generations; only OOD detection is about the best
generation, as in the paper.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from emojax.experiments.distillation import published as reference
from emojax.report.estimates import (
  NO,
  UNCLEAR,
  YES,
  Estimate,
  combine,
  difference,
  judge,
  of_members,
)

Results = Mapping[str, Any]
AUC_MARGIN = 0.01
CHANCE = 0.5  # AUC of a guess
RULE = (
  'A difference between means over the members counts if its 95 % confidence '
  "interval (Welch's t) does not contain 0; otherwise the verdict is "
  '"unclear". The interval covers the random seeds of the members, not the '
  f'choice of frames. AUCs of ensembles must differ by {AUC_MARGIN}, and the '
  f'better one must be above chance by as much.'
)


@dataclasses.dataclass(frozen=True)
class Finding:
  """One finding of the paper, and what this run says about it.

  Attributes:
    claim: The finding, as a sentence.
    paper: The paper's numbers.
    here: This run's numbers.
    verdict: 'yes', 'no' or 'unclear'.
    group: What the summary says about it, shared by similar findings.
    item: What differs within the group.
  """

  claim: str
  paper: str
  here: str
  verdict: str
  group: str = ''
  item: str = ''


def _ends(results: Results):
  """The teachers' and the last students' results."""
  names = results['names']
  return results['generations'][names[0]], results['generations'][names[-1]]


def _single(run: Mapping[str, Any], key: str) -> Estimate:
  rows = {'mean': run['single_mean'], 'std': run['single_std']}
  return of_members(rows, key, run['num_members'])


def _method(run: Mapping[str, Any], method: str, key: str) -> Estimate:
  """Temperature scaling ('ts') or MC dropout ('mc') of single models."""
  rows = run.get(method)
  if rows and method == 'ts':
    rows = rows['test_time']
  if not rows:
    return Estimate(None)
  return of_members(rows, key, run['num_members'])


def _advantage(run: Mapping[str, Any]) -> Estimate:
  """Of the ensemble over its mean member in the total emotion metric."""
  return difference(Estimate(run['ensemble']['total']), _single(run, 'total'))


def ensembles_win(results: Results) -> Finding:
  """Section 5.1: ensembles always outperform single models."""
  gaps = {n: _advantage(run) for n, run in results['generations'].items()}
  table = reference.TABLE1
  paper = table[True, 5]['total'] - table[True, 1]['total']
  return Finding(
    claim='Ensembles beat the mean of their members in the total emotion '
    'metric, in every generation',
    paper=f'Tea {paper:+.3f}, students too (Figure 4)',
    here=', '.join(f'{name} {gap.signed()}' for name, gap in gaps.items()),
    verdict=combine([judge(gap) for gap in gaps.values()]),
    group='Ensembles beat single models',
  )


def gap_shrinks(results: Results) -> Finding:
  """Section 5.1: the gap between single models and ensembles gets smaller."""
  first, last = map(_advantage, _ends(results))
  return Finding(
    claim="The ensembles' advantage shrinks from the teachers to the last "
    'students',
    paper='yes (Figure 4)',
    here=f'{first.signed()} to {last.signed()}',
    verdict=judge(difference(first, last)),
  )


def students_win(results: Results) -> Finding:
  """Figure 4: students outperform their teachers."""
  first, last = _ends(results)
  gap = difference(_single(last, 'total'), _single(first, 'total'))
  name = results['names'][-1]
  return Finding(
    claim=f'Single students ({name}) beat single teachers in the total emotion '
    'metric',
    paper='yes; the best generation is Stu3 (section 5.1)',
    here=gap.signed(),
    verdict=judge(gap),
    group='Single students beat single teachers',
    item='total emotion metric',
  )


def _published(results: Results, key: str) -> Mapping[str, Mapping]:
  tables = {
    'V': (reference.TABLE3, reference.TABLE4),
    'VA': (reference.TABLE6, reference.TABLE7),
  }[results['modality']]
  return tables[0 if key.startswith('au') else 1]


def _published_pair(results: Results, key: str, row: str) -> str:
  published = _published(results, key)
  rival = published[row].get(key)
  if rival is None:
    return '–'
  students = [v[key] for name, v in published.items() if name[:3] == 'Stu']
  return f'{rival:.3f} against {min(students):.3f} (best students)'


def lower_uncertainty(results: Results, key: str, title: str) -> list[Finding]:
  """Tables 3, 4, 6, 7: single students against teachers, TS and MC dropout."""
  first, last = _ends(results)
  student, name = _single(last, key), results['names'][-1]
  found = []
  for rival, row, text in (
    (_single(first, key), 'Tea', 'single teachers'),
    (_method(first, 'ts', key), 'TS', 'temperature-scaled teachers'),
    (_method(first, 'mc', key), 'MC', 'MC dropout of the teachers'),
  ):
    if rival.value is None or student.value is None:
      continue
    gap = difference(rival, student)
    found.append(
      Finding(
        claim=f'{title} of single students ({name}) is lower than that of '
        f'{text}',
        paper=_published_pair(results, key, row),
        here=f'{rival} against {student} (difference {gap.signed()})',
        verdict=judge(gap),
        group=f'Single students beat {text}',
        item=title,
      )
    )
  return found


def out_of_domain(results: Results) -> list[Finding]:
  """Figure 5: the students' epistemic uncertainty detects OOD frames better."""
  names, runs = results['names'], results['generations']
  found = []
  for kind in runs[names[0]]['ood']:
    aucs = {n: runs[n]['ood'][kind]['ensemble/epistemic'] for n in names}
    best = max(aucs[name] for name in names[1:])
    gap = best - aucs[names[0]]
    # Who is better at guessing is of no interest.
    detected = max(best, aucs[names[0]]) > CHANCE + AUC_MARGIN
    verdict = (YES if gap > 0 else NO) if detected else UNCLEAR
    found.append(
      Finding(
        claim='Epistemic uncertainty of the best student ensemble detects '
        f'"{kind}" better than that of the teachers',
        paper='best AUC 0.898, Stu2 (Figure 5)',
        here=', '.join(f'{name} {auc:.3f}' for name, auc in aucs.items()),
        verdict=verdict if abs(gap) >= AUC_MARGIN else UNCLEAR,
        group='Student ensembles detect foreign frames better',
        item=f'"{kind}"',
      )
    )
  return found


def nearer_to_truth(results: Results) -> list[Finding]:
  """Only where the true posteriors are known: distance to the optimum."""
  if not results.get('optimum'):
    return []

  def distance(run, task: str) -> Estimate:
    kinds = {'mean': 'single_mean', 'std': 'single_std'}
    rows = {key: run['truth'][kind][task] for key, kind in kinds.items()}
    return of_members(rows, 'kl', run['num_members'])

  first, last = _ends(results)
  found = []
  for task in first['truth']['single_mean']:
    teacher, student = distance(first, task), distance(last, task)
    gap = difference(teacher, student)
    found.append(
      Finding(
        claim=f'{task.upper()} probabilities of single students '
        f'({results["names"][-1]}) are nearer to the true posteriors than '
        'those of single teachers',
        paper='not measurable (single labels only)',
        here=f'KL {teacher} against {student} nats (difference {gap.signed()})',
        verdict=judge(gap),
        group='Single students are nearer to the true posteriors',
        item=task.upper(),
      )
    )
  return found


def all_findings(results: Results) -> Sequence[Finding]:
  """All findings that the run can speak to; students' need a student."""
  found = [ensembles_win(results)]
  if len(results['names']) < 2:
    return found
  found += [gap_shrinks(results), students_win(results)]
  for key, title in (
    ('au/nll', 'AU NLL'),
    ('expr/nll', 'EXPR NLL'),
    ('va/rmse/valence', 'Valence RMSE'),
    ('va/rmse/arousal', 'Arousal RMSE'),
  ):
    found += lower_uncertainty(results, key, title)
  return found + out_of_domain(results) + nearer_to_truth(results)
