"""Small data sets of clips, and a user's own folders."""

import json

from tree_files import Tree, landmarks

from emojax import tasks


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
