"""Plain text in Markdown: what data sets and people name stays text.

Only what GitHub-flavoured Markdown would take for more than text is escaped, so
that a report can be read as a file, too.
"""

import re

# Separators of lines, and what terminals and browsers act upon.
CONTROL = re.compile(r'[\s\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+')
SPECIAL = re.compile(
  r"""
    \\(?=[!-/:-@\[-`{-~])     # before punctuation it is an escape itself
  | [`*~$|<]                  # code, emphasis, mathematics, cells, HTML
  | (?<!\w)_ | _(?!\w)        # emphasis; within words it is none
  | &(?=\#|\w+;)              # entities
  | (?<=\])[(\[:]             # targets of links and pictures
  | (?<=:)/(?=/)              # bare addresses
  | (?<=www)\.
  """,
  re.VERBOSE | re.IGNORECASE,
)
# Titles, quotes, lists, rules and fences, at the start of a line.
START = re.compile(r'(?:[#>+=-])|\d+(?=[.)](?:\s|$))')


class Written(str):
  """Markdown that the program has written: `escape` leaves it as it is."""


def escape(text: str) -> str:
  """Returns text as Markdown of one line that renders as that text."""
  if isinstance(text, Written):
    return text
  line = SPECIAL.sub(r'\\\g<0>', CONTROL.sub(' ', text).strip())
  if found := START.match(line):
    # A digit cannot be escaped, but the point after it.
    place = found.end() if line[0].isdigit() else 0
    line = f'{line[:place]}\\{line[place:]}'
  return line


def code(text: str) -> Written:
  """Returns text as a code span; its backticks become apostrophes."""
  line = CONTROL.sub(' ', text).replace('`', "'").replace('|', '¦').strip()
  return Written(f'`{line or " "}`')
