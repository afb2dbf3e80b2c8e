"""The folder that answers are written to: resumed exactly, overwritten never.

Work is done in parts of some frames. A part appears whole, with all that the next
one goes on from, so that a killed command does at most one part again. What people
read is made of the parts at the end, and `summary.json` comes last.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from emojax.answers import command
from emojax.data.readers.files import arrays
from emojax.data.readers.files.problems import DataError
from emojax.host import files
from emojax.runtime import damage

COMMAND, SUMMARY, PARTS, LOCK = (
  'command.json',
  'summary.json',
  '.parts',
  '.lock',
)
MOST = 1 << 24  # bytes of a command.json


class SessionError(ValueError):
  """The folder cannot be used; the message says what to do."""


class Session:
  """A folder that one command writes to.

  Args:
    folder: The folder; made by `open`.
    command: Everything that the answers depend on, as JSON.
  """

  def __init__(self, folder: str | os.PathLike, command: Mapping[str, Any]):
    self.folder = pathlib.Path(folder)
    self.command = json.loads(json.dumps(command))
    self._lock = None
    self._made = False  # the folder was made here

  def __truediv__(self, name: str) -> pathlib.Path:
    return self.folder / name

  @property
  def finished(self) -> bool:
    """Whether everything has been written, of at least one frame.

    Raises:
      SessionError: If the summary cannot be read, or a file that it names is gone.
    """
    found = self.summary()
    for name in found['files']:
      if not (self / name).exists():
        raise SessionError(
          f'{self / name} is gone: bring it back, or choose another --out to have '
          'everything answered again'
        )
    return found['frames'] != 0

  def summary(self) -> dict[str, Any]:
    """What `finish` has said; of 0 frames before it has.

    Raises:
      SessionError: If it cannot be read.
    """
    path = self / SUMMARY
    if not path.is_file():
      return {'frames': 0, 'files': []}
    found = {'files': [], **_read_json(path)}  # there were none once
    names = found['files']
    texts = isinstance(names, list) and all(isinstance(n, str) for n in names)
    if type(found.get('frames')) is not int or not texts:
      raise SessionError(f'{path} is no summary; choose another --out')
    return found

  def open(self):
    """Makes the folder, or checks that it is this command's.

    Raises:
      SessionError: If it holds something else, or another process works there.
    """
    if not (self / COMMAND).exists():
      self._made = not self.folder.exists()
      self._check_empty()
      self._hold()
      _write_json(self / COMMAND, self.command)
      return
    self.check_command()
    if not self.finished:
      self._hold()
      for path in self.folder.rglob(f'.*{files.UNFINISHED}'):
        path.unlink(missing_ok=True)

  def close(self):
    """Lets others work in the folder."""
    if self._lock is not None:
      self._lock.release()
      self._lock = None

  def _check_empty(self):
    """Refuses to write between somebody's files."""
    if self.folder.exists() and not self.folder.is_dir():
      raise SessionError(f'--out {self.folder} is a file; name a folder')
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
      names = {path.name for path in self.folder.iterdir()}
    except OSError as error:
      raise SessionError(f'cannot make --out {self.folder}: {error}') from error
    left = {n for n in names - {LOCK} if not n.endswith(files.UNFINISHED)}
    if left:
      raise SessionError(
        f'--out {self.folder} has files that are not of this command '
        f'({sorted(left)[0]}); choose a new or an empty folder'
      )

  def _hold(self):
    try:
      self._lock = files.lock(self / LOCK)
    except files.LockedError as error:
      raise SessionError(
        f'another process writes to --out {self.folder}; wait for it or '
        'choose another folder'
      ) from error

  def check_command(self):
    """Raises SessionError if the folder is another command's."""
    differing = command.differences(_read_json(self / COMMAND), self.command)
    if differing:
      raise SessionError(
        f'--out {self.folder} holds the answers of another command: '
        f'{"; ".join(differing)}. Choose another --out'
      )

  def parts(self) -> Iterator['Part']:
    """Yields the parts that are there, in order."""
    for number in range(self.count()):
      yield self._read(number)

  def count(self) -> int:
    """Number of parts without a gap."""
    number = 0
    while self._path(number).is_file():
      number += 1
    return number

  def last(self) -> 'Part | None':
    """The last part that was written."""
    count = self.count()
    return self._read(count - 1) if count else None

  def add(self, part: 'Part'):
    """Writes the next part."""
    files.write_bytes(self._path(self.count()), part.encode())

  def _path(self, number: int) -> pathlib.Path:
    return self / PARTS / f'{number // 1000:03d}' / f'{number % 1000:03d}.npz'

  def _read(self, number: int) -> 'Part':
    path = self._path(number)
    with damage.explained(
      path,
      marker=self / PARTS,  # with what was written after the part
      wrong='go on with the version that wrote it, or choose another --out',
      kind=SessionError,
    ):
      return Part.of(_arrays(path))

  def finish(self, summary: Mapping[str, Any]):
    """Says that everything is written, and removes the parts."""
    _write_json(self / SUMMARY, summary)
    self.sweep()

  def discard(self):
    """Leaves the folder as if the command had never been given.

    For commands that have found nothing: they are to try again, and others may
    use the folder.
    """
    self.sweep()
    for name in (SUMMARY, COMMAND):
      (self / name).unlink(missing_ok=True)
    self.close()
    (self / LOCK).unlink(missing_ok=True)
    if self._made:
      with contextlib.suppress(OSError):  # somebody has put something there
        self.folder.rmdir()

  def sweep(self):
    """Removes the parts of a finished command."""
    shutil.rmtree(self / PARTS, ignore_errors=True)


class Part:
  """The rows of some frames, what the page shows of them, and where to go on.

  Args:
    rows: Column -> its rows.
    pictures: Name -> JPEG.
    state: What the next part goes on from, as JSON.
  """

  def __init__(
    self,
    rows: Mapping[str, np.ndarray],
    pictures: Mapping[str, bytes],
    state: Mapping[str, Any],
  ):
    self.rows, self.pictures, self.state = rows, pictures, state

  def encode(self) -> bytes:
    """An .npz of plain arrays; nothing in it is pickled."""
    made: dict[str, Any] = {
      f'rows/{name}': _plain(values) for name, values in self.rows.items()
    }
    for name, data in self.pictures.items():
      made[f'pictures/{name}'] = np.frombuffer(data, np.uint8)
    made['state'] = _plain(np.array([json.dumps(self.state)], object))
    with io.BytesIO() as file:
      np.savez(file, **made)
      return file.getvalue()

  @classmethod
  def of(cls, found: Mapping[str, np.ndarray]) -> 'Part':
    """Reads what `encode` wrote; raises ValueError or KeyError of others."""
    state = json.loads(_objects(found['state'])[0])
    rows, pictures = {}, {}
    for key, values in found.items():
      kind, _, name = key.partition('/')
      if kind == 'rows':
        rows[name] = _objects(values)
      elif kind == 'pictures':
        pictures[name] = values.tobytes()
    return cls(rows, pictures, state)


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of a file that anybody may have written."""
  try:
    return arrays.load_npz(path)
  except DataError as error:
    raise ValueError(error.found) from error  # without its name, which is said


def _plain(values: np.ndarray) -> np.ndarray:
  """Texts as rows of UTF-8, which keeps names of files that are none."""
  if values.dtype != object:
    return values
  texts = [text.encode('utf-8', 'surrogateescape') for text in values]
  # NumPy's bytes lose zeros at their end; no name has a zero.
  return np.array(texts, 'S') if texts else np.zeros(0, 'S1')


def _objects(values: np.ndarray) -> np.ndarray:
  if values.dtype.kind != 'S':
    return values
  made = np.empty(len(values), object)
  made[:] = [text.decode('utf-8', 'surrogateescape') for text in values]
  return made


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  """An object of a file that anybody may have written."""
  try:
    found = json.loads(files.read_bounded(path, MOST))
  except (OSError, RecursionError, ValueError) as error:
    raise SessionError(
      f'{path} cannot be read ({error}); choose another --out'
    ) from error
  if not isinstance(found, dict):
    raise SessionError(f'{path} holds no object; choose another --out')
  return found


def _write_json(path: pathlib.Path, value: Any):
  text = json.dumps(value, indent=1, allow_nan=False) + '\n'
  files.write_bytes(path, text.encode())
