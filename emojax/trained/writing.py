"""Folders of models: written in whole or not at all, never over another one."""

import glob
import os
import pathlib
import shutil
import time
import uuid
from collections.abc import Mapping

from emojax.runtime import workdir

LITTER_SECONDS = 3600


class ExportError(ValueError):
  """A model cannot be written; the message says what to do."""


def check_free(out: pathlib.Path):
  """Raises ExportError if a folder is in use, or cannot be made."""
  if out.is_symlink() or not out.name:  # which no folder can take the place of
    raise ExportError(
      f'--out {out}: not the name of a folder: choose one that is not there yet'
    )
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ExportError(f'--out {out} exists already: choose another folder')
  for folder in out.absolute().parents:
    if folder.exists():
      if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ExportError(
          f'--out {out}: nothing can be written to {folder}: choose another folder'
        )
      break


def write(out: pathlib.Path, files: Mapping[str, bytes]):
  """Writes a folder that is there in whole or not at all.

  Args:
    out: Must not exist, or be empty.
    files: Contents by path.

  Raises:
    ExportError: As `check_free`, or if the disk does not take it.
  """
  try:
    _write(out, files)
  except OSError as error:
    raise ExportError(
      f'--out {out} cannot be written ({error.strerror or error}); nothing is left '
      'of it: make room, or choose another folder'
    ) from error


def _write(out: pathlib.Path, files: Mapping[str, bytes]):
  """As `write`, but for errors of the system."""
  out.parent.mkdir(parents=True, exist_ok=True)
  _sweep(out)
  # In a container every process may have the same number.
  unique = uuid.uuid4().hex
  temporary = out.with_name(f'.{out.name}.{unique}{workdir.UNFINISHED}')
  temporary.mkdir()
  try:
    for name, data in files.items():
      path = temporary / name
      if path.parent != temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
      with open(path, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    check_free(out)  # another export may have written it meanwhile
    os.replace(temporary, out)  # an empty folder is replaced, no other
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _sweep(out: pathlib.Path):
  """Removes what killed exports to the same folder were writing.

  Writing takes seconds; what is younger may be of an export at work.
  """
  for path in out.parent.glob(
    f'.{glob.escape(out.name)}.*{workdir.UNFINISHED}'
  ):
    if time.time() - path.stat().st_mtime > LITTER_SECONDS:
      shutil.rmtree(path, ignore_errors=True)
