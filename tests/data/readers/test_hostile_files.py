"""Files made to hang, crash or mislead a reader: refused in a sentence."""

import contextlib
import gzip
import os
import pickle
import signal
import struct
import zipfile

import numpy as np
import pytest
import trees
from test_readers_fuzz import labels

from emojax import tasks
from emojax.data.readers import base
from emojax.data.readers.files import (
  arrays,
  folders,
  frames,
  pickles,
  tables,
)
from emojax.data.readers.files.problems import DataError, Problems


@contextlib.contextmanager
def within(seconds):
  """Raises TimeoutError if something takes longer."""

  def late(*_):
    raise TimeoutError(f'more than {seconds} s')

  before = signal.signal(signal.SIGALRM, late)
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def scan(tree, **options):
  return base.scan(tree.name, tree.root, **{**tree.options, **options})


def shared_lists(depth=26):
  """166 bytes or so that stand for 4 ** 26 lists."""
  body = b'\x80\x02]q\x00'
  for i in range(depth):
    body += b'](' + (b'h' + bytes([i])) * 4 + b'eq' + bytes([i + 1])
  return body + b'.'


def shared_tuples(depth=80, key=False):
  """As shared_lists; to hash the last one never ends."""
  body = b'\x80\x02' + b'}' * key + b'K\x01\x85q\x00'
  for i in range(depth):
    body += b'h' + bytes([i]) + b'\x86q' + bytes([i + 1])
  return body + b'K\x01s' * key + b'.'


BOMBS = {
  'lists': shared_lists(),
  'tuples': shared_tuples(),
  'a key': shared_tuples(key=True),
  'a list in itself': b'\x80\x02]q\x00h\x00a.',
  'a dictionary in itself': b'\x80\x02}q\x00K\x01h\x00s.',
  'a hidden list': b'\x80\x02]K\x010q\x00](h\x00h\x00e.',
  'a deep list': b'\x80\x02' + b'](' * 100_000 + b'e' * 100_000 + b'.',
}


@pytest.mark.parametrize('name', BOMBS)
def test_pickles_that_never_end(name, tmp_path):
  tree = trees.cifar10(tmp_path)
  tree.options['noise'] = 'clean'
  path = tree.root / 'cifar-10-batches-py/data_batch_1'
  path.write_bytes(BOMBS[name])
  with within(20):
    listing = scan(tree)
  assert {r.video_id for r in listing.records if r.split == 'train'} == {
    f'train_{10_000 + i}' for i in range(4)
  }
  assert f'{path}: found no safe pickle' in listing.problems.summary()


def test_labels_that_never_end(tmp_path):
  """A label is shown in a message: that must end, too."""
  tree = trees.cifar10(tmp_path)
  tree.options['noise'] = 'clean'
  path = tree.root / 'cifar-10-batches-py/data_batch_1'
  batch = pickle.loads(path.read_bytes())
  batch[b'labels'][1] = 1 << 40_000  # Python writes no such number
  batch[b'labels'][2] = [[0] * 1000] * 1
  path.write_bytes(pickle.dumps(batch, 2))
  text = scan(tree).problems.summary()
  assert 'label a number of thousands of digits of image 1' in text
  assert max(map(len, text.split('\n'))) < 400


STATES = {
  'a function': b'\x80\x02c_codecs\nencode\n}U\x05ownerK\x01sb.',
  'slots of a function': b'\x80\x02c_codecs\nencode\nN}U\x05ownerK\x01s\x86b.',
  'a class': b'\x80\x02cnumpy\ndtype\n}U\x05ownerK\x01sb.',
  'slots of a class': b'\x80\x02cnumpy\nndarray\nN}U\x05ownerK\x01s\x86b.',
  'a list': b'\x80\x02]}U\x05ownerK\x01sb.',
  'a number': b'\x80\x02K\x01}U\x05ownerK\x01sb.',
}


@pytest.mark.parametrize('name', STATES)
def test_pickles_change_nothing_in_the_process(name):
  before = {key: dict(vars(v)) for key, v in pickles._NAMES.items()}
  with pytest.raises(DataError, match='no safe pickle'):
    pickles.loads(STATES[name], 'x')
  assert {key: dict(vars(v)) for key, v in pickles._NAMES.items()} == before


def test_text_that_is_encoded_again_and_again():
  text = b'X' + struct.pack('<I', 1 << 20) + b'a' * (1 << 20) + b'q\x00'
  name = b'c_codecs\nencode\nq\x01'
  call = b'h\x01h\x00U\x06latin1\x86R'
  data = b'\x80\x02' + text + name + b'(' + call * 20_000 + b'l.'
  with within(20), pytest.raises(DataError, match='encoded many times'):
    pickles.loads(data, 'x')


def test_headers_of_arrays_are_compared_with_their_data(tmp_path):
  path = tmp_path / 'x.npy'
  np.save(path, np.zeros(3, np.uint8))
  data = path.read_bytes()
  for shape in ('(9999999999,)', '(-1,)', '(2,)', '()'):
    path.write_bytes(data.replace(b'(3,)', shape.encode(), 1))
    with pytest.raises(DataError, match='no array'):
      arrays.load_npy(path)
  np.save(path, np.array([{}], object))
  with pytest.raises(DataError, match='no array'):
    arrays.load_npy(path)


def test_an_archive_of_arrays_may_not_grow_without_bound(tmp_path, monkeypatch):
  path = tmp_path / 'x.npz'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('a.npy', bytes(10_000_000))
  monkeypatch.setattr(arrays, 'MAX_BYTES', 1 << 20)
  with pytest.raises(DataError, match='an archive of 10,000,000 bytes'):
    arrays.load_npz(path)
  path = tmp_path / 'x.pt'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('x/data.pkl', bytes(10_000_000))
  with pytest.raises(DataError, match='an archive of 10,000,000 bytes'):
    pickles.load_torch(str(path))


def idx(shape, data):
  return bytes((0, 0, 8, len(shape))) + np.array(shape, '>u4').tobytes() + data


def test_idx_files_are_read_as_far_as_their_header_says(tmp_path, monkeypatch):
  tree = trees.fashion_mnist(tmp_path)
  path = tree.root / 'train-images-idx3-ubyte.gz'
  path.write_bytes(gzip.compress(idx((2**31, 2**20, 2**20), b'')))
  assert (
    'a header that announces (2147483648, ' in scan(tree).problems.summary()
  )
  # A bomb: two pictures, and then zeros without end.
  path.write_bytes(gzip.compress(idx((2, 28, 28), bytes(50_000_000))))
  taken = []
  read = gzip.GzipFile.read
  monkeypatch.setattr(
    gzip.GzipFile, 'read', lambda file, n=-1: taken.append(n) or read(file, n)
  )
  assert 'more than 1568 bytes' in scan(tree).problems.summary()
  assert 0 < max(taken) <= 1568
  assert min(taken) > 0


@pytest.mark.parametrize(
  'kind', ['affectnet', 'folder_table', 'rafdb', 'affwild2']
)
def test_fields_without_end(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  before = labels(scan(tree))
  path = tree.tables[0]
  rows = path.read_text().split('\n')
  rows[1] = 'x' * 200_000 + rows[1]
  path.write_text('\n'.join(rows))
  listing = scan(tree)
  assert {k: v for k, v in labels(listing).items() if before.get(k) != v} == {}
  text = listing.problems.summary()
  assert 'line 2' in text
  assert len(text) < 10_000
  path.write_text('x' * (3 << 20))
  with contextlib.suppress(DataError):
    assert len(scan(tree).problems.summary()) < 10_000


def zeros(path):
  path.symlink_to('/dev/zero')


def terabyte(path):
  path.touch()
  os.truncate(path, 1 << 40)  # takes no place on the disk


@pytest.mark.parametrize('kind', trees.BUILDERS)
@pytest.mark.parametrize('make', [os.mkfifo, zeros, terabyte])
def test_files_that_wait_or_never_end(kind, make, tmp_path):
  """Whatever a file is, reading ends, and soon."""
  tree = trees.BUILDERS[kind](tmp_path)
  before = labels(scan(tree))
  files = [p for p in sorted(tree.root.rglob('*')) if p.is_file()]
  for path in files if len(files) < 20 else files[:: len(files) // 20]:
    if path.suffix in ('.mp4', '.avi'):
      continue  # FFmpeg reads no further than it has to
    data = path.read_bytes()
    path.unlink()
    make(path)
    with within(20), contextlib.suppress(DataError):
      for record in scan(tree).records[:3]:
        with contextlib.suppress(DataError):
          record.frames[0].encoded()
    path.unlink()
    path.write_bytes(data)
  assert labels(scan(tree)) == before


@pytest.mark.parametrize('make', [os.mkfifo, zeros, terabyte, os.mkdir])
@pytest.mark.parametrize(
  'read',
  [
    lambda path: arrays.load_npy(path),
    lambda path: arrays.load_npz(path),
    lambda path: arrays.read_idx(str(path)),
    lambda path: pickles.load(str(path)),
    lambda path: tables.header(path),
    lambda path: list(tables.lines(path, Problems())),
    lambda path: frames.ImageFile(str(path)).encoded(),
    lambda path: frames.CsvPixels(str(path), 0, 9, 0).image(),
  ],
)
def test_what_never_ends_is_no_file(make, read, tmp_path):
  make(tmp_path / 'file')
  with within(20), pytest.raises(DataError, match=r'file: found .*(fold|byte)'):
    read(tmp_path / 'file')


TEXTS = sorted(set(trees.BUILDERS) - {'folder_classes'})


@pytest.mark.parametrize('kind', TEXTS)
@pytest.mark.parametrize('change', ['bom', 'crlf', 'cr'])
def test_other_beginnings_and_ends_of_lines(kind, change, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  before = labels(scan(tree))
  for path in tree.tables:
    data = path.read_bytes()
    end = {'bom': b'\n', 'crlf': b'\r\n', 'cr': b'\r'}[change]
    mark = b'\xef\xbb\xbf' if change == 'bom' else b''
    path.write_bytes(mark + data.replace(b'\n', end))
  if change == 'cr' and kind in ('fer2013', 'ferplus'):
    with pytest.raises(DataError, match=r'fer2013\.csv: found line ends of CR'):
      scan(tree)
    return
  listing = scan(tree)
  assert labels(listing) == before


def test_where_a_file_ends_its_lines():
  assert tables.split(b'a\rb\nc') == [b'a\rb', b'c']
  assert tables.split(b'a\rb\r') == [b'a', b'b', b'']
  assert tables.split(b'a') == [b'a']


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_links_to_themselves(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path / 'data')
  before = labels(scan(tree))
  for folder in [p for p in (tree.root, *tree.root.rglob('*')) if p.is_dir()]:
    for name in ('self', 'self.jpg', 'self.txt', 'self.csv', '12'):
      if not (folder / name).exists():
        (folder / name).symlink_to(name)
  listing = scan(tree)
  assert labels(listing) == before


def test_a_source_that_is_a_link_to_itself(tmp_path):
  (tmp_path / 'x').symlink_to('x')
  with pytest.raises(DataError, match='x: found nothing'):
    base.scan('rafdb', tmp_path / 'x')
  assert folders.names_in(tmp_path / 'x') == set()


ODD = os.fsdecode(b'odd\xff\xfe')


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_names_that_are_no_utf_8(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path / 'data')
  before = labels(scan(tree))
  picture = (tree.images or [tmp_path / 'none'])[0]
  data = picture.read_bytes() if tree.images else b''
  places = [p for p in (tree.root, *tree.root.rglob('*')) if p.is_dir()]
  ends = ('.jpg', '.png', '.txt', '_exp.npy')
  try:
    # Another picture in the folder of a clip is another frame.
    for folder in [place for place in places if place.name != 'clip']:
      (folder / f'{ODD}dir').mkdir()
      for end in ends:
        (folder / f'{ODD}{end}').write_bytes(data)
        (folder / f'{ODD}dir' / f'x{end}').write_bytes(data)
  except OSError:
    pytest.skip('this file system has names in UTF-8 only')
  listing = scan(tree)
  after = labels(listing)
  assert after == {k: v for k, v in before.items() if k in after}
  assert len(after) == len(before)
  listing.problems.summary().encode()
  for record in listing.records:
    record.video_id.encode()
  for task in listing.schema:
    '\n'.join(task.labels).encode()


def test_messages_are_one_line_that_a_terminal_may_show():
  problems = Problems()
  problems.note('a folder\n\x1b[31m\udcff')
  with problems.at('x\n\x1b]0;owned\x07'):
    raise DataError('a' * 10**6 + '\n', 'b\r')
  text = problems.summary()
  assert len(text) < 5000
  assert all(code == '\n' or code.isprintable() for code in text)
  assert text.count('\n') == 3


def test_class_names_of_cifar10_that_are_no_text(tmp_path):
  tree = trees.cifar10(tmp_path)
  path = tree.root / 'cifar-10-batches-py/batches.meta'
  for name in (b'\xff\xfe', 1 << 40_000, ['x'] * 9, None):
    names = [*tasks.CIFAR10[:9], name]
    path.write_bytes(pickle.dumps({'label_names': names}, 2))
    with pytest.raises(DataError, match='label names'):
      scan(tree)
