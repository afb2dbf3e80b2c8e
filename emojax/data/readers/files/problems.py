"""What is wrong in a data set's files: one error type and one collector.

A reader never guesses. A row that it cannot understand is left out and
recorded with file, line, what was found and what was expected; in strict mode
the first such row raises `DataError` instead.
"""

import collections
import dataclasses
import os
from collections.abc import Mapping

from emojax.host.terminal import one_line, readable

PathLike = str | os.PathLike


class DataError(ValueError):
  """A data set's file does not hold what its format promises.

  Attributes:
    found: What the file holds.
    expected: What it should hold, and what to do about it.
    file: The file (or folder), or None while that is not known yet.
    line: 1-based line of a text file, None where lines mean nothing.
  """

  def __init__(
    self,
    found: str,
    expected: str,
    file: PathLike | None = None,
    line: int | None = None,
  ):
    self.found, self.expected, self.line = found, expected, line
    self.file = None if file is None else os.fspath(file)
    super().__init__(found, expected, self.file, line)

  def __str__(self) -> str:
    where = '' if self.file is None else f'{self.file}: '
    if self.line is not None:
      where = f'{self.file}, line {self.line}: '
    text = f'{where}found {_cut(self.found)}; expected {_cut(self.expected)}'
    return one_line(text)


def _cut(text: str, size: int = 1000) -> str:
  """What a file holds may be megabytes long."""
  return text if len(text) <= size else text[:size] + '...'


def brief(value: object, size: int = 40) -> str:
  """A value of any kind for a message."""
  try:
    text = repr(value)
  except ValueError:  # Python writes no integer of more than 4300 digits
    return 'a number of thousands of digits'
  return text if len(text) <= size else text[:size] + '...'


@dataclasses.dataclass(frozen=True)
class Problem:
  """One thing that was left out, as `DataError` describes it."""

  file: str | None
  line: int | None
  found: str
  expected: str

  def error(self) -> DataError:
    return DataError(self.found, self.expected, self.file, self.line)

  def __str__(self) -> str:
    return str(self.error())


class Problems:
  """Collects problems and notes during a scan.

  Attributes:
    strict: Raise `DataError` at the first problem instead of going on.
    items: The first `keep` problems; `count` counts all of them.
    notes: Remarks that cost no data (counts unlike the official ones, ...).
    remarks: Remarks on single files, by kind: what is said of each file.
  """

  def __init__(self, strict: bool = False, keep: int = 1000):
    self.strict, self.keep = strict, keep
    self.items: list[Problem] = []
    self.notes: list[str] = []
    self.remarks: dict[str, list[str]] = {}
    self.reasons: collections.Counter[str] = collections.Counter()

  @property
  def count(self) -> int:
    return self.reasons.total()

  def add(self, file, line: int | None, found: str, expected: str):
    """Records one problem; raises DataError when strict."""
    file = None if file is None else os.fspath(file)
    problem = Problem(file, line, found, expected)
    if self.strict:
      raise problem.error()
    self.reasons[expected] += 1
    if len(self.items) < self.keep:
      self.items.append(problem)

  def note(self, text: str):
    self.notes.append(one_line(text))

  def remark(self, kind: str, file: PathLike, detail: str = ''):
    """Notes something about one of many files; a kind is one line."""
    text = f'{os.fspath(file)}: {detail}' if detail else os.fspath(file)
    self.remarks.setdefault(kind, []).append(readable(text))

  def compare(self, counts: Mapping[str, int], official: Mapping[str, int]):
    """Notes where counts differ from those of the official release."""
    for name, count in counts.items():
      if count != official.get(name, count):
        wanted = official[name]
        self.note(f'{name}: {count:,} found, {wanted:,} in the official files')

  def at(self, file, line: int | None = None) -> '_At':
    """Context in which a DataError becomes a problem of that file and line."""
    return _At(self, file, line)

  def summary(self, examples: int = 3) -> str:
    """Text: how much was left out, why, and the first examples of it."""
    lines = list(self.notes)
    for kind, files in self.remarks.items():
      more = ', ...' if len(files) > examples else ''
      some = ', '.join(files[:examples])
      lines.append(f'{kind}: {len(files)}, {some}{more}')
    if self.count:
      many = '' if self.count == 1 else 's'
      lines.append(f'Left out because of {self.count} problem{many}:')
      for reason, count in self.reasons.most_common():
        lines.append(one_line(f'  {count} x expected {_cut(reason)}'))
        same = (item for item in self.items if item.expected == reason)
        lines += [f'    {item}' for item, _ in zip(same, range(examples))]
    return '\n'.join(lines)


class _At:
  """See `Problems.at`; a class, since a generator costs more per row."""

  def __init__(self, problems: Problems, file, line: int | None):
    self.problems, self.file, self.line = problems, file, line

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace) -> bool:
    if not isinstance(error, DataError):
      return False
    file, line = self.file, self.line if error.line is None else error.line
    if error.file is not None:
      file, line = error.file, error.line  # a line of ours is not of that file
    self.problems.add(file, line, error.found, error.expected)
    return True
