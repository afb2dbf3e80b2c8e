"""Compiled programs on disk, so that a run that starts again need not trace.

JAX's own cache saves the compiler's work, but not that of tracing a program to
find out which one it is: most of what a restart takes. Here a program is first
looked up by its `fingerprint`, which takes milliseconds, then by its text, for
changes to emojax that leave the program as it was.

What is read is unpickled and run as machine code. A checksum over its key and its
bytes finds damage and programs under other names, but whoever can write to the
folder can run code as the user: it must be the user's own (`files.check_owned`).
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import pickle
import re
import stat
import time
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

from emojax.engine import fingerprint
from emojax.host import files, processes

PROGRAM, NAME = '.program', '.name'  # endings: machine code; which one it is
FORMAT = 'emojax-program-2'  # of these files; others are not found
# All that is ever deleted from the folder, but for what a killed process left.
OWN = re.compile(rf'[0-9a-f]{{64}}({re.escape(PROGRAM)}|{re.escape(NAME)})')
TORN = re.compile(
  rf'\.{OWN.pattern}\.[0-9a-f]{{32}}{re.escape(files.UNFINISHED)}'
)
TORN_SECONDS = 3600  # after which nobody is writing it any more
MAX_BYTES = 2**30

_folder: pathlib.Path | None = None


def keep_in(folder: str | os.PathLike | None):
  """Sets where programs are kept; None, as at first, for nowhere."""
  global _folder
  _folder = pathlib.Path(folder) if folder else None


class Program:
  """A jitted function whose executables may come from disk.

  It is called, lowered and traced as the jitted function. It is nothing else
  without a folder, in a job of several processes, if the function has no
  fingerprint, and if emojax has been edited since it was imported. JAX's settings
  are those of the first call.

  Args:
    function: What is jitted, before anything was done to it.
    mesh: The devices it runs on.
    jitted: The function.
    settings: With what it was jitted.
  """

  def __init__(self, function: Callable, mesh, jitted: Callable, settings: Any):
    self.jitted = jitted
    self.lower, self.eval_shape = jitted.lower, jitted.eval_shape
    self._function, self._mesh, self._settings = function, mesh, settings
    self._ready: dict[Any, Callable] = {}

  def __call__(self, *args):
    if _folder is None and not self._ready:
      return self.jitted(*args)
    leaves, structure = jax.tree.flatten(args)
    if any(isinstance(x, Tracer) for x in leaves):
      return self.jitted(*args)
    types = tuple(map(jax.typeof, leaves))
    if (structure, types) not in self._ready:
      text = f'{structure} {[(t.str_short(), t.weak_type) for t in types]}'
      self._ready[structure, types] = self._obtain(text, args)
    return self._ready[structure, types](*args)

  def _obtain(self, types: str, args: tuple) -> Callable:
    """The executable for arguments like these, from disk or compiled."""
    names = self._names(types)
    if _folder is None or names is None:
      return self.jitted
    store, (name, around) = Store(_folder, list(self._mesh.devices.flat)), names
    if (found := store.named(name)) is not None:
      return found
    lowered = self.lower(*args)
    # The text knows numbers only; parameters of other names can have the same.
    text = _hash(FORMAT, lowered.as_text(), str(lowered.out_tree), *around)
    found = store.load(text)
    if found is None:
      with _without_jax_cache():
        found = lowered.compile()
      if not store.save(text, found):
        keep_in(None)  # the next ones are for JAX's cache
        return found
    store.link(name, text)
    return found

  def _names(self, types: str) -> tuple[str, tuple[str, ...]] | None:
    """Name of the executable, and what it depends on but for the function."""
    source = fingerprint.source()
    if source is None or source != fingerprint.SOURCE:
      return None
    if processes.count() > 1:
      return None
    try:
      function = fingerprint.fingerprint(self._function)
      settings = fingerprint.fingerprint((self._mesh, self._settings))
      around = (types, settings, fingerprint.environment())
    except Exception as error:  # whatever an object does that is looked at
      logging.info('a program is not kept: %s', error)
      return None
    return _hash(FORMAT, function, source, *around), around


def _hash(*texts: str) -> str:
  return hashlib.sha256('\0'.join(texts).encode()).hexdigest()


def _checksum(key: str, data: bytes) -> bytes:
  """Of a file's content and of the key that it is kept under."""
  return hashlib.sha256(key.encode() + b'\0' + data).digest()


@contextlib.contextmanager
def _without_jax_cache():
  """JAX's cache would write the same again; what it reads cannot be kept."""
  # JAX gives its configuration the attribute as it is imported.
  before = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
  jax.config.update('jax_enable_compilation_cache', False)
  compilation_cache.reset_cache()
  try:
    yield
  finally:
    jax.config.update('jax_enable_compilation_cache', before)
    compilation_cache.reset_cache()


class Store:
  """A folder of programs, bounded: those unused for longest are deleted.

  Whatever cannot be read or written is compiled instead: nothing here is needed.

  Args:
    folder: Made when something is written.
    devices: What the programs run on.
    max_bytes: Size of the folder.
  """

  def __init__(
    self, folder: pathlib.Path, devices: list, max_bytes: int = MAX_BYTES
  ):
    self.folder, self.devices, self.max_bytes = folder, devices, max_bytes

  def named(self, name: str) -> Callable | None:
    """The executable that `link` gave this name; None if there is none."""
    try:
      data = files.read_owned(self.folder / (name + NAME))
      digest, data = data[:32], data[32:]
      text = data.decode('ascii')
    except (OSError, ValueError):
      return None
    if digest != _checksum(name, data) or not re.fullmatch(
      '[0-9a-f]{64}', text
    ):
      return None
    return self.load(text)

  def link(self, name: str, text: str):
    """Makes an executable known under a name."""
    data = text.encode()
    with contextlib.suppress(OSError):
      self._write(name + NAME, _checksum(name, data) + data)

  def load(self, text: str) -> Callable | None:
    """Reads an executable; None if there is none, or if it is damaged."""
    path = self.folder / (text + PROGRAM)
    try:
      data = files.read_owned(path)
      digest, data = data[:32], data[32:]
      if digest != _checksum(text, data):
        raise ValueError('its checksum is wrong')
      found = serialize_executable.deserialize_and_load(
        *pickle.loads(data),
        backend=self.devices[0].client,
        execution_devices=self.devices,
      )
    except FileNotFoundError:
      return None
    except Exception as error:  # whatever a runtime says of foreign code
      logging.warning('%s is not used and compiled anew: %s', path, error)
      with contextlib.suppress(OSError):
        path.unlink()
      return None
    with contextlib.suppress(OSError):  # somebody else's folder
      os.utime(path)
    return found

  def save(self, text: str, executable: jax.stages.Compiled) -> bool:
    """Writes an executable; says whether that was possible."""
    try:
      data = pickle.dumps(serialize_executable.serialize(executable))
      self._write(text + PROGRAM, _checksum(text, data) + data)
    except Exception as error:  # not every executable can be written
      logging.info('a program is not kept: %s', error)
      return False
    self._sweep()
    return True

  def _write(self, name: str, data: bytes):
    files.make_owned(self.folder)
    with (
      files.replacing(self.folder / name) as part,
      open(part, 'xb', opener=files.open_private) as file,
    ):
      file.write(data)

  def _sweep(self):
    """Deletes what was not used for longest until the rest is small enough.

    Only plain files with names of our own count, and only they are deleted.
    """
    with contextlib.suppress(OSError):
      found = [(p.lstat(), p) for p in self.folder.iterdir()]
      plain = [(s, p) for s, p in found if stat.S_ISREG(s.st_mode)]
      room, now = self.max_bytes, time.time()
      for status, path in sorted(plain, key=lambda f: -f[0].st_mtime):
        own = OWN.fullmatch(path.name)
        room -= status.st_size if own else 0
        age = now - status.st_mtime
        torn = TORN.fullmatch(path.name) and age > TORN_SECONDS
        if torn or (own and room < 0):
          path.unlink(missing_ok=True)
