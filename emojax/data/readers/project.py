"""Maps the labels of a listing to another order, by name.

Data sets number the same expressions differently; mixing them (papers 001 and
002) or testing one on another needs one order.
"""

import dataclasses

import numpy as np

from emojax import tasks
from emojax.data.readers import labels
from emojax.data.readers.files.problems import DataError
from emojax.data.readers.records import Listing, Record

EXPRESSION_ORDERS: dict[str, tuple[str, ...]] = {
  'affwild2': tasks.AFFWILD2,
  'fer2013': tasks.FER2013,
  'ferplus': tasks.FERPLUS,
  'affectnet': tasks.AFFECTNET,
  'rafdb': tasks.RAFDB,
  'expw': tasks.EXPW,
}
AU_ORDERS: dict[str, tuple[str, ...]] = {'au12': tasks.AU12, 'au8': tasks.AU8}


def project(
  listing: Listing, *, expressions: str = 'own', action_units: str = 'own'
) -> Listing:
  """Renames the labels of a listing to another order, by name.

  Labels without a counterpart become missing; frames (and records) that lose
  their last label are left out and counted in a note. Votes follow the classes:
  theirs are the first columns, without any for classes that nobody was asked for.

  Args:
    expressions: Order of the expression classes: own, affwild2 (7 classes),
      fer2013, ferplus (8), affectnet (8), rafdb or expw. Classes without a
      counterpart are left out.
    action_units: Order of the action units: own, au12 (ABAW 2021) or au8
      (ABAW 2020). Those that the files do not annotate are missing labels.
  """
  wanted = {
    'expr': _order(EXPRESSION_ORDERS, expressions, 'expressions'),
    'au': _order(AU_ORDERS, action_units, 'action_units'),
  }
  schema = tuple(
    _projected(task, wanted.get(task.name)) for task in listing.schema
  )
  if schema == listing.schema:
    return listing
  records = [
    _project_record(r, listing.schema, schema) for r in listing.records
  ]
  answers = listing.vote_labels
  if answers:
    answers = _answers(answers, schema)
    records = [_project_votes(r, listing.vote_labels, answers) for r in records]
  frames = sum(map(len, listing.records))
  kept = [record for record in records if len(record)]
  listing.problems.note(
    f'{frames - sum(map(len, kept))} of {frames} frames and '
    f'{len(records) - len(kept)} of {len(records)} records have no label '
    f'under the names {", ".join(n for task in schema for n in task.labels)}'
  )
  return dataclasses.replace(
    listing, schema=schema, records=kept, vote_labels=answers
  )


def _answers(old: tuple[str, ...], schema: tasks.Schema) -> tuple[str, ...]:
  """What annotators could say: the classes in their order, then all else."""
  classes = next(task.labels for task in schema if task.name == 'expr')
  return (*classes, *(name for name in old if name not in classes))


def _project_votes(
  record: Record, old: tuple[str, ...], new: tuple[str, ...]
) -> Record:
  if record.votes is None:
    return record
  votes = np.zeros((len(record), len(new)), np.float32)
  for column, name in enumerate(new):
    if name in old:
      votes[:, column] = record.votes[:, old.index(name)]
  return dataclasses.replace(record, votes=votes)


def _order(orders: dict, name: str, option: str) -> tuple[str, ...] | None:
  if name == 'own':
    return None
  if name not in orders:
    expected = f'{option}=own or one of {", ".join(orders)}'
    raise DataError(f'option {option}={name!r}', expected)
  return orders[name]


def _projected(task: tasks.Task, names: tuple[str, ...] | None) -> tasks.Task:
  if names is None:
    return task
  if not set(names) & set(task.labels):
    found = f'labels {", ".join(task.labels)}'
    raise DataError(found, f'some of {", ".join(names)}')
  return dataclasses.replace(task, labels=names)


def _project_record(record: Record, old, new) -> Record:
  targets = _project_targets(record.targets, old, new)
  clean = record.clean_targets
  if clean is not None:
    clean = _project_targets(clean, old, new)
  had, has = map(labels.labelled, (record.targets, targets))
  record = dataclasses.replace(record, targets=targets, clean_targets=clean)
  lost = had & ~has
  return record.take(np.flatnonzero(~lost)) if lost.any() else record


def _project_targets(targets: tasks.Targets, old, new) -> tasks.Targets:
  return {
    b.name: _project_target(targets[a.name], a, b) for a, b in zip(old, new)
  }


def _project_target(target: tasks.Target, old: tasks.Task, new: tasks.Task):
  if old.labels == new.labels:
    return target
  index = tasks.reorder(old.labels, new.labels)
  source, dest = np.flatnonzero(index >= 0), index[index >= 0]
  value = np.zeros((len(target.value), len(new.labels)), np.float32)
  value[:, dest] = target.value[:, source]
  if old.kind != 'categorical':
    mask = np.zeros_like(value)
    mask[:, dest] = target.mask[:, source]
    return tasks.Target(value, mask)
  # What remains of a distribution says nothing once its top class is gone.
  mask = target.mask * (index[target.value.argmax(-1)] >= 0)
  total = np.maximum(value.sum(-1, keepdims=True), 1e-12)
  return tasks.Target(value / total * mask[:, None], mask.astype(np.float32))
