import io

import numpy as np
import pytest
import trees
from PIL import Image

from emojax import tasks
from emojax.data.readers import base


def read(tree, **kwargs):
  listing = base.scan(tree.name, tree.root, **kwargs)
  return listing, {record.key: record for record in listing.records}


@pytest.mark.parametrize('train', ['Train_Set', 'Training_Set'])
@pytest.mark.parametrize('aus', [tasks.AU12, tasks.AU8])
def test_both_releases(train, aus, tmp_path):
  listing, records = read(trees.affwild2(tmp_path, train, aus), strict=True)
  assert listing.schema[0].labels == aus
  assert set(records) == {
    'train/a',
    'train/b_left',
    'train/b_right',
    'validation/a',
  }
  a = records['train/a']
  # Frame 1: no AU label and no VA label; frame 2: no image.
  assert a.frame_index.tolist() == [0, 3, 4, 5]
  assert a.groups == ('au', 'va')
  # One missing AU drops the frame's AUs, as the published code does.
  assert a.targets['au'].mask[:, 0].tolist() == [1, 1, 0, 1]
  assert a.targets['au'].value.argmax(1).tolist() == [0, 3, 0, 5]
  va = [[0.602, 0.389], [0, 0], [0, 0], [-1, -1]]
  np.testing.assert_allclose(a.targets['va'].value, va)
  assert a.targets['va'].mask.tolist() == [[1, 1], [0, 0], [1, 1], [1, 1]]


def test_labels_sit_at_their_images(tmp_path):
  _, records = read(trees.affwild2(tmp_path))
  for record in records.values():
    for n, data in zip(record.frame_index, base.load(record)):
      level = np.asarray(Image.open(io.BytesIO(data))).mean()
      assert abs(level - 20 * (n + 1)) <= 1
  left, right = records['train/b_left'], records['train/b_right']
  assert left.targets['expr'].value.argmax(1).tolist() == [0, 1, 2]
  assert right.frame_index.tolist() == [1, 2]
  assert right.targets['expr'].value.argmax(1).tolist() == [5, 4]
  assert records['validation/a'].groups == ('expr',)


def test_partial_action_units_and_unlabelled_frames(tmp_path):
  tree = trees.affwild2(tmp_path)
  _, records = read(tree, partial_aus=True, keep_unlabelled=True)
  a = records['train/a']
  assert a.frame_index.tolist() == [0, 1, 3, 4, 5]
  assert a.targets['au'].mask[3].sum() == 11
  assert a.targets['au'].mask[1].sum() == 0


def test_columns_are_found_by_name(tmp_path):
  tree = trees.affwild2(tmp_path)
  path = tree.root / 'VA_Set/Train_Set/a.txt'
  path.write_text('arousal,valence\n0.1,0.9\n')
  path = tree.root / 'EXPR_Set/Train_Set/b_left.txt'
  path.write_text(
    'Surprise,Anger,Disgust,Fear,Happiness,Sadness,Neutral\n0\n6\n'
  )
  path = tree.root / 'AU_Set/Train_Set/a.txt'
  path.write_text(','.join(reversed(tasks.AU12)) + '\n' + '1' + ',0' * 11)
  _, records = read(tree)
  a = records['train/a'].targets
  assert a['va'].value[0].tolist() == pytest.approx([0.9, 0.1])
  assert a['au'].value[0].tolist() == [0] * 11 + [1]
  names = records['train/b_left'].targets['expr'].value.argmax(1)
  assert [tasks.AFFWILD2[n] for n in names] == ['surprise', 'neutral']


@pytest.mark.parametrize(
  ('name', 'header', 'match'),
  [
    ('AU_Set/Train_Set/a.txt', 'AU1,AU2,AU99', 'AU99'),
    ('AU_Set/Train_Set/a.txt', 'AU1,AU1', 'only once'),
    ('EXPR_Set/Train_Set/b_left.txt', 'Neutral,Joy', 'joy'),
    ('EXPR_Set/Train_Set/b_left.txt', 'Neutral,Anger', 'header'),
    ('VA_Set/Train_Set/a.txt', 'valence,dominance', 'dominance'),
    ('VA_Set/Train_Set/a.txt', '0.1,0.2', '0.1'),
  ],
)
def test_unknown_columns(name, header, match, tmp_path):
  tree = trees.affwild2(tmp_path)
  lines = (tree.root / name).read_text().split('\n')
  (tree.root / name).write_text('\n'.join([header, *lines[1:]]))
  with pytest.raises(base.DataError, match=match):
    read(tree, strict=True)
  listing, _ = read(tree)
  assert listing.problems.count >= 1


@pytest.mark.parametrize(
  ('row', 'rest'),
  [
    ('7', True),  # out of range, but certainly one row
    ('nan', True),
    ('', False),  # a blank line: was a row added or lost?
    ('34', False),  # two rows run together
    ('3,4', False),
    ('-', False),  # a row cut in two
  ],
)
def test_a_broken_row_never_shifts_the_others(row, rest, tmp_path):
  tree = trees.affwild2(tmp_path)
  path = tree.root / 'EXPR_Set/Validation_Set/a.txt'
  lines = path.read_text().split('\n')
  lines[2] = row
  path.write_text('\n'.join(lines))
  listing, records = read(tree)
  record = records['validation/a']
  labels = dict(
    zip(record.frame_index.tolist(), record.targets['expr'].value.argmax(1))
  )
  assert labels == ({0: 1, 3: 4, 4: 5, 5: 6} if rest else {0: 1})
  (problem,) = listing.problems.items
  assert (problem.file, problem.line) == (str(path), 3)
  assert ('rest of the file' in problem.expected) == (not rest)


def test_eighth_class_of_later_releases_is_no_label(tmp_path):
  tree = trees.affwild2(tmp_path)
  names = ','.join((*tasks.AFFWILD2, 'Other'))
  path = tree.root / 'EXPR_Set/Train_Set/b_left.txt'
  path.write_text(f'{names}\n7\n6\n')
  _, records = read(tree)
  assert records['train/b_left'].frame_index.tolist() == [1]


def test_missing_images_of_a_video(tmp_path):
  tree = trees.affwild2(tmp_path)
  folder = tree.root / 'cropped_aligned/b_left'
  folder.rename(tree.root / 'cropped_aligned/somebody')
  listing, records = read(tree)
  assert 'train/b_left' not in records
  assert 'b_left' in listing.problems.summary()


def test_batches_audio_video_and_test_list(tmp_path):
  tree = trees.affwild2(tmp_path)
  batch = tree.root / 'cropped_aligned/batch1'
  batch.mkdir()
  (tree.root / 'cropped_aligned/a').rename(batch / 'a')
  for name in ('audio/b.wav', 'videos/batch2/b.mp4', 'videos/batch1/a.avi'):
    (tree.root / name).parent.mkdir(parents=True, exist_ok=True)
    (tree.root / name).write_bytes(b'')
  tree.image('cropped_aligned/c/00001.jpg', 20)
  tree.text('test_set/test_set_VA_Challenge.txt', 'c', 'd')
  listing, records = read(tree, fps=25)
  assert records['train/a'].audio_path.endswith('a.avi')
  assert records['train/b_left'].audio_path.endswith('b.wav')
  assert records['test/c'].groups == ()
  assert {r.fps for r in records.values()} == {25.0}
  assert ['d' in p.found for p in listing.problems.items] == [True]
  assert 'more than one split' in listing.problems.summary()


def test_media_behind_links_and_hidden_files(tmp_path):
  tree = trees.affwild2(tmp_path / 'tree')
  disk = tmp_path / 'disk'
  disk.mkdir()
  for name in ('a.wav', 'b.wav', '._a.mp4'):
    (disk / name).write_bytes(b'x')
  (tmp_path / 'tree/audio').mkdir()
  (tmp_path / 'tree/audio/batch1').symlink_to(disk)
  (disk / 'circle').symlink_to(tmp_path / 'tree/audio')
  _, records = read(tree, strict=True)
  assert records['train/a'].audio_path.endswith('audio/batch1/a.wav')
  assert records['train/b_left'].audio_path.endswith('audio/batch1/b.wav')


def test_two_releases_in_one_folder(tmp_path):
  trees.affwild2(tmp_path, 'Train_Set')
  with pytest.raises(base.DataError, match='one release'):
    read(trees.affwild2(tmp_path, 'Training_Set'))


def test_what_has_no_counterpart_is_counted(tmp_path):
  tree = trees.affwild2(tmp_path)
  for name in ('a/00009.jpg', 'a/00010.jpg', 'nobody/00001.jpg'):
    tree.image(f'cropped_aligned/{name}', 20)
  listing, records = read(tree, strict=True)
  summary = listing.problems.summary()
  # Images 9 and 10 of a are in two splits; frames 3 and 7 of a, 5 of b_left,
  # 1 and 4 of b_right have labels and no image.
  assert '4 images beyond the rows of their label files' in summary
  assert '7 labelled frames without an image' in summary
  # Of a (train) image 2; of b_left 4; of b_right 5.
  assert '3 images without a valid label' in summary
  assert 'test list names: 1, nobody' in summary
  images = sum(len(list(tmp_path.glob(f'cropped_aligned/{v}/*'))) for v in 'a')
  assert len(records['train/a']) == images - 3
  summary = read(tree, keep_unlabelled=True)[0].problems.summary()
  assert 'valid label' not in summary
  assert 'beyond' not in summary
