"""VGG16 (Simonyan and Zisserman, 2014) with small dense layers (paper 004)."""

from typing import ClassVar

import flax.linen as nn

from emojax.models.classifier import Classifier, max_pool
from emojax.models.layers import scaled

# Channels of each 3x3 convolution, by stage; each stage ends in 2x2 pooling.
STAGES = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)


class VGG16(Classifier):
  """VGG16 with dense layers of `hidden` units instead of 4096.

  See `Classifier` for the other attributes. Published noise: dropout of the
  outputs of both hidden dense layers.

  Attributes:
    norm: BatchNorm instead of a bias after every convolution. The paper adds it
      to AlexNet only; without it a VGG16 is hard to train from nothing.
  """

  norm: bool = False

  PUBLISHED: ClassVar = frozenset({'dense2', 'output'})

  def _features(self, x, train, active):
    if min(x.shape[1:3]) < 32:
      raise ValueError(
        f'VGG16 got images of {x.shape[1]}x{x.shape[2]}: expected at least '
        '32x32'
      )
    for i, stage in enumerate(STAGES):
      for j, channels in enumerate(stage):
        x = self._layer(x, channels, f'conv{i + 1}_{j + 1}', train, active)
      x = max_pool(x, 2, 2)
    return x.reshape(x.shape[0], -1)

  def _layer(self, x, channels, name, train, active):
    x = self._conv(
      x,
      scaled(channels, self.width),
      3,
      name,
      active,
      padding=1,
      use_bias=not self.norm,
    )
    x = self._norm(x, f'{name}_norm', train) if self.norm else nn.relu(x)
    return self._dropped(x, 'conv', active)
