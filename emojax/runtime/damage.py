"""Files of arrays that cannot be read: damaged, missing, or of another version."""

import contextlib
import pathlib
import zipfile
import zlib
from collections.abc import Iterator

# What NumPy raises for files that are cut off or not its own.
UNREADABLE = (
  EOFError,
  KeyError,
  OSError,
  # Of `zipfile`: an unknown compression or a password, for which one flipped bit
  # is enough. RecursionError is one, too.
  RuntimeError,
  TypeError,
  ValueError,
  zipfile.BadZipFile,
  zlib.error,
)


def is_whole(path: pathlib.Path) -> bool:
  """Whether an .npz is as it was written, by the checksums in it."""
  try:
    with zipfile.ZipFile(path) as file:
      return file.testzip() is None
  except PermissionError:
    return True  # for all that is known
  except UNREADABLE:
    return False


@contextlib.contextmanager
def explained(
  path: pathlib.Path,
  *,
  marker: pathlib.Path | None = None,
  command: str = 'give the same command again',
  wrong: str = 'go on with the version that wrote it, or in a new folder',
  kind: type[Exception] | None = None,
) -> Iterator[None]:
  """Turns what NumPy says of a file into one line: which, and what to do.

  What is whole by its checksums is never called damaged: it was written by
  another program or version, or cannot be read just now. Nobody is told to
  delete anything: what is moved away can be brought back.

  Args:
    path: The .npz that is read inside.
    marker: The file that says that `path` is finished; None for itself.
    command: What makes the file anew once the marker is away.
    wrong: What to do with a file that is whole and of no use.
    kind: Class of the error; None for `CheckpointError`.

  Raises:
    CheckpointError: Or `kind`, in the place of an error of `UNREADABLE`.
  """
  try:
    yield
  except UNREADABLE as error:
    kind = kind or _checkpoint_error()
    away = f'move {"it" if marker in (None, path) else marker} away'
    remedy = f'{away} and {command} to make it anew'
    if not path.exists():
      raise kind(f'{path} is missing: {remedy}') from error
    if is_whole(path):
      raise kind(
        f'{path} is whole, but cannot be used as what a run wrote ({type(error).__name__}: '
        f'{error}): {wrong}'
      ) from error
    raise kind(f'{path} is damaged ({error}): {remedy}') from error


def _checkpoint_error() -> type[Exception]:
  # Its module imports JAX, which answers that are finished do without.
  from emojax.engine.checkpoint import CheckpointError

  return CheckpointError
