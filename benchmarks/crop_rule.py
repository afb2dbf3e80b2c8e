"""Where faces are in a prepared data set's images: the numbers of a crop rule.

  python -m benchmarks.crop_rule --store DATA/ferplus --count 4000

Every image is scaled up and given to a detector. Printed are the medians of the
landmarks and of the box, over images with one face, in the form in which
`emojax/faces/align.py` has them, with the spread of each.
"""

import argparse
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from emojax.data.store import codec, store, stored
from emojax.faces import detectors
from emojax.faces.faces import LANDMARKS, Faces


def images(path: pathlib.Path, split: str, count: int) -> Iterator[np.ndarray]:
  """Yields uint8 [H, W, 3] of up to `count` records, evenly over a split."""
  data = stored.Store(path)
  records = data.records(split)
  for i in np.linspace(0, len(records) - 1, min(count, len(records))):
    encoded = store.encoded_images(records[int(i)])[0]
    image = codec.decode(encoded, data.spec.size, data.spec.channels)
    yield np.broadcast_to(image, (*image.shape[:2], 3))


def measured(found: Faces, side: int) -> np.ndarray:
  """Returns [5, 2] landmarks and [3] box of one face, [13] in all."""
  x, y, width, height = found.boxes[0]
  mean = np.sqrt(width * height)
  centre = (side / 2 - (x + width / 2)) / mean
  middle = (side / 2 - (y + height / 2)) / mean
  points = found.landmarks[0] / side
  return np.concatenate([points.ravel(), [centre, middle, side / mean]])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add('--store', type=pathlib.Path, required=True, help='prepared data set')
  add('--split', default='train')
  add('--count', type=int, default=4000, help='of images')
  add('--scale', type=int, default=4, help='by which images are enlarged')
  add('--detector', default='default')
  add('--min_score', type=float, default=0.95)
  args = parser.parse_args()
  detect = detectors.load(args.detector, args.min_score, threads=1)
  rows, total = [], 0
  for image in images(args.store, args.split, args.count):
    total += 1
    side = args.scale * len(image)
    large = Image.fromarray(image).resize(
      (side, side), Image.Resampling.BICUBIC
    )
    found = detect(np.asarray(large))
    if len(found.scores) == 1:
      rows.append(measured(found, side))
  middle = np.median(rows, 0)
  spread = np.diff(np.quantile(rows, (0.25, 0.75), 0), axis=0)[0]
  print(f'{len(rows)} of {total} images with one face')
  for k, name in enumerate((*LANDMARKS, 'box')):
    part = slice(2 * k, 2 * k + 2 if k < len(LANDMARKS) else None)
    values = ', '.join(f'{value:.3f}' for value in middle[part])
    quartiles = ', '.join(f'{value:.3f}' for value in spread[part])
    print(f'{name:12} ({values})  between quartiles {quartiles}')


if __name__ == '__main__':
  main()
