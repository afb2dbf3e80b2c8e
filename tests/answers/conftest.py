"""Pictures and videos that tests of answers share, and a model that is written."""

import fractions
import pathlib
import sys

import made_model
import numpy as np
import pytest
import skimage.data
import stand_in
from PIL import Image

import emojax

# The small videos of the readers' tests serve here, too.
READERS = pathlib.Path(__file__).parents[1] / 'data' / 'readers'
if str(READERS) not in sys.path:
  sys.path.append(str(READERS))


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
  """The command called in this process leaves JAX's own settings as they are."""
  monkeypatch.setattr('emojax.runtime.compilation.set_cache', lambda _: None)


@pytest.fixture
def model():
  return stand_in.Model()


@pytest.fixture(scope='session')
def model_path(tmp_path_factory):
  """Folder of an exported model of drawn weights."""
  return made_model.write(tmp_path_factory.mktemp('made') / 'model')


@pytest.fixture(scope='session')
def real_model(model_path):
  return emojax.load(model_path)


@pytest.fixture(scope='session')
def photos(tmp_path_factory):
  """A folder: a face, no face, a broken file, and a folder in it."""
  folder = tmp_path_factory.mktemp('photos')
  face = skimage.data.astronaut()
  Image.fromarray(face).save(folder / 'astronaut.jpg', quality=95)
  Image.fromarray(np.full((90, 120, 3), 127, np.uint8)).save(folder / 'b.png')
  (folder / 'inner').mkdir()
  Image.fromarray(face[:, ::-1]).save(folder / 'inner' / 'mirrored.png')
  data = (folder / 'astronaut.jpg').read_bytes()
  (folder / 'cut.jpg').write_bytes(data[:5000])
  return folder


@pytest.fixture(scope='session')
def faces(tmp_path_factory):
  """A folder of 70 crops of noise, of several sizes."""
  folder = tmp_path_factory.mktemp('faces')
  rng = np.random.default_rng(0)
  for i in range(70):
    size = (40 + i % 3, 44, 3)
    image = rng.integers(0, 256, size).astype(np.uint8)
    Image.fromarray(image).save(folder / f'{i:02d}.png')
  return folder


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
  """A video of 150 frames of variable rate, and the times of its frames."""
  import av

  path = tmp_path_factory.mktemp('clip') / 'clip.mp4'
  rng = np.random.default_rng(0)
  large = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
  background = np.asarray(Image.fromarray(large).resize((160, 120)))
  times, stamp = [], 0
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=25)
    stream.width, stream.height, stream.pix_fmt = 160, 120, 'yuv420p'
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    for i in range(150):
      image = np.roll(background, i, 1).copy()
      image[20:80, 40 + i % 20 : 100 + i % 20] = i
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      frame.pts, frame.time_base = stamp, fractions.Fraction(1, 1000)
      times.append(stamp / 1000)
      stamp += 80 if i % 3 else 40
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return path, np.array(times)
