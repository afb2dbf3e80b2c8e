"""What a run says, in a few sentences for who has not read the paper."""

from collections.abc import Mapping
from typing import Any

from emojax.experiments.distillation import findings
from emojax.experiments.distillation.comparability import learned_corrected
from emojax.report import validity

Results = Mapping[str, Any]
NAMES = {
  'au': 'the presence of facial action units',
  'expr': 'the expression',
  'va': 'valence and arousal',
}
NLL = {'au/nll': 'an action unit', 'expr/nll': 'an expression'}


def sentences(results: Results) -> list[str]:
  """Three texts at most: what was done, how far off it is, what it knows.

  A part is left out where a run has no number for it. Runs that cannot test the
  paper's claims say so first.
  """
  found = [
    _done(results) + _immature(results),
    _error(results),
    _doubt(results),
  ]
  return [text for text in found if text]


def _list(parts: list[str]) -> str:
  return ' and '.join([', '.join(parts[:-1])] * (len(parts) > 1) + parts[-1:])


def _done(results: Results) -> str:
  names = results['names']
  count = results['generations'][names[0]]['num_members']
  tasks = _list(
    [NAMES.get(t['name'], str(t['name'])) for t in results['schema']]
  )
  network, were = ('network', 'was') if count == 1 else ('networks', 'were')
  text = f'{count} {network} (the teachers) {were} trained to tell {tasks} from faces'
  if len(names) > 1:
    students = results['generations'][names[1]]['num_members']
    many = 'as many' if students == count else str(students)
    teachers = 'the teachers' if len(names) == 2 else 'the generation before'
    learned = f'the mean answers of {teachers}'
    if results.get('distill'):
      learned = 'what each of the teachers answers'
    if learned_corrected(results):
      learned += ', after prior correction'
    noun = 'student' if students == 1 < count else 'students'
    text += f', and {many} {noun} ({_list(names[1:])}) on {learned}'
  return f'{text}.'


def _immature(results: Results) -> str:
  """Why the numbers are not those of networks that have learned all they can."""
  known = results.get('validity') or {}
  accuracy = findings.teachers_accuracy(results)
  reasons = [
    validity.below(known.get('floor', 0), accuracy),
    validity.untaught(known),
  ]
  found = [reason for reason in reasons if reason]
  if not found:
    return ''
  return (
    f' The numbers say little about what such networks can do ({_list(found)}).'
  )


def _error(results: Results) -> str:
  """How far the teachers' probabilities are from the best ones, and why."""
  run = results['generations'][results['names'][0]]
  best = (results.get('optimum') or {}).get('metrics', {})
  pc, parts = run.get('pc') or {}, []
  for key, what in NLL.items():
    value = run['single_mean'].get(key)
    if value is None:
      continue
    text = f'{value:.3f} for {what}'
    if key.split('/')[0] in pc.get('log_weights', {}):
      text += f', {pc["mean"][key]:.3f} after prior correction'
    if best.get(key) is not None:
      text += f' (the best possible: {best[key]:.3f})'
    parts.append(text)
  if not parts:
    return ''
  text = (
    'The surprise of a single teacher at the right answer (NLL, in nats; lower '
    f'is better) is {"; ".join(parts)}'
  )
  if pc:
    text += (
      '. Prior correction takes out what the weights of rare classes in training '
      'are known to add, and fits nothing'
    )
  return f'{text}.'


def _doubt(results: Results) -> str:
  """How the doubt of the ensemble of teachers goes with what is ambiguous."""
  run = results['generations'][results['names'][0]]
  parts = []
  scored = run.get('pc') or run
  truth = (scored.get('truth') or {}).get('ensemble', {})
  ranks = [
    f'{row["spearman_total"]:.2f} ({task.upper()})'
    for task, row in truth.items()
    if row.get('spearman_total') is not None
  ]
  after = ' after prior correction' if run.get('pc') else ''
  if ranks:
    parts.append(
      f'the doubt of the teachers together{after} and the true ambiguity of the '
      f'frames correlate with {", ".join(ranks)}, where 1 is the same order'
    )
  foreign = [
    f'{scores["ensemble/epistemic"]:.2f} ({name})'
    for name, scores in scored['ood'].items()
    if scores.get('ensemble/epistemic') is not None
  ]
  if foreign:
    parts.append(
      f'their disagreement{after} tells foreign images from those of the data with an '
      f'AUC of {", ".join(foreign)}, where 0.5 is chance'
    )
  text = '; '.join(parts)
  return f'{text[0].upper()}{text[1:]}.' if text else ''
