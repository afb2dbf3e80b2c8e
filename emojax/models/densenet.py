"""DenseNet-121 (Huang et al., 2017) with dropout in its layers (paper 004)."""

from typing import ClassVar

import jax.numpy as jnp

from emojax.models.classifier import Classifier, max_pool, mean_pool
from emojax.models.layers import scaled

BLOCKS = (6, 12, 24, 16)
GROWTH, STEM, BOTTLENECK = 32, 64, 4


class DenseNet121(Classifier):
  """DenseNet-121, with growth rate 32 and bottlenecks.

  See `Classifier` for the other attributes. Published noise: dropout after
  every convolution but the first, at a rate of 0.2 (Huang et al., section 4.2).

  Attributes:
    blocks: Layers of each dense block.
    dense_layers: Dense layers of `hidden` units before the output. The original
      has none; the paper speaks of 256 units "instead of 4096", of which
      DenseNet has none either.
  """

  blocks: tuple[int, ...] = BLOCKS
  dense_layers: int = 0

  PUBLISHED: ClassVar = frozenset({'conv'})

  @property
  def DENSE_LAYERS(self) -> int:
    return self.dense_layers

  def _features(self, x, train, active):
    if min(x.shape[1:3]) < 32:
      raise ValueError(
        f'DenseNet got images of {x.shape[1]}x{x.shape[2]}: expected at least '
        '32x32'
      )
    x = self._plain(x, scaled(STEM, self.width), 7, 'stem', '', active, 2)
    x = self._norm(x, 'stem_norm', train)
    x = max_pool(x, 3, 2, 1)
    for i, layers in enumerate(self.blocks):
      for j in range(layers):
        x = self._layer(x, f'block{i + 1}_{j + 1}', train, active)
      if i + 1 < len(self.blocks):
        x = self._transition(x, f'transition{i + 1}', train, active)
    x = self._norm(x, 'final_norm', train)
    return x.mean((1, 2))

  def _layer(self, x, name, train, active):
    growth = scaled(GROWTH, self.width)
    y = self._norm(x, f'{name}_norm1', train)
    y = self._noisy_conv(y, BOTTLENECK * growth, 1, f'{name}_conv1', active)
    y = self._norm(y, f'{name}_norm2', train)
    y = self._noisy_conv(y, growth, 3, f'{name}_conv2', active)
    return jnp.concatenate([x, y], axis=-1)

  def _transition(self, x, name, train, active):
    y = self._norm(x, f'{name}_norm', train)
    half = x.shape[-1] // 2
    return mean_pool(self._noisy_conv(y, half, 1, f'{name}_conv', active))

  def _noisy_conv(self, x, features, kernel, name, active):
    y = self._plain(x, features, kernel, name, 'conv', active)
    return self._dropped(y, 'conv', active)

  def _plain(self, x, features, kernel, name, layer, active, strides=1):
    return self._conv(
      x,
      features,
      kernel,
      name,
      active,
      layer,
      strides=strides,
      padding=kernel // 2,
      use_bias=False,
    )
