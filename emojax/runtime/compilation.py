"""How programs compile: what is kept on disk, and Python while it traces."""

import contextlib
import gc
import os
import pathlib

import jax
from absl import logging
from jax.experimental.compilation_cache import compilation_cache

from emojax.engine import executables
from emojax.host import files

CACHE_BYTES = 2 * 2**30
ENTRY, LAST_USE = '-cache', '-atime'  # how names of JAX's files end


def collect_seldom():
  """Lets Python look for garbage less often; call it after the imports.

  Tracing makes millions of objects that live on. By default all of them, and
  those of every import, are searched again and again: a third of the time.
  """
  gc.freeze()
  gc.set_threshold(100_000, 10, 10)


def set_cache(choice: str):
  """Keeps what is compiled: whole programs, and JAX's cache for the rest.

  What is in the folder is run: it is made for the user alone, and one that others
  can write to is not used.

  Args:
    choice: Its folder; 'auto' for one in the user's cache folder, or none, with a
      warning, where that cannot be used; 'off' for no cache.

  Raises:
    OSError: If a folder that is named cannot be made, or is not the user's alone.
  """
  if choice == 'off':
    _set(None)
    return
  try:
    folder = users_folder() if choice == 'auto' else pathlib.Path(choice)
    for path in (folder, folder / 'programs'):
      files.make_owned(path)
  except files.OwnerError as error:
    _refuse(choice, f"{error}, so that its programs could be anybody's")
    return
  except (OSError, RuntimeError) as error:
    _refuse(choice, str(error))
    return
  adopt(folder)
  _set(folder)


_used: list[str] = []  # folders that runs of this process have set


def _set(folder: pathlib.Path | None):
  """Tells JAX; a run before this one in the process may have had another."""
  if folder is not None:
    _used.append(str(folder))
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_compilation_cache_max_size', CACHE_BYTES)
  # JAX gives its configuration the attribute as it is imported.
  elif jax.config.jax_compilation_cache_dir in _used:  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update('jax_compilation_cache_dir', None)
  compilation_cache.reset_cache()
  executables.keep_in(folder and folder / 'programs')


def users_folder() -> pathlib.Path:
  """The folder of compiled programs in the user's cache folder.

  Raises:
    RuntimeError: If there is no such user, as in some containers.
  """
  base = os.environ.get('XDG_CACHE_HOME')
  if not base:
    try:
      base = pathlib.Path.home() / '.cache'
    except RuntimeError as error:
      raise RuntimeError('this user has no home folder') from error
  return pathlib.Path(base) / 'emojax' / 'jax'


def _refuse(choice: str, why: str):
  """Goes on without a cache, unless the user has named its folder."""
  remedy = (
    "name a folder of your own as --compilation_cache=FOLDER, or 'off' for none"
  )
  if choice != 'auto':
    raise OSError(
      f'--compilation_cache={choice} cannot be used: {why}: {remedy}'
    )
  logging.warning('compiled programs are not kept: %s: %s', why, remedy)


def adopt(folder: pathlib.Path):
  """Gives entries that lack a time of last use the earliest.

  A bounded cache keeps a file with the time of last use beside every entry, and
  with one of them missing JAX stores nothing new. They are missing where JAX has
  used the folder without a bound, and where a process was killed while storing.
  """
  for entry in folder.glob(f'*{ENTRY}'):
    used = entry.with_name(entry.name.removesuffix(ENTRY) + LAST_USE)
    if not os.path.lexists(used):
      # JAX may be storing it in another process.
      with contextlib.suppress(FileExistsError), open(used, 'xb') as file:
        file.write(bytes(8))
