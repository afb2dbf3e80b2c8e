"""A table of answers in memory: columns as NumPy arrays."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emojax.answers.columns import Column


class Table(Mapping[str, np.ndarray]):
  """Columns by name; one row for each face in each frame.

  `table['happiness']` is an array; `table.to_pandas()` needs pandas.

  Attributes:
    columns: What the columns are, in order.
    problems: A line for everything that could not be read.
  """

  def __init__(
    self,
    columns: Sequence[Column],
    values: Mapping[str, np.ndarray],
    problems: Sequence[str] = (),
  ):
    self.columns: tuple[Column, ...] = tuple(columns)
    self.problems: tuple[str, ...] = tuple(problems)
    self._values = {column.name: values[column.name] for column in columns}

  def __getitem__(self, name: str) -> np.ndarray:
    if name not in self._values:
      raise KeyError(f'no column {name!r}; there are {list(self._values)}')
    return self._values[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._values)

  def __len__(self) -> int:
    return len(self._values)

  @property
  def num_rows(self) -> int:
    """Number of rows."""
    return len(next(iter(self._values.values())))

  @property
  def found(self) -> np.ndarray:
    """Rows that have a face, bool [rows]."""
    return ~np.isnan(self._values['face'])

  def rows(self) -> Iterator[dict[str, Any]]:
    """Every row as a dictionary."""
    for values in zip(*self._values.values()):
      yield dict(zip(self._values, values))

  def to_pandas(self) -> Any:
    """Returns a pandas.DataFrame; raises ImportError without pandas."""
    try:
      import pandas
    except ImportError:
      raise ImportError(
        "to_pandas needs pandas: pip install 'emojax[table]'; or use the columns "
        'themselves, table["file"]'
      ) from None
    return pandas.DataFrame(dict(self._values))

  def __repr__(self) -> str:
    faces = int(self.found.sum())
    names = ', '.join(self._values)
    return f'<Table of {self.num_rows} rows, {faces} faces: {names}>'


def joined(
  columns: Sequence[Column], blocks: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
  """The rows of several blocks after each other."""
  parts = list(blocks)
  return {
    column.name: np.concatenate(
      [column.empty(0), *(part[column.name] for part in parts)]
    )
    for column in columns
  }
