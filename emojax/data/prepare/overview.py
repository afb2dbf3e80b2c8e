"""What a prepared data set looks like: counts, figures, a contact sheet."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax import tasks
from emojax.data.balance import distributions
from emojax.data.prepare import contact_sheet
from emojax.data.readers import base
from emojax.data.store import codec, frame_table, store

SHEET_IMAGES = 64

Tables = Mapping[str, frame_table.FrameTable]


def counts(spec: store.Spec, table: frame_table.FrameTable) -> dict[str, Any]:
  """Records, videos, frames and labels of a split, for JSON.

  Labels are counted per class ('categorical'), as [negatives, positives] per
  label ('binary'), and as the number of labelled frames ('binned').
  """
  found: dict[str, Any] = {
    'records': len(table.length),
    'videos': len(set(table.video_id.tolist())),
    'subjects': len(set(table.subject_id.tolist())),
    'frames': len(table),
  }
  for task in spec.schema:
    target = table.targets[task.name]
    if task.kind == 'binned':
      found[task.name] = {
        label: int(np.sum(target.mask[:, i] > 0))
        for i, label in enumerate(task.labels)
      }
    else:
      count = np.round(distributions.label_counts(task, target), 3)
      found[task.name] = dict(zip(task.labels, count.tolist()))
  return found


def summary(listing: base.Listing, spec: store.Spec, tables: Tables) -> str:
  """Text: what there is, and what was left out and why."""
  lines = describe(spec, tables)
  lines.append(listing.problems.summary() or 'Nothing was left out.')
  return '\n'.join(lines) + '\n'


def describe(spec: store.Spec, tables: Tables) -> list[str]:
  """Lines: what there is, with the number of labels of every split."""
  lines = [
    f'{spec.name}: {spec.size} x {spec.size} x {spec.channels} images, tasks '
    + ', '.join(task.name for task in spec.schema)
    + (f', sound as {spec.audio}' if spec.audio else '')
    + '.'
  ]
  for split, table in tables.items():
    found = counts(spec, table)
    lines.append(
      f'{split}: {found["frames"]:,} frames of {found["videos"]:,} videos or '
      f'stills, {found["subjects"]:,} subjects'
    )
    lines += [
      f'  {task.name}: {_count_text(task, found[task.name])}'
      for task in spec.schema
      if np.any(table.targets[task.name].mask)
    ]
  return lines


def _count_text(task: tasks.Task, found: Mapping[str, Any]) -> str:
  """Positives per label, items per class, or labelled frames."""
  if task.kind == 'binary':
    found = {label: pair[1] for label, pair in found.items()}
  return ', '.join(f'{label} {n:,.10g}' for label, n in found.items())


def draw(out: pathlib.Path, spec: store.Spec, tables: Tables) -> None:
  """Writes figures/labels-TASK.png and figures/contact_sheet.png."""
  folder = out / 'figures'
  folder.mkdir(exist_ok=True)
  for task in spec.schema:
    labels = {
      split: distributions.label_counts(task, table.targets[task.name])
      for split, table in tables.items()
      if np.any(table.targets[task.name].mask)
    }
    if labels:
      distributions.draw(task, labels, folder / f'labels-{task.name}.png')
  split = next(iter(tables))
  images, titles = _examples(out, spec, split, tables[split])
  contact_sheet.contact_sheet(
    images, titles, path=folder / 'contact_sheet.png', scale=_scale(spec.size)
  )


def _scale(size: int) -> int:
  return max(1, 96 // size)


def _examples(out, spec, split, table):
  """Frames of a split, with the names of their labels."""
  source = store.open_records(out, split)
  images, titles = [], []
  for frame in _chosen(spec.schema, table):
    record, place = table.locate(frame)
    encoded = store.encoded_images(store.parse(source[int(record)]))
    images.append(codec.decode(encoded[place], spec.size, spec.channels))
    titles.append(_title(spec.schema, table, frame))
  return np.stack(images), titles


def _chosen(schema: tasks.Schema, table) -> list[int]:
  """Evenly spaced frames, or as many of each class if there are only classes.

  A label order that is wrong shows at once where all classes are there.
  """
  pools = [np.arange(len(table))]
  if [task.kind for task in schema] == ['categorical']:
    value, mask = table.targets[schema[0].name]
    top = np.where(mask > 0, value.argmax(-1), -1)
    found = [np.flatnonzero(top == i) for i in range(value.shape[-1])]
    pools = [pool for pool in found if len(pool)][:SHEET_IMAGES] or pools
  share = SHEET_IMAGES // len(pools)
  return [
    int(pool[i])
    for pool in pools
    for i in np.linspace(0, len(pool) - 1, min(share, len(pool))).astype(int)
  ]


def _title(schema: tasks.Schema, table, frame: int) -> str:
  """The expression if there is one, else the active units, else the numbers."""
  kinds = {task.kind: task for task in reversed(schema)}
  for kind in ('categorical', 'binary', 'binned'):
    if kind not in kinds:
      continue
    task = kinds[kind]
    value, mask = (array[frame] for array in table.targets[task.name])
    if np.any(mask):
      return _TITLES[kind](task, value)
  return '-'


def _units(task: tasks.Task, value: np.ndarray) -> str:
  """'AU 1 4 25': short enough for the width of an image."""
  names = [name for name, v in zip(task.labels, value) if v > 0.5]
  return 'AU ' + (' '.join(n.removeprefix('AU') for n in names) or 'none')


def _numbers(task: tasks.Task, value: np.ndarray) -> str:
  """'V -0.47 A 0.16'."""
  pairs = zip(task.labels, value)
  return ' '.join(f'{name[0].upper()} {v:.2f}' for name, v in pairs)


_TITLES = {
  'categorical': lambda task, value: task.labels[int(np.argmax(value))],
  'binary': _units,
  'binned': _numbers,
}
