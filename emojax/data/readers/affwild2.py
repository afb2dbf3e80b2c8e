"""Aff-Wild2 in the releases of the ABAW challenges of 2020 and 2021.

    AU_Set|EXPR_Set|VA_Set/Train_Set|Training_Set|Validation_Set/VIDEO.txt
    cropped_aligned/VIDEO/00001.jpg ...      (or in batch1/, batch2/)
    videos/**/VIDEO.mp4, audio/VIDEO.wav     (optional)
    test_set/*.txt                           (optional: names of test videos)

VIDEO may end in `_left` or `_right`: a second annotated person. Row i of a
label file (0-based, after the header) belongs to image i + 1; images are
missing where no face was found. One record per split and VIDEO carries all
tasks for which that split annotates it.
"""

import collections
import dataclasses
import pathlib
import re

import numpy as np

from emojax import tasks
from emojax.data.readers import affwild2_labels as label_files
from emojax.data.readers import labels
from emojax.data.readers.affwild2_labels import Annotation
from emojax.data.readers.files import folders, tables, video
from emojax.data.readers.files.frames import ImageFiles
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.records import Listing, Record

SETS = {'au': 'AU_Set', 'expr': 'EXPR_Set', 'va': 'VA_Set'}
SPLITS = {
  'Train_Set': 'train',
  'Training_Set': 'train',
  'Validation_Set': 'validation',
}
# A file that the writer of generated trees leaves in their root.
GENERATED = 'GENERATED.txt'
SOUND = ('.wav', '.flac', *video.VIDEOS)

Key = tuple[str, str]  # split, VIDEO


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  images: str = 'cropped_aligned',
  partial_aus: bool = False,
  keep_unlabelled: bool = False,
  fps: float = 0.0,
) -> Listing:
  """Lists the annotated videos, and those of the test lists.

  Args:
    images: Folder of the face crops, below the source.
    partial_aus: Use the annotated action units of a frame even if others of
      the same frame are -1; the published code drops such frames.
    keep_unlabelled: Also list images without any valid label (masked).
    fps: Frames per second of all videos; 0 reads each video file (needs PyAV)
      and leaves the rate open where that cannot be.
  """
  rows = _read(_label_files(source), partial_aus, problems)
  people = _people(source / images)
  schema = _schema(
    [found for by_task in rows.values() for found in by_task.items()]
  )
  records, left_out = [], collections.Counter()
  for (split, name), by_task in rows.items():
    with problems.at(source / images / name):
      record = _record(people, name, split, by_task, schema, problems)
      keep = labels.labelled(record.targets) | keep_unlabelled
      left_out += _left_out(record, by_task, keep)
      if not keep.any():
        raise DataError('no image with a valid label', 'at least one')
      records.append(record.take(np.flatnonzero(keep)))
  records += _test_records(source, people, schema, problems)
  _note_left_out(left_out, people, rows, records, problems)
  _note_shared_videos(records, problems)
  records = _with_media(source, records, fps, problems)
  info = {'generated': True} if (source / GENERATED).exists() else {}
  return Listing('affwild2', schema, records, problems, info=info)


def _label_files(source: pathlib.Path) -> dict[Key, dict[str, pathlib.Path]]:
  """Finds the label files: {(split, VIDEO): {task: file}}, sorted."""
  files: dict[Key, dict[str, pathlib.Path]] = {}
  for task, set_name in SETS.items():
    found = sorted({*source.glob(set_name), *source.glob(f'*/{set_name}')})
    splits = [
      p for s in found for p in folders.subfolders(s) if p.name in SPLITS
    ]
    names = [SPLITS[path.name] for path in splits]
    if len(set(names)) < len(names):
      text = ', '.join(map(str, splits))
      raise DataError(text, 'one release: one folder per split', source)
    for folder in splits:
      for name in sorted(folders.names_in(folder, ['.txt'])):
        key = SPLITS[folder.name], name[:-4]
        files.setdefault(key, {})[task] = folder / name
  if not files:
    expected = 'AU_Set, EXPR_Set or VA_Set with Train_Set and Validation_Set'
    raise DataError('no label file', expected, source)
  return dict(sorted(files.items()))


def _read(files, partial_aus: bool, problems: Problems):
  """Reads the files: {(split, VIDEO): {task: Annotation}}."""
  rows: dict[Key, dict[str, Annotation]] = {}
  for key, by_task in files.items():
    for task, path in by_task.items():
      with problems.at(path):
        found = label_files.READ[task](path, problems)
        whole = task == 'au' and not partial_aus
        rows.setdefault(key, {})[task] = _whole(found) if whole else found
  return rows


def _whole(found: Annotation) -> Annotation:
  """Masks a frame unless all of its action units are annotated."""
  value, mask = found.target
  mask = np.repeat(mask.all(-1, keepdims=True), mask.shape[1], -1)
  return found._replace(target=labels.masked(value, mask))


def _schema(found: list[tuple[str, Annotation]]) -> tasks.Schema:
  names = {a for task, rows in found if task == 'au' for a in rows.labels}
  aus = next(
    (order for order in (tasks.AU12, tasks.AU8) if set(order) == names),
    tuple(name for name in label_files.AUS if name in names),
  )
  present = {task for task, _ in found}
  every = (tasks.au_task(aus), tasks.expr_task(), tasks.va_task())
  return tuple(task for task in every if task.name in present)


def _people(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns {VIDEO: folder of its images}."""
  batches = [p for p in folders.subfolders(root) if re.match('batch', p.name)]
  paths = [p for folder in (root, *batches) for p in folders.subfolders(folder)]
  return {path.name: path for path in paths if path not in batches}


def _record(
  people: dict[str, pathlib.Path],
  name: str,
  split: str,
  rows: dict[str, Annotation],
  schema: tasks.Schema,
  problems: Problems,
) -> Record:
  """Joins images and rows by frame number; raises DataError without images."""
  numbers = folders.numbered(people[name], problems) if name in people else {}
  if not numbers:
    raise DataError(f'no images of {name!r}', 'a folder of 00001.jpg, ...')
  if 0 in numbers:
    raise DataError('an image with number 0', 'images numbered from 1')
  index = np.array(list(numbers), np.int32) - 1
  targets = tasks.empty_targets(schema, index.shape)
  for task in schema:
    if task.name in rows:
      _fill(targets[task.name], task, rows[task.name], index)
  frames = ImageFiles(people[name], list(numbers.values()))
  return Record(name, name, split, frames, targets, index)


def _fill(
  target: tasks.Target, task: tasks.Task, rows: Annotation, index: np.ndarray
):
  """Writes the rows of the given frames into `target`, columns by name."""
  place = np.flatnonzero(index < len(rows.target.mask))
  value, mask = (array[index[place]] for array in rows.target)
  columns = np.array([task.labels.index(label) for label in rows.labels], int)
  target.value[np.ix_(place, columns)] = value
  if mask.ndim == 1:
    target.mask[place] = mask
  else:
    target.mask[np.ix_(place, columns)] = mask


def _left_out(
  record: Record, rows: dict[str, Annotation], keep: np.ndarray
) -> collections.Counter[str]:
  """Counts what the official files leave without a counterpart."""
  valid = np.zeros(max(len(r.target.mask) for r in rows.values()), bool)
  for _, mask in (found.target for found in rows.values()):
    valid[: len(mask)] |= (mask if mask.ndim == 1 else mask.any(-1)) > 0
  beyond = record.frame_index >= len(valid)
  seen = np.isin(np.flatnonzero(valid), record.frame_index)
  return collections.Counter(
    {
      'images without a valid label': int((~keep & ~beyond).sum()),
      'images beyond the rows of their label files': int(
        (~keep & beyond).sum()
      ),
      'labelled frames without an image': int((~seen).sum()),
    }
  )


def _note_left_out(left_out, people, rows, records, problems: Problems):
  found = [f'{count} {what}' for what, count in left_out.items() if count]
  if found:
    problems.note(f'left out, as usual: {", ".join(found)}')
  used = {name for _, name in rows} | {r.video_id for r in records}
  unused = sorted(set(people) - used)
  if unused:
    problems.note(
      f'folders of images that no label file or test list names: '
      f'{len(unused)}, {", ".join(unused[:5])}'
      + ('' if len(unused) < 6 else ', ...')
    )


def _test_records(source, people, schema, problems) -> list[Record]:
  """Unlabelled records of the videos that test_set/*.txt names."""
  places: dict[str, tuple[pathlib.Path, int]] = {}
  folder = source / 'test_set'
  for name in sorted(folders.names_in(folder, ['.txt'])):
    for line, text in tables.lines(folder / name, problems):
      places.setdefault(text.strip(), (folder / name, line))
  records = []
  for name, (path, line) in places.items():
    with problems.at(path, line):
      records.append(_record(people, name, 'test', {}, schema, problems))
  return records


def _note_shared_videos(records: list[Record], problems: Problems):
  splits: dict[str, set[str]] = {}
  for record in records:
    splits.setdefault(_video(record.video_id), set()).add(record.split)
  shared = sorted(name for name, where in splits.items() if len(where) > 1)
  if shared:
    problems.note(
      f'videos in more than one split: {len(shared)}, for different tasks or '
      f'persons, as in the official files: {", ".join(shared[:5])}'
      + ('' if len(shared) < 6 else ', ...')
    )


def _video(name: str) -> str:
  return re.sub('_(left|right)$', '', name)


def _with_media(source, records, fps: float, problems) -> list[Record]:
  """Adds sound files and frame rates."""
  paths = [
    path
    for folder in ('audio', 'videos')
    for path in folders.files_below(source / folder, SOUND)
  ]
  # Sound files come first, so they win over the videos' own sound track.
  media = {p.stem: p for p in reversed(paths)}
  movies = {p.stem: p for p in paths if p.suffix.lower() in video.VIDEOS}
  rates = {} if fps else _rates(movies, problems)
  return [
    dataclasses.replace(
      record,
      audio_path=str(path)
      if (path := media.get(_video(record.video_id)))
      else None,
      fps=fps or rates.get(_video(record.video_id)),
    )
    for record in records
  ]


def _rates(movies: dict[str, pathlib.Path], problems: Problems) -> dict:
  """Frame rates of the video files."""
  if movies and not video.available():
    problems.note(
      'frame rates are unknown: install PyAV (pip install av) to read them '
      'from the video files, or give the option fps=30'
    )
    return {}
  rates = {}
  for name, path in movies.items():
    with problems.at(path):
      rates[name] = video.rate(path)
  return rates
