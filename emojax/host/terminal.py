"""Printing what users and their files name, in which rich would see markup."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

Part = str | tuple[str, str]


def plain(*parts: Part) -> Text:
  """Text as it is; a part may be (text, style)."""
  return Text.assemble(*parts)


def say(console: Console, *parts: Part, wrap: bool = False):
  """Prints a line as it is: '[/x]' in a path is no markup.

  Args:
    console: Where to.
    *parts: Texts, or pairs (text, style).
    wrap: Break it at words; otherwise it is one line in logs, too.
  """
  console.print(plain(*parts), highlight=False, soft_wrap=not wrap)


def show_rows(console: Console, rows):
  """Prints rows of texts as columns, as they are."""
  grid = Table.grid(padding=(0, 2))
  for row in rows:
    grid.add_row(*(Text(cell) for cell in row))
  console.print(grid)
