"""Does the run show what the paper found? Claims computed from the numbers.

The last generation of students stands for "the students", and for the detection
of foreign frames the first one: both are fixed beforehand, so that no verdict
profits from choosing among generations. Students of teachers whose answers were
corrected for class weights have the corrected teachers as their rivals: else they
would be credited with what the correction does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from emojax.experiments.distillation import outside, published, votes_findings
from emojax.experiments.distillation.comparability import learned_corrected
from emojax.report import validity, verdicts
from emojax.report.estimates import (
  Estimate,
  difference,
  of_ensemble,
  of_members,
)
from emojax.report.verdicts import Claim, Finding

Results = Mapping[str, Any]
RULE = (
  "Differences of means over the members have Welch's t interval, those of "
  'ensembles the jackknife over three members or more. These intervals cover '
  'the random seeds of the members, neither the choice of frames nor other '
  'teachers for the students to learn from. '
) + verdicts.RULE


_CORRECTED = 'single_mean', 'single_std', 'ensemble', 'members', 'truth', 'ood'


def _teachers(results: Results) -> Mapping[str, Any]:
  """The teachers' results, after prior correction where students learned these.

  Temperature scaling, MC dropout and ensembles without a member are of uncorrected
  teachers only: then there are none.
  """
  first = results['generations'][results['names'][0]]
  if not learned_corrected(results):
    return first
  pc = dict(first['pc'])
  pc['single_mean'], pc['single_std'] = pc.pop('mean'), pc.pop('std')
  found = {key: pc.get(key) for key in _CORRECTED}
  return {'num_members': first['num_members'], **found}


def _rivals(results: Results) -> str:
  """What claims call the teachers."""
  corrected = learned_corrected(results)
  return 'single teachers' + ' after prior correction' * corrected


def _ends(results: Results):
  """The teachers' and the last students' results."""
  return _teachers(results), results['generations'][results['names'][-1]]


def _end_names(results: Results) -> tuple[str, str]:
  return results['names'][0], results['names'][-1]


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
  members = [row['total'] for row in run['members']]
  gap = difference(Estimate(run['ensemble']['total']), _single(run, 'total'))
  # Without a member, ensemble and mean lack it together.
  ensembles = [row['total'] for row in _without(run, 'ensemble')]
  if not ensembles or None in members + ensembles:
    return Estimate(gap.value, None)
  rest = [(sum(members) - own) / (len(members) - 1) for own in members]
  pairs = zip(ensembles, rest, strict=True)
  return of_ensemble(gap.value, [a - b for a, b in pairs])


def _without(run: Mapping[str, Any], kind: str):
  """'ensemble' or 'ood' without each member; empty in runs of older versions."""
  return run.get('without_member', {}).get(kind, ())


def ensembles_win(results: Results) -> Claim:
  """Section 5.1: ensembles always outperform single models."""
  gaps = {n: _advantage(run) for n, run in results['generations'].items()}
  table = published.TABLE1
  paper = table[True, 5]['total'] - table[True, 1]['total']
  return Claim(
    text='Ensembles beat the mean of their members in the total emotion '
    'metric, in every generation',
    source=f'Tea {paper:+.3f}, students too (Figure 4)',
    here=', '.join(f'{name} {gap.signed()}' for name, gap in gaps.items()),
    differences=tuple(gaps.values()),
    group='Ensembles beat single models',
  )


def gap_shrinks(results: Results) -> Claim:
  """Section 5.1: the gap between single models and ensembles gets smaller."""
  first, last = map(_advantage, _ends(results))
  return Claim(
    text="The ensembles' advantage shrinks from the teachers to the last "
    'students',
    source='yes (Figure 4)',
    here=f'{first.signed()} to {last.signed()}',
    stacks=_end_names(results),
    differences=(difference(first, last),),
  )


def students_win(results: Results) -> Claim:
  """Figure 4: students outperform their teachers."""
  first, last = _ends(results)
  gap = difference(_single(last, 'total'), _single(first, 'total'))
  name = results['names'][-1]
  return Claim(
    text=f'Single students ({name}) beat {_rivals(results)} in the total emotion '
    'metric',
    source='yes; the best generation is Stu3 (section 5.1)',
    here=gap.signed(),
    stacks=_end_names(results),
    differences=(gap,),
    group='Single students beat single teachers',
    item='total emotion metric',
  )


def _published(results: Results, key: str) -> Mapping[str, Mapping]:
  tables = {
    'V': (published.TABLE3, published.TABLE4),
    'VA': (published.TABLE6, published.TABLE7),
  }[results['modality']]
  return tables[0 if key.startswith('au') else 1]


def _published_pair(results: Results, key: str, row: str) -> str:
  printed = _published(results, key)
  rival = printed[row].get(key)
  if rival is None:
    return '–'
  students = [v[key] for name, v in printed.items() if name[:3] == 'Stu']
  return f'{rival:.3f} against {min(students):.3f} (best students)'


def lower_uncertainty(results: Results, key: str, title: str) -> list[Claim]:
  """Tables 3, 4, 6, 7: single students against teachers, TS and MC dropout."""
  first, last = _ends(results)
  student, name = _single(last, key), results['names'][-1]
  found = []
  for rival, row, text in (
    (_single(first, key), published.TEACHERS, _rivals(results)),
    (_method(first, 'ts', key), 'TS', 'temperature-scaled teachers'),
    (_method(first, 'mc', key), 'MC', 'MC dropout of the teachers'),
  ):
    if rival.value is None or student.value is None:
      continue
    gap = difference(rival, student)
    found.append(
      Claim(
        text=f'{title} of single students ({name}) is lower than that of '
        f'{text}',
        source=_published_pair(results, key, row),
        here=f'{rival} against {student} (difference {gap.signed()})',
        differences=(gap,),
        stacks=_end_names(results),
        group=f'Single students beat {text}',
        item=title,
      )
    )
  return found


def _auroc(run: Mapping[str, Any], kind: str) -> Estimate:
  without = _without(run, 'ood')
  return of_ensemble(
    run['ood'][kind]['ensemble/epistemic'],
    without[kind] if kind in without else None,
  )


def out_of_domain(results: Results) -> list[Claim]:
  """Figure 5: the students' epistemic uncertainty detects OOD frames better."""
  names, runs = results['names'], results['generations']
  first, students = _teachers(results), runs[names[outside.STUDENT]]
  sets = {}
  for kind in first.get('ood') or ():
    pair = _auroc(first, kind), _auroc(students, kind)
    sets[kind] = outside.Rivals(*pair, difference(*reversed(pair)))
  paper = 'best AUC 0.898, Stu2 (Figure 5)'
  return [outside.claim(names, sets, paper)] if sets else []


def nearer_to_truth(results: Results) -> list[Claim]:
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
      Claim(
        text=f'{task.upper()} probabilities of single students '
        f'({results["names"][-1]}) are nearer to the true posteriors than '
        f'those of {_rivals(results)}',
        source='not measurable (single labels only)',
        here=f'KL {teacher} against {student} nats (difference {gap.signed()})',
        differences=(gap,),
        stacks=_end_names(results),
        group='Single students are nearer to the true posteriors',
        item=task.upper(),
      )
    )
  return found


def claims(results: Results) -> list[Claim]:
  """All claims that the run can speak to; students' need a student.

  Of what is judged by votes, too, the claim with votes stays: its intervals are
  over the images as well, and one claim has one row.
  """
  found = [ensembles_win(results)]
  if len(results['names']) > 1:
    found += [gap_shrinks(results), students_win(results)]
    judged = results.get('votes') is not None
    for key, title in (
      ('au/nll', 'AU NLL'),
      ('expr/nll', 'EXPR NLL'),
      ('va/rmse/valence', 'Valence RMSE'),
      ('va/rmse/arousal', 'Arousal RMSE'),
    ):
      if not (judged and key == 'expr/nll'):
        found += lower_uncertainty(results, key, title)
    if not (judged and votes_findings.has_outside(results)):
      found += out_of_domain(results)
    found += nearer_to_truth(results) + votes_findings.claims(results)
  return gated(found, results)


def gated(found: Sequence[Claim], results: Results) -> list[Claim]:
  """Marks what a run cannot test: single teachers must reach its floor."""
  return validity.gate(
    found, results.get('validity'), teachers_accuracy(results)
  )


def teachers_accuracy(results: Results) -> float | None:
  """Of single teachers, after prior correction if their classes had weights.

  Weights give up accuracy for rare classes on purpose, which is no sign that
  little was learned.
  """
  teachers = results['generations'][results['names'][0]]
  scores = (teachers.get('pc') or {}).get('mean', teachers['single_mean'])
  return scores.get('expr/acc')


def all_findings(results: Results) -> Sequence[Finding]:
  """Verdicts on all claims, those with votes as the judge among them."""
  return verdicts.decide(claims(results))
