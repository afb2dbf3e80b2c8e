"""Makes what `test_former.py` opens, with a former version of emojax.

  git worktree add --detach FORMER 5e1cc06
  PYTHONPATH=FORMER python tests/former/make.py FORMER tests/former/5e1cc06.tar.gz

A prepared store of 24 embedded faces (8 pixels), a trained run's export (EMENet-V
of 1/33 of its width), and what that version itself reads and predicts of them.
Everything is of the embedded data set: there are no real faces.
"""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
from PIL import Image

SETTINGS = {
  'generations': 0,
  'ensemble.size': 1,
  'model.width': 0.03,
  'model.hidden': 4,
  'train.epochs': 1,
  'eval.mc_samples': 0,
  'data.val_clips': 6,
  'data.test_clips': 6,
  'data.ood_clips': 2,
  'data.train_clips.au': 24,
  'data.train_clips.expr': 24,
  'data.train_clips.va': 24,
  'data.train_clips.shared': 4,
}
CLASSES = ('happiness', 'neutral')


def images() -> np.ndarray:
  """What the exported model is asked about, uint8 [3, 32, 32, 3]."""
  return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def store(folder: pathlib.Path, source: pathlib.Path):
  """Prepares embedded faces in folders by class."""
  from emojax.data import embedded, prepare

  counts = {'train': 6, 'validation': 3, 'test': 3}
  made = embedded.make(
    seed=0, size=32, clip_length=1, num_train={'expr': 24},
    num_val=1, num_test=1, num_ood=1,
  )  # fmt: skip
  faces = iter(made.train.image[:, 0])
  for split, count in counts.items():
    for name in CLASSES:
      (source / split / name).mkdir(parents=True)
      for i in range(count):
        Image.fromarray(next(faces)).save(source / split / name / f'{i}.png')
  prepare.prepare('folder', source, folder, size=8, workers=1)


def read(folder: pathlib.Path) -> dict[str, dict]:
  """What is in the store: names, sums of pixels and labels of every split."""
  from emojax.data.stored import Store

  from emojax.data import pipeline

  opened, found = Store(folder), {}
  for split in sorted(opened.splits):
    clips = pipeline.open_clips(opened, split, image_size=8, channels=3)
    taken = clips.take(np.arange(len(clips)))
    found[split] = {
      'names': taken.clip_id.tolist(),
      'pixels': taken.image.sum((1, 2, 3, 4)).tolist(),
      'labels': {
        name: np.asarray(target.value)[:, 0].argmax(-1).tolist()
        for name, target in taken.targets.items()
      },
    }
  return found


def model(former: pathlib.Path, folder: pathlib.Path, run: pathlib.Path):
  """Trains and exports."""
  python = [sys.executable, '-m']
  settings = [f'--config.{key}={value}' for key, value in SETTINGS.items()]
  config = f'--config={former}/configs/gen.py:tiny'
  subprocess.run(
    [*python, 'emojax.main', config, f'--workdir={run}', *settings], check=True
  )
  subprocess.run(
    [*python, 'emojax.export', f'--workdir={run}', f'--out={folder}'],
    check=True,
  )


def main():
  import emojax

  former, out = (pathlib.Path(name).absolute() for name in sys.argv[1:])
  with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
    whole = pathlib.Path('whole')  # no path of this machine is written
    whole.mkdir()
    store(whole / 'store', pathlib.Path('source'))
    shutil.rmtree(whole / 'store' / 'figures')
    model(former, whole / 'model', pathlib.Path('run'))
    output = emojax.load(whole / 'model').predict(images())
    expected = {
      'store': read(whole / 'store'),
      'probabilities': {
        key: value.tolist() for key, value in output.members.items()
      },
      'uncertainty': output.uncertainty['mean'].total.tolist(),
    }
    (whole / 'expected.json').write_text(json.dumps(expected))
    with tarfile.open(out, 'w:gz', compresslevel=9) as tar:
      for path in sorted(whole.iterdir()):
        tar.add(path, path.name, filter=anonymous)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
  """Files of nobody and of no time."""
  entry.uid = entry.gid = entry.mtime = 0
  entry.uname = entry.gname = ''
  return entry


if __name__ == '__main__':
  main()
