"""Finds files that a table, written on another system, names otherwise."""

import contextlib
import os
import pathlib
import posixpath
import unicodedata
from collections.abc import Callable

from emojax.data.readers.files.problems import DataError, Problems


def composed(text: str) -> str:
  """Text in Unicode's composed form (NFC): macOS takes names apart."""
  return unicodedata.normalize('NFC', text)


def _folded(text: str) -> str:
  return composed(text).casefold()


class Finder:
  """Paths below a folder.

  Paths of Windows and another Unicode form of the same name are followed;
  another case is an error that names the near file, since two files may differ
  by nothing else.
  """

  def __init__(self, root: pathlib.Path):
    self.root = root
    self._tops = os.path.abspath(root), os.path.realpath(root)
    self.followed = 0
    self._by_key: dict[tuple[str, Callable], dict[str, list[str]]] = {}

  def find(self, name: str) -> str:
    """Returns the path of a file as it is on disk, relative to the root.

    A path for which there is nothing at all is returned as it is; an absolute one
    that leads below the root is made relative.

    Raises:
      DataError: There is a file whose name differs in its case only.
    """
    name = self._relative(posixpath.normpath(name))  # './a.png' is 'a.png'
    if self._exists(name):
      return name
    other = posixpath.normpath(name.replace('\\', '/'))
    found = other if self._exists(other) else self._match(other, composed)
    if found:
      self.followed += 1
      return found
    near = self._match(other, _folded)
    if near:
      expected = f'the case of a file that is there: {near!r}'
      raise DataError(f'no file {name!r}', expected)
    return other

  def _relative(self, name: str) -> str:
    if not name.startswith('/'):
      return name
    for top in self._tops:
      if name.startswith(f'{top}/'):
        return posixpath.relpath(name, top)
    return name

  def note(self, problems: Problems):
    """Notes how many paths are written otherwise on disk."""
    if self.followed:
      problems.note(
        f'{self.followed} paths of the table have backslashes or another '
        'Unicode form than the names on disk: the files are read'
      )

  def _exists(self, name: str) -> bool:
    try:
      return os.path.lexists(self.root / name)
    except (OSError, ValueError):  # too long, or with a NUL
      return False

  def _match(self, name: str, key: Callable[[str], str]) -> str | None:
    """The one path whose parts have the same keys, None if there is not one."""
    found = '/' if name.startswith('/') else ''
    for part in name.strip('/').split('/'):
      if part == '..':
        found = posixpath.join(found, part)
        continue
      same = self._names(found, key).get(key(part), [])
      if len(same) != 1 and part not in same:
        return None
      found = posixpath.join(found, part if part in same else same[0])
    return found

  def _names(self, folder: str, key) -> dict[str, list[str]]:
    """Names in a folder by their keys."""
    if (folder, key) not in self._by_key:
      by_key = self._by_key[folder, key] = {}
      with contextlib.suppress(OSError, ValueError):
        for name in os.listdir(self.root / folder):
          by_key.setdefault(key(name), []).append(name)
    return self._by_key[folder, key]
