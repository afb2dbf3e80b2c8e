"""A small multitask problem that compiles in a second."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from emojax import tasks
from emojax.data.clips.clips import Clips
from emojax.engine import methods, stack
from emojax.engine import plan as plans
from emojax.engine.trainer import Generation, Settings, Trainer
from emojax.models.layers import ConvNorm, Dropout, Linear

SCHEMA = (
  tasks.au_task(('AU1', 'AU2')),
  tasks.expr_task(('neutral', 'anger', 'disgust')),
  tasks.va_task(bins=5),
)
SIZE, LENGTH = 8, 2


class Net(nn.Module):
  """Convolution with BatchNorm and PReLU, dropout, one linear head per task."""

  schema: Any = SCHEMA
  image_size: int = SIZE
  channels: int = 3
  audio: bool = False
  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, train, dropout=None):
    dropout = train if dropout is None else dropout
    x = inputs['image']
    b, n = x.shape[:2]
    x = ConvNorm(8, (3, 3), 2, 1, prelu=True, axis_name=self.axis_name)(
      x.reshape(-1, *x.shape[2:]), train
    )
    x = x.mean((1, 2)).reshape(b, n, -1)
    if self.audio:
      x = jnp.concatenate([x, inputs['audio'].mean(-1)], axis=-1)
    x = Dropout(0.5, self.axis_name)(x, dropout)
    return {t.name: Linear(t.num_outputs, name=t.name)(x) for t in self.schema}


def brighten(key, images, first=0):
  """An augmentation that compiles fast, drawn per clip of the whole batch."""
  index = first + jnp.arange(len(images))
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
  gain = jax.vmap(lambda k: jax.random.uniform(k, minval=0.8))(keys)
  return methods.to_float(images) * gain[:, None, None, None, None]


def clips(num: int, seed: int = 0, labelled=('au', 'expr', 'va')) -> Clips:
  """Random images whose labels follow their colours; others are masked."""
  rng = np.random.default_rng(seed)
  colour = rng.uniform(0, 255, (num, LENGTH, 1, 1, 3))
  noise = rng.normal(0, 20, (num, LENGTH, SIZE, SIZE, 3))
  image = np.clip(colour + noise, 0, 255).astype(np.uint8)
  colour = colour[:, :, 0, 0] / 255
  values = {
    'au': (colour[..., :2] > 0.5).astype(np.float32),
    'expr': np.eye(3, dtype=np.float32)[colour.argmax(-1)],
    'va': (colour[..., 1:] * 2 - 1).astype(np.float32),
  }
  targets = tasks.empty_targets(SCHEMA, (num, LENGTH))
  for name in labelled:
    mask = np.ones_like(targets[name].mask)
    targets[name] = tasks.Target(values[name], mask)
  ids = np.array([f'{seed}-{i}' for i in range(num)])
  mask = np.ones((num, LENGTH), np.float32)
  return Clips(image, None, targets, mask, ids, ids)


def train_clips() -> Clips:
  """Three single-task subsets of ten clips."""
  from emojax.data.clips.clips import concatenate

  return concatenate(
    [clips(10, i, (name,)) for i, name in enumerate(('au', 'expr', 'va'))]
  )


@functools.cache
def method(axis_name=None, **options):
  """The method of paper 000 on the small network; one for equal arguments."""
  values = {
    'augment': brighten,
    'balance': 'paper',
    'schedule': methods.step_decay(2),
  } | options
  return methods.multitask(
    Net(axis_name=axis_name),
    SCHEMA,
    bin_values=tasks.bin_values(5),
    axis_name=axis_name,
    **values,
  )


def trainer(
  members: int = 3, member_devices: int = 1, batch_devices: int = 1, **settings
) -> Trainer:
  """A trainer on the first devices."""
  axis_name = stack.BATCH if batch_devices > 1 else None
  options = {'epochs': 4, 'chunk': 1, 'predict_chunk': 4} | settings
  make = options.pop('method', method)
  val = clips(7, 50)
  return Trainer(
    make(axis_name),
    Settings(members=members, **options),
    stack.make_mesh(member_devices, batch_devices),
    train_clips(),
    val,
    val.targets,
  )


def generation(
  members: int = 3, number: int = 0, rate: float = 0.01
) -> Generation:
  """Teachers of the small problem."""
  train = train_clips()
  groups = methods.task_groups(SCHEMA, train.targets)
  ones = np.ones(members, np.float32)
  hparams = {
    'learning_rate': rate * ones,
    'pos_weight': np.ones((members, 2), np.float32),
    'class_weight': np.ones((members, 3), np.float32),
  }
  steps = plans.steps_per_epoch(groups, 2)
  return Generation(number, groups, 2, steps, train.targets, hparams)


def train(trainer: Trainer, generation: Generation):
  """Trains a whole generation: (state [M, ...], logs [M, E], soft labels)."""
  logs = []
  for segment in trainer.segments(generation, trainer.init(generation.number)):
    logs.append(segment.logs)
  joined = {k: np.concatenate([x[k] for x in logs], 1) for k in logs[0]}
  return trainer.portable(segment.state), joined, segment.soft_labels


def assert_same(a, b):
  """Every array equal bit for bit."""
  jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_close(a, b, tolerance: float = 2e-4):
  """Every array equal to float tolerance."""
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(
      np.asarray(x, np.float64),
      np.asarray(y, np.float64),
      rtol=tolerance,
      atol=tolerance,
    ),
    a,
    b,
  )
