"""Checks that a listing keeps the contract of base.py."""

import numpy as np

from emojax import tasks
from emojax.data.readers.records import SPLITS, Listing, Record


def check_listing(listing: Listing):
  """Raises ValueError if a listing breaks the contract (a bug in a reader)."""
  keys = [record.key for record in listing.records]
  if len(keys) != len(set(keys)):
    raise ValueError(f'{listing.name}: record keys repeat')
  for record in listing.records:
    _check_record(record, listing)


def _check_record(record: Record, listing: Listing):
  if record.split not in SPLITS or not len(record):
    raise ValueError(f'{record.key}: split {record.split!r}, {len(record)} L')
  if record.frame_index.shape != (len(record),):
    raise ValueError(f'{record.key}: frame_index {record.frame_index.shape}')
  votes = (len(record), len(listing.vote_labels))
  if record.votes is not None and record.votes.shape != votes:
    raise ValueError(f'{record.key}: votes {record.votes.shape}, not {votes}')
  for targets in (record.targets, record.clean_targets):
    if targets is not None:
      _check_targets(record, targets, listing.schema)


def _check_targets(
  record: Record, targets: tasks.Targets, schema: tasks.Schema
):
  blank = tasks.empty_targets(schema, (len(record),))
  if list(targets) != list(blank):
    raise ValueError(f'{record.key}: tasks {list(targets)}, not {list(blank)}')
  for task in schema:
    value, mask = targets[task.name]
    low = -1 if task.kind == 'binned' else 0
    good = (
      value.shape == blank[task.name].value.shape
      and mask.shape == blank[task.name].mask.shape
      and value.dtype == mask.dtype == np.float32
      and np.isin(mask, (0, 1)).all()
      and bool(np.all((value >= low) & (value <= 1)))
    )
    if good and task.kind == 'categorical':
      good = np.allclose(value.sum(-1), mask, atol=1e-5)
    if not good:
      raise ValueError(f'{record.key}: bad targets of {task.name}: {value}')
