"""The claim that one generation's uncertainty tells foreign images better.

The generation of students is fixed beforehand: the best of several is better than
the teachers more often than not where all are alike.
"""

from collections.abc import Mapping
from typing import NamedTuple

from emojax.report.estimates import Estimate, difference
from emojax.report.verdicts import LEVEL, Claim, one_sided

CHANCE = 0.5  # AUROC of a guess
STUDENT = 1  # the generation that claims are about: the first students


class Rivals(NamedTuple):
  """AUROCs of one foreign set, and by how much the students' is higher."""

  teachers: Estimate
  students: Estimate
  gap: Estimate


def claim(names: list[str], sets: Mapping[str, Rivals], source: str) -> Claim:
  """Students must be better on every set, and better than a guess.

  Who is better at guessing is of no interest: sets that neither detects say
  nothing, but for those on which the students are worse beyond chance. These
  contradict nothing, and nothing is shown against them.

  Args:
    names: The generations in order.
    sets: By the name of the foreign set.
    source: The paper's numbers.
  """
  told = {k: v for k, v in sets.items() if _unknown(v) or _detects(v)}
  worse = [v.gap for k, v in sets.items() if k not in told and _is_worse(v)]
  return Claim(
    text=f'Epistemic uncertainty of the {names[STUDENT]} ensemble detects '
    f'foreign images better than that of the {names[0]} ensemble, on every set '
    'that one of them detects',
    source=source,
    here='; '.join(
      _text(kind, rivals) + ', not detected' * (kind not in told)
      for kind, rivals in sets.items()
    ),
    differences=tuple(rivals.gap for rivals in told.values()),
    beyond=(
      *(_above_chance(rivals.students) for rivals in told.values()),
      *worse,
    ),
    untestable='' if told else 'neither detects them better than a guess',
    stacks=(names[0], names[STUDENT]),
    group='Student ensembles detect foreign images better',
  )


def _above_chance(auroc: Estimate) -> Estimate:
  return difference(auroc, Estimate(CHANCE))


def _unknown(rivals: Rivals) -> bool:
  return None in (rivals.teachers.error, rivals.students.error)


def _detects(rivals: Rivals) -> bool:
  pair = rivals.teachers, rivals.students
  return any(one_sided(_above_chance(auroc))[0] <= LEVEL for auroc in pair)


def _is_worse(rivals: Rivals) -> bool:
  return one_sided(difference(Estimate(0.0), rivals.gap))[0] <= LEVEL


def _text(kind: str, rivals: Rivals) -> str:
  return (
    f'"{kind}": {rivals.teachers} to {rivals.students} ({rivals.gap.signed()})'
  )
