"""What a report reads of a run's folder, and the figures that it puts there."""

import io
import json
import pathlib
from typing import Any

from emojax.report import page


def read_json(folder: pathlib.Path, name: str):
  """Reads a file of a run; raises FileNotFoundError that explains."""
  path = folder / name
  if not path.exists():
    raise FileNotFoundError(
      f'{path} is missing; the report is written after the evaluation'
    )
  return json.loads(path.read_text())


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
  """The objects of a file with one JSON value a line; [] without the file."""
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines()]


def draw(folder: pathlib.Path, figures) -> dict[str, page.Picture]:
  """Saves the figures that have something to show."""
  pictures = {}
  folder.mkdir(exist_ok=True)
  for name, draw, caption in figures:
    figure = draw()
    path = folder / f'{name}.png'
    path.unlink(missing_ok=True)  # of an earlier report
    if figure is not None:
      buffer = io.BytesIO()
      # Without the version of matplotlib, equal figures are equal files.
      figure.savefig(buffer, format='png', metadata={'Software': None})
      path.write_bytes(buffer.getvalue())
      relative = f'{folder.name}/{path.name}'
      pictures[name] = page.Picture(buffer.getvalue(), relative, caption)
  return pictures
