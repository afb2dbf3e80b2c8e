"""What this machine's processors remember: the caches that one core has."""

import functools
import pathlib

FOLDER = pathlib.Path('/sys/devices/system/cpu/cpu0/cache')
UNKNOWN = 2 << 20  # where the system does not say: a core's second level, or so
UNITS = {'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}


@functools.cache
def per_core(folder: pathlib.Path = FOLDER) -> int:
  """Bytes of cache behind a core's first level.

  Of a cache that cores share, a core has its part. What other guests of the same
  host leave of it, a virtual machine is not told.

  Args:
    folder: Of Linux, one folder for each cache of a core.
  """
  try:
    found = [_share(path) for path in folder.glob('index*')]
  except (OSError, ValueError, LookupError):
    found = []
  return sum(found) or UNKNOWN


def _share(path: pathlib.Path) -> int:
  """A core's part of a cache, 0 of the first level and of instructions."""

  def said(name: str) -> str:
    return (path / name).read_text().strip()

  if int(said('level')) < 2 or said('type') == 'Instruction':
    return 0
  size = said('size')
  number = int(size[:-1]) * UNITS[size[-1]] if size[-1] in UNITS else int(size)
  return number // _count(said('shared_cpu_list'))


def _count(cores: str) -> int:
  """'0-3,8' to 5."""
  count = 0
  for part in cores.split(','):
    first, _, last = part.partition('-')
    count += int(last or first) - int(first) + 1
  return count
