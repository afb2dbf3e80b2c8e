"""Runs of the experiment that compile in seconds: a network of one convolution."""

import pathlib
import runpy
from typing import ClassVar

from emojax.models.classifier import Classifier

ROOT = pathlib.Path(__file__).parents[3]
GET_CONFIG = runpy.run_path(str(ROOT / 'configs' / 'bayesian.py'))['get_config']
SETTINGS = {
  'data.image_size': 32,
  'data.train_clips': {'expr': 40, 'balanced_expr': 0},
  'data.val_clips': 8,
  'data.test_clips': 40,
  'data.ood_clips': 8,
  'mc.passes': 4,
  'mc.passes_per_call': 3,
  'mc.batch': 16,
  'train.batch_size': 8,
  'eval.draws': 2,
  'runtime.member_devices': 1,
}


class Small(Classifier):
  """Takes AlexNet's place."""

  PUBLISHED: ClassVar = frozenset({'dense1'})
  DENSE_LAYERS: ClassVar = 1

  def _features(self, x, train, active):
    x = self._conv(x, 8, 4, 'conv1', active, strides=4, use_bias=False)
    return self._norm(x, 'norm1', train).mean((1, 2))


def small(head, **options):
  """`Small` with a model's arguments."""
  del head
  return Small(**options)


def config(**changes):
  """The small configuration; names are dotted with '__'."""
  made = GET_CONFIG('tiny')
  settings = SETTINGS | {k.replace('__', '.'): v for k, v in changes.items()}
  for name, value in settings.items():
    *path, last = name.split('.')
    target = made
    for part in path:
      target = target[part]
    if isinstance(value, dict):
      target[last].update(value)
    else:
      target[last] = value
  return made
