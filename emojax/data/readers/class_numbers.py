"""Class numbers of users' own data, which count from 0 or from 1."""

import re
from collections.abc import Iterable

from emojax.data.readers.files.problems import DataError


def parse(text: str) -> int | None:
  """A class number, None for other text; pandas writes 3 as 3.0."""
  match = re.fullmatch(r'([0-9]{1,9})(\.0*)?', text)
  return int(match[1]) if match else None


def names_of(
  texts: Iterable[str], names: tuple[str, ...], first: int
) -> dict[str, str]:
  """Maps the numbers among some texts to the names of the option `classes`.

  Args:
    texts: Names and numbers; other names are left to the caller.
    names: Names in the order of their numbers; () without the option.
    first: Number of the first name, 0 or 1, or -1 if that must be told from
      the numbers.

  Raises:
    DataError: It is not certain whether the numbers count from 0 or 1.
  """
  if first not in (-1, 0, 1):
    raise DataError(f'option first_class={first}', '0 or 1')
  if first >= 0 and not names:
    expected = 'option classes=name,name,... with it'
    raise DataError(f'option first_class={first}', expected)
  numbers = {text: parse(text) for text in texts if text not in names}
  numbers = {text: n for text, n in numbers.items() if n is not None}
  if names and numbers and first < 0:
    _check_zero_based(set(numbers.values()), len(names))
  first = max(first, 0)
  return {
    text: names[number - first]
    for text, number in numbers.items()
    if first <= number < first + len(names)
  }


def _check_zero_based(numbers: set[int], count: int):
  """Raises DataError unless 0 occurs and the number after the last does not."""
  if 0 in numbers and count not in numbers:
    return
  more = f'{count + 1} names in option classes, or ' if 0 in numbers else ''
  raise DataError(
    f'class numbers {min(numbers)}..{max(numbers)} for {count} names, which may '
    'count from 0 or from 1',
    f'{more}option first_class=0 or first_class=1, the number of the first name',
  )
