"""The paper's claims with annotators' votes as the judge (`evaluation.judge`)."""

from collections.abc import Mapping
from typing import Any

from emojax.experiments.distillation import outside, votes
from emojax.experiments.distillation.comparability import learned_corrected
from emojax.report.estimates import Estimate, of_json
from emojax.report.verdicts import Claim

Results = Mapping[str, Any]


def _gain(one: Mapping[str, Any], better: str) -> Estimate:
  """A difference, positive where the row is better than its rival."""
  return of_json(one, -1 if better == votes.LOW else 1)


def claims(results: Results) -> list[Claim]:
  """The paper's claims with votes as the judge; the last students count.

  Single students against single teachers, with temperature scaling and with
  MC dropout; student against teacher ensembles on foreign images.
  """
  judged = results.get('votes')
  if not judged or len(results['names']) < 2:
    return []
  first, last = results['names'][0], results['names'][-1]
  found, pairs = votes.differences(judged), votes.VOTES | votes.HARD
  made, corrected = [], learned_corrected(results)
  for rival in judged['rows']:
    # Of corrected models (PC) the paper claims nothing, a table shows them; but
    # students of corrected answers have no other rival.
    single = rival.startswith(f'{first} single')
    if not single or rival.endswith('+ PC') != corrected:
      continue
    for key, text in votes.CLAIMS.items():
      one = found.get((f'{last} single', rival, key))
      if one:
        made.append(_claim(judged, one, text, pairs[key][1]))
  return made + _ensemble_claims(judged, results['names'], corrected)


def _claim(judged, one, text: str, better: str) -> Claim:
  key, names = one['statistic'], (one['rival'], one['row'])
  values = [judged['rows'][name]['mean'][key] for name in names]
  return Claim(
    text=f'{names[1]} models {text} than {names[0]}',
    source=_PAPER.get(key, 'not reported'),
    here=f'{values[0]:.3f} against {values[1]:.3f}, difference {_signed(one)}',
    differences=(_gain(one, better),),
    stacks=tuple(name.split()[0] for name in names),
    group=f'Students ({names[1]}) against {names[0]}',
    item=(votes.VOTES | votes.HARD)[key][0],
  )


_PAPER = {
  'vote/kl': 'not measurable (single labels only)',
  'vote/spearman/total': 'not measurable (single labels only)',
  'hard/nll': 'yes (Tables 3 and 4)',
}


def has_outside(results: Results) -> bool:
  """Whether there is a claim about foreign images with votes as the judge."""
  return bool(votes.outside_keys(results['votes']))


def _ensemble_claims(judged, names: list[str], corrected: bool) -> list[Claim]:
  """Figure 5 once more, with intervals over the images as well."""
  found, sets = votes.differences(judged), {}
  first, students = (
    f'{names[number]} ensemble' for number in (0, outside.STUDENT)
  )
  first += ' + PC' * corrected
  for key in votes.outside_keys(judged):
    one = found.get((students, first, key))
    if one and key.endswith('/epistemic'):
      sets[key.split('/')[1]] = outside.Rivals(
        _level(judged, first, key), _level(judged, students, key), of_json(one)
      )
  return [outside.claim(names, sets, 'yes (Figure 5)')] if sets else []


def _level(judged, row: str, key: str) -> Estimate:
  found = judged['rows'][row]
  error = found.get('error', {}).get(key) or {}
  return of_json({'value': found['mean'][key], **error})


def _signed(one: Mapping[str, Any]) -> str:
  value, (low, high) = one['difference'], one['interval']
  if None in (value, low, high):
    return '–'
  return f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'
