"""Printing what users and their files name, in which rich would see markup."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

Part = str | tuple[str, str]


def readable(text: str) -> str:
  """Text that can be printed and written; bytes of file names that are no
  UTF-8 become escapes."""
  return text.encode('utf-8', 'backslashreplace').decode()


def plain(*parts: Part) -> Text:
  """Text as it is, but for `readable`; a part may be (text, style)."""
  return Text.assemble(
    *(
      readable(part) if isinstance(part, str) else (readable(part[0]), part[1])
      for part in parts
    )
  )


def say(console: Console, *parts: Part, wrap: bool = False):
  """Prints a line as it is: '[/x]' in a path is no markup.

  Args:
    console: Where to.
    *parts: Texts, or pairs (text, style).
    wrap: Break it at words; otherwise it is one line in logs, too.
  """
  console.print(plain(*parts), highlight=False, soft_wrap=not wrap)


def duration(seconds: float) -> str:
  """A time to read: '40 s', '12 min', '3 h 05 min'."""
  if seconds < 60:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours} h {minutes:02} min' if hours else f'{minutes} min'


def show_rows(console: Console, rows):
  """Prints rows of texts as columns, as they are."""
  grid = Table.grid(padding=(0, 2))
  for row in rows:
    grid.add_row(*(plain(cell) for cell in row))
  console.print(grid)
