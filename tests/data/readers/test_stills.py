"""RAF-DB, ExpW, AffectNet, CIFAR-10 and Fashion-MNIST."""

import io
import os
import pathlib
import pickle

import numpy as np
import pytest
import trees
from PIL import Image

from emojax import tasks
from emojax.data.readers import base
from emojax.data.readers.files import pickles


def read(tree, **kwargs):
  listing = base.scan(tree.name, tree.root, **{**tree.options, **kwargs})
  return listing, {record.key: record for record in listing.records}


def number(record, targets='targets'):
  return int(getattr(record, targets)['expr'].value[0].argmax())


def picture(record):
  return np.asarray(Image.open(io.BytesIO(base.load(record)[0])), int)


def test_rafdb_trains_on_noise_and_tests_on_clean_labels(tmp_path):
  tree = trees.rafdb(tmp_path)
  listing, records = read(tree, strict=True)
  clean = [i % 7 for i in range(9)]
  assert [number(r, 'clean_targets') for r in records.values()] == clean
  noisy = [0, 6, 2, 3, 4, 0, *clean[6:]]
  assert [number(r) for r in records.values()] == noisy
  assert listing.counts() == {'train': 6, 'test': 3}
  assert '2 of 6 training labels (33.33%)' in listing.problems.summary()
  assert '12,271 in the official files' in listing.problems.summary()
  _, records = read(tree, noise_file='')
  assert [number(r) for r in records.values()] == clean
  assert all(r.clean_targets is None for r in records.values())


def test_rafdb_noise_file_of_other_images(tmp_path):
  tree = trees.rafdb(tmp_path)
  tree.text('EmoLabel/noise02.txt', 'train_00001.jpg 2', 'train_99999.jpg 2')
  listing, records = read(tree, noise_file='EmoLabel/noise02.txt')
  # No noisy label: not in the training split, rather than with a clean one.
  assert listing.counts() == {'train': 1, 'test': 3}
  assert listing.problems.count == 6
  assert number(records['train/train_00001']) == 1


def test_rows_of_one_name_are_both_left_out(tmp_path):
  tree = trees.rafdb(tmp_path)
  path = tree.tables[0]
  path.write_text(path.read_text().replace('train_00003', 'train_00004'))
  listing, records = read(tree, noise_file='')
  assert {'train/train_00003', 'train/train_00004'}.isdisjoint(records)
  assert len(records) == 7
  assert 'both are left out' in listing.problems.summary()


def test_expw_keeps_the_faces_of_an_image_apart(tmp_path):
  tree = trees.expw(tmp_path)
  _, records = read(tree, strict=True)
  first, second = records['train/img_2.jpg#0'], records['train/img_2.jpg#1']
  assert (number(first), number(second)) == (2, 6)
  assert picture(first).shape == (20, 20, 3)
  assert abs(picture(first).mean() - 40) < 5
  # Box 25..40 x 5..20 (top left right bottom in the file).
  assert picture(second).shape == (15, 15, 3)
  assert abs(picture(second).mean() - 200) < 5
  listing, _ = read(tree, min_confidence=50)
  assert len(listing.records) == 6


def test_random_split_keeps_an_image_together(tmp_path):
  tree = trees.expw(tmp_path)
  splits = set()
  for seed in range(20):
    _, records = read(tree, validation_fraction=0.5, seed=seed)
    assert sum(k.startswith('validation') for k in records) in (3, 4)
    pair = {k.split('/')[0] for k in records if 'img_2' in k}
    assert len(pair) == 1
    splits |= pair
  assert splits == {'train', 'validation'}
  again = read(tree, validation_fraction=0.5, seed=19)[1]
  assert list(again) == list(records)
  with pytest.raises(base.DataError, match='share'):
    read(tree, validation_fraction=1.0)


@pytest.mark.parametrize('box', ['90 90 99 99', '-9 -9 0 0', '0 0 99999 99999'])
def test_a_box_beside_the_image(box, tmp_path):
  tree = trees.expw(tmp_path)
  tree.text('label/label.lst', f'img_1.jpg 0 {box} 1 0')
  _, (record,) = (lambda pair: (pair[0], list(pair[1].values())))(read(tree))
  with pytest.raises(base.DataError, match=r'img_1\.jpg'):
    base.load(record)


def test_affectnet_csv(tmp_path):
  tree = trees.affectnet(tmp_path)
  listing, records = read(tree, strict=True)
  # Uncertain (9) and no face (10) have no valence either; none (8) has.
  assert listing.counts() == {'train': 9, 'validation': 3}
  none = records['train/0/t8.jpg'].targets
  assert none['expr'].mask[0] == 0
  assert none['va'].value[0].tolist() == pytest.approx([0.8, -0.5])
  assert number(records['validation/2/v2.jpg']) == 2
  assert picture(records['train/1/t1.jpg']).shape == (40, 50, 3)
  assert picture(read(tree, crop='none')[1]['train/1/t1.jpg']).shape == (
    64,
    64,
    3,
  )
  listing, _ = read(tree, keep_unclassified=False)
  assert listing.counts()['train'] == 8
  assert 'none 1, uncertain 1, no face 1' in listing.problems.summary()


def test_affectnet_names_no_file_outside(tmp_path):
  tree = trees.affectnet(tmp_path / 'given')
  trees.Tree('affectnet', tmp_path).image('mine/photo.jpg', 9)
  path = tree.root / 'training.csv'
  lines = path.read_text().splitlines()
  root = tree.root / 'Manually_Annotated_Images'
  for name in (tmp_path / 'mine/photo.jpg', '../../mine/photo.jpg'):
    assert (root / name).is_file()
    line = lines[1].replace('0/t0.jpg', str(name))
    path.write_text('\n'.join([*lines, line]) + '\n')
    with pytest.raises(
      base.DataError, match=r'no image .*photo\.jpg.; expected'
    ):
      read(tree, strict=True)


def test_faces_of_one_picture_are_no_strangers(tmp_path):
  tree = trees.affectnet(tmp_path)
  path = tmp_path / 'training.csv'
  lines = path.read_text().splitlines()
  path.write_text(
    '\n'.join([*lines, lines[1].replace(',4,6,50', ',9,6,50')]) + '\n'
  )
  _, records = read(tree, strict=True)
  faces = [name for name in records if name.startswith('train/0/t0.jpg')]
  assert len(faces) == 2
  assert {records[name].subject_id for name in faces} == {'0/t0.jpg'}


def test_affectnet_columns_by_name(tmp_path):
  tree = trees.affectnet(tmp_path)
  _, before = read(tree)
  path = tmp_path / 'training.csv'
  rows = [line.split(',')[::-1] for line in path.read_text().split('\n')[:-1]]
  path.write_text('\n'.join(','.join(row) for row in rows))
  _, after = read(tree)
  assert list(after) == list(before)
  for key, record in before.items():
    assert np.array_equal(
      record.targets['va'].value, after[key].targets['va'].value
    )
  path.write_text(path.read_text().replace('arousal', 'dominance', 1))
  with pytest.raises(base.DataError, match='dominance'):
    read(tree)


def test_affectnet_npy(tmp_path):
  tree = trees.affectnet_npy(tmp_path)
  listing, records = read(tree, strict=True)
  assert listing.counts() == {'train': 4, 'validation': 2}
  assert [number(r) for r in records.values()] == list(range(6))
  assert records['train/train_set/3'].targets['va'].mask.tolist() == [[0, 0]]
  value = records['validation/val_set/5'].targets['va'].value[0]
  assert value.tolist() == pytest.approx([0.5, -0.5])
  # 68 landmarks: 32 wide, 16 high, so 32 + 2 * 5 % * 16 pixels.
  assert picture(records['train/train_set/1']).shape == (33, 33, 3)


def test_affectnet_npy_with_one_of_valence_and_arousal(tmp_path):
  tree = trees.affectnet_npy(tmp_path)
  (tmp_path / 'train_set/annotations/1_aro.npy').unlink()
  for key in ('val', 'aro'):
    (tmp_path / f'train_set/annotations/2_{key}.npy').unlink()
  listing, records = read(tree)
  assert 'train/train_set/1' not in records
  assert records['train/train_set/2'].targets['va'].mask.tolist() == [[0, 0]]
  (problem,) = listing.problems.items
  assert '1_val.npy without the other' in str(problem)


def real(name: str) -> pathlib.Path:
  folder = os.environ.get('EMOJAX_DATA')
  if not folder or not (pathlib.Path(folder) / name).is_dir():
    pytest.skip(f'real files: set EMOJAX_DATA to a folder with {name}/')
  return pathlib.Path(folder) / name


def test_cifar10_noise_and_votes(tmp_path):
  tree = trees.cifar10(tmp_path)
  _, records = read(tree, strict=True)
  train = [r for r in records.values() if r.split == 'train']
  assert [number(r, 'clean_targets') for r in train] == list(range(9))
  assert [number(r) for r in train] == [0, 0, 2, 3, 4, 5, 0, 7, 8]
  test = records['test/test_00001']
  assert test.votes[0].tolist() == [0, 0, 0, 40, 0, 10, 0, 0, 0, 0]
  # Official numbers count 10,000 images per batch.
  image = picture(records['train/train_10003'])
  assert image.shape == (32, 32, 3)
  assert (image == 80).all()
  _, records = read(tree, test_votes=True, noise='clean')
  value = records['test/test_00001'].targets['expr'].value[0]
  assert value[[3, 5]].tolist() == pytest.approx([0.8, 0.2])
  assert records['train/train_00001'].clean_targets is None


@pytest.mark.parametrize('number_', [-1, 10])
def test_cifar10n_has_classes_only(number_, tmp_path):
  tree = trees.cifar10(tmp_path)
  worst = np.arange(9)
  worst[3] = number_
  path = tmp_path / 'CIFAR-10_human.npz'
  np.savez(path, worse_label=worst, clean_label=np.arange(9))
  with pytest.raises(base.DataError, match=f'{number_} for image 3'):
    read(tree)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -1, 0])
def test_cifar10h_has_votes_for_every_image(bad, tmp_path):
  tree = trees.cifar10(tmp_path)
  votes = np.ones((10_000, 10))
  votes[7] = bad
  np.save(tmp_path / 'cifar10h-counts.npy', votes)
  with pytest.raises(base.DataError, match='for image 7'):
    read(tree)


def test_cifar10_class_names_decide(tmp_path):
  tree = trees.cifar10(tmp_path)
  meta = {'label_names': list(reversed(tasks.CIFAR10))}
  path = tmp_path / 'cifar-10-batches-py/batches.meta'
  path.write_bytes(pickle.dumps(meta, protocol=2))
  _, records = read(tree, noise='clean')
  assert number(records['train/train_00001']) == 8
  path.write_bytes(pickle.dumps({'label_names': ['cat'] * 10}, protocol=2))
  with pytest.raises(base.DataError, match='label names'):
    read(tree)


@pytest.mark.parametrize('new_format', [True, False])
def test_cifar10n_from_torch(new_format, tmp_path):
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  tree = trees.cifar10(tmp_path)
  _, before = read(tree)
  path = tmp_path / 'CIFAR-10_human.npz'
  arrays = dict(np.load(path))
  path.unlink()
  torch.save(
    arrays,
    tmp_path / 'CIFAR-10_human.pt',
    _use_new_zipfile_serialization=new_format,
  )
  _, after = read(tree)
  assert [number(r) for r in after.values()] == [
    number(r) for r in before.values()
  ]


class _Evil:
  def __reduce__(self):
    return os.system, ('touch pwned',)


@pytest.mark.parametrize('protocol', range(6))
def test_pickles_cannot_call_anything(protocol, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  data = pickle.dumps({'data': _Evil()}, protocol)
  with pytest.raises(base.DataError, match='no safe pickle'):
    pickles.loads(data, 'x')
  assert not (tmp_path / 'pwned').exists()


def test_pickle_memo_numbers_are_bounded():
  data = b'\x80\x02]r\xff\xff\xff\x7f.'
  with pytest.raises(base.DataError, match='memo'):
    pickles.loads(data, 'x')


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
@pytest.mark.parametrize('dtype', ['u1', 'i8', '>i4', 'f4', '?'])
def test_pickled_arrays_equal_numpy_s(protocol, dtype):
  array = np.arange(12).reshape(3, 4).astype(dtype)
  for value in (array, array.T, array[:0]):
    found = pickles.loads(pickle.dumps([{b'a': value}], protocol), 'x')
    np.testing.assert_array_equal(found[0][b'a'], value)
    assert found[0][b'a'].dtype == value.dtype


@pytest.mark.slow
def test_real_cifar10():
  tree = trees.Tree('cifar10', real('cifar10'), {'noise': 'worst'})
  listing, records = read(tree)
  assert listing.counts() == {'train': 10_000, 'test': 10_000}
  train = [r for r in records.values() if r.split == 'train']
  changed = np.mean([number(r) != number(r, 'clean_targets') for r in train])
  assert 0.39 < changed < 0.42
  assert (
    np.mean(
      [
        number(r) == r.votes.argmax()
        for r in records.values()
        if r.split == 'test'
      ]
    )
    > 0.98
  )
  assert picture(train[-1]).shape == (32, 32, 3)


def test_fashion_mnist(tmp_path):
  tree = trees.fashion_mnist(tmp_path)
  listing, records = read(tree, strict=True)
  assert listing.counts() == {'train': 6, 'test': 3}
  for i in range(3):
    assert (picture(records[f'train/train_{i:05d}']) == 20 * i).all()
    assert number(records[f'test/test_{i:05d}']) == i
  (tmp_path / 'train-images-idx3-ubyte.gz').unlink()
  listing, _ = read(tree)
  assert listing.counts() == {'test': 3}


def test_real_fashion_mnist():
  root = pathlib.Path('/usr/share/datasets/fashion-mnist')
  if not root.is_dir():
    pytest.skip('real files: apt install dataset-fashion-mnist')
  listing, _ = read(trees.Tree('fashion_mnist', root), strict=True)
  assert listing.counts() == {'train': 60_000, 'test': 10_000}
