"""MobileFaceNet trunk: an aligned face to a feature vector.

The network of Chen et al. (2018) as the published EMENet code has it: ten
stages of depth-wise separable units, then a global depth-wise convolution with
a linear BatchNorm. The linear layer to an embedding is not part of the trunk.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from emojax.models.layers import ConvNorm, scaled

# name, channels in the middle and at the end, stride, number of units; units
# with stride 1 have an identity skip.
STAGES = (
  ('conv_23', 128, 64, 2, 1),
  ('conv_3', 128, 64, 1, 4),
  ('conv_34', 256, 128, 2, 1),
  ('conv_4', 256, 128, 1, 6),
  ('conv_45', 512, 128, 2, 1),
  ('conv_5', 256, 128, 1, 2),
)
FEATURES = 512
MIN_SIZE = 32


class Unit(nn.Module):
  """1x1 to `middle`, 3x3 depth-wise, linear 1x1 to `features`."""

  middle: int
  features: int
  strides: int
  options: dict[str, Any]

  @nn.compact
  def __call__(self, x, train: bool):
    def layer(name, features, kernel, **kwargs):
      return ConvNorm(features, kernel, name=name, **kwargs, **self.options)

    y = layer('expand', self.middle, (1, 1), prelu=True)(x, train)
    y = layer(
      'depthwise',
      self.middle,
      (3, 3),
      strides=self.strides,
      padding=1,
      depthwise=True,
      prelu=True,
    )(y, train)
    y = layer('project', self.features, (1, 1))(y, train)
    return x + y if self.strides == 1 else y


class MobileFaceNet(nn.Module):
  """MobileFaceNet without its embedding layer.

  Attributes:
    width: Multiplies every number of channels (see `layers.scaled`).
    lowering: See `ops.conv`.
    dtype: Compute dtype.
    axis_name: Mapped batch axis that BatchNorm is synchronised over.
  """

  width: float = 1.0
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool):
    """Maps images [N, H, W, C] in [0, 1] to features [N, 512 x width].

    Raises:
      ValueError: If the images are smaller than 32 x 32.
    """
    if min(x.shape[1:3]) < MIN_SIZE:
      raise ValueError(
        f'MobileFaceNet got images of {x.shape[1]}x{x.shape[2]}: expected at '
        f'least {MIN_SIZE}x{MIN_SIZE}'
      )
    options = {
      'lowering': self.lowering,
      'dtype': self.dtype,
      'axis_name': self.axis_name,
    }
    x = self._stem(x, train, options)
    for name, middle, features, strides, repeats in STAGES:
      for i in range(repeats):
        unit = Unit(
          scaled(middle, self.width),
          scaled(features, self.width),
          strides,
          options,
          name=f'{name}_{i}' if repeats > 1 else name,
        )
        x = unit(x, train)
    return self._tail(x, train, options)

  def _stem(self, x, train, options):
    features = scaled(64, self.width)
    shared: dict[str, Any] = dict(padding=1, prelu=True, **options)
    x = ConvNorm(features, (3, 3), strides=2, name='conv1', **shared)(x, train)
    return ConvNorm(
      features, (3, 3), depthwise=True, name='conv2_dw', **shared
    )(x, train)

  def _tail(self, x, train, options):
    features = scaled(FEATURES, self.width)
    x = ConvNorm(features, (1, 1), prelu=True, name='conv_6_sep', **options)(
      x, train
    )
    x = ConvNorm(
      features, x.shape[1:3], depthwise=True, name='conv_6_dw', **options
    )(x, train)
    return x[:, 0, 0]
