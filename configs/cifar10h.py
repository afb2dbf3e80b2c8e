"""Self-distillation judged by annotators' votes: EMENet-V on CIFAR-10.

  python -m emojax.data.prepare cifar10 --source DOWNLOADS --out DATA/cifar10 \
    --size 32
  python -m emojax.main --config=configs/cifar10h.py \
    --config.data.path=DATA/cifar10 --workdir=runs/cifar10h

Three teachers learn from one label per image, three students from what these say.
About 51 votes for every test image (CIFAR-10H) judge them, and nothing is trained or
chosen on these: epochs and temperatures are chosen on a tenth of the training images.
With `--option noise=random1` the labels are one human's (CIFAR-10N), with
`noise=aggregate` the majority of three.

Presets after the colon:

  hard         the default, with whatever labels the data were prepared with
  tiny         a look at every part; the numbers mean nothing

Runs with other labels, seeds and options are planned, trained and compared by
benchmarks/cifar10h.py.
"""

import pathlib
import runpy
import types

from ml_collections import ConfigDict

FOLDER = pathlib.Path(__file__).parent
common = types.SimpleNamespace(**runpy.run_path(str(FOLDER / 'common.py')))
# The same experiment on other images; what follows is what differs.
ferplus = types.SimpleNamespace(**runpy.run_path(str(FOLDER / 'ferplus.py')))


def hard() -> ConfigDict:
  """Six networks on hard labels; docs/training.md has their time."""
  config = ferplus.votes()
  config.generations = 1  # of students, after the teachers

  config.data.image_size = 32
  config.data.test_split = 'test'
  config.data.unlabelled = False  # all images have labels
  config.data.unlabelled_train = False
  config.data.ood_clips = 200  # images of each set that needs no files

  config.ensemble.size = 3
  config.train.epochs = 40
  # Nothing is still improving in the last quarter, as under a cosine.
  config.train.schedule = 'exponential'
  config.train.decay_every = 15
  config.train.augment = 'cifar10'  # crop of the padded image, and flip

  config.eval.mc_samples = 10
  config.eval.floor = 0.85  # accuracy to test claims from
  return config


def tiny() -> ConfigDict:
  """A look at every part; the numbers mean nothing."""
  config = hard()
  ferplus.shrink(config)
  return config


PRESETS = {f.__name__: f for f in (hard, tiny)}


def get_config(preset: str = 'hard') -> ConfigDict:
  """Returns the configuration of a preset."""
  return common.choose(PRESETS, 'cifar10h', preset)
