"""Small data sets of still images."""

import dataclasses
import gzip
import pickle

import numpy as np
from PIL import Image
from tree_files import Tree, landmarks

from emojax import tasks


def pixels(level: int, other: int = 7) -> str:
  """A FER2013 cell: `level` everywhere but in the first pixel."""
  return ' '.join([str(other)] + [str(level)] * (48 * 48 - 1))


USAGES = ['Training'] * 6 + ['PublicTest'] * 2 + ['PrivateTest'] * 2


def fer2013(root) -> Tree:
  tree = Tree('fer2013', root)
  rows = [f'{i % 7},{pixels(10 * i)},{u}' for i, u in enumerate(USAGES)]
  tree.text('fer2013.csv', 'emotion,pixels,Usage', *rows)
  return tree


# Votes of ten faces: neutral happiness surprise sadness anger disgust fear
# contempt unknown NF.
VOTES = [
  '9 0 0 0 1 0 0 0 0 0',
  '0 6 4 0 0 0 0 0 0 0',
  '0 0 5 5 0 0 0 0 0 0',
  '0 0 0 0 4 3 3 0 0 0',
  '0 0 0 0 0 0 0 0 0 10',
  '1 1 1 1 1 1 1 1 1 1',
  '0 0 0 0 0 0 9 0 0 0',
  '2 0 0 0 0 0 0 0 8 0',
  '0 0 0 0 0 0 0 9 1 0',
  '0 0 0 8 0 0 0 0 2 0',
]


def ferplus(root) -> Tree:
  tree = dataclasses.replace(fer2013(root), name='ferplus')
  header = 'Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,'
  # The fifth face was removed; the last two names repeat.
  names = ['' if i == 4 else f'fer{min(i, 8):07d}.png' for i in range(10)]
  rows = [
    f'{usage},{name},{votes.replace(" ", ",")}'
    for usage, name, votes in zip(USAGES, names, VOTES)
  ]
  tree.text('fer2013new.csv', header + 'fear,contempt,unknown,NF', *rows)
  return tree


def ferplus_label_csv(root) -> Tree:
  tree = Tree('ferplus', root, {'labels': 'label_csv'})
  for folder, first, last in (
    ('Train', 0, 6),
    ('Valid', 6, 8),
    ('Test', 8, 10),
  ):
    rows = []
    for i in range(first, last):
      votes = VOTES[i].replace(' ', ',')
      rows.append(f'fer{i:07d}.png,"(0, 0, 48, 48)",{votes}')
      tree.image(f'data/FER2013{folder}/fer{i:07d}.png', 20 * i, (48, 48))
    tree.text(f'data/FER2013{folder}/label.csv', *rows)
  return tree


def rafdb(root) -> Tree:
  tree = Tree('rafdb', root, {'noise_file': 'EmoLabel/noise01.txt'})
  names = [f'train_{i:05d}' for i in range(1, 7)]
  names += [f'test_{i:04d}' for i in range(1, 4)]
  rows = [f'{name}.jpg {i % 7 + 1}' for i, name in enumerate(names)]
  tree.text('EmoLabel/list_patition_label.txt', *rows, end='')
  # Two of six training labels are flipped.
  noisy = [rows[0], 'train_00002.jpg 7', *rows[2:5], 'train_00006.jpg 1']
  tree.text('EmoLabel/noise01.txt', *noisy)
  for i, name in enumerate(names):
    tree.image(f'Image/aligned/{name}_aligned.jpg', 20 * i)
  return tree


COLUMNS = (
  'subDirectory_filePath,face_x,face_y,face_width,face_height,'
  'facial_landmarks,expression,valence,arousal'
)


def affectnet(root) -> Tree:
  tree = Tree('affectnet', root, {'keep_unclassified': True})
  points = ';'.join(f'{v:.2f}' for v in landmarks().reshape(-1))

  def row(name, expression, va):
    tree.image(f'Manually_Annotated_Images/{name}', 20 * expression, (64, 64))
    return f'{name},4,6,50,40,{points},{expression},{va}'

  rows = [row(f'{i % 2}/t{i}.jpg', i, f'{i / 10},-0.5') for i in range(9)]
  rows += [row('1/t9.jpg', 9, '-2,-2'), row('1/t10.jpg', 10, '-2,-2')]
  tree.text('training.csv', COLUMNS, *rows)
  rows = [row(f'2/v{i}.jpg', i, f'-0.25,{i / 10}') for i in range(3)]
  tree.text('Manually_Annotated_file_lists/validation.csv', *rows)
  return tree


def affectnet_npy(root) -> Tree:
  tree = Tree('affectnet', root, {'crop': 'landmarks'})
  for folder, ids in {'train_set': range(4), 'val_set': range(4, 6)}.items():
    for i in ids:
      notes = f'{folder}/annotations/{i}_'
      tree.image(f'{folder}/images/{i}.jpg', 20 * i, (64, 64))
      # Both kinds are around: text and numbers.
      tree.npy(f'{notes}exp.npy', np.array(str(i)) if i % 2 else np.float64(i))
      tree.npy(f'{notes}val.npy', np.array(str(i / 10)))
      tree.npy(f'{notes}aro.npy', -2.0 if i == 3 else -i / 10)
      tree.npy(f'{notes}lnd.npy', landmarks().reshape(-1))
  return tree


def expw(root) -> Tree:
  tree = Tree('expw', root)
  rows = []
  for i in range(6):
    name = f'img {i}.jpg'.replace(' ', '_')
    path = tree.image(f'image/origin/{name}', 20 * i, (40, 30))
    rows.append(f'{name} 0 2 4 24 22 55.5 {i}')
    if i == 2:  # A second face, brighter than the rest of the image.
      image = Image.new('RGB', (40, 30), (40,) * 3)
      image.paste((200, 200, 200), (25, 5, 40, 20))
      image.save(path.with_suffix('.png'))
      path.with_suffix('.png').rename(path)
      rows.append(f'{name} 1 5 25 40 20 30.25 6')
  tree.text('label/label.lst', *rows)
  return tree


def cifar_images(count: int, first: int = 0) -> np.ndarray:
  levels = np.arange(first, first + count, dtype=np.uint8) * 10
  return np.repeat(levels[:, None], 3072, axis=1)


def cifar10(root) -> Tree:
  tree = Tree('cifar10', root, {'noise': 'worst'})
  folder = 'cifar-10-batches-py'
  for name, count in (
    ('data_batch_1', 5),
    ('data_batch_2', 4),
    ('test_batch', 3),
  ):
    first = 5 if name == 'data_batch_2' else 0
    labels = [(first + i) % 10 for i in range(count)]
    batch = {b'data': cifar_images(count, first), b'labels': labels}
    tree.binary(f'{folder}/{name}', pickle.dumps(batch, protocol=2))
  meta = {b'label_names': [name.encode() for name in tasks.CIFAR10]}
  tree.binary(f'{folder}/batches.meta', pickle.dumps(meta, protocol=2))
  worst = np.arange(9)
  worst[[1, 6]] = 0
  path = root / 'CIFAR-10_human.npz'
  np.savez(path, worse_label=worst, clean_label=np.arange(9))
  tree.binaries.append(path)
  votes = np.zeros((10_000, 10), np.uint8)
  votes[:, 3], votes[:, 5] = 40, 10
  tree.npy('cifar10h-counts.npy', votes)
  return tree


def idx(array: np.ndarray) -> bytes:
  header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, '>u4').tobytes()
  return header + array.astype(np.uint8).tobytes()


def fashion_mnist(root) -> Tree:
  tree = Tree('fashion_mnist', root)
  for prefix, count in (('train', 6), ('t10k', 3)):
    levels = np.arange(count, dtype=np.uint8) * 20
    images = idx(np.broadcast_to(levels[:, None, None], (count, 28, 28)))
    labels = idx(np.arange(count) % 10)
    pack = gzip.compress if prefix == 'train' else bytes
    end = '.gz' if prefix == 'train' else ''
    tree.binary(f'{prefix}-images-idx3-ubyte{end}', pack(images))
    tree.binary(f'{prefix}-labels-idx1-ubyte{end}', pack(labels))
  return tree
