"""Models that are in this package: `emojax.load('ferplus')`."""

import pathlib

FOLDER = pathlib.Path(__file__).parents[1] / 'weights'


def names() -> list[str]:
  """Their names, in order."""
  return sorted(path.parent.name for path in FOLDER.glob('*/model.json'))


def path(name: str) -> pathlib.Path | None:
  """Folder of the model of a name; None if there is no such one."""
  return FOLDER / name if name in names() else None
