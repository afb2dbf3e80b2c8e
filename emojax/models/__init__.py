"""Models by name: `build`, `init` and the registry."""

import difflib
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from emojax.host import caches
from emojax.models import folding, initialisers
from emojax.models.alexnet import AlexNet
from emojax.models.densenet import DenseNet121
from emojax.models.emenet import EMENet
from emojax.models.heads import HEADS
from emojax.models.marblenet import COEFFICIENTS
from emojax.models.mobilefacenet import MIN_SIZE
from emojax.models.multitask_cnn import MultitaskCNN
from emojax.models.vgg import VGG16
from emojax.ops import resolve_lowering
from emojax.tasks import Schema

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def _still(network, head, **options):
  """A network of single images, which has no temporal head."""
  del head
  return network(**options)


# Name -> function of (schema, image_size, **options) that makes a module.
MODELS: dict[str, Callable[..., nn.Module]] = {
  'emenet_v': functools.partial(EMENet, audio=False),
  'emenet_va': functools.partial(EMENet, audio=True),
  'alexnet': functools.partial(_still, AlexNet),
  'vgg16': functools.partial(_still, VGG16),
  'vgg16_bn': functools.partial(_still, VGG16, norm=True),
  'densenet121': functools.partial(_still, DenseNet121),
  'multitask_cnn': functools.partial(MultitaskCNN, layout='caffe'),
  'multitask_cnn_torchvision': functools.partial(
    MultitaskCNN, layout='torchvision'
  ),
}


def build(
  name: str,
  schema: Schema,
  image_size: int,
  *,
  width: float = 1.0,
  hidden: int = 128,
  dropout: float = 0.5,
  head: str = 'paper',
  lowering: str = 'auto',
  dtype: str = 'float32',
  axis_name: str | None = None,
  channels: int = 3,
) -> nn.Module:
  """Makes a model by name.

  Args:
    name: A key of `MODELS`.
    schema: The tasks to predict.
    image_size: Height and width of the images, at least 32.
    width: Width multiplier of the trunks; hidden sizes of GRUs are not scaled.
    hidden: Size of a GRU's state.
    dropout: Dropout rate in [0, 1).
    head: 'paper', 'published' or, of EMENet, 'frames'; see `heads.TemporalHead`.
    lowering: 'auto', 'lax', 'matmul' or 'conv'; see `ops.conv`.
    dtype: Compute dtype, 'float32' or 'bfloat16'.
    axis_name: Mapped batch axis, or None.
    channels: Channels of the images, 1 or 3.

  Raises:
    ValueError: On an unknown name or value.
  """
  _check(name, 'model', MODELS)
  _check(dtype, 'dtype', DTYPES)
  _check(head, 'head', HEADS)
  resolve_lowering(lowering)
  if image_size < MIN_SIZE:
    raise ValueError(f'image_size {image_size}: expected at least {MIN_SIZE}')
  if not 0 <= dropout < 1:
    raise ValueError(f'dropout {dropout}: expected a rate in [0, 1)')
  return MODELS[name](
    schema=schema,
    image_size=image_size,
    width=width,
    hidden=hidden,
    dropout=dropout,
    head=head,
    lowering=lowering,
    dtype=DTYPES[dtype],
    axis_name=axis_name,
    channels=channels,
  )


def from_config(config, schema: Schema, axis_name: str | None = None):
  """Makes the model of `config.model`; see `build`.

  On CPUs EMENet predicts in blocks of frames that fit a core's caches.
  """
  m = config.model
  made = build(
    m.name,
    schema,
    config.data.image_size,
    width=m.width,
    hidden=m.hidden,
    dropout=m.dropout,
    head=m.head,
    dtype=m.dtype,
    lowering=config.runtime.lowering,
    axis_name=axis_name,
  )
  if (
    not isinstance(made, EMENet) or resolve_lowering(made.lowering) != 'matmul'
  ):
    return made
  frames = folding.fitting(made.largest_layer(), caches.per_core())
  return folding.with_block(made, frames)


def _check(value, what, valid):
  if value in valid:
    return
  close = difflib.get_close_matches(str(value), valid, 1, 0)
  raise ValueError(
    f'unknown {what} {value!r}: did you mean {close[0]!r}? Valid: '
    f'{", ".join(valid)}'
  )


def example_inputs(model, batch: int = 1, frames: int = 1) -> dict[str, Any]:
  """Zeros of the shapes that `model` takes."""
  size, channels = model.image_size, model.channels
  inputs = {'image': jnp.zeros((batch, frames, size, size, channels))}
  if model.audio:
    inputs['audio'] = jnp.zeros((batch, frames, COEFFICIENTS, COEFFICIENTS))
  return inputs


def init(model, key) -> dict[str, Any]:
  """Draws new variables {'params': ..., 'batch_stats': ...}.

  Only the initialisers are run: under `jit` the forward pass is dead code. May
  be vmapped over keys to make a stack of members. The numbers come from one
  stream (see `initialisers`), so they differ from those of `model.init`.
  """

  size = sum(
    math.prod(s.shape) for s in jax.tree.leaves(shapes(model)['params'])
  )

  @jax.jit
  def draw(key):
    with initialisers.one_stream(key, size):
      return model.init(key, example_inputs(model), train=False)

  return draw(key)


@functools.lru_cache(maxsize=32)
def shapes(model) -> dict[str, Any]:
  """Shapes and dtypes of what `init` draws; networks are traced once."""

  def variables(key):
    return model.init(key, example_inputs(model), train=False)

  return jax.eval_shape(variables, jax.random.key(0))
