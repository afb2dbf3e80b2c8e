"""What the summaries say of images without labels and of unusual counts."""

import gzip
import re

import numpy as np
import pytest
import trees
from tree_stills import idx

from emojax.data.readers import base, fashion_mnist


def summary(tree, **kwargs):
  listing = base.scan(tree.name, tree.root, **{**tree.options, **kwargs})
  return listing.problems.summary()


def test_images_without_a_label_are_counted(tmp_path):
  tree = trees.disfa(tmp_path / 'disfa')
  video = 'LeftVideoSN002_comp'
  for n in (6, 7):
    tree.image(f'{video}/{video}_aligned/frame_det_00_{n:06d}.bmp', 9)
  assert 'SN002: 2 of 6 images have no label' in summary(tree)
  tree = trees.rafdb(tmp_path / 'rafdb')
  tree.image('Image/aligned/train_00099_aligned.jpg', 9)
  assert '1 images in' in summary(tree)
  assert 'train_00099_aligned.jpg' in summary(tree)
  tree = trees.affectnet_npy(tmp_path / 'affectnet')
  tree.image('val_set/images/77.jpg', 9)
  assert 'val_set: 1 images without annotation' in summary(tree)


def test_images_of_equal_numbers_are_no_shared_subjects(tmp_path):
  tree = trees.affectnet_npy(tmp_path)
  tree.image('val_set/images/0.jpg', 9, (64, 64))
  for kind in ('exp', 'val', 'aro', 'lnd'):
    data = (tmp_path / f'train_set/annotations/0_{kind}.npy').read_bytes()
    tree.binary(f'val_set/annotations/0_{kind}.npy', data)
  assert 'subjects in more than one split' not in summary(tree)


@pytest.mark.parametrize(
  ('kind', 'options', 'counts'),
  [
    ('ferplus', {}, (25060, 3199, 3153)),
    ('ferplus', {'rule': 'raw'}, (28559, 3199, 3153)),
    (
      'ferplus_label_csv',
      {'rule': 'crossentropy', 'eval_rule': 'multi_target'},
      (27947, 3472, 3466),
    ),
  ],
)
def test_published_counts_of_ferplus_are_compared(
  kind, options, counts, tmp_path
):
  text = summary(trees.BUILDERS[kind](tmp_path), **options)
  found = re.findall('([0-9,]+) in the official files', text)
  assert [int(n.replace(',', '')) for n in found] == list(counts)


def test_classes_are_compared_where_a_split_is_whole(tmp_path, monkeypatch):
  tree = trees.fashion_mnist(tmp_path)
  path = tmp_path / 't10k-labels-idx1-ubyte'
  monkeypatch.setattr(fashion_mnist, 'OFFICIAL', {'test': 10})
  (tmp_path / 't10k-images-idx3-ubyte').write_bytes(
    idx(np.zeros((10, 28, 28), np.uint8))
  )
  path.write_bytes(idx(np.arange(10)))
  assert 'classes' not in summary(tree)
  path.unlink()
  labels = np.array([1, 1, *range(2, 10)])
  with gzip.open(tmp_path / 't10k-labels-idx1-ubyte.gz', 'wb') as file:
    file.write(idx(labels))
  text = summary(tree)
  assert 't-shirt/top 0 (1), trouser 2 (1); the files of MNIST' in text
