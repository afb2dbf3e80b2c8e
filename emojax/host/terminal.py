"""Printing what users and their files name, in which rich would see markup."""

import re

from rich.console import Console
from rich.table import Table
from rich.text import Text

Part = str | tuple[str, str]
# A terminal obeys them: it renames its window, deletes lines, types for the user.
# The last ones turn the order of what is read: 'gpj.exe' is shown as 'exe.jpg'.
_TURNS = '\u2028-\u202e\u2066-\u2069'
_CONTROL = re.compile(f'[\x00-\x1f\x7f-\x9f{_TURNS}]')
# Not \t and \n.
_IN_LINES = re.compile(f'[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNS}]')


def readable(text: str) -> str:
  """Text that can be printed and written; bytes of file names that are no
  UTF-8 become escapes."""
  return text.encode('utf-8', 'backslashreplace').decode()


def one_line(text: str, most: int | None = None) -> str:
  """Text without line ends and codes that a terminal obeys.

  Args:
    text: What a file or its name may hold.
    most: Characters after which it is cut; None for no limit.
  """
  if most is not None and len(text) > most:
    text = f'{text[:most]}...'
  return readable(_CONTROL.sub(_escaped, text))


def harmless(text: str) -> str:
  """Lines of text without other codes that a terminal obeys."""
  return readable(_IN_LINES.sub(_escaped, text))


def _escaped(code: re.Match[str]) -> str:
  return repr(code[0])[1:-1]


def plain(*parts: Part) -> Text:
  """Text as it is, but for `harmless`; a part may be (text, style)."""
  return Text.assemble(
    *(
      harmless(part) if isinstance(part, str) else (harmless(part[0]), part[1])
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
