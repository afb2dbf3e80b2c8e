"""Prepared data sets that strangers made: right, refused, and never run."""

import hashlib
import io
import json
import os
import shutil
import sys
import zipfile

import numpy as np
import pytest
import trees
from PIL import Image
from test_hostile_files import terabyte, within, zeros

from emojax import tasks
from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.store import frame_table, store, stored, table_checks

NAME = 'rafdb-train.array_record-00000-of-00001'


@pytest.fixture(scope='module')
def honest(tmp_path_factory):
  """A data set of six and three stills, with labels before noise."""
  root = tmp_path_factory.mktemp('honest')
  tree = trees.rafdb(root / 'raf')
  return prepare.prepare(
    'rafdb', tree.root, root / 'out', size=8, workers=1, options=tree.options
  )


@pytest.fixture
def copy(honest, tmp_path):
  return shutil.copytree(honest, tmp_path / 'copy')


def read(folder):
  """Everything that training reads."""
  data = pipeline.load_dataset(folder, splits=pipeline.Splits(val='test'))
  return data.train, data.val


def outcome(folder, expected):
  """None if all is read as it was written, else the error's text."""
  try:
    found = read(folder)
  except store.StoreError as error:
    return str(error)
  same(found, expected)
  return None


def same(found, expected):
  for one, other in zip(found, expected):
    np.testing.assert_array_equal(one.image, other.image)
    assert one.clip_id.tolist() == other.clip_id.tolist()
    for name, target in one.targets.items():
      np.testing.assert_array_equal(target.value, other.targets[name].value)


def refused(folder, *words):
  """The error in one line, which names the folder and the remedy."""
  with pytest.raises(ValueError, match='prepare the data set') as caught:
    read(folder)
  text = str(caught.value)
  assert '\n' not in text
  assert str(folder) in text
  for word in words:
    assert word in text
  return text


def edit(folder, change, name=store.FILE):
  path = folder / name
  tree = json.loads(path.read_text())
  change(tree)
  path.write_text(json.dumps(tree))


def relabel(folder, change, split='train', forget=True):
  """Changes the arrays of a label file, and all that is said of the file."""
  path = folder / f'labels-{split}.npz'
  with np.load(path) as found:
    arrays = dict(found)
  change(arrays)
  with open(path, 'wb') as file:
    np.savez_compressed(file, **arrays)

  def agree(facts):
    if forget:
      del facts['digests']
    labels = list(facts['splits'][split]['expr'])
    counts = arrays['targets/expr/value'].sum(0, dtype=float).tolist()
    if np.isfinite(counts).all() and len(counts) == len(labels):
      facts['splits'][split]['expr'] = dict(zip(labels, counts))

  edit(folder, agree)


def test_no_class_that_a_file_names_is_imported(copy, tmp_path, monkeypatch):
  """TFDS would import it: `builder_from_directory` runs this payload."""
  package = tmp_path / 'code' / 'payload_of_a_stranger'
  package.mkdir(parents=True)
  (package / '__init__.py').write_text('raise SystemExit("code ran")')
  monkeypatch.syspath_prepend(str(package.parent))

  def name(tree):
    tree['pythonClassName'] = 'payload_of_a_stranger.faces.F'

  edit(copy, name, 'features.json')
  refused(copy, 'features.json', 'payload_of_a_stranger.faces.F')
  assert 'payload_of_a_stranger' not in sys.modules


def test_tensorflow_datasets_does_not_open_the_folder(honest, monkeypatch):
  monkeypatch.setattr(
    store.tfds, 'builder_from_directory', lambda _: pytest.fail('opened')
  )
  assert len(read(honest)[0]) == 6


def spec(**changes):
  return lambda facts: facts['spec'].update(changes)


def task(**changes):
  return lambda facts: facts['spec']['schema'][0].update(changes)


LABELS = [*tasks.RAFDB]


@pytest.mark.parametrize(
  ('change', 'word'),
  [
    (lambda facts: facts.clear(), 'settings is missing'),
    (lambda facts: facts.pop('files'), 'files is missing'),
    (lambda facts: facts.update(files={}), 'all shards rafdb-train'),
    (lambda facts: facts['files'].pop(NAME), 'all shards rafdb-train'),
    (lambda facts: facts['files'].update({'../x': 3}), 'shards of its splits'),
    (lambda facts: facts['files'].update({NAME: -1}), f'files.{NAME}'),
    (lambda facts: facts['files'].update({NAME: True}), f'files.{NAME}'),
    (lambda facts: facts['digests'].pop(NAME), 'a SHA-256 of every file'),
    (lambda facts: facts['digests'].update({NAME: 'f'}), 'a SHA-256'),
    (lambda facts: facts.update(splits={}), 'splits is {}'),
    (lambda facts: facts['splits'].update({'../../x': {}}), 'some of train'),
    (lambda facts: facts['splits']['train'].update(frames=7), 'expected'),
    (lambda facts: facts['splits']['train'].update(records=10**12), 'expected'),
    (spec(name='../rafdb'), 'spec.name'),
    (spec(name='r' * 10**6), 'spec.name'),
    (spec(size=10**9), 'spec.size'),
    (spec(size=9), 'expected 9 x 9'),
    (spec(channels=2), 'spec.channels'),
    (spec(channels=True), 'spec.channels'),
    (spec(clean=False), 'its arrays'),
    (spec(clean=1), 'spec.clean'),
    (spec(audio='log_mel'), 'sound'),
    (spec(audio='__import__'), 'spec.audio'),
    (spec(vote_labels=['a', 'b']), 'votes'),
    (spec(vote_labels=['a', 'a']), 'different names'),
    (spec(vote_labels=[*LABELS[::-1], 'unknown']), 'the classes of expr first'),
    (spec(schema=[]), 'spec.schema'),
    (task(name='au/../x'), 'spec.schema[0].name'),
    (task(kind='regression'), 'spec.schema[0].kind'),
    (task(kind='binary'), 'expected'),
    (task(bins=20), 'spec.schema[0].bins'),
    (task(labels=LABELS[::-1]), 'in this order'),
    (task(labels=LABELS[:-1]), 'in this order'),
    (task(labels=LABELS[:1] * 7), 'different names'),
    (task(labels=['\x1b[2J', *LABELS[1:]]), 'a printable name'),
  ],
)  # fmt: skip
def test_descriptions_that_do_not_fit(copy, change, word):
  edit(copy, change)
  refused(copy, word)


def test_reversed_labels_differ_from_what_other_programs_read(copy):
  """Also if counts are turned round with them."""

  def turn(facts):
    facts['spec']['schema'][0]['labels'].reverse()
    for counts in facts['splits'].values():
      counts['expr'] = dict(reversed(counts['expr'].items()))

  edit(copy, turn)
  refused(copy, 'features.json', 'surprise')


def test_templates_that_lead_out_of_the_folder(copy):
  def lead(info):
    info['splits'][0]['filepathTemplate'] = '/etc/{SPLIT}'

  edit(copy, lead, 'dataset_info.json')
  refused(copy, 'dataset_info.json', '/etc')


@pytest.mark.parametrize('name', [store.FILE, 'features.json'])
@pytest.mark.parametrize(
  'text',
  ['', '[]', 'null', '{"a": NaN', '[' * 10**5, '{"spec": ' * 10**5, '\xff\0'],
)
def test_no_json_or_too_deep(copy, name, text):
  (copy / name).write_bytes(text.encode('latin-1'))
  refused(copy, name)


@pytest.mark.parametrize(
  'name', [store.FILE, 'features.json', 'dataset_info.json', 'labels-train.npz']
)
@pytest.mark.parametrize('make', [os.mkfifo, zeros, terabyte])
def test_files_that_wait_or_never_end(copy, name, make):
  (copy / name).unlink()
  make(copy / name)
  with within(20):
    refused(copy, name)


def _walk(tree, path=()):
  yield path
  items = ()
  if isinstance(tree, dict):
    items = tree.items()
  elif isinstance(tree, list):
    items = enumerate(tree)
  for key, value in items:
    yield from _walk(value, (*path, key))


def _put(tree, path, value):
  for key in path[:-1]:
    tree = tree[key]
  tree[path[-1]] = value


@pytest.mark.parametrize(
  'value', [None, -1, 1.5, True, '../x', 'x' * 2000, [], [[]], {}, {'x': {}}]
)
def test_anything_anywhere_is_right_or_refused(copy, honest, value):
  """Every place of emojax.json takes every value: some hundreds of files."""
  whole, expected = (honest / store.FILE).read_text(), read(honest)
  for path in list(_walk(json.loads(whole)))[1:]:
    tree = json.loads(whole)
    _put(tree, path, value)
    if json.dumps(tree) == json.dumps(json.loads(whole)):
      continue  # it was there before
    (copy / store.FILE).write_text(json.dumps(tree))
    text = outcome(copy, expected)
    if text:
      assert str(copy) in text, path
      assert len(text) < 1000, path
    else:
      assert path[0] in ('settings', 'reader', 'problems', 'splits'), path


def roll(name):
  def change(arrays):
    arrays[name] = np.roll(arrays[name], 1, axis=0)

  return change


def put(name, value):
  def change(arrays):
    arrays[name] = arrays[name].copy()
    arrays[name][0] = value

  return change


def fewer(arrays):
  for name in arrays:
    arrays[name] = arrays[name][:-1]


def longer(arrays):
  for name in ('targets/expr/value', 'clean/expr/value'):
    arrays[name] = np.pad(arrays[name], ((0, 0), (0, 1)))


TABLES = {
  'other labels': (roll('targets/expr/value'), 'is damaged'),
  'other clean labels': (roll('clean/expr/value'), 'is damaged'),
  'other people': (roll('subject_id'), 'is damaged'),
  'other names': (roll('video_id'), 'is damaged'),
  'masked': (put('targets/expr/mask', 0), 'emojax.json counts'),
  'NaN': (put('targets/expr/value', np.nan), 'finite'),
  'not a number of the clean ones': (put('clean/expr/value', np.inf), 'finite'),
  'no distribution': (put('targets/expr/value', 1), 'sum to 1'),
  'out of range': (put('targets/expr/value', 5), 'from 0 to 1'),
  'half a mask': (put('targets/expr/mask', 0.5), '0 and 1'),
  'lengths': (put('length', 2), 'numbers of frames'),
  'no length': (put('length', 0), 'numbers of frames'),
  'negative frames': (put('frame_index', -1), 'numbers from 0'),
  'other frames': (put('frame_index', 7), 'frame_index is [0]'),
  'fewer rows': (fewer, 'is'),
  'longer rows': (longer, 'expected f4'),
  'another type': (
    lambda a: a.update({'targets/expr/mask': np.ones(6)}), 'float64'
  ),
  'objects': (
    lambda a: a.update(video_id=np.array([[]] * 6 + ['x'], object)[:6]),
    'object',
  ),
  'missing': (lambda a: a.pop('targets/expr/mask'), 'arrays are not those'),
  'more': (lambda a: a.update(votes=np.ones(6)), 'arrays are not those'),
}  # fmt: skip


@pytest.mark.parametrize('name', TABLES)
def test_exchanged_labels(copy, name):
  """Without digests, as in older data sets, the records tell."""
  change, word = TABLES[name]
  relabel(copy, change)
  refused(copy, word)


@pytest.mark.parametrize('name', TABLES)
def test_label_files_have_a_digest(copy, name):
  relabel(copy, TABLES[name][0], forget=False)
  refused(copy, 'labels-train.npz', 'is not the file that was written')


def test_labels_that_were_counted_otherwise(copy):
  def more(facts):
    del facts['digests']
    facts['splits']['train']['expr']['surprise'] += 1

  edit(copy, more)
  refused(copy, 'labels-train.npz', 'emojax.json counts')


def test_an_array_is_not_read_before_its_size_is_known(copy):
  """A few bytes that claim to be terabytes."""
  path = copy / 'labels-train.npz'
  with np.load(path) as found:
    names = found.files
  with zipfile.ZipFile(path, 'w') as archive:
    for name in names:
      buffer = io.BytesIO()
      header = {'descr': '<f4', 'fortran_order': False, 'shape': (10**13, 7)}
      np.lib.format.write_array_header_1_0(buffer, header)
      archive.writestr(f'{name}.npy', buffer.getvalue())
  edit(copy, lambda facts: facts.pop('digests'))
  refused(copy, '[10000000000000, 7]')


def test_a_table_unpacks_to_no_more_than_the_records(copy, monkeypatch):
  """All that is said of the file fits: the counts, the headers, the digest."""
  path, frames = copy / 'labels-train.npz', 10**8
  spec = stored.Store(copy).spec
  arrays = table_checks.layout(spec, {'records': 6, 'frames': frames})
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, (kind, shape) in arrays.items():
      dtype = np.dtype('<U1' if kind == 'U' else f'<{kind}')
      size, header = np.prod(shape) * dtype.itemsize, io.BytesIO()
      np.lib.format.write_array_header_1_0(
        header, {'descr': dtype.str, 'fortran_order': False, 'shape': shape}
      )
      archive.writestr(f'{name}.npy', header.getvalue())
      # As large as its header says, by the directory alone.
      archive.getinfo(f'{name}.npy').file_size = int(size + header.tell())

  def agree(facts):
    facts['splits']['train'].update(frames=frames)
    facts['digests'][path.name] = store.file_digest(path)

  edit(copy, agree)
  monkeypatch.setattr(np, 'load', lambda *_, **__: pytest.fail('unpacked'))
  refused(copy, path.name, 'it unpacks to 6,800,000,0', 'the records')


def test_a_table_that_is_shorter_than_its_headers_say(copy):
  path = copy / 'labels-train.npz'
  with np.load(path) as found:
    arrays = dict(found)
  with zipfile.ZipFile(path, 'w') as archive:
    for name, array in arrays.items():
      buffer = io.BytesIO()
      np.save(buffer, array)
      archive.writestr(f'{name}.npy', buffer.getvalue()[:-1])
  edit(copy, lambda facts: facts.pop('digests'))
  refused(copy, path.name, 'has 263 bytes, expected 264')


def test_errors_are_one_line_that_a_terminal_may_show(copy):
  """Names in an archive are a stranger's, too."""
  codes = '\x1b]0;title\x07\n' + 'x' * 50_000
  relabel(copy, lambda arrays: arrays.update({codes: np.ones(1)}))
  text = refused(copy, 'arrays are not those')
  assert text.isprintable()
  assert len(text) < 5000


def rewrite(folder, change, split='train'):
  """Writes a shard anew, with changed examples, and what is said of it."""
  path = store.shard_path(folder, 'rafdb', split, 0, 1)
  records = store.open_records(folder, split)
  examples = [store.parse(records[i]) for i in range(len(records))]
  for example in examples:
    change(example.features.feature)
  path.unlink()
  store.write_shard(path, [example.SerializeToString() for example in examples])

  def agree(facts):
    facts['files'][path.name] = path.stat().st_size
    facts['digests'][path.name] = store.file_digest(path)

  edit(folder, agree)


def picture(size=8, kind='PNG'):
  buffer = io.BytesIO()
  Image.new('RGB', (size, size)).save(buffer, kind)
  return buffer.getvalue()


@pytest.mark.parametrize(
  ('images', 'word'),
  [
    ([], '0 images, expected 1'),
    ([picture()] * 2, '2 images, expected 1'),
    ([picture(9)], 'an image is 9 x 9'),
    ([picture(kind='TIFF')], 'cannot be decoded'),
    ([picture(8, 'EPS')], 'cannot be decoded'),  # which runs Ghostscript
    ([b''], 'cannot be decoded'),
  ],
)
def test_records_with_other_images(copy, images, word):
  def change(feature):
    feature['image'].bytes_list.value[:] = images

  rewrite(copy, change)
  refused(copy, NAME, 'record', word)


def test_a_picture_as_large_as_the_earth(copy):
  data = bytearray(picture())
  data[16:24] = (2**16).to_bytes(4) * 2

  def change(feature):
    feature['image'].bytes_list.value[:] = [bytes(data)]

  rewrite(copy, change)
  refused(copy, NAME)


def test_records_that_are_none(copy):
  rewrite(copy, lambda feature: feature.clear())
  refused(copy, NAME, 'record 0 is damaged', 'video_id is None')


def test_a_shard_that_was_exchanged_for_one_of_the_same_size(copy):
  """The same labels with other faces: only the digest tells."""
  before = (copy / store.FILE).read_text()
  size = (copy / NAME).stat().st_size
  rewrite(copy, lambda f: f['image'].bytes_list.value.__setitem__(0, picture()))
  assert (copy / NAME).stat().st_size == size
  edit(
    copy, lambda facts: facts['digests'].update(json.loads(before)['digests'])
  )
  refused(copy, f'{NAME} is not the file that was written')


def test_more_or_less_records_than_labels(copy):
  shutil.copy(copy / NAME.replace('train', 'test'), copy / NAME)

  def agree(facts):
    facts['files'][NAME] = (copy / NAME).stat().st_size
    del facts['digests']

  edit(copy, agree)
  refused(copy, "3 records of split 'train', labels of 6")


def test_sound_that_is_not_there(affwild2_store, tmp_path):
  """Frames that would hear what is before or after the spectrogram."""
  data = stored.Store(affwild2_store)
  clips = pipeline.open_clips(affwild2_store, 'validation')
  example = data.records('validation')[0]
  for wrong in (-1, 10**6):
    example.features.feature['audio_start'].int64_list.value[0] = wrong
    with pytest.raises(store.StoreError, match='outside of its sound'):
      clips._check(0, example)
  example.features.feature['spectrum'].bytes_list.value[:] = [b'123']
  with pytest.raises(store.StoreError, match='sound cannot be read'):
    clips._check(0, example)


@pytest.mark.parametrize('name', [NAME, 'labels-train.npz'])
def test_flipped_bits(copy, honest, name):
  """Each is noticed, or changes nothing that is read."""
  edit(copy, lambda facts: facts.pop('digests'))
  whole, expected = (copy / name).read_bytes(), read(honest)
  rng = np.random.default_rng(0)
  written = np.flatnonzero(np.frombuffer(whole, np.uint8))  # not the padding
  for at in rng.choice(written, 30):
    data = bytearray(whole)
    data[at] ^= 1 << rng.integers(8)
    (copy / name).write_bytes(data)
    text = outcome(copy, expected)
    assert text is None or str(copy) in text


def test_older_data_sets_still_open(copy, honest):
  edit(copy, lambda facts: facts.pop('digests'))
  same(read(copy), read(honest))


def test_digests_are_of_the_files(honest):
  facts = json.loads((honest / store.FILE).read_text())
  assert len(facts['digests']) == 4
  for name, found in facts['digests'].items():
    data = (honest / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == found


def test_a_video_is_in_one_piece():
  """Records of a video that others come between, and frames that go back."""
  spec = store.Spec('demo', (tasks.au_task(),), 8, 1)
  names, index = np.array(['a', 'b', 'a']), np.arange(3, dtype=np.int32)
  table = frame_table.FrameTable(
    names, names, np.ones(3, np.int32), index,
    tasks.empty_targets(spec.schema, (3,)),
  )  # fmt: skip
  counts = {'au': {name: [0, 0] for name in tasks.AU12}}
  check = frame_table.table_checks.check_values
  with pytest.raises(ValueError, match='whole videos'):
    check(table, spec, counts)
  table.video_id[:] = 'a'
  check(table, spec, counts)
  table.frame_index[:] = [0, 2, 1]
  with pytest.raises(ValueError, match='increasing numbers'):
    check(table, spec, counts)
