"""What may be said of a claim: one rule for the reports of all papers.

A claim is one row of a report and names the differences that must be positive for
it to hold. Each has a standard error over what was left to chance (see
`estimates`), so that each has a one-sided p-value in either direction. A claim of
several parts holds if all do (an intersection-union test: the largest p-value
counts) and is contradicted if one is (the smallest, times their number). All rows of
a report are one family: their p-values are adjusted by Holm's step-down method
(Holm, "A simple sequentially rejective multiple test procedure", 1979).
"""

import dataclasses
import math
from collections.abc import Sequence

import scipy.special

from emojax.report.estimates import NO, UNCLEAR, YES, Estimate

UNTESTABLE, IDENTITY = 'untestable', 'identity'
# As in a sentence.
WORDS = {
  YES: 'yes',
  NO: 'no',
  UNCLEAR: 'unclear',
  IDENTITY: 'holds for any members',
  UNTESTABLE: 'not testable here',
}
LEVEL = 0.05
ROUNDING = 1e-12  # what equal predictions may differ by, with an error as small
RULE = (
  'A verdict is "yes" or "no" where the difference (95 % confidence interval '
  f"shown) differs from 0 at the level {LEVEL:g} after Holm's adjustment over "
  'all rows of this table, and "unclear" otherwise. A row of several parts is '
  'shown if all are, and contradicted if one is. What holds for any members, '
  'trained or not, shows nothing by itself. "Not testable here" are claims about '
  'models that do not reach the accuracy from which they could be tested, or '
  'that were still improving when training ended or never improved; it is never '
  'evidence against a paper.'
)


@dataclasses.dataclass(frozen=True)
class Claim:
  """A claim of a paper, and what a run has to say about it.

  Attributes:
    text: The claim, as a sentence.
    source: The paper's numbers.
    here: This run's numbers.
    differences: Positive if the claim holds; they decide in both directions.
    beyond: Must be positive, too, for the claim to be shown, but contradict
      nothing: what a simple rival, or chance, reaches as well.
    identity: Whether the claim is true of any members, skilled or not. Then it
      is never contradicted, and shown only by what `beyond` has.
    untestable: Why this run cannot test it; '' if it can.
    stacks: Names, or their beginnings, of the stacks of members that it is about;
      () for all of a run.
    group: What the summary says about it, shared by similar claims.
    item: What differs within the group.
  """

  text: str
  source: str
  here: str
  differences: tuple[Estimate, ...] = ()
  beyond: tuple[Estimate, ...] = ()
  identity: bool = False
  untestable: str = ''
  stacks: tuple[str, ...] = ()
  group: str = ''
  item: str = ''


@dataclasses.dataclass(frozen=True)
class Finding:
  """A claim with its verdict.

  Attributes:
    claim: The claim, as a sentence.
    paper: The paper's numbers.
    here: This run's numbers, and the adjusted p-value.
    verdict: 'yes', 'no', 'unclear', 'identity' or 'untestable'.
    group: As in `Claim`.
    item: As in `Claim`.
    p: Adjusted p-value, two-sided; None where nothing was tested.
  """

  claim: str
  paper: str
  here: str
  verdict: str
  group: str = ''
  item: str = ''
  p: float | None = None

  @property
  def row(self) -> tuple[str, str, str, str]:
    """(claim, paper, this run, verdict), a row of `page.Verdicts`."""
    return self.claim, self.paper, self.here, self.verdict


def one_sided(estimate: Estimate) -> tuple[float, float]:
  """P-values of 'at most 0' and 'at least 0' (Student's t); 1 if unknown."""
  value, error = estimate.value, estimate.error
  if value is None or error is None or math.isnan(value) or math.isnan(error):
    return 1.0, 1.0
  if abs(value) < ROUNDING:
    return 1.0, 1.0
  if error == 0:  # nothing was left to chance
    return float(value <= 0), float(value >= 0)
  ratio = value / error
  return _tail(-ratio, estimate.freedom), _tail(ratio, estimate.freedom)


def _tail(ratio: float, freedom: float) -> float:
  if math.isinf(freedom):
    return float(scipy.special.ndtr(ratio))
  return float(scipy.special.stdtr(freedom, ratio))


def directions(claim: Claim) -> tuple[float, float]:
  """One-sided p-values against 'it does not hold' and 'it is not contradicted'."""
  every = [one_sided(e) for e in (*claim.differences, *claim.beyond)]
  against = [one_sided(e)[1] for e in claim.differences]
  holds = max((above for above, _ in every), default=1.0)
  if claim.identity or not against:
    return holds, 1.0
  return holds, min(1.0, len(against) * min(against))


def holm(p_values: Sequence[float]) -> list[float]:
  """Adjusted p-values: rejecting those <= a keeps the family-wise error <= a.

  Args:
    p_values: [n], of hypotheses that may depend on each other in any way.

  Returns:
    [n], in the given order.
  """
  order = sorted(range(len(p_values)), key=p_values.__getitem__)
  adjusted, highest = [0.0] * len(p_values), 0.0
  for rank, index in enumerate(order):
    highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
    adjusted[index] = highest
  return adjusted


def decide(claims: Sequence[Claim]) -> list[Finding]:
  """Verdicts on all rows of a report, which are one family.

  Rows that cannot be tested are no part of it.
  """
  pairs = [directions(claim) for claim in claims]
  tested = [i for i, claim in enumerate(claims) if not claim.untestable]
  raw = [min(1.0, 2 * min(pairs[i])) for i in tested]
  adjusted = dict(zip(tested, holm(raw), strict=True))
  return [
    _finding(claim, pairs[i], adjusted.get(i)) for i, claim in enumerate(claims)
  ]


def _finding(claim: Claim, pair, p: float | None) -> Finding:
  here, verdict = claim.here, UNCLEAR
  if p is None:
    verdict, here = UNTESTABLE, f'{here} ({claim.untestable})'.lstrip()
  else:
    here += f'; adjusted p {_p(p)}'
    if p <= LEVEL:
      verdict = YES if pair[0] < pair[1] else NO
    if claim.identity and verdict != YES:
      verdict = IDENTITY
  return Finding(
    claim.text, claim.source, here, verdict, claim.group, claim.item, p
  )


def _p(p: float) -> str:
  return '< 0.001' if p < 0.001 else f'{p:.3f}'


def tally(
  found: Sequence[str], noun: str = 'finding', who: str = 'this run'
) -> str:
  """'Of 9 findings checked, this run shows 3, ...' of some verdicts."""
  count = found.count
  head, _, tail = noun.partition(' ')
  plural = head if len(found) == 1 else f'{head}s'
  text = (
    f'Of {len(found)} {plural} {tail}'.rstrip() + f' checked, {who} shows '
    f'{count(YES)}, contradicts {count(NO)} and leaves {count(UNCLEAR)} undecided'
  )
  if count(IDENTITY):
    text += f'; {count(IDENTITY)} would hold for any members'
  if count(UNTESTABLE):
    text += f'; {count(UNTESTABLE)} cannot be tested here'
  return text + '.'
