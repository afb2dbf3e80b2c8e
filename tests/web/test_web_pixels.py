"""The page's arithmetic of pictures is Pillow's, number for number."""

import importlib.resources
import json
import pathlib
import shutil
import subprocess

import numpy as np
import PIL
import pytest
from PIL import Image

NODE = shutil.which('node')
# Before, one pass of scaling came before the other in other cases, and both round.
EXACT = int(PIL.__version__.split('.')[0]) >= 13
CASES = 150


def resized(rng, picture):
  size = [int(n) for n in rng.integers(1, 120, 2)]
  name = str(rng.choice(['box', 'bilinear']))
  box = [0, 0, *picture.size]
  if rng.random() < 0.5:
    x, y = (np.sort(rng.uniform(0, n, 2)) for n in picture.size)
    box = [float(x[0]), float(y[0]), float(x[1]), float(y[1])]
  gap = 2 if rng.random() < 0.5 else 0
  made = picture.resize(
    size, getattr(Image.Resampling, name.upper()), tuple(box), gap or None
  )
  return [*size, name, box, gap], made


def reduced(rng, picture):
  factors = [int(n) for n in rng.integers(1, 9, 2)]
  return factors, picture.reduce(tuple(factors))


def moved(rng, picture):
  matrix = rng.normal(0, 1, 6)
  matrix[[2, 5]] *= 20
  made = picture.transform(
    (64, 60), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
  )
  return [64, 60, matrix.tolist()], made


OPERATIONS = {'resize': resized, 'reduce': reduced, 'affine': moved}


@pytest.mark.skipif(NODE is None, reason='needs node')
def test_pictures_are_scaled_as_pillow_does(tmp_path):
  rng = np.random.default_rng(0)
  cases, expected = [], []
  for i in range(CASES):
    height, width = map(int, rng.integers(1, 200, 2))
    pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    pixels[:] = 255 if i % 7 == 0 else pixels
    name = list(OPERATIONS)[i % 3]
    arguments, made = OPERATIONS[name](rng, Image.fromarray(pixels))
    (tmp_path / f'{i}').write_bytes(pixels.tobytes())
    cases.append({
      'file': f'{i}', 'width': width, 'height': height, 'operation': name,
      'arguments': arguments,
    })  # fmt: skip
    expected.append(np.asarray(made))
  (tmp_path / 'cases.json').write_text(json.dumps(cases))
  page = importlib.resources.files('emojax.web').joinpath('page')
  # Node takes other endings for scripts of older kinds.
  text = page.joinpath('pixels.js').read_text()
  (tmp_path / 'pixels.mjs').write_text(text)
  script = pathlib.Path(__file__).with_name('pixels.mjs')
  subprocess.run([NODE, script, tmp_path, tmp_path], check=True, timeout=120)
  for case, image in zip(cases, expected, strict=True):
    found = np.fromfile(tmp_path / f'{case["file"]}.made', np.uint8)
    difference = np.abs(found.astype(int) - image.ravel()).max(initial=0)
    assert difference <= (0 if EXACT else 1), case
