"""Tables as files: CSV, Parquet and JSON lines, written block by block.

Numbers are written in the fewest digits that give the same number back, so that a
file holds what `emojax.predict` returns, bit for bit. What is missing is an empty
cell of CSV and null in the others.
"""

import csv
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from emojax.answers.columns import Column
from emojax.host import files
from emojax.host.terminal import readable

Block = Mapping[str, np.ndarray]
FORMATS = ('csv', 'parquet', 'jsonl')


def check(name: str):
  """Raises ImportError if a format cannot be written here: before it is asked for."""
  if name != 'parquet':
    return
  try:
    import pyarrow.parquet  # noqa: F401
  except ImportError:
    raise ImportError(
      "--format parquet needs pyarrow: pip install 'emojax[table]', or choose "
      '--format csv'
    ) from None


def write(
  path: pathlib.Path, columns: Sequence[Column], blocks: Iterable[Block]
):
  """Writes a table whole or not at all; the ending of `path` is its format."""
  writer = _WRITERS[path.suffix[1:]]
  with files.replacing(path) as part:
    writer(part, columns, blocks)


def _csv(path: pathlib.Path, columns: Sequence[Column], blocks):
  with open(path, 'w', newline='', encoding='utf-8') as file:
    rows = csv.writer(file, lineterminator='\n')
    rows.writerow([column.name for column in columns])
    for block in blocks:
      rows.writerows(zip(*(_texts(c, block[c.name]) for c in columns)))


def _texts(column: Column, values: np.ndarray) -> list[str]:
  if column.kind == 'text':
    return [readable(value) for value in values]
  if column.kind == 'flag':
    return ['true' if value else 'false' for value in values]
  if column.kind == 'integer':
    return ['' if np.isnan(v) else str(int(v)) for v in values]
  return ['' if np.isnan(v) else str(v) for v in values]


def _jsonl(path: pathlib.Path, columns: Sequence[Column], blocks):
  with open(path, 'w', encoding='utf-8') as file:
    for block in blocks:
      bare = _bare(block)
      cells = [_json(column, block[column.name], bare) for column in columns]
      for row in zip(*cells):
        file.write('{' + ', '.join(row) + '}\n')


def _bare(block: Block) -> np.ndarray:
  """Rows without a face, whose texts are missing: an empty set is none of them."""
  if 'face' in block:
    return np.isnan(block['face'])
  return block['success'] == 0  # of OpenFace


def _json(column: Column, values: np.ndarray, bare: np.ndarray) -> list[str]:
  """`"name": value` of every row."""
  name = json.dumps(column.name)
  texts = _texts(column, values)
  if column.kind == 'text':
    texts = [
      '' if none and not text else json.dumps(text)
      for text, none in zip(texts, bare, strict=True)
    ]
  return [f'{name}: {text or "null"}' for text in texts]


def _parquet(path: pathlib.Path, columns: Sequence[Column], blocks):
  check('parquet')
  import pyarrow as arrow
  from pyarrow import parquet

  kinds = {
    'text': arrow.string(),
    'integer': arrow.int64(),
    'seconds': arrow.float64(),
    'number': arrow.float32(),
    'flag': arrow.bool_(),
  }
  schema = arrow.schema([
    arrow.field(c.name, kinds[c.kind], metadata={'unit': c.unit,
                                                 'meaning': c.meaning})
    for c in columns
  ])  # fmt: skip
  with parquet.ParquetWriter(path, schema) as writer:
    for block in blocks:
      bare = _bare(block)
      arrays = [
        arrow.array(_nullable(c, block[c.name], bare), kinds[c.kind])
        for c in columns
      ]
      writer.write_table(arrow.table(arrays, schema=schema))


def _nullable(
  column: Column, values: np.ndarray, bare: np.ndarray
) -> list[Any]:
  if column.kind == 'text':
    return [
      None if none and not value else readable(value)
      for value, none in zip(values, bare, strict=True)
    ]
  if column.kind == 'flag':
    return values.tolist()
  made = int if column.kind == 'integer' else lambda value: value
  return [None if np.isnan(v) else made(v) for v in values]


def text(path: pathlib.Path, contents: str):
  """Writes a text whole or not at all; names that are no UTF-8 are escaped."""
  files.write_bytes(path, readable(contents).encode())


_WRITERS: dict[str, Callable] = {
  'csv': _csv,
  'parquet': _parquet,
  'jsonl': _jsonl,
}
