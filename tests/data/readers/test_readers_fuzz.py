"""Damaged files of every format: only DataError, and never a wrong label."""

import json
import pickle
import random
import re

import numpy as np
import pytest
import trees

from emojax.data.readers import base, check

pytestmark = pytest.mark.slow

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


# Never legal where a number stands; the last may be another frame's number.
CELLS = ('inf', 'abc', '1_0', '٣', '0x1', '1e400', '1.5.2', '99999')


@pytest.mark.parametrize('cell', CELLS)
@pytest.mark.parametrize(
  'kind', sorted(set(trees.BUILDERS) - {'afewva', 'folder_classes'})
)
def test_a_damaged_number_costs_that_row(kind, cell, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  before = labels(scan(tree))
  rng = random.Random(f'{kind} {cell}')
  for path in tree.tables:
    text = path.read_text()
    numbers = [m.span() for m in NUMBER.finditer(text, text.index('\n'))]
    for start, end in rng.sample(numbers, min(6, len(numbers))):
      path.write_text(text[:start] + cell + text[end:])
      listing = scan(tree)
      if listing is not None:
        allowed = cell == '99999'
        assert len(wrong(before, listing)) <= allowed, (path, start)
    path.write_text(text)


# A whole cell of a table that is a number.
NUMBER = re.compile(r'(?<=[,\s])-?[0-9]+(\.[0-9]+)?(?=[,\s])')

ARRAYS = {
  'nan': np.array(np.nan),
  'inf': np.array(np.inf),
  'negative': np.array(-3),
  'high': np.array(11),
  'fraction': np.array('3.5'),
  'text': np.array('abc'),
  'digit': np.array('٣'),
  'none': np.zeros(0),
  'several': np.zeros((3, 3)),
  'complex': np.array(1 + 2j),
  'date': np.array('2020-01-01', 'M8[D]'),
  'huge': np.array(10**18),
}


def finite(listing):
  for record in listing.records:
    for targets in (record.targets, record.clean_targets or {}):
      for value, mask in targets.values():
        assert np.isfinite(value).all()
        assert np.isin(mask, (0, 1)).all()
    if record.votes is not None:
      assert np.isfinite(record.votes).all()
      assert (record.votes >= 0).all()


@pytest.mark.parametrize('name', ARRAYS)
def test_other_values_in_small_arrays(name, tmp_path):
  tree = trees.affectnet_npy(tmp_path)
  before = labels(scan(tree))
  for path in tree.binaries[:8]:
    data = path.read_bytes()
    np.save(path, ARRAYS[name])
    listing = scan(tree)
    finite(listing)
    assert not wrong(before, listing), path
    path.write_bytes(data)


@pytest.mark.parametrize('value', [np.nan, np.inf, -1, 10, 0.5, None])
@pytest.mark.parametrize('key', ['worse_label', 'clean_label', 'votes'])
def test_other_values_beside_cifar10(key, value, tmp_path):
  tree = trees.cifar10(tmp_path)
  tree.options['test_votes'] = True
  before = labels(scan(tree))
  human, votes = (
    tmp_path / 'CIFAR-10_human.npz',
    tmp_path / 'cifar10h-counts.npy',
  )
  arrays = {**np.load(human), 'votes': np.load(votes)}
  damaged = arrays[key][:7]
  if value is not None:  # else it is too short
    damaged = arrays[key].astype(type(value))
    damaged[4] = value
  arrays[key] = damaged
  np.save(votes, arrays.pop('votes'))
  np.savez(human, **arrays)
  listing = scan(tree)
  if key != 'votes' or value in (-1, None) or not np.isfinite(value):
    assert listing is None
  else:  # a number of votes may be any
    finite(listing)
    assert {k[0] for k in wrong(before, listing)} <= {'test/test_00004'}


@pytest.mark.parametrize(
  'label', [-1, 10, 3.0, float('nan'), None, '3', True, 10**30, [1]]
)
def test_other_labels_in_a_batch_of_cifar10(label, tmp_path):
  tree = trees.cifar10(tmp_path)
  tree.options['noise'] = 'clean'
  before = labels(scan(tree))
  path = tmp_path / 'cifar-10-batches-py/data_batch_1'
  batch = pickle.loads(path.read_bytes())
  batch[b'labels'][3] = label
  path.write_bytes(pickle.dumps(batch, protocol=2))
  listing = scan(tree)
  assert not wrong(before, listing)
  assert 'train/train_00003' not in {r.key for r in listing.records}
  assert 'of image 3' in listing.problems.summary()


@pytest.mark.parametrize('key', ['valence', 'arousal', 'landmarks'])
@pytest.mark.parametrize(
  'value',
  ['11', 'NaN', 'Infinity', 'null', '"3"', 'true', '[1]', '1e400', '{}'],
)
def test_other_values_in_json(key, value, tmp_path):
  tree = trees.afewva(tmp_path)
  before = labels(scan(tree))
  path = tree.tables[0]
  document = json.loads(path.read_bytes())
  document['frames']['00001'][key] = 'here'
  path.write_text(json.dumps(document).replace('"here"', value))
  listing = scan(tree)
  assert not wrong(before, listing)
  assert listing.problems.count == 1
  assert "frame '00001'" in listing.problems.summary()


def test_a_frame_twice_in_json(tmp_path):
  tree = trees.afewva(tmp_path)
  before = labels(scan(tree))
  text = tree.tables[0].read_text()
  tree.tables[0].write_text(text.replace('"00003"', '"00002"'))
  listing = scan(tree)
  assert not wrong(before, listing)
  assert "'00002' again" in listing.problems.summary()
