"""Mistakes of new users: each ends with a sentence that says what to do."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import trees
from PIL import Image

from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.readers import base, layouts
from emojax.data.store import frame_table, stored


def run(capsys, name, source, out, *more, status=1):
  """Runs the command; returns what it says."""
  arguments = [name, '--source', str(source), '--out', str(out), *more]
  assert prepare.main([*arguments, '--workers=1', '--size=16']) == status
  return ' '.join(capsys.readouterr().err.split())


def image(path, mode='RGB', color=(200, 100, 50)):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new(mode, (20, 20), color).save(path)


@pytest.mark.parametrize('kind', trees.BUILDERS)
def test_the_name_of_another_data_set(kind, tmp_path):
  tree = trees.BUILDERS[kind](tmp_path)
  # FER+ lies beside the file of FER2013.
  right = {tree.name, *({'ferplus', 'fer2013'} if 'fer' in tree.name else ())}
  for name in base.READERS.keys() - right:
    with pytest.raises(base.DataError) as caught:
      base.scan(name, tree.root)
    text = str(caught.value)
    assert str(tree.root) in text
    if name == 'folder' or name in layouts.MARKS:
      official = tree.name in layouts.MARKS
      assert not official or f'give the name {tree.name!r}' in text


def test_ferplus_without_its_votes(tmp_path, capsys):
  tree = trees.fer2013(tmp_path / 'fer')
  arguments = 'ferplus', tree.root, tmp_path / 'out'
  text = run(capsys, *arguments)
  assert f'{tree.root}/fer2013new.csv: found no such file' in text
  assert 'beside fer2013.csv' in text
  assert '`prepare fer2013` reads fer2013.csv as it is' in text
  assert "layout of 'fer2013'" not in text
  trees.ferplus(tree.root)
  assert 'is ready' in run(capsys, *arguments, status=0)


def test_two_data_sets_in_one_folder(tmp_path):
  tree = trees.ferplus(tmp_path)
  trees.cifar10(tmp_path)
  assert base.scan('ferplus', tree.root).records
  assert base.scan('cifar10', tree.root).records


@pytest.mark.parametrize('name', base.READERS)
def test_an_empty_folder(name, tmp_path):
  with pytest.raises(base.DataError, match=r'docs/datasets\.md|expected'):
    base.scan(name, tmp_path)


def test_folders_that_are_taken(tmp_path, capsys):
  tree = trees.rafdb(tmp_path / 'raf')
  before = sorted(tree.root.rglob('*'))
  text = run(capsys, 'rafdb', tree.root, tree.root)
  assert 'is not empty and holds no data set: choose another --out' in text
  assert sorted(tree.root.rglob('*')) == before
  (tmp_path / 'file').write_text('mine')
  text = run(capsys, 'rafdb', tree.root, tmp_path / 'file')
  assert 'is a file: choose another --out' in text
  assert 'Not a directory' in run(
    capsys, 'rafdb', tree.root, tmp_path / 'file' / 'out'
  )
  assert (tmp_path / 'file').read_text() == 'mine'
  text = run(capsys, 'rafdb', tmp_path / 'nowhere', tmp_path / 'out')
  assert 'nowhere: found nothing' in text
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  'more', ['--size=0', '--size=99999', '--segment_frames=0', '--workers=-1']
)
def test_numbers_out_of_range(more, tmp_path, capsys):
  tree = trees.rafdb(tmp_path / 'raf')
  arguments = ['rafdb', '--source', str(tree.root), '--out']
  assert prepare.main([*arguments, str(tmp_path / 'out'), more]) == 1
  assert ': expected 1 to 4096' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_names_in_any_script(tmp_path, capsys):
  source = tmp_path / 'ein Ordner'
  image(source / 'train' / 'glücklich' / 'Zoë ☂.png')
  image(source / 'train' / '喜び' / 'p.png', 'P', 3)
  image(source / 'train' / '喜び' / 'a.png', 'RGBA', (1, 2, 3, 0))
  image(source / 'test' / 'glücklich' / 'c.jpg', 'CMYK', (1, 2, 3, 4))
  # What macOS leaves in archives is no data.
  image(source / 'test' / 'glücklich' / 'x.png')
  (source / 'test' / 'glücklich' / '._x.png').write_bytes(b'\0\5\x16\7')
  image(source / 'train' / '__MACOSX' / 'x.png')
  text = run(capsys, 'folder', source, tmp_path / 'öut', status=0)
  assert 'glücklich 1, 喜び 2' in text
  assert 'Nothing was left out' in text
  data = pipeline.load_dataset(
    tmp_path / 'öut', splits=pipeline.Splits(val='test', test='test')
  )
  assert data.train.clip_id[0] == 'train/glücklich/Zoë ☂.png'
  assert data.schema[0].labels == ('glücklich', '喜び')
  assert data.train.image.shape == (3, 1, 16, 16, 3)


def test_wording(tmp_path, capsys):
  """Codes of missing values, one problem, lists of names, nothing at all."""
  tree = trees.affwild2(tmp_path / 'aff')
  path = tree.root / 'VA_Set' / 'Train_Set' / 'a.txt'
  lines = path.read_text().split('\n')
  path.write_text('\n'.join([lines[0], '-3,0.5', *lines[2:]]))
  text = str(base.scan('affwild2', tree.root).problems.summary())
  assert 'Left out because of 1 problem:' in text
  assert "found '-3'; expected a value in -1..1, or -5 for missing" in text
  for name in 'ab':
    image(tmp_path / 'in' / f'{name}.png')
  table = tmp_path / 'in' / 'labels.csv'
  table.write_text('path,expression\na.png,angry\nb.png,joy\n')
  text = str(base.scan('folder', table.parent).problems.summary())
  assert "found class 'joy'; expected one of neutral, anger, disgust" in text
  assert '(' not in text.split('joy')[1].split('\n')[0]
  table.write_text('path,expression\n')
  text = run(capsys, 'folder', table.parent, tmp_path / 'out')
  assert 'looked for CLASS/IMAGE, labels.csv, labels.tsv' in text


@pytest.mark.parametrize('column', ['path', 'subject', 'clip', 'expression'])
@pytest.mark.parametrize('code', ['\0', '\x1b', '\x7f', '\x85'])
def test_control_characters_in_a_table(column, code, tmp_path):
  image(tmp_path / 'a.png')
  row = {'path': 'a.png', 'subject': 'ann', 'clip': 'one', 'expression': 'joy'}
  damaged = row | {column: f'{row[column]}{code}x'}
  lines = [','.join(cells) for cells in (row, row.values(), damaged.values())]
  table = tmp_path / 'labels.csv'
  table.write_text('\n'.join(lines) + '\n', encoding='utf-8')
  with pytest.raises(base.DataError) as caught:
    base.scan('folder', tmp_path, strict=True)
  text = str(caught.value)
  assert f'{table}, line 3: found {column} {damaged[column]!r}' in text
  assert 'expected text without control characters' in text


def test_control_characters_in_names_of_files(tmp_path):
  for name in ('yes/a.png', 'yes/b\n.png', 'no/a.png'):
    image(tmp_path / name)
  listing = base.scan('folder', tmp_path)
  assert listing.counts() == {'train': 2}
  assert r"the name 'yes/b\n.png'" in listing.problems.summary()


def test_names_that_are_no_text(tmp_path, capsys):
  image(tmp_path / 'in' / 'happiness' / 'a.png')
  odd = os.fsencode(tmp_path / 'in' / 'happiness') + b'/\xff\xfe.png'
  try:
    shutil.copy(tmp_path / 'in' / 'happiness' / 'a.png', odd)
  except OSError:
    pytest.skip('this file system has names in UTF-8 only')
  text = run(capsys, 'folder', tmp_path / 'in', tmp_path / 'out', status=0)
  assert '1 x expected names of files in UTF-8' in text
  assert r'happiness/\udcff\udcfe.png' in text
  table = frame_table.load(tmp_path / 'out' / 'labels-train.npz')
  assert table.video_id.tolist() == ['happiness/a.png']


def test_images_that_are_in_no_class_folder(tmp_path, capsys):
  for name in ('in/a.png', 'in/b.png', 'in/train/c.png'):
    image(tmp_path / name)
  arguments = 'folder', tmp_path / 'in', tmp_path / 'out'
  text = run(capsys, *arguments)
  assert f'{tmp_path}/in: found 3 images and videos, none in a folder' in text
  assert 'a folder per class, SOURCE/CLASS/IMAGE' in text
  for name in ('happiness', 'sadness'):
    image(tmp_path / 'in' / 'train' / name / 'd.png')
  text = run(capsys, *arguments, '--strict')
  assert 'in/a.png: found an image outside of the class folders' in text
  text = run(capsys, *arguments, status=0)
  assert 'Left out because of 3 problems:' in text
  assert 'train/c.png: found an image outside of the class folders' in text
  assert 'of one class' not in text
  table = frame_table.load(tmp_path / 'out' / 'labels-train.npz')
  names = ['train/happiness/d.png', 'train/sadness/d.png']
  assert table.video_id.tolist() == names


def test_a_folder_too_many_or_too_few(tmp_path, capsys):
  for name in (
    'flat/all/a.png',
    'flat/all/b.png',
    'more/test/c.png',
    'more/x/c.png',
  ):
    image(tmp_path / name)
  text = run(capsys, 'folder', tmp_path / 'flat', tmp_path / 'a', status=0)
  assert "all 2 images and clips are of one class, 'all': expected" in text
  text = run(capsys, 'folder', tmp_path / 'more', tmp_path / 'b', status=0)
  assert 'folders test are read as classes, not as splits, since x' in text


def test_an_image_twice(tmp_path, capsys):
  for name in 'abc':
    image(tmp_path / 'in' / f'{name}.png')
  (tmp_path / 'in' / 'labels.csv').write_text(
    'path,expression,split\na.png,happy,train\na.png,sad,train\n'
    'b.png,happy,test\nb.png,happy,train\nc.png,sad,train\n'
  )
  arguments = 'folder', tmp_path / 'in', tmp_path / 'out'
  assert 'line 2: found a.png again' in run(capsys, *arguments, '--strict')
  text = run(capsys, *arguments, status=0)
  assert 'line 3: found a.png again' in text
  assert 'subjects in more than one split: 1, b.png' in text
  table = frame_table.load(tmp_path / 'out' / 'labels-train.npz')
  assert table.video_id.tolist() == ['b.png', 'c.png']


def test_a_file_in_two_splits(tmp_path, capsys):
  for name in 'ab':
    image(tmp_path / 'in' / f'{name}.png')
  (tmp_path / 'in' / 'labels.csv').write_text(
    'path,expression,split,subject\na.png,happy,train,one\n'
    './a.png,sad,test,two\nb.png,sad,train,one\n'
  )
  arguments = 'folder', tmp_path / 'in', tmp_path / 'out'
  text = run(capsys, *arguments, status=0)
  assert "files in more than one split: 1, such as 'a.png'" in text


@pytest.mark.parametrize(
  ('encoding', 'byte'), [('utf-16', '0xff'), ('latin-1', '0xe9')]
)
def test_a_table_that_is_no_utf_8(encoding, byte, tmp_path, capsys):
  image(tmp_path / 'in' / 'a.png')
  table = tmp_path / 'in' / 'labels.csv'
  table.write_bytes('path,expression,café\na.png,happy,x\n'.encode(encoding))
  text = run(capsys, 'folder', tmp_path / 'in', tmp_path / 'out')
  assert f'{table}, line 1: found byte {byte}' in text


def test_a_finished_folder_is_of_one_source(tmp_path, capsys):
  source = tmp_path / 'in'
  for name in 'ab':
    image(source / f'{name}.png')
  table = source / 'labels.csv'
  text = 'path,expression,split\na.png,happy,train\nb.png,sad,train\n'
  table.write_text(text)
  arguments = 'folder', source, tmp_path / 'out'
  assert 'is ready' in run(capsys, *arguments, status=0)
  assert 'is finished already' in run(capsys, *arguments, status=0)
  table.write_text(text.replace('happy', 'sad'))
  assert 'the source has changed since' in run(capsys, *arguments)
  table.write_text(text)
  assert 'is finished already' in run(capsys, *arguments, status=0)
  shutil.rmtree(source)
  assert f'{source} is gone' in run(capsys, *arguments, status=0)


def test_pictures_of_the_same_names(tmp_path, capsys):
  """Those of another folder, or others in the same one, are another source."""
  for folder, color in (('raw', (1, 2, 3)), ('aligned', (3, 2, 1))):
    for name in 'ab':
      path = tmp_path / folder / 'happiness' / f'{name}.png'
      image(path, color=color)
  out = tmp_path / 'out'
  assert 'is ready' in run(capsys, 'folder', tmp_path / 'raw', out, status=0)
  said = run(capsys, 'folder', tmp_path / 'aligned', out)
  assert 'was made from another source' in said
  moved = shutil.move(tmp_path / 'raw', tmp_path / 'moved')
  said = run(capsys, 'folder', moved, out, status=0)
  assert 'is finished already' in said
  # A set that was prepared before there was such a sample is not refused.
  about = json.loads((out / 'emojax.json').read_text())
  del about['settings']['contents']
  (out / 'emojax.json').write_text(json.dumps(about))
  said = run(capsys, 'folder', tmp_path / 'aligned', out, status=0)
  assert 'is finished already' in said


def test_output_among_the_images(tmp_path, capsys):
  image(tmp_path / 'in' / 'happiness' / 'a.png')
  out = tmp_path / 'in' / 'prepared'
  assert 'choose a folder outside' in run(
    capsys, 'folder', tmp_path / 'in', out
  )
  assert not out.exists()


def test_nothing_that_can_be_used_can_be_mended(tmp_path, capsys):
  path = tmp_path / 'in' / 'happiness' / 'a.png'
  image(path)
  whole = path.read_bytes()
  path.write_bytes(whole[:20])
  arguments = 'folder', tmp_path / 'in', tmp_path / 'out'
  text = run(capsys, *arguments)
  assert f"nothing in split 'train' that can be used ({path}: found" in text
  assert '_io' not in text
  path.write_bytes(whole)
  assert 'is ready' in run(capsys, *arguments, status=0)
  clips = pipeline.open_clips(tmp_path / 'out', 'train')
  expected = np.full((16, 16, 3), (200, 100, 50))
  np.testing.assert_allclose(clips.take([0]).image[0, 0], expected, atol=3)


def test_sound_of_stills(tmp_path, capsys):
  tree = trees.rafdb(tmp_path / 'raf')
  text = run(capsys, 'rafdb', tree.root, tmp_path / 'out', '--audio=mfcc')
  assert "no sound file for 'train_00001'" in text


def test_names_of_folders_that_are_no_text(tmp_path, capsys):
  """Not after all shards are written: classes bear the names of folders."""
  source = tmp_path / 'in'
  for name in ('one', 'two'):
    image(source / name / 'a.png')
  try:
    odd = os.fsencode(source) + b'/\xff\xfe'
    os.mkdir(odd)
    shutil.copy(source / 'one' / 'a.png', odd + b'/a.png')
    os.mkdir(os.fsencode(source / 'two') + b'/\xff')
  except OSError:
    pytest.skip('this file system has names in UTF-8 only')
  text = run(capsys, 'folder', source, tmp_path / 'out', status=0)
  assert '1 x expected names of files in UTF-8' in text
  table = frame_table.load(tmp_path / 'out' / 'labels-train.npz')
  assert table.video_id.tolist() == ['one/a.png', 'two/a.png']
  assert table.targets['expr'].value.shape == (2, 2)


def test_folders_in_any_bytes(tmp_path, capsys):
  """The folder of the source may have any name, that of the result any text."""
  source = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b'/\xff'), 'in')
  try:
    source.mkdir(parents=True)
  except OSError:
    pytest.skip('this file system has names in UTF-8 only')
  for name in ('one', 'two'):
    image(source / name / 'a.png')
  text = run(capsys, 'folder', source, source.parent / 'out')
  assert r'\udcff/out: choose a folder with a name in UTF-8' in text
  arguments = 'folder', source, tmp_path / '[' / 'x]'  # [/x] would be markup
  assert 'is ready' in run(capsys, *arguments, status=0)
  assert '[/x] is finished already' in run(capsys, *arguments, status=0)
  shutil.rmtree(source)
  assert r'[/x] is finished; ' in run(capsys, *arguments, status=0)


def test_a_source_that_is_a_link_to_itself(tmp_path, capsys):
  (tmp_path / 'x').symlink_to('x')
  text = run(capsys, 'folder', tmp_path / 'x', tmp_path / 'out')
  assert 'found nothing' in text


def test_damaged_pictures_are_counted(tmp_path, capsys):
  for name in ('one', 'two'):
    image(tmp_path / 'in' / name / 'a.jpg')
  path = tmp_path / 'in' / 'one' / 'b.jpg'
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
  Image.fromarray(noise).save(path)
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2] + b'\xff\xd9')
  text = run(capsys, 'folder', tmp_path / 'in', tmp_path / 'out', status=0)
  assert 'b.jpg: found a damaged JPEG (premature end of data segment)' in text
  assert 'Left out because of 1 problem' in text


def test_classes_of_any_printable_name(tmp_path, capsys):
  """Also those that a spreadsheet would take for formulas: tables defuse them."""
  names = ('+', '-1', '=x', 'V-A', 'sehr fröhlich (laut)', '喜び')
  for i, name in enumerate(names):
    image(tmp_path / 'in' / name / 'a.png', color=(40 * i, 0, 0))
  run(capsys, 'folder', tmp_path / 'in', tmp_path / 'out', status=0)
  spec = stored.Store(tmp_path / 'out').spec
  assert spec.schema[0].labels == tuple(sorted(names))


@pytest.mark.parametrize('name', ['a\u00a0b', 'a\u202eb', 'a\u200db', 'a\tb'])
def test_classes_that_nobody_could_open(name, tmp_path, capsys):
  """They are refused before all images are written, not when they are read."""
  for other in ('b', name):
    image(tmp_path / 'in' / other / 'a.png')
  if '\t' in name:  # a folder that is passed over
    text = run(capsys, 'folder', tmp_path / 'in', tmp_path / 'out', status=0)
    assert 'text without control characters' in text
    return
  text = run(capsys, 'folder', tmp_path / 'in', tmp_path / 'out')
  assert f'the name {name!r} of a class or label; expected printable' in text
  assert not (tmp_path / 'out').exists()
