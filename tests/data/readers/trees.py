"""Writes small data sets in their official layouts.

Every image is of one grey level that tells which image it is, so that tests
see whether a label sits at the right image.
"""

import dataclasses
import gzip
import json
import pathlib
import pickle

import numpy as np
from PIL import Image

from emojax import tasks


@dataclasses.dataclass
class Tree:
  """A data set on disk.

  Attributes:
    name: Reader.
    root: Its folder.
    options: Options to read it with.
    tables: Text files that hold labels.
    binaries: Other files that hold labels or pixels.
    images: Image files.
  """

  name: str
  root: pathlib.Path
  options: dict = dataclasses.field(default_factory=dict)
  tables: list = dataclasses.field(default_factory=list)
  binaries: list = dataclasses.field(default_factory=list)
  images: list = dataclasses.field(default_factory=list)

  def text(self, name: str, *lines: str, end: str = '\n') -> pathlib.Path:
    path = self._path(name)
    path.write_text('\n'.join(lines) + end)
    self.tables.append(path)
    return path

  def image(self, name: str, level: int, size=(12, 10)) -> pathlib.Path:
    path = self._path(name)
    Image.new('RGB', size, (level,) * 3).save(path)
    self.images.append(path)
    return path

  def binary(self, name: str, data: bytes) -> pathlib.Path:
    path = self._path(name)
    path.write_bytes(data)
    self.binaries.append(path)
    return path

  def npy(self, name: str, value) -> pathlib.Path:
    path = self._path(name)
    np.save(path, value)
    self.binaries.append(path)
    return path

  def _path(self, name: str) -> pathlib.Path:
    path = self.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def affwild2(root, train='Train_Set', aus=tasks.AU12) -> Tree:
  """Video a (all tasks, gaps, AUs missing) and the two persons of b."""
  tree = Tree('affwild2', root)
  rows = [['0'] * len(aus) for _ in range(7)]
  for i, row in enumerate(rows):
    row[i % len(aus)] = '1'
  rows[1] = ['-1'] * len(aus)
  rows[4][2] = '-1'
  tree.text(
    f'AU_Set/{train}/a.txt', ','.join(aus), *(','.join(row) for row in rows)
  )
  names = ','.join(name.capitalize() for name in tasks.AFFWILD2)
  for split, video, numbers in (
    (train, 'b_left', '0 1 2 -1 4'),
    (train, 'b_right', '6 5 4 3 -1'),
    ('Validation_Set', 'a', '1 2 3 4 5 6 0'),
  ):
    tree.text(f'EXPR_Set/{split}/{video}.txt', names, *numbers.split())
  va = ['0.602,0.389', '-5,-5', '-0.5,1', '0.25,-5', '0,0', '-1,-1', '1,0']
  tree.text(f'VA_Set/{train}/a.txt', 'valence,arousal', *va, end='')
  # No image of frame 3; fewer images than rows.
  for video, numbers in {
    'a': (1, 2, 4, 5, 6),
    'b_left': (1, 2, 3, 4),
    'b_right': (2, 3, 5),
  }.items():
    for n in numbers:
      tree.image(f'cropped_aligned/{video}/{n:05d}.jpg', 20 * n)
  return tree


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


def landmarks(angle: float = 0.0, centre=(32.0, 32.0)) -> np.ndarray:
  """A schematic face of 68 landmarks, float [68, 2], turned by `angle`."""
  points = np.zeros((68, 2))
  points[:17, 0] = np.linspace(-16, 16, 17)
  points[36:42] = (-6, -8)
  points[42:48] = (6, -8)
  points[48], points[54] = (-4, 8), (4, 8)
  c, s = np.cos(angle), np.sin(angle)
  return points @ np.array(((c, s), (-s, c))) + centre


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


def afewva(root) -> Tree:
  tree = Tree('afewva', root)
  for folder, clip, count in (
    ('01', '001', 4),
    ('01', '002', 3),
    ('12', '600', 2),
  ):
    frames = {}
    for i in range(count):
      frames[f'{i:05d}'] = {
        'landmarks': landmarks().tolist(),
        'valence': -10 + i,
        'arousal': i,
      }
      tree.image(f'{folder}/{clip}/{i:05d}.png', 50 + 20 * i, (64, 64))
    document = {'video_id': clip, 'frames': frames}
    if clip != '600':
      document['actor'] = 'same'
    tree.text(f'{folder}/{clip}/{clip}.json', json.dumps(document, indent=0))
  return tree


def disfa(root) -> Tree:
  tree = Tree('disfa', root)
  for s, subject in enumerate(('SN001', 'SN002', 'SN003')):
    for a, au in enumerate(tasks.AU8):
      rows = [f'{n},{(n + a + s) % 6}' for n in range(1, 6)]
      tree.text(
        f'ActionUnit_Labels/{subject}/{subject}_{au.lower()}.txt', *rows
      )
    video = f'LeftVideo{subject}_comp'
    for n in (1, 2, 4, 5):  # No image of frame 3.
      tree.image(f'{video}/{video}_aligned/frame_det_00_{n:06d}.bmp', 20 * n)
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


def folder_classes(root) -> Tree:
  tree = Tree('folder', root)
  for i, name in enumerate(('happy', 'Sadness', 'anger')):
    tree.image(f'train/{name}/x{i}.jpg', 20 * i)
    tree.image(f'val/{name}/y{i}.png', 20 * i)
    for n in (2, 10, 1):
      tree.image(f'train/{name}/clip/f{n}.png', 20 * n)
  return tree


def folder_table(root) -> Tree:
  tree = Tree('folder', root)
  rows = []
  for i, name in enumerate(('happiness', 'sad', '', 'neutral')):
    tree.image(f'images/p{i}.png', 20 * i)
    cells = ['1', '0.5', '', ''] if i else ['', '', '-0.25', '']
    split = 'test' if i == 3 else ''
    rows.append(f'images/p{i}.png,{name},{",".join(cells)},{split},,,')
  for n in (3, 1, 2):
    tree.image(f'clips/c{n}.png', 20 * n)
    rows.append(f'"clips/c{n}.png",anger,0,1,0.{n},-0.{n},train,eve,c,{n}')
  header = 'path,emotion,AU12,AU01,arousal,valence,split,subject,clip,frame'
  tree.text('labels.csv', header, *rows)
  return tree


BUILDERS = {
  'affwild2': affwild2,
  'fer2013': fer2013,
  'ferplus': ferplus,
  'ferplus_label_csv': ferplus_label_csv,
  'rafdb': rafdb,
  'affectnet': affectnet,
  'affectnet_npy': affectnet_npy,
  'expw': expw,
  'afewva': afewva,
  'disfa': disfa,
  'cifar10': cifar10,
  'fashion_mnist': fashion_mnist,
  'folder_classes': folder_classes,
  'folder_table': folder_table,
}
