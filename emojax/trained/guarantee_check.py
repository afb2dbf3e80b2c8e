"""Whether what model.json says of prediction sets is of use."""

import itertools
import math
from typing import Any

from emojax import tasks
from emojax.trained import guarantees
from emojax.uncertainty.conformal_examples import parts

_KEYS = ('coverages', 'calibration', 'tasks', guarantees.VOTES)


def check(schema: list[dict], metadata: dict):
  """Raises ValueError that names the key; models of before have none.

  Args:
    schema: Checked tasks of model.json.
    metadata: The contents of model.json.
  """
  if guarantees.KEY not in metadata:
    return
  where, said = guarantees.KEY, metadata[guarantees.KEY]
  _keys(said, where, _KEYS)
  _check_coverages(said['coverages'], f'{where}.coverages')
  _check_calibration(said['calibration'], f'{where}.calibration')
  known = {
    item['name']: tasks.Task(**{**item, 'labels': tuple(item['labels'])})
    for item in schema
  }
  for kind in ('tasks', guarantees.VOTES):
    _object(said[kind], f'{where}.{kind}')
    for name, found in said[kind].items():
      here = f'{where}.{kind}.{name}'
      if name not in known:
        raise ValueError(f'{here}: there is no such task')
      votes = kind == guarantees.VOTES
      _check_methods(known[name], found, len(said['coverages']), votes, here)


def _object(found: Any, where: str):
  if not isinstance(found, dict):
    raise ValueError(f'{where}: expected an object')


def _keys(found: Any, where: str, keys):
  _object(found, where)
  if set(found) != set(keys):
    raise ValueError(f'{where}: expected {", ".join(keys)}')


def _check_coverages(found: Any, where: str):
  shares = isinstance(found, list) and all(
    type(c) is float and 0 < c < 1 for c in found
  )
  if not shares or not found:
    raise ValueError(f'{where}: expected numbers within (0, 1)')
  if any(a >= b for a, b in itertools.pairwise(found)):
    raise ValueError(f'{where}: expected them to ascend')


def _count(found: Any, where: str):
  if type(found) is not int or not 0 <= found < 2**53:
    raise ValueError(f'{where}: expected a whole number from 0')


def _check_calibration(found: Any, where: str):
  _object(found, where)
  # Exports of before do not say what is soft.
  for key, what in (('soft', 'names of tasks'), ('notes', 'sentences')):
    texts = found.get(key, [])
    if not isinstance(texts, list) or not all(type(s) is str for s in texts):
      raise ValueError(f'{where}.{key}: expected {what}')
  if 'data' in found and not isinstance(found['data'], str):
    raise ValueError(f'{where}.data: expected a text')
  optional = ('soft', 'notes', 'data')
  said = {k: v for k, v in found.items() if k not in optional}
  _keys(said, where, ('split', 'frames', 'subjects', 'selected_on'))
  _count(found['frames'], f'{where}.frames')
  _count(found['subjects'], f'{where}.subjects')
  if not isinstance(found['split'], str):
    raise ValueError(f'{where}.split: expected a text')
  if not isinstance(found['selected_on'], bool):
    raise ValueError(f'{where}.selected_on: expected true or false')


def _check_methods(task: tasks.Task, found: Any, levels: int, votes, where):
  _object(found, where)
  known = guarantees.known_methods(task.kind, votes)
  for method, by_part in found.items():
    here = f'{where}.{method}'
    if method not in known:
      names = ', '.join(known) or 'none for such a task'
      raise ValueError(f'{here}: there is no such method, expected {names}')
    _keys(by_part, here, parts(task, method))
    for part, one in by_part.items():
      _check_part(one, levels, method, f'{here}.{part}')


def _check_part(found: Any, levels: int, method: str, where: str):
  """Groups, and thresholds that do not descend, null last."""
  _keys(found, where, ('groups', 'thresholds'))
  _count(found['groups'], f'{where}.groups')
  where, limits = f'{where}.thresholds', found['thresholds']
  if not isinstance(limits, list) or len(limits) != levels:
    raise ValueError(f'{where}: expected {levels} numbers or null')
  numbers = []
  for limit in limits:
    finite = type(limit) in (int, float) and abs(limit) < 1e300
    if limit is not None and not finite:
      raise ValueError(f'{where}: expected finite numbers or null')
    numbers.append(math.inf if limit is None else limit)
  # Quantiles of members are other ones at each coverage.
  if method != 'cqr' and any(a > b for a, b in itertools.pairwise(numbers)):
    raise ValueError(f'{where}: expected them not to descend')
  if any(math.isinf(a) > math.isinf(b) for a, b in itertools.pairwise(numbers)):
    raise ValueError(f'{where}: null is infinity, the last of the thresholds')
