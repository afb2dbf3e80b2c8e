"""What the networks of paper 004 share: noise, normalisation, dense layers."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from emojax.models import initialisers
from emojax.models.dropconnect import PER, DropConnectConv, DropConnectDense
from emojax.models.layers import Dropout, by_statistics, checked_images
from emojax.ops import shapes
from emojax.tasks import Schema

NOISES = ('dropout', 'dropconnect', 'none')
DENSE = frozenset({'dense1', 'dense2', 'output'})
CONV = frozenset({'conv'})
# Layers that are noisy, by name of the placement; 'published' is the network's
# own, 'last' that of later experiments of the paper's second author.
PLACEMENTS = {
  'published': None,
  'dense': DENSE,
  'conv': CONV,
  'all': DENSE | CONV,
  'last': frozenset({'output'}),
}


class Norm(nn.Module):
  """BatchNorm with an optional ReLU; statistics as `layers.ConvNorm`'s.

  Attributes:
    relu: Whether ReLU follows, computed in the same pass.
    eps: Added to the variance.
    lowering: See `ops.conv`.
    axis_name: Mapped batch axis that statistics are synchronised over.
  """

  relu: bool = True
  eps: float = 1e-5
  lowering: str = 'auto'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool):
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    slope = jnp.zeros(shape) if self.relu else None
    return by_statistics(
      self, x, train, scale, bias, slope, self.eps, self.lowering
    )


def max_pool(x, size: int, strides: int, padding: int = 0):
  """Max-pooling of maps [N, H, W, C] that are not negative.

  As a maximum of shifted maps: a window reduction and its gradient are slow
  inside a loop on CPU. Zeros pad as well as minus infinity does, where nothing
  is negative.
  """
  settings = ((n,) * 2 for n in (size, strides, padding, 1))
  result, *taps = shapes.shifted(x, *settings)
  for tap in taps:
    result = lax.max(result, tap)
  return result


def mean_pool(x):
  """2x2 means of [N, H, W, C]; an odd row or column is left out."""
  taps = shapes.shifted(x, (2, 2), (2, 2), (0, 0), (1, 1))
  return sum(taps) / 4


class Classifier(nn.Module):
  """Base of the networks; they define `_features`.

  Noise belongs to layers: dropout sets inputs of a noisy dense layer, or
  outputs of a noisy convolution, to zero, and DropConnect weights of the same
  layers. So the methods differ in what is dropped and not in where.

  Attributes:
    schema: The tasks; each gets a linear layer of its own.
    image_size: Height and width of the images.
    channels: Channels of the images.
    width: Multiplies the channels of the convolutions (see `layers.scaled`).
    hidden: Units of the dense layers (256 in paper 004).
    dropout: Share of inputs or weights that noise drops, in [0, 1).
    noise: 'dropout', 'dropconnect' or 'none'.
    placement: A key of `PLACEMENTS`.
    mask_per: DropConnect masks per 'call' or per 'example'.
    lowering: See `ops.conv`.
    dtype: Compute dtype; parameters, statistics and logits are float32.
    axis_name: Mapped batch axis: statistics and masks are the whole batch's.
    audio: Always False: there is no sound in these networks.
  """

  schema: Schema
  image_size: int
  channels: int = 3
  width: float = 1.0
  hidden: int = 256
  dropout: float = 0.5
  noise: str = 'dropout'
  placement: str = 'published'
  mask_per: str = 'call'
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None
  audio: bool = False

  PUBLISHED: ClassVar[frozenset[str]] = frozenset()
  DENSE_LAYERS: ClassVar[int] = 2
  DENSE_NORM: ClassVar[bool] = False

  @nn.compact
  def __call__(self, inputs, train: bool, dropout: bool | None = None):
    """Applies the network.

    Args:
      inputs: 'image' float [B, L, H, W, C] in [0, 1]; frames are independent.
      train: Normalise with the batch's statistics and update the running ones.
      dropout: Whether noise is on; None means `train`. Needs the PRNG
        'dropout'.

    Returns:
      float32 logits [B, L, num_outputs] under every task's name.

    Raises:
      ValueError: On an unknown setting or images of another shape.
    """
    active = train if dropout is None else dropout
    self._check_settings()
    image = checked_images(
      inputs['image'],
      self.image_size,
      self.channels,
      'another image_size or number of channels',
    )
    lead = image.shape[:2]
    x = image.reshape(-1, *image.shape[2:]).astype(self.dtype)
    x = self._features(x, train, active)
    for i in range(self.DENSE_LAYERS):
      name = f'dense{i + 1}'
      x = self._dense(x, self.hidden, name, name, active)
      if self.DENSE_NORM:
        x = self._norm(x, f'{name}_norm', train)
      else:
        x = nn.relu(x)
    outputs = {}
    for task in self.schema:
      y = self._dense(
        x, task.num_outputs, 'output', f'head_{task.name}', active
      )
      outputs[task.name] = y.astype(jnp.float32).reshape(*lead, -1)
    return outputs

  def _features(self, x, train: bool, active: bool):
    """Maps images [N, H, W, C] to features [N, F]."""
    raise NotImplementedError

  def _noisy(self, layer: str) -> bool:
    places = PLACEMENTS[self.placement]
    return layer in (self.PUBLISHED if places is None else places)

  def _rate(self, layer: str, noise: str) -> float:
    return self.dropout if self.noise == noise and self._noisy(layer) else 0.0

  def _dropped(self, x, layer: str, active: bool):
    return Dropout(self._rate(layer, 'dropout'), self.axis_name)(x, active)

  def _dense(self, x, features: int, layer: str, name: str, active: bool):
    init: dict[str, Any] = {}
    if layer == 'output':
      init = {'kernel_init': initialisers.xavier_uniform}
    return DropConnectDense(
      features,
      rate=self._rate(layer, 'dropconnect'),
      per=self.mask_per,
      dtype=self.dtype,
      axis_name=self.axis_name,
      name=name,
      **init,
    )(self._dropped(x, layer, active), active)

  def _conv(self, x, features, kernel, name, active, layer='conv', **options):
    """A convolution, without what follows; `layer=''` is never noisy."""
    return DropConnectConv(
      features,
      kernel,
      rate=self._rate(layer, 'dropconnect'),
      per=self.mask_per,
      lowering=self.lowering,
      dtype=self.dtype,
      axis_name=self.axis_name,
      name=name,
      **options,
    )(x, active)

  def _norm(self, x, name: str, train: bool, relu: bool = True):
    return Norm(
      relu=relu, lowering=self.lowering, axis_name=self.axis_name, name=name
    )(x, train)

  def _check_settings(self):
    for what, value, valid in (
      ('noise', self.noise, NOISES),
      ('placement', self.placement, PLACEMENTS),
      ('mask_per', self.mask_per, PER),
    ):
      if value not in valid:
        raise ValueError(
          f'{what} {value!r}: expected one of {", ".join(valid)}'
        )
