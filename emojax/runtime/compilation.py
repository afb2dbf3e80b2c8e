"""How programs compile: what is kept on disk, and Python while it traces."""

import gc
import os
import pathlib

import jax

from emojax.engine import executables

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

  Args:
    choice: Its folder; 'auto' for one in the user's cache folder, 'off' for no
      cache.
  """
  if choice == 'off':
    return
  folder = pathlib.Path(choice)
  if choice == 'auto':
    base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    folder = pathlib.Path(base) / 'emojax' / 'jax'
  adopt(folder)
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_compilation_cache_max_size', CACHE_BYTES)
  executables.keep_in(folder / 'programs')


def adopt(folder: pathlib.Path):
  """Gives entries that lack a time of last use the earliest.

  A bounded cache keeps a file with the time of last use beside every entry, and
  with one of them missing JAX stores nothing new. They are missing where JAX has
  used the folder without a bound, and where a process was killed while storing.
  """
  for entry in folder.glob(f'*{ENTRY}'):
    used = entry.with_name(entry.name.removesuffix(ENTRY) + LAST_USE)
    if not used.exists():
      used.write_bytes(bytes(8))
