"""What all readers have in common."""

import concurrent.futures
import io
import multiprocessing
import pickle
import re

import numpy as np
import pytest
import trees
from PIL import Image

from emojax.data.readers import base, check, options


def read(tree, **kwargs):
  return base.scan(tree.name, tree.root, **{**tree.options, **kwargs})


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_clean_tree_reads_without_problems(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  # DISFA's and Aff-Wild2's gaps are part of the clean tree.
  listing = read(tree, strict=kind != 'disfa')
  check.check_listing(listing)
  assert listing.info['counts'] == listing.counts()
  for record in listing.records:
    images = base.load(record)
    assert len(images) == len(record)
    for data in images:
      assert Image.open(io.BytesIO(data)).format in ('JPEG', 'PNG')


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_records_pickle(kind, tmp_path):
  listing = read(trees.BUILDERS[kind](tmp_path))
  for record in listing.records:
    assert base.load(pickle.loads(pickle.dumps(record))) == base.load(record)


def test_loads_in_a_process_pool(tmp_path):
  listing = read(trees.cifar10(tmp_path))
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
    loaded = list(pool.map(base.load, listing.records))
  assert loaded == [base.load(record) for record in listing.records]


@pytest.mark.parametrize('name', base.READERS)
def test_options_are_documented(name):
  for option in base.options(name).values():
    assert option.help, f'{name}: option {option.name} has no help'
    assert isinstance(option.default, bool | int | float | str)


@pytest.mark.parametrize('name', base.READERS)
def test_an_empty_folder_is_an_error_that_names_it(name, tmp_path):
  with pytest.raises(base.DataError, match=str(tmp_path)):
    base.scan(name, tmp_path)
  with pytest.raises(base.DataError, match='nowhere'):
    base.scan(name, tmp_path / 'nowhere')


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_help_lists_all_values_of_an_option(kind, tmp_path):
  """The values that an error offers are those that the help names."""
  tree = trees.BUILDERS[kind](tmp_path)
  found = base.options(tree.name)
  checked = set()
  for key, option in found.items():
    if isinstance(option.default, str):
      try:
        base.scan(tree.name, tree.root, **{**tree.options, key: 'nonsense'})
      except base.DataError as error:
        if error.found == f"option {key}='nonsense'":
          text = found['rule' if key == 'eval_rule' else key].help
          expected = error.expected.removeprefix(f'{key}=')
          values = set(re.findall(r'\w+', expected)) - {'one', 'of', 'or'}
          assert values <= set(re.findall(r'\w+', text)), (key, values)
          assert option.default in values
          checked.add(key)
  assert {'expressions', 'action_units'} <= checked


def test_options_come_as_text_or_values(tmp_path):
  tree = trees.expw(tmp_path)
  as_text = read(tree, min_confidence='40', seed='1')
  assert len(as_text.records) == len(read(tree, min_confidence=40).records) == 6
  for wrong in ({'size': 3}, {'seed': 'x'}, {'seed': 1.5}, {'images': True}):
    with pytest.raises(base.DataError, match='option'):
      read(tree, **wrong)
  flags = options.Option('x', False, '')
  assert flags.parse('True') is True
  with pytest.raises(KeyError):
    flags.parse('yes please')


def test_unknown_data_set():
  with pytest.raises(base.DataError, match='rafdb'):
    base.scan('imagenet', '.')


def test_strict_stops_at_the_first_problem(tmp_path):
  tree = trees.rafdb(tmp_path)
  tree.images[0].unlink()
  with pytest.raises(base.DataError, match='line 1:'):
    read(tree, strict=True)
  listing = read(tree)
  assert len(listing.records) == 8
  assert listing.problems.count == 1
  assert 'line 1' in listing.problems.summary()


@pytest.mark.parametrize('damage', ['missing', 'cut', 'empty', 'text'])
def test_an_unreadable_image_costs_one_frame(damage, tmp_path):
  listing = read(trees.affwild2(tmp_path))
  record = next(r for r in listing.records if r.key == 'train/a')
  path = tmp_path / 'cropped_aligned/a/00004.jpg'
  data = path.read_bytes()
  content = {'cut': data[: len(data) // 2], 'empty': b'', 'text': b'hello'}
  path.unlink() if damage == 'missing' else path.write_bytes(content[damage])
  with pytest.raises(base.DataError, match=r'00004\.jpg'):
    base.load(record)
  kept, images, problems = base.load_valid(record)
  assert [p.file for p in problems] == [str(path)]
  assert kept.frame_index.tolist() == [n for n in record.frame_index if n != 3]
  levels = [np.asarray(Image.open(io.BytesIO(i))).mean() for i in images]
  assert np.allclose(levels, 20 * (kept.frame_index + 1), atol=1)
  same = record.take([i for i, n in enumerate(record.frame_index) if n != 3])
  for task, target in kept.targets.items():
    np.testing.assert_array_equal(target.value, same.targets[task].value)


def test_images_of_other_modes_become_grey_or_rgb(tmp_path):
  tree = trees.rafdb(tmp_path)
  record = read(tree).records[0]
  for mode in ('P', 'RGBA', 'CMYK', 'L', '1', 'I;16'):
    kind = 'TIFF' if mode == 'CMYK' else 'PNG'
    Image.new(mode, (3, 3)).save(tree.images[0], format=kind)
    (data,) = base.load(record)
    assert Image.open(io.BytesIO(data)).mode in ('L', 'RGB')


def test_images_of_many_bits_keep_their_shades(tmp_path):
  tree = trees.rafdb(tmp_path)
  record = read(tree).records[0]
  shades = np.linspace(0, 65535, 12 * 10).reshape(10, 12)
  Image.fromarray(shades.astype(np.uint16)).save(tree.images[0], format='PNG')
  (data,) = base.load(record)
  found = np.asarray(Image.open(io.BytesIO(data)))
  np.testing.assert_array_equal(found, shades.astype(np.uint16) >> 8)
  for kind, said in (
    (np.int32, 'signed numbers'),
    (np.float32, '32 bits per pixel'),
  ):
    image = Image.fromarray(shades.astype(kind))
    image.save(tree.images[0], format='TIFF')
    with pytest.raises(base.DataError, match=said):
      base.load(record)


@pytest.mark.parametrize(
  ('kind', 'order'), [('ferplus', 'affwild2'), ('affectnet', 'affwild2')]
)
def test_another_expression_order_maps_by_name(kind, order, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  own, other = read(tree), read(tree, expressions=order)
  by_key = {record.key: record for record in other.records}
  task, new = own.schema[0], other.schema[0]
  assert len(new.labels) == 7
  for record in own.records:
    target = record.targets['expr']
    name = task.labels[target.value[0].argmax()]
    if target.mask[0] and name in new.labels:
      value = by_key[record.key].targets['expr'].value[0]
      assert new.labels[value.argmax()] == name
    elif record.key in by_key:
      assert not by_key[record.key].targets['expr'].mask[0]
  check.check_listing(other)


def test_action_units_map_by_name(tmp_path):
  listing = read(trees.affwild2(tmp_path), action_units='au8')
  task = listing.schema[0]
  record = next(r for r in listing.records if r.key == 'train/a')
  value, mask = record.targets['au']
  missing = [name for name, m in zip(task.labels, mask[0]) if not m]
  assert missing == ['AU20']
  assert value[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
  with pytest.raises(base.DataError, match='au12'):
    read(trees.affwild2(tmp_path), action_units='all')


def test_a_distribution_loses_a_class_but_not_its_top_one(tmp_path):
  tree = trees.ferplus(tmp_path)
  votes = (tmp_path / 'fer2013new.csv').read_text()
  # Second row: contempt has a share, but not the largest.
  votes = votes.replace('0,6,4,0,0,0,0,0,0,0', '0,6,2,0,0,0,0,2,0,0')
  (tmp_path / 'fer2013new.csv').write_text(votes)
  soft = {'rule': 'raw', 'eval_rule': 'raw', 'expressions': 'affwild2'}
  listing = read(tree, **soft)
  check.check_listing(listing)
  by_name = {record.video_id: record for record in listing.records}
  value = by_name['fer0000001'].targets['expr'].value[0]
  names = dict(zip(listing.schema[0].labels, value.tolist()))
  assert names['happiness'] == pytest.approx(0.75)
  assert names['surprise'] == pytest.approx(0.25)
  # Nine votes of ten for contempt: no label remains.
  assert 'fer0000008' not in by_name
  assert '1 of 9 frames' in listing.problems.summary()
