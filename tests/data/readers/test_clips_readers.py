"""AFEW-VA, DISFA, and a user's own folders and tables."""

import fractions
import io
import json
import math
import shutil

import numpy as np
import pytest
import trees
from PIL import Image

from emojax import tasks
from emojax.data.readers import base
from emojax.data.readers.files import containers, crops, media, video


def read(tree, **kwargs):
  listing = base.scan(tree.name, tree.root, **{**tree.options, **kwargs})
  return listing, {record.key: record for record in listing.records}


def pictures(record):
  return [
    np.asarray(Image.open(io.BytesIO(data)), int) for data in base.load(record)
  ]


def levels(record):
  return [round(float(image.mean())) for image in pictures(record)]


def test_afewva(tmp_path):
  listing, records = read(trees.afewva(tmp_path), strict=True)
  assert listing.counts() == {'train': 3}
  first = records['train/001']
  va = [[-1, 0], [-0.9, 0.1], [-0.8, 0.2], [-0.7, 0.3]]
  np.testing.assert_allclose(first.targets['va'].value, va, rtol=1e-6)
  assert levels(first) == [50, 70, 90, 110]
  # Eyes 12 apart, eyes to mouth 16: a square of 32.
  assert pictures(first)[0].shape == (32, 32, 3)
  assert first.subject_id == records['train/002'].subject_id == 'same'
  _, records = read(trees.afewva(tmp_path), validation_fraction=0.5)
  # Both clips of the same actor go together.
  assert len({k.split('/')[0] for k in records if '/00' in k}) == 1


def test_afewva_joins_by_frame_name(tmp_path):
  tree = trees.afewva(tmp_path)
  (tmp_path / '01/001/00001.png').unlink()
  path = tmp_path / '01/002/002.json'
  document = json.loads(path.read_text())
  del document['frames']['00000']
  document['frames']['00001']['valence'] = 11
  path.write_text(json.dumps(document))
  (tmp_path / '12/600/second.json').write_text('{}')
  listing, records = read(tree)
  first, second = records['train/001'], records['train/002']
  assert first.frame_index.tolist() == [0, 2, 3]
  assert levels(first) == [50, 90, 110]
  assert first.targets['va'].value[1].tolist() == pytest.approx([-0.8, 0.2])
  assert second.frame_index.tolist() == [2]
  assert 'train/600' not in records
  assert listing.problems.count == 4


def test_afewva_two_images_of_a_frame(tmp_path):
  tree = trees.afewva(tmp_path)
  shutil.copy(tmp_path / '01/001/00002.png', tmp_path / '01/001/00001.jpg')
  listing, records = read(tree)
  first = records['train/001']
  assert first.frame_index.tolist() == [0, 2, 3]
  assert levels(first) == [50, 90, 110]
  (problem,) = listing.problems.items
  assert '00001.jpg, 00001.png of frame' in str(problem)


@pytest.mark.parametrize('angle', [0.0, 0.3, -0.5, 1.2])
def test_eye_line_crop_levels_the_face(angle):
  """Marks painted at eyes and mouth end up where an upright face has them."""
  points = trees.landmarks(angle, (40, 30))
  image = Image.new('L', (80, 70))
  for i, level in ((36, 255), (42, 255), (48, 128)):
    x, y = np.round(points[i]).astype(int)
    image.paste(level, (x - 1, y - 1, x + 2, y + 2))
  crop = crops.EyeLine(crops.points_from(points)).apply(image)
  assert crop.size == pytest.approx((32, 32), abs=1)
  array = np.asarray(crop)
  for x, y in ((10, 8), (22, 8), (12, 24)):
    assert array[y - 2 : y + 3, x - 2 : x + 3].max() > 80


def test_landmark_square():
  points = crops.points_from(np.array([(20, 30), (60, 50)]))
  image = Image.new('L', (100, 90))
  image.putpixel((20, 30), 255)
  crop = np.asarray(crops.LandmarkSquare(points).apply(image))
  # Side 40 + 2 * 5 % * 20; 65 % of the slack of 22 above the landmarks.
  assert crop.shape == (42, 42)
  assert np.argwhere(crop).tolist() == [[math.ceil(0.65 * 22), 1]]
  # At most the smaller side of the image, and inside it.
  wide = crops.points_from(np.array([(0, 0), (99, 89)]))
  assert crops.LandmarkSquare(wide).apply(image).size == (90, 90)


def test_disfa_joins_by_frame_number(tmp_path):
  listing, records = read(trees.disfa(tmp_path))
  assert listing.schema == (tasks.au_task(tasks.AU8),)
  for s, record in enumerate(records.values()):
    assert record.frame_index.tolist() == [0, 1, 3, 4]
    assert levels(record) == [20, 40, 80, 100]
    for n, row in zip((1, 2, 4, 5), record.targets['au'].value):
      assert row.tolist() == [float((n + a + s) % 6 >= 2) for a in range(8)]
  assert 'no image of 1 labelled frames' in listing.problems.summary()
  _, records = read(trees.disfa(tmp_path), threshold=5, validation_fraction=0.3)
  assert sum(k.startswith('validation') for k in records) == 1
  assert max(r.targets['au'].value.sum() for r in records.values()) < 9


def test_disfa_missing_and_repeated_rows(tmp_path):
  tree = trees.disfa(tmp_path)
  folder = tmp_path / 'ActionUnit_Labels/SN001'
  (folder / 'SN001_au4.txt').unlink()
  (folder / 'SN001_au1.txt').write_text('1,0\n2,5\n2,0\n4,9\n5,3\n')
  _, records = read(tree)
  mask = records['train/SN001'].targets['au'].mask
  assert mask[:, 2].tolist() == [0, 0, 0, 0]
  assert mask[:, 0].tolist() == [1, 0, 0, 1]
  assert mask[:, 1].tolist() == [1, 1, 1, 1]


def test_class_folders(tmp_path):
  tree = trees.folder_classes(tmp_path)
  listing, records = read(tree, strict=True)
  assert listing.schema == (tasks.expr_task(tasks.AFFWILD2),)
  assert listing.counts() == {'train': 6, 'validation': 3}
  clip = records['train/train/Sadness/clip']
  assert levels(clip) == [20, 40, 200]
  assert clip.targets['expr'].value.argmax(1).tolist() == [5, 5, 5]
  # A name that is no expression among expressions is left out, not a class.
  tree.image('train/hapiness/x.jpg', 3)
  listing, _ = read(tree)
  assert 'hapiness' in listing.problems.summary()
  assert listing.schema[0].labels == tasks.AFFWILD2


def test_what_is_not_read_is_said(tmp_path):
  tree = trees.folder_classes(tmp_path)
  for name in ('happy/a.HEIC', 'happy/clip/f3.gif', 'happy/notes.txt'):
    (tmp_path / 'train' / name).write_bytes(b'x')
  (tmp_path / 'train/anger/gone.jpg').symlink_to(tmp_path / 'nothing.jpg')
  (tmp_path / 'train/fear').mkdir()
  tree.image('train/anger/x1.png', 50).rename(tmp_path / 'train/anger/x1.JFIF')
  listing, records = read(tree)
  assert levels(records['train/train/anger/x1.JFIF']) == [50]
  assert listing.problems.count == 3
  text = listing.problems.summary()
  for part in ('a.HEIC: found a file .heic', 'f3.gif', 'a link to nothing'):
    assert part in text
  assert 'not read: .txt 1' in text
  assert 'without images: train/fear' in text
  with pytest.raises(base.DataError, match=r'link to nothing|a file'):
    read(tree, strict=True)


def test_classes_of_any_name(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for i, name in enumerate(('yes', 'no', 'maybe')):
    tree.image(f'{name}/x.png', 20 * i)
  listing, records = read(tree)
  assert listing.schema[0].labels == ('maybe', 'no', 'yes')
  assert {k: levels(r) for k, r in records.items()}['train/no/x.png'] == [20]
  listing, records = read(tree, classes='yes, no')
  assert listing.schema[0].labels == ('yes', 'no')
  assert set(records) == {'train/yes/x.png', 'train/no/x.png'}


def test_table(tmp_path):
  listing, records = read(trees.folder_table(tmp_path), strict=True)
  au, expr, va = listing.schema
  assert au.labels == ('AU1', 'AU12')
  assert (expr.labels, va.labels) == (tasks.AFFWILD2, ('valence', 'arousal'))
  clip = records['train/c']
  assert (clip.subject_id, clip.frame_index.tolist()) == ('eve', [1, 2, 3])
  assert levels(clip) == [20, 40, 60]
  va_values = [[-0.1, 0.1], [-0.2, 0.2], [-0.3, 0.3]]
  np.testing.assert_allclose(clip.targets['va'].value, va_values, rtol=1e-6)
  still = records['train/images/p1.png']
  assert still.targets['au'].value.tolist() == [[0.5, 1]]
  assert still.groups == ('au', 'expr')
  first = records['train/images/p0.png'].targets
  assert first['va'].mask.tolist() == [[0, 1]]
  assert records['test/images/p3.png'].split == 'test'


@pytest.mark.parametrize(
  ('header', 'row', 'match'),
  [
    ('path,joy', 'images/p0.png,1', "column 'joy'"),
    ('expression,AU1', 'anger,1', "column 'path'"),
    ('path,AU1,AU01', 'images/p0.png,1,1', 'again'),
    ('path,AU1', 'images/p0.png,2', 'AU1'),
    ('path,valence', 'images/p0.png,-5', 'valence'),
    ('path,expression', 'images/p0.png,3', 'class'),
    (
      'path,expression',
      'images/nobody.png,anger',
      r'labels.csv, line 2: found no file .*nobody.png',
    ),
    ('path,expression', 'images/p0.png,', 'no label'),
    ('path,expression,split', 'images/p0.png,anger,half', 'split'),
    ('path,expression', 'images/p0.png', '1 columns'),
    ('path,expression', 'images/p0.png,"anger', 'CSV'),
  ],
)
def test_table_errors(header, row, match, tmp_path):
  tree = trees.folder_table(tmp_path)
  tree.text('labels.csv', header, row)
  with pytest.raises(base.DataError, match=match):
    read(tree, strict=True)


def test_classes_are_different(tmp_path):
  tree = trees.folder_table(tmp_path)
  with pytest.raises(base.DataError, match="'happy' 2 times"):
    read(tree, classes='happy,happy,sad')


@pytest.mark.parametrize('frames', [('5', '', '7'), ('5', '', '1')])
def test_a_row_between_numbers_has_no_place(frames, tmp_path):
  """It is left out; nothing else is."""
  tree = trees.folder_table(tmp_path)
  rows = [f'images/p{i}.png,anger,t,{frame}' for i, frame in enumerate(frames)]
  tree.text('labels.csv', 'path,expression,clip,frame', *rows)
  listing, records = read(tree)
  (record,) = records.values()
  numbers = sorted(int(frame) for frame in frames if frame)
  assert record.frame_index.tolist() == numbers
  assert "no frame of clip 't'; expected a frame in all" in (
    listing.problems.summary()
  )
  with pytest.raises(base.DataError, match=r'line 3: .*no frame of clip'):
    read(tree, strict=True)


@pytest.mark.parametrize(
  ('header', 'row'),
  [
    ('path,split', 'images/p0.png,train'),
    ('path,expression', 'images/p0.png,'),
  ],
)
def test_a_table_without_any_label(header, row, tmp_path):
  """Nothing could be read from what would be prepared of it."""
  tree = trees.folder_table(tmp_path)
  tree.text('labels.csv', header, row)
  with pytest.raises(base.DataError, match='no label in any row'):
    read(tree, unlabelled=True)
  if 'expression' in header:  # what there could be is said
    listing, _ = read(tree, unlabelled=True, classes='a,b')
    assert listing.schema[0].labels == ('a', 'b')


def test_table_options(tmp_path):
  tree = trees.folder_table(tmp_path)
  tree.text(
    'own.tsv', 'image\tid\tlabel', 'images/p2.png\t7\t1', 'images/p1.png\t8\t'
  )
  options = {'table': 'own.tsv', 'ignore': 'id', 'classes': 'cat,dog'}
  options['first_class'] = 0
  listing, records = read(tree, **options)
  assert list(records) == ['train/images/p2.png']
  (record,) = records.values()
  assert record.targets['expr'].value.tolist() == [[0, 1]]
  listing, _ = read(tree, **options, unlabelled=True)
  assert len(listing.records) == 2


def test_two_rows_of_one_image_are_both_left_out(tmp_path):
  tree = trees.folder_table(tmp_path)
  rows = ['images/p0.png,anger', 'images/p0.png,fear', 'images/p1.png,fear']
  tree.text('labels.csv', 'path,expression', *rows)
  listing, records = read(tree)
  assert list(records) == ['train/images/p1.png']
  assert 'again' in listing.problems.summary()


def test_phone_pictures_are_turned_upright(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for name in ('yes/x.jpg', 'yes/clip/1.jpg', 'yes/clip/2.jpg'):
    path = tree.image(name, 50, (20, 10))
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
  _, records = read(tree)
  for name in ('yes/x.jpg', 'yes/clip'):
    record = records[f'train/{name}']
    for picture in pictures(record.take([len(record) - 1])):
      assert picture.shape == (20, 10, 3)


def test_natural_order():
  names = ['f10', 'f9', 'f1b', 'f1', 'a']
  assert sorted(names, key=media.natural) == ['a', 'f1', 'f1b', 'f9', 'f10']


def test_video_needs_pyav(tmp_path, monkeypatch):
  tree = trees.folder_classes(tmp_path)
  (tmp_path / 'train/happy/x.mp4').write_bytes(b'')
  monkeypatch.setattr(containers, 'available', lambda: False)
  listing, _ = read(tree)
  assert 'pip install av' in listing.problems.summary()


def make_video(path, count=12, rate=25):
  av = pytest.importorskip('av', reason='video files: pip install av')
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('mpeg4', rate=rate)
    stream.width = stream.height = 32
    stream.pix_fmt = 'yuv420p'
    for i in range(count):
      image = np.full((32, 32, 3), 20 * i, np.uint8)
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def test_broken_frame_rates_are_not_rounded(tmp_path):
  """After ten minutes of 29.97 the sound would be off by 0.6 s."""
  make_video(tmp_path / 'x.mp4', rate=fractions.Fraction(30000, 1001))
  assert video.rate(tmp_path / 'x.mp4') == pytest.approx(29.97, abs=1e-3)


def test_video_files(tmp_path):
  path = tmp_path / 'yes/x.mp4'
  path.parent.mkdir()
  make_video(path)
  _, records = read(trees.Tree('folder', tmp_path))
  record = records['train/yes/x.mp4']
  assert (len(record), record.fps, record.audio_path) == (12, 25.0, str(path))
  np.testing.assert_allclose(levels(record), 20 * np.arange(12), atol=3)
  # Backwards, too.
  np.testing.assert_allclose(levels(record.take([7, 2])), [140, 40], atol=3)
  tree = trees.Tree('folder', tmp_path)
  tree.text(
    'labels.csv',
    'path,frame,label',
    'yes/x.mp4,3,a',
    'yes/x.mp4,9,b',
    'yes/x.mp4,12,b',
  )
  listing, records = read(tree)
  (record,) = records.values()
  assert record.frame_index.tolist() == [3, 9]
  assert record.targets['expr'].value.argmax(1).tolist() == [0, 1]
  np.testing.assert_allclose(levels(record), [60, 180], atol=3)
  assert listing.problems.count == 1
  path.write_bytes(path.read_bytes()[:200])
  with pytest.raises(base.DataError):
    base.load(record)
