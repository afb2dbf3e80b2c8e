"""Whether a run can test a claim at all.

Networks that were hardly trained, or are still improving, may order methods
otherwise than trained ones do. A run therefore names an accuracy from which its
claims can be tested (`eval.floor`), and claims about stacks of members that were
still improving when training ended, or never improved, are not tested either.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from emojax.report.verdicts import LEVEL, Claim

METRIC, KEYS = 'val/total', ('generation', 'member')
# An exponential approach gains this much in its last quarter after about three
# time constants, when a twentieth of the way is left.
SHARE = 0.05
WINDOWS = 4


def floor_from_config(config) -> float:
  """The accuracy `eval.floor` from which claims can be tested; 0 for none.

  Raises:
    ValueError: If it is no accuracy.
  """
  floor = config.eval.get('floor', 0.0) if 'eval' in config else 0.0
  if not 0 <= floor < 1:
    raise ValueError(
      f'config.eval.floor={floor}: expected an accuracy in [0, 1), 0 for none'
    )
  return float(floor)


def of_run(folder: pathlib.Path, floor: float) -> dict[str, Any]:
  """What `gate` needs, for results.json.

  Args:
    folder: The run's folder, with metrics.jsonl.
    floor: From `floor_from_config`.

  Returns:
    `floor`; `improving`: stacks that were still improving when training ended;
    `unlearned`: those that ended no better than they were after an epoch.
  """
  found = by_stack(_read(pathlib.Path(folder) / 'metrics.jsonl'))
  return {
    'floor': floor,
    'improving': sorted(name for name, one in found.items() if improving(one)),
    'unlearned': sorted(
      name for name, one in found.items() if not learned(one)
    ),
  }


def _read(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.exists():
    return []
  lines = []
  for number, text in enumerate(path.read_text().splitlines(), 1):
    try:
      line = json.loads(text)
      lines.append({key: line[key] for key in (*KEYS, METRIC)})
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f'{path}, line {number} is not what training writes '
        f'({type(error).__name__}: {error}): restore the file, or move it away and '
        'go without the check whether training had come to an end'
      ) from error
  return lines


def by_stack(
  lines: Iterable[Mapping[str, Any]],
) -> dict[str, list[list[float]]]:
  """Validation scores of every epoch, by stack and member.

  Args:
    lines: Of metrics.jsonl, of any stacks, epochs and members.
  """
  found: dict[str, dict[int, list[float]]] = {}
  for line in lines:
    members = found.setdefault(line['generation'], {})
    members.setdefault(line['member'], []).append(line[METRIC])
  return {name: list(members.values()) for name, members in found.items()}


def learned(curves: Sequence[Sequence[float]]) -> bool:
  """Whether a score ended above where the first epoch had left it.

  On average over the members, by the mean of the last quarter. Of training that is
  shorter than two epochs nothing is known (and `improving` says so).
  """
  if min(map(len, curves)) < 2:
    return True
  return bool(
    np.mean([_gains(np.asarray(c, np.float64))[1] for c in curves]) > 0
  )


def improving(curves: Sequence[Sequence[float]]) -> bool:
  """Whether the last quarter of the epochs still added to a score.

  Added to the quarter before it, and on average over the members more than
  `SHARE` of all that training has gained; by more than members differ (one-sided
  t-test), where there are three or more: next to nothing is beyond what two differ.

  Args:
    curves: Score of every epoch, by member; members that were stopped early
      have shorter ones.
  """
  if min(map(len, curves)) < 2:
    return True  # nothing shows that training has come to an end
  gains, totals = np.transpose(
    [_gains(np.asarray(c, np.float64)) for c in curves]
  )
  gain, total = gains.mean(), totals.mean()
  if not gain > SHARE * total > 0:
    return False
  if len(gains) < 3:
    return True
  error = gains.std(ddof=1) / np.sqrt(len(gains))
  return bool(gain > scipy.stats.t.ppf(1 - LEVEL, len(gains) - 1) * error)


def _gains(curve: np.ndarray) -> tuple[float, float]:
  """(gain of the last quarter, gain of the whole training)."""
  size = max(1, len(curve) // WINDOWS)
  last, before = curve[-size:].mean(), curve[-2 * size : -size].mean()
  return last - before, last - curve[0]


def gate(
  claims: Sequence[Claim],
  validity: Mapping[str, Any] | None,
  accuracy: float | None,
) -> list[Claim]:
  """Marks the claims that a run cannot test.

  Args:
    claims: The rows of a report.
    validity: From `of_run`; None in runs that were made before, which are taken
      as they are.
    accuracy: What the models that claims start from reach; None if unknown.
  """
  validity = validity or {}
  low = below(validity.get('floor', 0), accuracy)
  return [
    dataclasses.replace(
      claim,
      untestable=claim.untestable
      or low
      or untaught(validity, functools.partial(_about, claim)),
    )
    for claim in claims
  ]


def below(floor: float, accuracy: float | None) -> str:
  """Why models of an accuracy are no evidence; '' if they are."""
  if not floor:
    return ''
  if accuracy is None:
    return f'no accuracy is known to compare with the floor {floor:.2f}'
  if accuracy >= floor:
    return ''
  return f'an accuracy of {accuracy:.3f} is below the floor {floor:.2f}'


def untaught(
  validity: Mapping[str, Any], counts: Callable[[str], bool] = lambda name: True
) -> str:
  """Why stacks are no evidence, as they stopped too early or learned nothing.

  Args:
    validity: From `of_run`.
    counts: Whether a stack of that name matters.

  Returns:
    '' if they are evidence.
  """
  found = {
    key: [name for name in validity.get(key, ()) if counts(name)]
    for key in ('improving', 'unlearned')
  }
  return unfinished(found['improving']) or unlearned(found['unlearned'])


def _about(claim: Claim, name: str) -> bool:
  """Whether a claim is about a stack."""
  # 'rnn4-' stands for all stacks of that name, 'Stu1' is not 'Stu10'.
  return not claim.stacks or any(
    name == stack or (stack.endswith('-') and name.startswith(stack))
    for stack in claim.stacks
  )


def unfinished(names: Sequence[str]) -> str:
  """Why stacks that were still improving are no evidence; '' without any."""
  if not names:
    return ''
  return f'still improving when training ended: {", ".join(names)}'


def unlearned(names: Sequence[str]) -> str:
  """Why stacks that gained nothing are no evidence; '' without any."""
  if not names:
    return ''
  return f'no better at the end than after the first epoch: {", ".join(names)}'
