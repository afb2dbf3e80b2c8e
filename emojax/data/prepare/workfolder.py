"""The state of a data set that is being prepared, so that work can go on."""

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from emojax.data.store import store
from emojax.host import files

NAME = '.progress'  # exists below the output until it is finished


def is_finished(out: pathlib.Path, settings: dict[str, Any]) -> bool:
  """Whether a folder holds this very data set.

  Raises:
    StoreError: The folder holds something else.
  """
  if out.exists() and not out.is_dir():
    raise store.StoreError(f'{out} is a file: choose another --out')
  if (out / store.FILE).exists():
    _compare(out, _settings(out), settings)
    # A process that was killed at the very end leaves it behind.
    shutil.rmtree(out / NAME, ignore_errors=True)
    return True
  if out.is_dir() and not (out / NAME).is_dir() and any(out.iterdir()):
    raise store.StoreError(
      f'{out} is not empty and holds no data set: choose another --out'
    )
  return False


def _settings(out: pathlib.Path) -> dict[str, Any]:
  """Settings of a finished data set; raises StoreError if they are damaged."""
  try:
    return json.loads((out / store.FILE).read_text())['settings']
  except (ValueError, KeyError, TypeError) as error:
    raise store.StoreError(
      f'{out / store.FILE} cannot be used as what this command wrote '
      f'({type(error).__name__}: {error}): choose another --out, or move that '
      'folder away to make it again'
    ) from error


def _compare(out, found: dict[str, Any], wanted: dict[str, Any]):
  other = [key for key in wanted if found.get(key) != wanted[key]]
  if other:
    raise store.StoreError(
      f'{out} holds a data set made with other settings: '
      + ', '.join(f'{k} {found.get(k)!r}, not {wanted[k]!r}' for k in other)
      + '. Choose another --out, or move that folder away'
    )


@contextlib.contextmanager
def working(
  out: pathlib.Path, settings: dict[str, Any]
) -> Iterator[pathlib.Path]:
  """Opens or resumes the work folder, which one process at a time may hold.

  Raises:
    StoreError: Another process holds it, or work began with other settings.
  """
  work = out / NAME
  work.mkdir(parents=True, exist_ok=True)
  try:
    # The system lets go of the lock if this process is killed.
    lock = files.lock(work / 'lock')
  except files.LockedError:
    raise store.StoreError(f'{out}: another process is writing it') from None
  with lock or contextlib.nullcontext():
    if (work / 'settings.json').exists():
      found = json.loads((work / 'settings.json').read_text())
      _compare(out, found, settings)
    store.write_json(work / 'settings.json', settings)
    for folder in (out, work):
      for part in folder.glob(f'.*{store.PARTIAL}'):
        part.unlink()
    yield work


def check_same_source(out: pathlib.Path, found: dict[str, str]):
  """Refuses a finished data set that was made from something else.

  Args:
    out: Its folder.
    found: Digests of the source; those that it was made without are not compared.
  """
  if not _same(_settings(out), found):
    raise store.StoreError(
      f'{out} is finished, but was made from another source, or the source has '
      'changed since: choose another --out, or move that folder away to make '
      'it again'
    )


def _same(before: dict[str, str], found: dict[str, str]) -> bool:
  return all(before.get(key, value) == value for key, value in found.items())


def check_source(work: pathlib.Path, found: dict[str, str]):
  """Refuses to go on if the source changed since the work began.

  Files may have been mended as long as no shard of them is there.
  """
  path = work / 'listing.json'
  before = json.loads(path.read_text()) if path.exists() else {}
  if isinstance(before, str):  # as it was once
    before = {'source': before}
  if not any(work.glob('*-*.json')):
    before.pop('contents', None)
  if not _same(before, found):
    raise store.StoreError(
      f'{work.parent}: the source has changed since this was begun; choose '
      'another --out, or move that folder away and start again'
    )
  store.write_json(path, found)
