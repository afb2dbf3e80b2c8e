"""Your own images and clips: a folder per class, or a table of labels.

Class folders, with or without folders of splits above them:

    [train|validation|test/] happiness / a.jpg  clip01/0001.png ...  b.mp4

Table: `labels.csv` or `labels.tsv` (or the option `table`) with a header; see
folder_table.py. Images, folders of frames and video files (with PyAV) all
serve as clips.
"""

import collections
import pathlib

from emojax import tasks
from emojax.data.readers import folder_table, layouts, splits
from emojax.data.readers.files import folders, media
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.labels import canonical, class_number, one_hot
from emojax.data.readers.records import Listing, Record

TABLES = ('labels.csv', 'labels.tsv')
EXPRESSIONS = (*tasks.AFFWILD2, 'contempt')
MEDIA = (*folders.IMAGES, *media.VIDEOS)
LAYOUT = (
  'a folder per class, SOURCE/CLASS/IMAGE or SOURCE/SPLIT/CLASS/IMAGE, or a '
  'table SOURCE/labels.csv'
)


def scan(
  source: pathlib.Path,
  problems: Problems,
  *,
  table: str = '',
  classes: str = '',
  ignore: str = '',
  unlabelled: bool = False,
  fps: float = 0.0,
  validation_fraction: float = 0.0,
  seed: int = 0,
) -> Listing:
  """Lists images and clips.

  Args:
    table: Name of the table below the source; by default labels.csv or
      labels.tsv if there is one.
    classes: Class names in the order to number them, with commas between. By
      default the seven expressions of Aff-Wild2 (and contempt, if it occurs)
      when the names are expressions, else all names in alphabetical order.
    ignore: Columns of the table to ignore, with commas between.
    unlabelled: Keep rows of the table that have no label at all.
    fps: Frames per second of folders of frames; video files know theirs.
    validation_fraction: Share of the training subjects that goes to the
      validation split, drawn at random.
    seed: Seed of that draw.
  """
  names = tuple(name.strip() for name in classes.split(',') if name.strip())
  path = _table(source, table)
  if path is not None:
    skipped = {name.strip().lower() for name in ignore.split(',')}
    rows = folder_table.read(path, skipped, unlabelled, problems)
    rows = _named(rows, names, path, problems)
    order = class_order(names, [row.expression for row in rows])
    schema, records = folder_table.records(path, rows, order, fps, problems)
  else:
    # Of another data set, folders that are no classes would be taken for some.
    layouts.refuse_others('folder', source)
    items = _items(source, problems)
    order = class_order(names, [item[1] for item in items])
    schema = (tasks.expr_task(order),)
    records = _from_folders(source, items, order, fps, problems)
    _note_one_class(records, order, problems)
  records = splits.by_subject(records, validation_fraction, seed)
  return Listing('folder', schema, records, problems)


def _named(
  rows: list[folder_table.Row],
  names: tuple[str, ...],
  path: pathlib.Path,
  problems: Problems,
) -> list[folder_table.Row]:
  """Replaces class numbers by the names that the option `classes` gives."""
  result = []
  for row in rows:
    text = row.expression
    with problems.at(path, row.line):
      if text.isdecimal() and text not in names:
        if not text.isascii() or len(text) > 9 or int(text) >= len(names):
          expected = 'a name, or a number with option classes=name,name,...'
          raise DataError(f'class {text!r}', expected)
        row = row._replace(expression=names[int(text)])
      result.append(row)
  return result


def class_order(given: tuple[str, ...], found: list[str]) -> tuple[str, ...]:
  """Returns the classes in order; () where there are no names at all.

  Once one name is an expression all must be: a misspelt one is left out later
  instead of becoming a class.
  """
  if given:
    return given
  names = {name for name in found if name}
  known = {canonical(name) for name in names} & set(EXPRESSIONS)
  if not known:
    return tuple(sorted(names))
  return EXPRESSIONS if 'contempt' in known else tasks.AFFWILD2


def _table(source: pathlib.Path, table: str) -> pathlib.Path | None:
  if source.is_file():
    return source
  if table:
    return folders.first_existing(source / table)
  return next((source / n for n in TABLES if (source / n).is_file()), None)


def _items(
  source: pathlib.Path, problems: Problems
) -> list[tuple[str, str, pathlib.Path]]:
  """Returns (split, class folder name, path) of every image or clip.

  Raises:
    DataError: There is none in a folder of a class.
  """
  roots = _roots(source, problems)
  items = [
    (split, folder.name, path)
    for root, split in roots.items()
    for folder in folders.subfolders(root)
    for path in sorted(_files(folder) + folders.subfolders(folder))
  ]
  outside = [path for root in {source, *roots} for path in _files(root)]
  if not items:
    found = f'{len(outside)} images and videos, none in a folder of a class'
    raise DataError(found, LAYOUT, source)
  for path in sorted(outside):
    problems.add(path, None, 'an image outside of the class folders', LAYOUT)
  _report_unread(source, roots, problems)
  return items


def _report_unread(
  source: pathlib.Path, roots: dict[pathlib.Path, str], problems: Problems
):
  """Files of other formats, broken links and classes without any file."""
  classes = [folder for root in roots for folder in folders.subfolders(root)]
  places = [path for c in classes for path in (c, *folders.subfolders(c))]
  ignored: collections.Counter[str] = collections.Counter()
  for folder in places:
    for name in folders.others_in(folder, MEDIA):
      path, kind = folder / name, pathlib.Path(name).suffix.lower()
      if kind in folders.FOREIGN or not path.exists():
        found = f'a file {kind}' if path.exists() else 'a link to nothing'
        expected = f'images ({", ".join(folders.IMAGES)}) or videos'
        problems.add(path, None, found, expected)
      else:
        ignored[kind or 'no suffix'] += 1
  if ignored:
    kinds = ', '.join(f'{kind} {count}' for kind, count in ignored.items())
    problems.note(f'files that are no images or videos are not read: {kinds}')
  empty = [c for c in classes if not (_files(c) or folders.subfolders(c))]
  if empty:
    names = ', '.join(str(path.relative_to(source)) for path in empty[:5])
    problems.note(f'folders of classes without images: {names}')


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  return [folder / name for name in folders.names_in(folder, MEDIA)]


def _roots(source: pathlib.Path, problems: Problems) -> dict[pathlib.Path, str]:
  """Returns {folder with class folders: split}."""
  top = folders.subfolders(source)
  names = {path: media.SPLIT_NAMES.get(path.name.lower()) for path in top}
  if top and None not in names.values():
    return names
  known = [path.name for path, split in names.items() if split]
  other = [path.name for path, split in names.items() if not split]
  if known:
    problems.note(
      f'folders {", ".join(known)} are read as classes, not as splits, since '
      f'{", ".join(other[:5])} beside them cannot be a split'
    )
  return {source: 'train'}


def _note_one_class(
  records: list[Record], order: tuple[str, ...], problems: Problems
):
  """Warns of one folder too many, or too few, above the images."""
  found = {int(r.targets['expr'].value[0].argmax()) for r in records}
  if len(found) == 1:
    problems.note(
      f'all {len(records)} images and clips are of one class, '
      f'{order[found.pop()]!r}: expected {LAYOUT}'
    )


def _from_folders(
  source: pathlib.Path, items, order, fps: float, problems: Problems
) -> list[Record]:
  records = []
  for split, name, path in items:
    with problems.at(path):
      number = class_number(name, order)
      clip = media.open_clip(path, fps)
      clip.report(problems, path)
      target = one_hot(number, len(order))
      targets = {'expr': _repeat(target, len(clip.frames))}
      key = str(path.relative_to(source))
      records.append(clip.record(key, key, split, targets))
  return records


def _repeat(target: tasks.Target, count: int) -> tasks.Target:
  return tasks.Target(*(array.repeat(count, axis=0) for array in target))
