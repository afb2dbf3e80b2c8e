"""Prediction sets of exported models: thresholds in model.json, and their use.

`conformal` in model.json says, by task, method and part (`conformal_sets`), how
many groups were calibrated on and the thresholds, one for each of `coverages`;
null is infinity. Thresholds are kept, not the scores of the calibration frames:
that is some hundred numbers whatever the data, every one of them can be checked,
and nobody's faces are behind a single one. Another coverage needs another export.
"""

import dataclasses
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.report.markdown import code, escape
from emojax.uncertainty import conformal, conformal_sets
from emojax.uncertainty.conformal_examples import (
  DEFAULTS,
  METHODS,
  VOTE_METHODS,
)

KEY = 'conformal'
COVERAGES = (0.8, 0.9, 0.95)
VOTES = 'votes'
AGAIN = (
  'export it again, with the data of its run (python -m emojax.export '
  '--workdir=RUN --out=DIR), or calibrate it (python -m emojax.calibrate)'
)
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Source:
  """What thresholds are fitted on.

  Attributes:
    split: Its name.
    selected_on: Whether its scores chose the epoch of every member.
    data: Name of the data set; '' for that of the training.
    notes: What its labels lack.
  """

  split: str = 'val'
  selected_on: bool = True
  data: str = ''
  notes: tuple[str, ...] = ()


VALIDATION = Source()  # of the run
POOLED = (
  'a temperature of the mean was fitted on the same frames before, so that a little '
  'less may be true'
)

NAMELESS = (
  'the data name nobody, so that each picture or clip counts as a person: where '
  'several show the same one, less is true'
)
SOME_NAMELESS = (
  '{:,} of {:,} pictures or clips name nobody, so that each of them counts as a '
  'person: where several show the same one, less is true'
)
SAME_NAME = (
  'the data set has the name of the one that the model was trained on, and other '
  'numbers of frames or people than the part that chose its epochs: whether that part '
  'is in it is not known'
)


class NoSetsError(ValueError):
  """A model has no thresholds for what is asked; says what to do."""


def fit(
  schema: tasks.Schema,
  logits: Mapping[str, np.ndarray],
  clips,
  bin_values,
  source: Source = VALIDATION,
) -> Json:
  """What model.json says of prediction sets.

  Args:
    schema: The tasks.
    logits: Task -> [M, N, L, outputs] for `clips`, corrected as `predict` does.
    clips: Clips with labels, subjects and maybe votes.
    bin_values: [K], or None without binned tasks.
    source: What the clips are.
  """
  from emojax.evaluation import coverage_labels as measured  # asks JAX

  found = {'tasks': {}, VOTES: {}}
  for one in measured.labels(schema, clips):
    where = found[VOTES if one.votes else 'tasks']
    probs = uncertainty.probabilities(one.task, one.pick(logits))
    for method in one.methods:
      fitted = conformal_sets.fit(
        one.task, method, probs, one.target, one.groups, COVERAGES, bin_values
      )
      where.setdefault(one.task.name, {})[method] = to_json(fitted)
  return {
    'coverages': list(COVERAGES),
    'calibration': _described(schema, clips, source),
    **found,
  }


def _described(schema: tasks.Schema, clips, source: Source) -> Json:
  """What the thresholds were fitted on; `soft` tasks have shares as labels."""
  from emojax.evaluation import coverage_labels as measured

  frames, groups = measured.count(clips)
  soft = [
    one.task.name
    for one in measured.labels(schema, clips)
    if one.soft and not one.votes
  ]
  known = [*source.notes, *_unnamed(measured.nameless(clips), len(clips))]
  return {
    **({'data': source.data} if source.data else {}),
    'split': source.split,
    'frames': frames,
    'subjects': groups,
    'selected_on': source.selected_on,
    'soft': soft,
    **({'notes': known} if known else {}),
  }


def _unnamed(some: int, every: int) -> list[str]:
  """What is to be said of clips that name nobody."""
  if some == every:
    return [NAMELESS]
  return [SOME_NAMELESS.format(some, every)] if some else []


def fitted_on(metadata: Mapping[str, Any]) -> str:
  """'the validation set', or what thresholds and temperatures are of instead."""
  said = (metadata.get(KEY) or {}).get('calibration', {})
  if 'data' not in said:
    return 'the validation set'
  return f'the split {code(said["split"])} of {code(said["data"])}'


def notes(metadata: Mapping[str, Any]) -> list[str]:
  """What is to be known of the frames that thresholds were fitted on."""
  said = (metadata.get(KEY) or {}).get('calibration', {})
  return list(said.get('notes', ()))


def to_json(fitted: conformal_sets.Fitted) -> Json:
  """Part -> groups and thresholds in the order of the coverages."""
  return {
    name: {
      'groups': part.groups,
      'thresholds': [
        None if math.isinf(t) else t for t in part.thresholds.values()
      ],
    }
    for name, part in fitted.items()
  }


def from_json(found: Json, coverages: Sequence[float]) -> conformal_sets.Fitted:
  """Inverse of `to_json`."""
  return {
    name: conformal_sets.Part(
      part['groups'],
      {
        c: math.inf if t is None else t
        for c, t in zip(coverages, part['thresholds'], strict=True)
      },
    )
    for name, part in found.items()
  }


def sets(
  metadata: Json,
  schema: tasks.Schema,
  members: Mapping[str, np.ndarray],
  coverage: float,
  methods: Mapping[str, str],
  votes: bool,
  bin_values,
) -> dict[str, Any]:
  """Prediction sets of the tasks that have thresholds; see `Model.sets`.

  Raises:
    NoSetsError: If there are no thresholds for what is asked.
  """
  if extra := set(methods) - {task.name for task in schema}:
    raise NoSetsError(f'methods: there is no task {sorted(extra)[0]!r}')
  coverage = _coverage(metadata, coverage)
  there, found = _said(metadata, votes), {}
  for task in schema:
    if task.name not in there and task.name not in methods:
      continue  # it was not labelled
    method = methods.get(task.name, DEFAULTS[task.kind])
    if not isinstance(method, str):
      raise NoSetsError(
        f'methods: expected a name for {task.name!r}, not {method!r}'
      )
    fitted = _fitted(there, task, method, metadata[KEY]['coverages'])
    made = conformal_sets.sets(
      task, method, members[task.name], fitted, coverage, bin_values
    )
    found[task.name] = _by_label(task, made)
  return found


def _coverage(metadata: Json, coverage: float) -> float:
  """The coverage of the thresholds that is asked for, in any precision."""
  said = metadata.get(KEY)
  if said is None:
    raise NoSetsError(
      'the model was exported without prediction sets (before there were any, '
      f'or without validation data): {AGAIN}'
    )
  for one in said['coverages']:
    same = isinstance(coverage, numbers.Real) and math.isclose(
      one, coverage, rel_tol=1e-6
    )
    if same:
      return one
  known = ', '.join(map(str, said['coverages']))
  raise NoSetsError(
    f'coverage {coverage!r}: the model has thresholds of {known}'
  )


def _said(metadata: Json, votes: bool) -> Json:
  """Task -> method -> part of the thresholds for labels, or for votes."""
  said = metadata[KEY]
  there = said[VOTES] if votes else said['tasks']
  if not there:
    of = 'votes' if votes else 'labels'
    raise NoSetsError(
      f'the model has no prediction sets for {of}: {fitted_on(metadata)} that it '
      'was calibrated on has none'
    )
  return there


def _fitted(there: Json, task: tasks.Task, method: str, coverages):
  found = there.get(task.name, {})
  if method not in found:
    raise NoSetsError(
      f'no sets of {task.name!r} by {method!r}: the model has '
      f'{", ".join(found) or "none, as no validation frame has such a label"}'
    )
  return from_json(found[method], coverages)


def _by_label(task: tasks.Task, made: np.ndarray):
  """As `answers` has them: by label but for categorical tasks."""
  if task.kind == 'categorical':
    return made
  axis = -1 if task.kind == 'binary' else -2
  names = np.array(['absent', 'present', 'unsure'])
  made = names[made] if task.kind == 'binary' else made.astype(np.float32)
  return {name: made.take(i, axis) for i, name in enumerate(task.labels)}


def card_lines(metadata: Json) -> Iterator[str]:
  """Lines of the model card."""
  said = metadata.get(KEY)
  if said is None:
    return
  every, frames = (said['calibration'][key] for key in ('subjects', 'frames'))
  chosen = ', which chose nothing of the model'
  if POOLED in notes(metadata):
    chosen += ' but a temperature'
  if said['calibration']['selected_on']:
    chosen = ', on which the epochs were selected, too, so that a little less may be true'
  for n, names in _labelled(said).items():
    of = f'{n:,} people' if every < frames else f'{n:,} images, each by itself'
    if n != every:  # the others have no such label
      of = f'{of} (of {every:,}, with labels of {", ".join(map(code, names))})'
    yield (
      f'- sets that hold the truth for at least such a share of new images like '
      f'these, from new people (`sets(output, 0.9)`): {_levels(said, n)}; calibrated on '
      f'{of}, of {fitted_on(metadata)}{chosen}. On other data nothing is promised'
    )
  yield from _states(said, 'people' if every < frames else 'images')
  for note in notes(metadata):
    yield f'- {escape(note)}'
  soft = said['calibration'].get('soft', ())
  units = [name for name in soft if 'units' in said['tasks'].get(name, ())]
  if votes := [name for name in soft if name not in units]:
    yield (
      f'- the truth of {", ".join(map(code, votes))} is one vote, drawn at random '
      "from the annotators', not the majority: for that alone smaller sets would do"
    )
  if units:
    yield (
      f'- the truth of {", ".join(map(code, units))} is drawn by the probabilities that '
      'the labels are, not the likelier state: for that alone smaller sets would do'
    )
  infinite = [
    f'{code(task)} {method}'
    for task, found in said['tasks'].items()
    for method, parts in found.items()
    if any(None in part['thresholds'] for part in parts.values())
  ]
  if infinite:
    yield (
      '- too few subjects for a promise at every coverage, so that some of '
      f'these sets hold everything: {", ".join(infinite)}'
    )


def _states(said: Json, who: str) -> Iterator[str]:
  """What is to be expected of the rarest state, where each has its threshold."""
  for task, methods in said['tasks'].items():
    if 'units' not in methods:
      continue
    parts = methods['units']
    name = min(parts, key=lambda name: parts[name]['groups'])
    n = parts[name]['groups']
    yield (
      f'- of {code(task)} these numbers are those of all units together '
      '(`joint`); by default each state of a unit has a threshold of its own, '
      f'the rarest one, {code(name)}, of {n:,} {who}: {_levels(said, n)}'
    )


def _labelled(said: Json) -> dict[int, list[str]]:
  """How many people tasks were labelled of -> their names, the most first."""
  found: dict[int, list[str]] = {}
  for task, methods in said['tasks'].items():
    whole = [m for m in methods if m not in ('by_class', 'units')]
    n = min(
      (part['groups'] for m in whole for part in methods[m].values()),
      default=said['calibration']['subjects'],
    )
    found.setdefault(n, []).append(task)
  # Votes have thresholds of their own, and are said where nothing else is.
  found = found or {said['calibration']['subjects']: []}
  return dict(sorted(found.items(), reverse=True))


def _levels(said: Json, groups: int) -> str:
  """What is to be expected at each coverage, of so many calibrated groups."""
  return ', '.join(
    f'{c:.0%} ({_expected(groups, c)})' for c in said['coverages']
  )


def _expected(groups: int, coverage: float) -> str:
  low, high = conformal.band(groups, coverage)
  if low == 1:
    return f'needs {conformal.fewest(coverage)} subjects: everything'
  return f'{low:.1%} to {high:.1%} to be expected'


def known_methods(kind: str, votes: bool) -> tuple[str, ...]:
  """Methods that model.json may name."""
  if votes:
    return VOTE_METHODS if kind == 'categorical' else ()
  return tuple(m for m in METHODS[kind] if m != 'vote_classes')
