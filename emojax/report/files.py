"""What a report reads of a run's folder, and what it puts there."""

import io
import json
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from emojax.host import files
from emojax.report import page, style
from emojax.runtime import workdir

# A figure's file name, what draws it or returns None, and its caption.
Figure = tuple[str, Callable[[], Any], str]


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


def draw(
  folder: pathlib.Path, figures: Iterable[Figure]
) -> dict[str, page.Picture]:
  """Saves the figures that have something to show, in the style of all.

  Args:
    folder: Where figures are; made.
    figures: They are drawn one after the other.

  Returns:
    The pictures by file name, in order.
  """
  pictures = {}
  folder.mkdir(exist_ok=True)
  with style.use():
    for name, make, caption in figures:
      figure = make()
      path = folder / f'{name}.png'
      path.unlink(missing_ok=True)  # of an earlier report
      if figure is not None:
        buffer = io.BytesIO()
        # Without the version of matplotlib, equal figures are equal files.
        figure.savefig(buffer, format='png', metadata={'Software': None})
        files.write_bytes(path, buffer.getvalue())
        relative = f'{folder.name}/{path.name}'
        pictures[name] = page.Picture(buffer.getvalue(), relative, caption)
  return pictures


def write(
  folder: pathlib.Path, title: str, blocks: Sequence[page.Block]
) -> pathlib.Path:
  """Writes report.md and, last of all, report.html; returns the latter's path."""
  workdir.write_text(folder / 'report.md', page.to_markdown(title, blocks))
  workdir.write_text(folder / 'report.html', page.to_html(title, blocks))
  return folder / 'report.html'
