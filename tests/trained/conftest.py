"""One small run for all tests of what comes after training."""

import numpy as np
import pytest
import trained_run

from emojax.data.prepare import command as prepare
from emojax.trained import exporting
from emojax.trained import run as runs


@pytest.fixture(scope='module')
def quick():
  """The small network by name, for the tests of one file."""
  with trained_run.small_and_quick():
    yield


@pytest.fixture(scope='session')
def run_path(tmp_path_factory):
  """Folder of a finished run: two teachers and two students."""
  path = tmp_path_factory.mktemp('trained') / 'run'
  with trained_run.small_and_quick():
    trained_run.train(path)
  return path


@pytest.fixture(scope='session')
def exported(run_path, tmp_path_factory):
  """Folder of the students of that run, exported."""
  out = tmp_path_factory.mktemp('exported') / 'model'
  with trained_run.small_and_quick():
    return exporting.export(runs.open_run(run_path), out)


@pytest.fixture(scope='session')
def faces(tmp_path_factory):
  """Prepares FER2013 or FER+ files of noise; returns a function."""
  root = tmp_path_factory.mktemp('faces')

  def make(name, usages=('PublicTest',), count=12):
    """A prepared folder with as many faces in each part of the files."""
    out = root / f'{name}-{"-".join(usages)}'
    if not out.exists():
      source = root / f'{out.name}-source'
      source.mkdir()
      _write(source, name, [u for u in usages for _ in range(count)])
      prepare.prepare(name, source, out, size=32, workers=1)
    return out

  return make


def _write(source, name, usages):
  rng = np.random.default_rng(0)
  rows, votes = [], []
  for i, usage in enumerate(usages):
    pixels = ' '.join(map(str, rng.integers(0, 256, 48 * 48)))
    rows.append(f'{i % 7},{pixels},{usage}')
    counts = np.zeros(10, int)
    counts[i % 8] = 10  # every eighth face is one of contempt
    votes.append(f'{usage},fer{i:07d}.png,{",".join(map(str, counts))}')
  text = '\n'.join(['emotion,pixels,Usage', *rows])
  (source / 'fer2013.csv').write_text(text + '\n')
  if name == 'ferplus':
    header = 'Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust'
    header += ',fear,contempt,unknown,NF'
    text = '\n'.join([header, *votes])
    (source / 'fer2013new.csv').write_text(text + '\n')
