"""Damaged files of every format: only DataError, and never a wrong label."""

import random

import numpy as np
import pytest
import trees

from emojax.data.readers import base, check

ROWS = {
  'empty': lambda row: b'',
  'cut': lambda row: row[: len(row) // 2],
  'columns': lambda row: row + b',1,1',
  'spaces': lambda row: row + b' 1 1',
  'nan': lambda row: b'nan' + row.lstrip(b'-0123456789.'),
  'range': lambda row: row[: row.rfind(b',') + 1] + b'99999',
  'latin': lambda row: row[:2] + b'\xff\xfe' + row[2:],
  'nul': lambda row: row[:1] + b'\0' + row[1:],
  'quote': lambda row: b'"' + row,
  'joined': lambda row: row + row,
}


def scan(tree):
  """Returns the listing, or None after a DataError."""
  try:
    listing = base.scan(tree.name, tree.root, **tree.options)
  except base.DataError:
    return None
  check.check_listing(listing)
  return listing


def labels(listing):
  """{(record, frame, task, label name): value} of everything that is not missing."""
  found = {}
  for record in listing.records:
    for task in listing.schema:
      value, mask = record.targets[task.name]
      for k, n in enumerate(record.frame_index.tolist()):
        if task.kind == 'categorical':
          for name, v in zip(task.labels, value[k] * mask[k]):
            if v:
              found[record.key, n, task.name, name] = round(float(v), 4)
          continue
        for name, v, m in zip(task.labels, value[k], mask[k]):
          if m:
            found[record.key, n, task.name, name] = round(float(v), 4)
  return found


def wrong(before: dict, listing) -> set:
  """Records and frames with a label that differs from the undamaged one."""
  after = labels(listing)
  return {k[:2] for k, v in after.items() if before.get(k) != v}


@pytest.mark.parametrize('damage', ROWS)
@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_a_damaged_row_costs_that_row(kind, damage, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  before = labels(scan(tree))
  rng = random.Random(damage)
  for path in tree.tables:
    data = path.read_bytes()
    lines = data.split(b'\n')
    number = rng.randrange(len(lines) - 1)
    lines[number] = ROWS[damage](lines[number])
    path.write_bytes(b'\n'.join(lines))
    listing = scan(tree)
    # A number cut short may still be a number: that row, and no other.
    allowed = damage in ('cut', 'range')
    if listing is not None:
      assert len(wrong(before, listing)) <= allowed, (path, number)
    path.write_bytes(data)


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_files_cut_short_or_empty(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  before = labels(scan(tree))
  rng = random.Random(0)
  for path in (*tree.tables, *tree.binaries):
    data = path.read_bytes()
    for size in (0, 1, rng.randrange(len(data)), len(data) - 1):
      path.write_bytes(data[:size])
      listing = scan(tree)
      if listing is not None:
        assert len(wrong(before, listing)) <= 1, (path, size)
    # Without its table a folder is one of class folders.
    if kind != 'folder_table':
      path.unlink()
      listing = scan(tree)
      assert listing is None or not wrong(before, listing)
    path.write_bytes(data)


@pytest.mark.parametrize(
  'kind', sorted(set(trees.BUILDERS) - {'folder_classes'})
)
def test_random_bytes_raise_nothing_else(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  rng = random.Random(kind)
  files = (*tree.tables, *tree.binaries)
  for _ in range(60):
    path = rng.choice(files)
    data = path.read_bytes()
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30))):
      place = rng.randrange(len(damaged))
      action = rng.randrange(3)
      if action == 0:
        damaged[place] = rng.randrange(256)
      elif action == 1:
        damaged.insert(place, rng.choice(b'\n,"\0 -9\xff'))
      else:
        del damaged[place]
    path.write_bytes(bytes(damaged))
    listing = scan(tree)
    for record in (
      rng.sample(listing.records, min(3, len(listing.records)))
      if listing
      else ()
    ):
      base.load_valid(record)
    path.write_bytes(data)


@pytest.mark.parametrize(
  'kind',
  [
    k
    for k in trees.BUILDERS
    if k not in ('fer2013', 'ferplus', 'cifar10', 'fashion_mnist')
  ],
)
def test_missing_and_damaged_images(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  clean = scan(tree)
  before = labels(clean)
  pixels = {
    r.key: dict(zip(r.frame_index.tolist(), base.load(r)))
    for r in clean.records
  }
  rng = np.random.default_rng(0)
  for path in rng.permutation(np.array(tree.images, object))[:4]:
    data = path.read_bytes()
    for content in (None, b'', data[: len(data) // 2], b'no image'):
      path.unlink() if content is None else path.write_bytes(content)
      listing = scan(tree)
      assert not wrong(before, listing)
      for record in listing.records:
        kept, images, _ = base.load_valid(record)
        for n, image in zip(kept.frame_index.tolist(), images):
          assert image == pixels[record.key][n]
      path.write_bytes(data)
