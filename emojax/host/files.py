"""Files that are whole or not there, and whose; folders that are locked."""

import contextlib
import errno
import os
import pathlib
import stat
import uuid
from collections.abc import Iterator

import filelock

UNFINISHED = '.emojax-tmp'  # ending of files that are being written
# What file systems without locks say.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


class LockedError(RuntimeError):
  """Another process holds a lock."""


class StrangeFileError(OSError):
  """What should be a file is none, or is too large to be of its kind."""


class OwnerError(OSError):
  """Somebody else could have written what would be run as code."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path to write to; it takes the place of `path` if nothing goes wrong.

  A process that is killed meanwhile leaves the old file or none, and a hidden one
  whose name ends in `UNFINISHED`; so does a machine that loses its power, as what
  was written is on the disk before it gets its name. A link is replaced, not
  followed. The folder is made.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}{UNFINISHED}')
  try:
    yield temporary
    sync(temporary)
    os.replace(temporary, path)
    # The name is safe once its folder is; not every file system can do that.
    with contextlib.suppress(OSError):
      sync(path.parent)
  finally:
    temporary.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, data: bytes):
  """Writes a file whole or not at all, as `replacing`."""
  with replacing(path) as part:
    part.write_bytes(data)


def sync(path: pathlib.Path):
  """Waits until a file, or the names in a folder, are on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def open_plain(path: str | os.PathLike, flags: int, mode: int = 0o666) -> int:
  """Opens a plain file that is neither a link nor a pipe; an `opener` of `open`.

  Where others can write, a link could lead to any file of the user's.

  Returns:
    Its descriptor.

  Raises:
    OSError: If it is something else; says what to do.
  """
  return _open_regular(path, flags | os.O_NOFOLLOW, mode, _not_plain)


def open_ending(path: str | os.PathLike, flags: int) -> int:
  """Opens a plain file, or one that a link leads to; an `opener` of `open`.

  What strangers give may lead to a pipe, which waits for ever, or to a device,
  which never ends.

  Returns:
    Its descriptor.

  Raises:
    StrangeFileError: If it is something else.
    OSError: If it cannot be opened.
  """
  return _open_regular(path, flags | os.O_NOCTTY, 0o666, _endless)


def _open_regular(path, flags: int, mode: int, refusal) -> int:
  """Opens a regular file without waiting for it; raises `refusal(path)` of others."""
  try:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
  except OSError as error:
    link = error.errno == errno.ELOOP and flags & os.O_NOFOLLOW
    if link or error.errno == errno.ENXIO:
      raise refusal(path) from error
    raise
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise refusal(path)
  return descriptor


def read_bounded(path: str | os.PathLike, most: int) -> bytes:
  """Reads a file that a stranger may have made.

  Args:
    path: A plain file, or a link to one.
    most: Bytes that a file of its kind may have.

  Raises:
    StrangeFileError: If it is something else, or larger.
    OSError: If it cannot be read.
  """
  with open(path, 'rb', opener=open_ending) as file:
    size = os.fstat(file.fileno()).st_size
    if size <= most:
      data = file.read(size + 1)
      if len(data) > size:  # it grows, or its file system knows no sizes
        data += file.read(most + 1 - len(data))
      size = len(data)
    if size > most:
      found = f'more than {most:,} bytes, which no such file has'
      raise StrangeFileError(errno.EFBIG, found, str(path))
  return data


def _endless(path: str | os.PathLike) -> 'StrangeFileError':
  text = 'a folder, a pipe or a device, not a plain file'
  return StrangeFileError(errno.EINVAL, text, str(path))


def open_private(path: str | os.PathLike, flags: int) -> int:
  """Opens a file that nobody else may read or write; an `opener` of `open`."""
  return open_plain(path, flags, 0o600)


def make_owned(folder: pathlib.Path):
  """Makes a folder that is the user's alone, and those above it that are missing.

  Raises:
    OSError: If it cannot be made.
    OwnerError: If it is there and others could have written to it.
  """
  missing = [p for p in (folder, *folder.parents) if not p.exists()]
  for path in reversed(missing):
    path.mkdir(mode=0o700, exist_ok=True)
  check_owned(folder, folder.stat())


def read_owned(path: pathlib.Path) -> bytes:
  """Reads a file that is as good as code.

  Raises:
    FileNotFoundError: If there is none.
    OwnerError: If somebody else could have written it.
  """
  with open(path, 'rb', opener=open_plain) as file:
    check_owned(path, os.fstat(file.fileno()))
    return file.read()


def check_owned(path: pathlib.Path, status: os.stat_result):
  """Raises OwnerError unless the user alone can write to a file or folder."""
  if status.st_uid != os.geteuid():
    raise OwnerError(f'{path} belongs to another user (number {status.st_uid})')
  if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
    raise OwnerError(
      f'others may write to {path} (mode {stat.S_IMODE(status.st_mode):o})'
    )


def _not_plain(path) -> OSError:
  text = (
    'a link or a device, not a plain file: move it away or choose a new folder'
  )
  return OSError(errno.EINVAL, text, str(path))


def lock(path: pathlib.Path) -> filelock.BaseFileLock | None:
  """Locks a file, until its `release` or however this process ends.

  Args:
    path: The file, made if it is missing, but never behind a link.

  Returns:
    The lock; None on a file system without locks.

  Raises:
    LockedError: If another process holds it.
    OSError: If it is no plain file, or cannot be opened.
  """
  os.close(open_plain(path, os.O_RDWR | os.O_CREAT))
  # A lock in the place of a missing one would outlive a process that is killed.
  made = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
  try:
    made.acquire(timeout=0)
  except filelock.Timeout as error:
    raise LockedError(f'another process holds {path}') from error
  except NotImplementedError:
    return None
  except OSError as error:
    if error.errno in NO_LOCKS:
      return None
    raise
  return made
