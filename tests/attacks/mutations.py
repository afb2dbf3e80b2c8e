"""Seeded damage to any folder: what accidents and strangers do to files.

A mutation is a function of (a folder, a random generator) that changes one file or
two, and returns what it did in words, or None where the folder has nothing for it.
"""

import io
import json
import pathlib
import random
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutation = Callable[[pathlib.Path, random.Random], str | None]
DEEP = 100_000
# What replaces a value anywhere in a JSON file; texts stand for themselves.
JUNK = (
  'null', 'true', '-1', '1.5', '[]', '{}', '""', '"x"', '[[]]', '{"a": {}}',
  'NaN', 'Infinity', '1e999', '9' * 5000, '"' + 'x' * 5000 + '"', '"../../x"',
  '"\\u0000\\ud800"', '[' * DEEP, '{"a":' * DEEP, '[' * 500 + ']' * 500,
)  # fmt: skip
HERE = '__here__'


def files(folder: pathlib.Path, *ends: str) -> list[pathlib.Path]:
  """The files with such endings, in an order that is always the same."""
  found = (p for p in folder.rglob('*') if p.is_file() and not p.is_symlink())
  return sorted(p for p in found if not ends or p.name.endswith(ends))


def _bytes(change: Callable[[bytearray, random.Random], Any]) -> Mutation:
  """A mutation of the bytes of one file."""

  def mutate(folder, rng):
    path = rng.choice([p for p in files(folder) if p.stat().st_size])
    data = bytearray(path.read_bytes())
    change(data, rng)
    path.write_bytes(data)
    return path.name

  return mutate


def _cut(data, rng):
  del data[rng.randrange(len(data)) :]


def _zero(data, rng):
  start = rng.randrange(len(data))
  stop = min(len(data), start + rng.choice((1, 16, 512, 4096)))
  data[start:stop] = bytes(stop - start)


def _flip(data, rng):
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _noise(data, rng):
  start = rng.randrange(len(data))
  data[start : start + 64] = rng.randbytes(64)


def _text(data, rng):
  """Bytes that are no UTF-8, and some that terminals act upon."""
  start = rng.randrange(len(data))
  data[start:start] = rng.choice((b'\xff\xfe\xc3(', b'\0', b'\x1b[2J\r\n'))


def _more(data, rng):
  data += rng.choice((b'\n', b'\0' * 1000, rng.randbytes(100), bytes(data)))


def swap(folder, rng):
  """Exchanges two files that end alike, or any two."""
  first = rng.choice(files(folder))
  others = [p for p in files(folder) if p != first]
  alike = [p for p in others if p.suffix == first.suffix]
  if not others:
    return None
  second = rng.choice(alike or others)
  data = first.read_bytes()
  first.write_bytes(second.read_bytes())
  second.write_bytes(data)
  return f'{first.name} and {second.name}'


def _replaced(make: Callable[[pathlib.Path], Any]) -> Mutation:
  def mutate(folder, rng):
    path = rng.choice(files(folder))
    path.unlink()
    make(path)
    return path.name

  return mutate


def emptied_folder(folder, rng):
  path = rng.choice([p.parent for p in files(folder)])
  shutil.rmtree(path)
  path.mkdir()
  return path.name


def _walk(tree: Any, path=()):
  yield path
  pairs = tree.items() if isinstance(tree, dict) else ()
  pairs = enumerate(tree) if isinstance(tree, list) else pairs
  for key, value in pairs:
    yield from _walk(value, (*path, key))


def _json(folder, rng):
  """A JSON file, its tree, and a random place in it: (path, tree, parents, key)."""
  found = files(folder, '.json', 'METADATA')
  if not found:
    return None
  path = rng.choice(found)
  tree = json.loads(path.read_text())
  *parents, key = rng.choice([p for p in _walk(tree) if p] or [('x',)])
  node = tree
  for parent in parents:
    node = node[parent]
  return path, tree, node, key


def json_value(folder, rng):
  """Junk in the place of any value of a JSON file."""
  if (found := _json(folder, rng)) is None:
    return None
  path, tree, node, key = found
  node[key], junk = HERE, rng.choice(JUNK)
  path.write_text(json.dumps(tree).replace(f'"{HERE}"', junk))
  return f'{path.name}: {key} = {junk[:20]}'


def json_key(folder, rng):
  """A value of a JSON file deleted, renamed or written twice."""
  if (found := _json(folder, rng)) is None:
    return None
  path, tree, node, key = found
  value = node.pop(key)
  if isinstance(node, dict) and rng.random() < 0.5:
    node[rng.choice(('', 'x.y', '../x', '\x1b[2J', key + 'x'))] = value
  path.write_text(json.dumps(tree))
  return f'{path.name}: {key} is gone'


def json_whole(folder, rng):
  """Junk in the place of a whole JSON file."""
  found = files(folder, '.json', 'METADATA')
  if not found:
    return None
  path, junk = rng.choice(found), rng.choice(JUNK)
  path.write_text(junk)
  return f'{path.name} = {junk[:20]}'


ARRAYS = (
  np.array(np.nan), np.array('[]'), np.array('{"format": []}'), np.zeros(0),
  np.zeros((2, 3)), np.full((3, 1), np.inf, np.float32), np.array(-1),
  np.array(10**18), np.array(1 + 2j), np.array([None, {}], object),
)  # fmt: skip


def npz(folder, rng):
  """An array of an .npz exchanged, lost or added; the checksums are right."""
  found = files(folder, '.npz')
  if not found:
    return None
  path = rng.choice(found)
  with zipfile.ZipFile(path) as archive:
    entries = {name: archive.read(name) for name in archive.namelist()}
  name = rng.choice(sorted(entries))
  buffer = io.BytesIO()
  np.save(buffer, rng.choice(ARRAYS))
  what = rng.choice(('exchanged', 'lost', 'added', 'swapped'))
  if what == 'lost':
    del entries[name]
  elif what == 'swapped':
    other = rng.choice(sorted(entries))
    entries[name], entries[other] = entries[other], entries[name]
  else:
    key = rng.choice(('x.npy', 'x/y.npy', 'logits/x.npy', '../../x.npy'))
    entries[name if what == 'exchanged' else key] = buffer.getvalue()
  with zipfile.ZipFile(path, 'w') as archive:
    for key, data in entries.items():
      archive.writestr(key, data)
  return f'{path.name}: {name} {what}'


MUTATIONS: dict[str, Mutation] = {
  'truncated': _bytes(_cut),
  'zeroed': _bytes(_zero),
  'flipped': _bytes(_flip),
  'noise': _bytes(_noise),
  'no text': _bytes(_text),
  'longer': _bytes(_more),
  'swapped': swap,
  'empty': _replaced(lambda path: path.touch()),
  'missing': _replaced(lambda path: None),
  'a folder': _replaced(lambda path: path.mkdir()),
  'a link to itself': _replaced(lambda path: path.symlink_to(path.name)),
  'a link to nowhere': _replaced(lambda path: path.symlink_to('nowhere/x')),
  'an empty folder': emptied_folder,
  'a value of JSON': json_value,
  'a key of JSON': json_key,
  'another JSON': json_whole,
  'arrays': npz,
}
