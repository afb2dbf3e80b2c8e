"""Random validation splits for data sets that come without one."""

import dataclasses

import numpy as np

from emojax.data.readers.files.problems import DataError
from emojax.data.readers.records import Record


def by_subject(
  records: list[Record], fraction: float, seed: int
) -> list[Record]:
  """Moves a share of the training subjects to the validation split.

  Args:
    records: Records; those of other splits stay as they are.
    fraction: Share of the subjects in [0, 1); rounded, at least one subject
      goes over and at least one stays if it is above 0.
    seed: The draw depends on it and on the names of the subjects only.

  Raises:
    DataError: The fraction is out of range, or there is only one subject.
  """
  if not 0 <= fraction < 1:
    found = f'option validation_fraction={fraction}'
    raise DataError(found, 'a share in [0, 1)')
  if not fraction:
    return records
  subjects = sorted({r.subject_id for r in records if r.split == 'train'})
  if len(subjects) < 2:
    raise DataError(f'{len(subjects)} subjects', 'two or more to split')
  count = min(max(round(fraction * len(subjects)), 1), len(subjects) - 1)
  order = np.random.default_rng(seed).permutation(len(subjects))
  moved = {subjects[i] for i in order[:count]}
  return [
    dataclasses.replace(record, split='validation')
    if record.split == 'train' and record.subject_id in moved
    else record
    for record in records
  ]
