"""The paper's claims with annotators' votes as the judge (`evaluation.judge`)."""

from collections.abc import Mapping
from typing import Any

from emojax.experiments.distillation import votes
from emojax.experiments.distillation.findings import Finding
from emojax.report.estimates import NO, UNCLEAR, YES, combine

Results = Mapping[str, Any]


def _verdict(one: Mapping[str, Any], better: str) -> str:
  """'yes' if the interval says better, 'no' if it says worse."""
  if None in one['interval']:
    return UNCLEAR
  low, high = one['interval']
  if low <= 0 <= high:
    return UNCLEAR
  return YES if (high < 0) == (better == votes.LOW) else NO


def findings(results: Results) -> list[Finding]:
  """The paper's claims with votes as the judge; the last students count.

  Single students against single teachers, with temperature scaling and with
  MC dropout; student against teacher ensembles on foreign images.
  """
  judged = results.get('votes')
  if not judged or len(results['names']) < 2:
    return []
  first, last = results['names'][0], results['names'][-1]
  found, pairs = votes.differences(judged), votes.VOTES | votes.HARD
  claims = []
  for rival in judged['rows']:
    if not rival.startswith(f'{first} single'):
      continue
    for key, text in votes.CLAIMS.items():
      one = found.get((f'{last} single', rival, key))
      if one:
        claims.append(_claim(judged, one, text, pairs[key][1]))
  return claims + _ensemble_claims(judged, first, last)


def _claim(judged, one, text: str, better: str) -> Finding:
  key, names = one['statistic'], (one['rival'], one['row'])
  values = [judged['rows'][name]['mean'][key] for name in names]
  return Finding(
    claim=f'{names[1]} models {text} than {names[0]}',
    paper=_PAPER.get(key, 'not reported'),
    here=f'{values[0]:.3f} against {values[1]:.3f}, difference {_signed(one)}',
    verdict=_verdict(one, better),
    group=f'Students ({names[1]}) against {names[0]}',
    item=(votes.VOTES | votes.HARD)[key][0],
  )


_PAPER = {
  'vote/kl': 'not measurable (single labels only)',
  'vote/spearman/total': 'not measurable (single labels only)',
  'hard/nll': 'yes (Tables 3 and 4)',
}


def _ensemble_claims(judged, first: str, last: str) -> list[Finding]:
  found = votes.differences(judged)
  rows = f'{last} ensemble', f'{first} ensemble'
  ones = {
    key.split('/')[1]: found[(*rows, key)]
    for key in votes.outside_keys(judged)
    if key.endswith('/epistemic') and (*rows, key) in found
  }
  if not ones:
    return []
  verdicts = [_verdict(one, votes.HIGH) for one in ones.values()]
  return [
    Finding(
      claim=f'Epistemic uncertainty of the {rows[0]} tells foreign images '
      f'better than that of the {rows[1]}, on every set',
      paper='yes (Figure 5)',
      here='; '.join(f'{n}: {_signed(one)}' for n, one in ones.items()),
      verdict=combine(verdicts),
      group='Student ensembles tell foreign images better',
    )
  ]


def _signed(one: Mapping[str, Any]) -> str:
  value, (low, high) = one['difference'], one['interval']
  if None in (value, low, high):
    return '–'
  return f'{value:+.3f} [{low:+.3f}, {high:+.3f}]'
