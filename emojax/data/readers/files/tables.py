"""Text files row by row: every row is decoded and checked on its own."""

import csv
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from emojax.data.readers.files import bounded
from emojax.data.readers.files.problems import DataError, Problems
from emojax.host.terminal import readable

FORMULA = '=+-@'  # what spreadsheets take cells for that begin with one of them
# The first lines of a file; headers are much shorter.
_HEADER_BYTES = 1 << 20
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_INT = re.compile(r'-?(0|[1-9][0-9]*)')
_REAL = re.compile(r'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?')


def integer(text: str, low: int, high: int, what: str = 'an integer') -> int:
  """Parses an integer in [low, high]; raises DataError otherwise.

  Stricter than int(), which takes '1_0' and digits of other scripts, and '01',
  which may be two rows that ran together.
  """
  text = text.strip()
  if _INT.fullmatch(text) and len(text) < 20 and low <= int(text) <= high:
    return int(text)
  raise DataError(shorten(text), f'{what} in {low}..{high}')


def real(text: str, low: float, high: float, what: str = 'a number') -> float:
  """Parses a finite number in [low, high]; raises DataError otherwise."""
  text = text.strip()
  if _REAL.fullmatch(text) and low <= float(text) <= high:
    return float(text)
  if re.fullmatch('[+-]?[0-9]*,[0-9]+', text):
    what = f'a point instead of the decimal comma: {what}'
  raise DataError(shorten(text), f'{what} in {low}..{high}')


def real_or(
  text: str, low: float, high: float, missing: float, what: str
) -> float:
  """Parses a number in [low, high] or the code of a missing one."""
  try:
    number = real(text, min(low, missing), high)
  except DataError:
    number = None
  if number is None or (number < low and number != missing):
    expected = f'{what} in {low}..{high}, or {missing} for missing'
    raise DataError(shorten(text.strip()), expected)
  return number


def shorten(text: str, size: int = 40) -> str:
  """Returns a quoted text that fits a message."""
  return repr(text if len(text) <= size else text[:size] + '...')


def text(cell: str, what: str) -> str:
  """Returns a name as it is; raises DataError for control characters.

  NumPy's texts lose a NUL at their end, and a line end would break tables.
  """
  if _CONTROL.search(cell):
    raise DataError(
      f'{what} {shorten(cell)}', 'text without control characters'
    )
  return cell


def file_name(name: str) -> str:
  """Returns a name as it is; raises DataError for one that cannot be stored."""
  text(name, 'the name')
  if name != readable(name):
    raise DataError(f'the name {name!r}', 'names of files in UTF-8')
  return name


def lines(
  path: pathlib.Path, problems: Problems, after: int = 0
) -> Iterator[tuple[int, str]]:
  """Yields (line number, text) of the lines that are not blank.

  A line that is not UTF-8 becomes a problem; the others are still read.

  Args:
    path: The file.
    problems: Where undecodable lines go.
    after: Number of lines to leave out at the beginning.
  """
  for number, raw in enumerate(split(bounded.read(path)), 1):
    if number > after and raw.strip():
      text = None
      with problems.at(path, number):
        text = decode(raw, number == 1)
      if text is not None:
        yield number, text


def split(data: bytes) -> list[bytes]:
  """Splits a text file into lines, which may end in LF, CR LF or CR."""
  return data.split(line_end(data))


def line_end(data: bytes) -> bytes:
  """What separates the lines: CR alone if the beginning has no LF."""
  start = data[:_HEADER_BYTES]
  return b'\r' if b'\r' in start and b'\n' not in start else b'\n'


def decode(raw: bytes, first: bool = False) -> str:
  """Returns one line as text without its end; raises DataError if not UTF-8."""
  try:
    raw = raw.removeprefix(b'\xef\xbb\xbf') if first else raw
    return raw.decode().rstrip('\r\n')
  except UnicodeDecodeError as error:
    found = f'byte 0x{raw[error.start]:02x} in column {error.start + 1}'
    raise DataError(found, 'UTF-8 text') from None


def cells(text: str, delimiter: str = ',') -> list[str]:
  """Splits one CSV line, quotes included; raises DataError if they are off."""
  try:
    (row,) = csv.reader([text], delimiter=delimiter, strict=True)
  except (csv.Error, ValueError) as error:
    raise DataError(f'{shorten(text)} ({error})', 'one CSV row') from None
  return [cell.strip() for cell in row]


def rows(
  path: pathlib.Path,
  problems: Problems,
  columns: int,
  delimiter: str = ',',
  after: int = 0,
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line number, cells) of the rows that have `columns` cells.

  Args:
    path: The file.
    problems: Where the other rows go.
    columns: How many cells a row has.
    delimiter: ',' or a tab (CSV quoting), or ' ' (any white space).
    after: Number of lines to leave out at the beginning (the header).
  """
  for number, text in lines(path, problems, after):
    row = None
    with problems.at(path, number):
      row = text.split() if delimiter == ' ' else cells(text, delimiter)
      expect_columns(row, columns)
    if row is not None and len(row) == columns:
      yield number, row


def expect_columns(row: list[str], columns: int):
  """Raises DataError unless the row has as many cells as it should."""
  if len(row) != columns:
    raise DataError(f'{len(row)} columns', f'{columns} columns')


def header(path: pathlib.Path, delimiter: str = ',') -> tuple[int, list[str]]:
  """Returns line number and cells of the first line that is not blank.

  Raises:
    DataError: The file is empty, or that line is no text.
  """
  with bounded.opened(path) as file:
    data, more = file.read(_HEADER_BYTES), bool(file.read(1))
  raw_lines = split(data)
  for number, raw in enumerate(raw_lines, 1):
    if raw.strip():
      if more and number == len(raw_lines):
        found = f'a first line of more than {_HEADER_BYTES:,} bytes'
        raise DataError(found, 'a header line', path)
      try:
        return number, cells(decode(raw, number == 1), delimiter)
      except DataError as error:
        raise DataError(error.found, error.expected, path, number) from None
  raise DataError('an empty file', 'a header line', path)


class Unique:
  """Rows by name; a name that repeats loses all its rows.

  Which of them is right cannot be known, and a damaged name may look like
  that of another row.
  """

  def __init__(self):
    self.found: dict[Any, Any] = {}
    self.places: dict[Any, tuple[Any, int]] = {}

  def add(self, name: Any, line: int, value: Any, file: Any = None):
    """Adds a row; raises DataError if the name was there before.

    Args:
      name: What a row is known by.
      line: Where the row is.
      value: The row.
      file: Its file, where rows of several are added.
    """
    if name in self.places:
      self.found.pop(name, None)
      other, before = self.places[name]
      of = '' if other == file else f' of {other}'
      raise DataError(
        f'{name} again, as in line {before}{of}; both are left out',
        'every name once',
      )
    self.places[name] = file, line
    self.found[name] = value
