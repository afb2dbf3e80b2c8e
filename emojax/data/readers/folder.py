"""Your own images and clips: a folder per class, or a table of labels.

Class folders, with or without folders of splits above them:

    [train|validation|test/] happiness / a.jpg  clip01/0001.png ...  b.mp4

Table: `labels.csv` or `labels.tsv` (or the option `table`) with a header; see
folder_table.py. Images, folders of frames and video files (with PyAV) all
serve as clips.
"""

import collections
import glob
import pathlib

from emojax import tasks
from emojax.data.readers import class_numbers, folder_table, layouts, splits
from emojax.data.readers.files import folders, media, tables
from emojax.data.readers.files.problems import DataError, Problems
from emojax.data.readers.folder_paths import composed
from emojax.data.readers.labels import canonical, class_number, one_hot
from emojax.data.readers.records import Listing, Record
from emojax.host.terminal import readable

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
  first_class: int = -1,
  ignore: str = '',
  unlabelled: bool = False,
  outside: bool = False,
  au_threshold: float = 0.0,
  min_confidence: float = 0.0,
  fps: float = 0.0,
  validation_fraction: float = 0.0,
  seed: int = 0,
) -> Listing:
  """Lists images and clips.

  Args:
    table: Name of the table below the source, or several with a wildcard
      (processed/*.csv); by default labels.csv or labels.tsv if there is one.
    classes: Class names in the order to number them, with commas between. By
      default the seven expressions of Aff-Wild2 (and contempt, if it occurs)
      when the names are expressions, else all names in alphabetical order.
    first_class: Number of the first of these classes, 0 or 1, in a table or
      in folders that bear numbers; needed (-1) unless 0 occurs.
    ignore: Columns of the table to ignore, with commas between.
    unlabelled: Keep rows of the table that have no label at all.
    outside: Read files that the table names outside of the source, too
      (absolute paths, ../): of a table of your own only, as it chooses which of
      your files are stored.
    au_threshold: Lowest intensity (above 0, at most 5) of an action unit that
      counts as a positive. Without it, columns of action units hold 0, 1 or
      probabilities, and OpenFace's presences (AU<n>_c) are read.
    min_confidence: Leave out frames of which OpenFace is less certain to
      have found a face.
    fps: Frames per second of folders of frames; video files know theirs.
    validation_fraction: Share of the training subjects that goes to the
      validation split, drawn at random.
    seed: Seed of that draw.
  """
  if not 0 <= au_threshold <= 5:
    found = f'option au_threshold={au_threshold:g}'
    raise DataError(found, 'an intensity above 0, at most 5')
  names = tuple(
    composed(name.strip()) for name in classes.split(',') if name.strip()
  )
  _check_different(names)
  paths = _tables(source, table)
  if paths:
    settings = folder_table.Settings(
      frozenset(name.strip().lower() for name in ignore.split(',')),
      unlabelled,
      au_threshold,
      min_confidence,
    )
    root = source if '*' in table else paths[0].parent
    rows = [
      row
      for path in paths
      for row in folder_table.read(path, root, settings, problems)
    ]
    top = source.parent if source.is_file() else source
    folder_table.check_paths(top, root, rows, outside, problems)
    rows = _named(rows, names, first_class, problems)
    order = class_order(names, [row.expression for row in rows])
    schema, records = folder_table.records(root, rows, order, fps, problems)
  else:
    options = {
      'au_threshold': au_threshold,
      'min_confidence': min_confidence,
      'outside': outside,
    }
    for name, value in options.items():
      if value:
        raise DataError(f'option {name}', 'a table of labels with it')
    # Of another data set, folders that are no classes would be taken for some.
    layouts.refuse_others('folder', source)
    items = _items(source, problems)
    found = class_numbers.names_of({i[1] for i in items}, names, first_class)
    items = [(split, found.get(n, n), path) for split, n, path in items]
    order = class_order(names, [item[1] for item in items])
    schema = (tasks.expr_task(order),)
    records = _from_folders(source, items, order, fps, problems)
    _note_one_class(records, order, problems)
  records = splits.by_subject(records, validation_fraction, seed)
  return Listing('folder', schema, records, problems)


def _check_different(names: tuple[str, ...]):
  """A class that is there twice would be one that nothing belongs to."""
  twice = [name for name in names if names.count(name) > 1]
  if twice:
    found = f'option classes: {twice[0]!r} {names.count(twice[0])} times'
    raise DataError(found, 'every class once')


def _named(
  rows: list[folder_table.Row],
  names: tuple[str, ...],
  first: int,
  problems: Problems,
) -> list[folder_table.Row]:
  """Replaces class numbers by the names that the option `classes` gives."""
  texts = {row.expression for row in rows}
  found = class_numbers.names_of(texts, names, first)
  result = []
  for row in rows:
    text = row.expression
    with problems.at(row.table, row.line):
      unknown = text not in names and text not in found
      if unknown and class_numbers.parse(text) is not None:
        expected = 'a name, or a number with option classes=name,name,...'
        raise DataError(f'class {text!r}', expected)
      result.append(row._replace(expression=found.get(text, text)))
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
    _check_spelling(names)
    return tuple(sorted(names))
  return EXPRESSIONS if 'contempt' in known else tasks.AFFWILD2


def _check_spelling(names: set[str]):
  """Two spellings of one class would be two classes."""
  seen: dict[str, str] = {}
  for name in sorted(names):
    other = seen.setdefault(name.casefold(), name)
    if other != name:
      raise DataError(
        f'classes {other!r} and {name!r}',
        'one spelling, or option classes=name,name,... if both are meant',
      )


def _tables(source: pathlib.Path, table: str) -> list[pathlib.Path]:
  """The tables of labels, [] for folders of classes."""
  if source.is_file():
    return [source]
  if '*' in table:
    names = sorted(glob.glob(table, root_dir=source, recursive=True))
    found = [source / name for name in names if (source / name).is_file()]
    if not found:
      raise DataError(
        f'no file {table!r}', 'tables that the option names', source
      )
    return found
  if table:
    return [folders.first_existing(source / table)]
  return [source / n for n in TABLES if (source / n).is_file()][:1]


def _items(
  source: pathlib.Path, problems: Problems
) -> list[tuple[str, str, pathlib.Path]]:
  """Returns (split, class folder name, path) of every image or clip.

  Raises:
    DataError: There is none in a folder of a class.
  """
  roots = _roots(source, problems)
  items = [
    (split, composed(folder.name), path)
    for root, split in roots.items()
    for folder in folders.subfolders(root)
    if _is_text(folder, problems)
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


def _is_text(folder: pathlib.Path, problems: Problems) -> bool:
  """Whether the folder can give a class its name."""
  with problems.at(folder):
    tables.file_name(folder.name)
    return True
  return False


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
  for root in roots:
    for name in folders.others_in(root, MEDIA):
      if not (root / name).exists():
        expected = 'a folder of a class, or nothing'
        problems.add(root / name, None, 'a link to nothing', expected)
  empty = [c for c in classes if not (_files(c) or folders.subfolders(c))]
  if empty:
    names = ', '.join(str(path.relative_to(source)) for path in empty[:5])
    problems.note(f'folders of classes without images: {names}')


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  return [folder / name for name in folders.names_in(folder, MEDIA)]


def _roots(source: pathlib.Path, problems: Problems) -> dict[pathlib.Path, str]:
  """Returns {folder with class folders: split}."""
  every = folders.subfolders(source)
  top = [path for path in every if path.name == readable(path.name)]
  splits = {
    path: media.SPLIT_NAMES[path.name.lower()]
    for path in top
    if path.name.lower() in media.SPLIT_NAMES
  }
  if top and len(splits) == len(top):
    for path in set(every) - set(top):
      _is_text(path, problems)
    return splits
  known = [path.name for path in splits]
  other = [path.name for path in top if path not in splits]
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
