"""Runs of papers 001 and 002 that compile in seconds, for tests of their logic.

Everything is as in the preset 'tiny' except for the CNN.
"""

import contextlib
import functools
import io
import pathlib
import runpy
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import pytest
from rich.console import Console

from emojax.engine import methods, programs, sources
from emojax.experiments.two_stage import builders, roles
from emojax.models.layers import ConvNorm
from emojax.models.multitask_cnn import MLPHead
from emojax.runtime import workdir

CONFIGS = pathlib.Path(__file__).parents[3] / 'configs'


class SmallCNN(nn.Module):
  """One convolution instead of a ResNet."""

  schema: Any
  image_size: int
  hidden: int
  channels: int = 3

  audio = False

  @nn.compact
  def __call__(self, inputs, train, dropout=None):
    image = inputs['image']
    x = image.reshape(-1, *image.shape[2:])
    x = ConvNorm(8, (4, 4), 4, prelu=True)(x, train).mean((1, 2))
    x = x.reshape(*image.shape[:2], -1)
    options, outputs, features = {'axis_name': None}, {}, []
    for task in self.schema:
      head = MLPHead(task.num_outputs, self.hidden, 'paper', 0.0, options)
      outputs[task.name], feature = head(x, train, False)
      features.append(feature)
    return {**outputs, 'features': jnp.concatenate(features, axis=-1)}


def quick_scores(schema, outputs, targets, bin_values, nll=False):
  """In the place of the metrics, which take longest to compile."""
  return {'total': -sum(jnp.square(outputs[t.name]).mean() for t in schema)}


def cnn(config, schema):
  """In the place of `builders.cnn_from_config`."""
  return SmallCNN(schema, config.data.image_size, config.model.hidden)


def config_of(name, **changes):
  """The preset 'tiny' of an experiment; names are dotted with '__'."""
  made = runpy.run_path(str(CONFIGS / f'{name}.py'))['get_config']('tiny')
  names = {key.replace('__', '.'): value for key, value in changes.items()}
  made.update_from_flattened_dict({'train.augment': 'none', **names})
  return made


@contextlib.contextmanager
def small_and_quick():
  """A small network; data, methods and programs made once for all runs."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(builders, 'cnn_from_config', cnn)
    for name in ('cnn_method', 'rnn_method'):
      patch.setattr(builders, name, _once(getattr(builders, name)))
    patch.setattr(roles, 'from_config', _once(roles.from_config))
    for name in ('init', 'generation', 'predict'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    patch.setattr(sources, 'BLOCK_BYTES', 1)  # no padding to large blocks
    patch.setattr(methods, 'scores', quick_scores)
    yield


def _once(function):
  made = {}

  def call(config, *arguments):
    text = {k: v for k, v in config.to_dict().items() if k != 'runtime'}
    key = str((text, [str(argument) for argument in arguments]))
    if key not in made:
      made[key] = function(config, *arguments)
    return made[key]

  return call


def execute(module, config, path):
  """What `main` does, in this process. Returns (results, printed text)."""
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  console = Console(file=io.StringIO(), width=200)
  return module.run(config, folder, console), console.file.getvalue()
