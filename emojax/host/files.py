"""Files that are whole or not there."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator

UNFINISHED = '.emojax-tmp'  # ending of files that are being written


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path to write to; it takes the place of `path` if nothing goes wrong.

  A process that is killed meanwhile leaves the old file or none, and a hidden one
  whose name ends in `UNFINISHED`. The folder is made.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}{UNFINISHED}')
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
