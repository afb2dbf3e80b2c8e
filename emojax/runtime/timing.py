"""How long the parts of a run took, over all its sittings."""

import json
import pathlib
import time

from emojax.runtime import workdir


class Timings:
  """Seconds by name, kept in a file, so that a resumed run adds to them.

  What is computed after a `lap` and lost by a kill is not counted.

  Args:
    path: The file; made by the first `lap`.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._name, self._since = '', 0.0
    found = json.loads(path.read_text()) if path.exists() else {}
    self._seconds: dict[str, float] = dict(found)

  def start(self, name: str):
    """Begins to measure something; what was measured before ends unwritten."""
    self._name, self._since = name, time.monotonic()

  def lap(self):
    """Adds the seconds since `start` or the last lap, and saves.

    Raises:
      RuntimeError: If nothing was started: these seconds would be the machine's.
    """
    if not self._name:
      raise RuntimeError('lap() before start()')
    now = time.monotonic()
    before = self._seconds.get(self._name, 0.0)
    self._seconds[self._name] = before + now - self._since
    self._since = now
    workdir.write_text(self._path, json.dumps(self._seconds, indent=2) + '\n')

  def rounded(self) -> dict[str, float]:
    """Seconds by name, as in results.json."""
    return {name: round(value, 1) for name, value in self._seconds.items()}
