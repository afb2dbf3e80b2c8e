"""The column names of OpenFace, for programs that read its tables.

Renamed are what both have: frame (from 1), face_id, timestamp, confidence,
success, AU01_c (present or not). OpenFace's intensities (AU01_r) have no
counterpart: emojax estimates how probable a unit is, not how strong, so that
these columns are not made up. Everything else keeps its name.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from emojax.answers.columns import Column, Layout, check_names

RENAMED = {
  'frame': Column('frame', 'integer', 'from 1', 'number of the frame'),
  'face': Column(
    'face_id', 'integer', 'from 0',
    'the track in videos, the number of the face in pictures',
  ),
  'time': Column('timestamp', 'seconds', 's', 'time of the frame'),
  'score': Column('confidence', 'number', '0 to 1', "the detector's score"),
}  # fmt: skip
SUCCESS = Column('success', 'integer', '0 or 1', 'whether there is a face')


def columns(layout: Layout) -> tuple[Column, ...]:
  """The columns with OpenFace's names.

  Raises:
    ValueError: If labels have one of them, or two labels are one unit.
  """
  made = []
  for column in layout.columns:
    made.append(RENAMED.get(column.name, column))
    if column.name == 'score':
      made.append(SUCCESS)
  made.extend(_units(layout).values())
  check_names(made, 'openface')
  return tuple(made)


def block(
  layout: Layout, rows: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """The same rows by OpenFace's names."""
  found = ~np.isnan(rows['face'])
  made = {
    (RENAMED[name].name if name in RENAMED else name): values
    for name, values in rows.items()
  }
  made['frame'] = rows['frame'] + 1
  tracked = ~np.isnan(rows['track'])
  made['face_id'] = np.where(tracked, rows['track'], rows['face'])
  made['success'] = found.astype(np.float64)
  task = _binary(layout)
  if task is None:
    return made
  for label, column in _units(layout).items():
    answers = rows[layout.answer(task)]
    here = np.array([label in a.split('+') for a in answers], np.float64)
    made[column.name] = np.where(found, here, np.nan)
  return made


def _binary(layout: Layout):
  """The task of action units, if there is one."""
  return next((t for t in layout.schema if t.kind == 'binary'), None)


def _units(layout: Layout) -> dict[str, Column]:
  """Label 'AU1' -> its column 'AU01_c'."""
  task = _binary(layout)
  labels: Sequence[str] = task.labels if task else ()
  return {
    label: Column(
      f'AU{int(label[2:]):02d}_c', 'integer', '0 or 1',
      f'whether {label} is present',
    )
    for label in labels
    if label.startswith('AU') and label[2:].isdecimal()
  }  # fmt: skip
