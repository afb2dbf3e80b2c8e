"""What is in a folder."""

import os
import pathlib
import re
from collections.abc import Iterable

from emojax.data.readers.files.problems import DataError, Problems

IMAGES = (
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.png',
  '.bmp',
  '.webp',
  '.tif',
  '.tiff',
)
# Pictures that are not read: animations, phones' and cameras' own formats.
FOREIGN = (
  '.gif',
  '.heic',
  '.heif',
  '.avif',
  '.jxl',
  '.jp2',
  '.ppm',
  '.pgm',
  '.tga',
  '.dng',
)


def names_in(
  folder: pathlib.Path, suffixes: Iterable[str] = IMAGES
) -> set[str]:
  """Names of the files of a folder with these suffixes; empty if absent.

  Hidden files are left out: macOS puts a `._NAME` beside every file of an
  archive.
  """
  ends = tuple(suffixes)
  try:
    names = [entry.name for entry in os.scandir(folder) if _is_file(entry)]
  except (OSError, ValueError):  # ValueError: a NUL in the name
    return set()
  return {n for n in names if n.lower().endswith(ends) and n[0] != '.'}


def _is_file(entry: os.DirEntry[str]) -> bool:
  """False as well for links to themselves, and to what may not be read."""
  try:
    return entry.is_file()
  except OSError:
    return False


def _is_dir(entry: os.DirEntry[str]) -> bool:
  try:
    return entry.is_dir()
  except OSError:
    return False


def files_below(
  folder: pathlib.Path, suffixes: Iterable[str]
) -> list[pathlib.Path]:
  """Sorted files of a folder and of all below it, links to folders included.

  Path.rglob follows no links before Python 3.13.
  """
  found, seen = [], set()
  for place, below, _ in os.walk(folder, followlinks=True):
    if os.path.realpath(place) in seen:  # links can form a circle
      below.clear()
      continue
    seen.add(os.path.realpath(place))
    path = pathlib.Path(place)
    found += [path / name for name in names_in(path, suffixes)]
  return sorted(found)


def others_in(folder: pathlib.Path, suffixes: Iterable[str]) -> list[str]:
  """Sorted names of files (and broken links) with none of these suffixes."""
  ends = tuple(suffixes)
  return sorted(
    entry.name
    for entry in os.scandir(folder)
    if entry.name[0] != '.'
    and not _is_dir(entry)
    and not (_is_file(entry) and entry.name.lower().endswith(ends))
  )


def subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
  """Sorted sub-folders of a folder; hidden ones and macOS's are left out."""
  if not folder.is_dir():
    return []
  found = [entry for entry in os.scandir(folder) if _is_dir(entry)]
  paths = [pathlib.Path(entry.path) for entry in found]
  return sorted(p for p in paths if p.name[0] != '.' and p.name != '__MACOSX')


def is_below(folder: pathlib.Path, path: pathlib.Path) -> bool:
  """Whether a path that a table names leads nowhere but into a folder.

  By its text, as nothing need be there: links in the folder are followed. Otherwise
  whoever made the table would choose which of a user's files are stored, and
  passed on with the rest.
  """
  found = os.path.abspath(path)
  tops = (form(folder) for form in (os.path.abspath, os.path.realpath))
  return any(os.path.commonpath([top, found]) == top for top in tops)


def numbered(
  folder: pathlib.Path, problems: Problems, pattern: str = '([0-9]{1,9})'
) -> dict[int, str]:
  """Returns {frame number: file name} of the images of a folder, sorted.

  Args:
    folder: The folder.
    problems: Where images without a number, and second images of the same
      number, go.
    pattern: Regular expression of the names without suffix; its group is the
      number.
  """
  found: dict[int, str] = {}
  for name in sorted(names_in(folder)):
    match = re.fullmatch(pattern, name.rsplit('.', 1)[0])
    if match is None or int(match[1]) in found:
      problems.add(folder, None, name, 'one image per frame number')
    else:
      found[int(match[1])] = name
  return dict(sorted(found.items()))


def first_existing(*paths: pathlib.Path) -> pathlib.Path:
  """Returns the first path that exists; raises DataError when none does."""
  for path in paths:
    if path.exists():
      return path
  others = ''.join(f' or {path}' for path in paths[1:])
  raise DataError(
    'no such file or folder',
    f'this path{others}: point --source at the folder that docs/datasets.md '
    'calls SOURCE',
    paths[0],
  )
