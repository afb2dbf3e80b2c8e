"""ResNet trunks: images to a map of features (He et al., 2016).

`stages` and `block` make the depth, `stem` the kind of images and `layout` the
two conventions that pretrained weights follow. What reads the map (pooling, a
classifier, the branches of paper 003) is up to the caller.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from emojax.models.layers import ConvNorm, scaled
from emojax.ops import shapes

STEMS = ('imagenet', 'cifar', 'half')
LAYOUTS = ('torchvision', 'caffe')
CHANNELS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
  """Two 3x3 convolutions, of ResNet-18 and -34.

  Attributes:
    features: Output channels.
    strides: Stride of the first convolution.
    layout: Both layouts are the same here.
    options: `lowering`, `dtype` and `axis_name` of every layer.
  """

  features: int
  strides: int
  layout: str
  options: dict[str, Any]

  expansion = 1

  @nn.compact
  def __call__(self, x, train: bool):
    conv = _layers(self.options)
    y = conv(self.features, 3, self.strides, 'conv1', relu=True)(x, train)
    y = conv(self.features, 3, 1, 'conv2')(y, train)
    return nn.relu(y + _skip(conv, x, y, self.strides, train))


class Bottleneck(nn.Module):
  """1x1, 3x3 and 1x1 convolutions, of ResNet-50 and deeper.

  Attributes:
    features: Output channels, four times those of the 3x3 convolution.
    strides: Stride of the block: that of the 3x3 convolution in the layout
      'torchvision', of the first 1x1 convolution in 'caffe' (the original).
    layout: See `strides`.
    options: `lowering`, `dtype` and `axis_name` of every layer.
  """

  features: int
  strides: int
  layout: str
  options: dict[str, Any]

  expansion = 4

  @nn.compact
  def __call__(self, x, train: bool):
    conv, middle = _layers(self.options), self.features // self.expansion
    first, second = 1, self.strides
    if self.layout == 'caffe':
      first, second = second, first
    y = conv(middle, 1, first, 'conv1', relu=True)(x, train)
    y = conv(middle, 3, second, 'conv2', relu=True)(y, train)
    y = conv(self.features, 1, 1, 'conv3')(y, train)
    return nn.relu(y + _skip(conv, x, y, self.strides, train))


def _layers(options) -> Callable:
  def conv(features, kernel, strides, name, relu=False):
    return ConvNorm(
      features,
      (kernel, kernel),
      strides=strides,
      padding=kernel // 2,
      relu=relu,
      name=name,
      **options,
    )

  return conv


def _skip(conv, x, y, strides, train):
  """The identity, projected where the shape changes."""
  if x.shape == y.shape:
    return x
  return conv(y.shape[-1], 1, strides, 'downsample')(x, train)


# Name -> stages and block.
DEPTHS = {
  'resnet10': ((1, 1, 1, 1), BasicBlock),
  'resnet18': ((2, 2, 2, 2), BasicBlock),
  'resnet34': ((3, 4, 6, 3), BasicBlock),
  'resnet50': ((3, 4, 6, 3), Bottleneck),
}


class ResNet(nn.Module):
  """ResNet without pooling and classifier.

  Attributes:
    stages: Number of blocks of each stage; the second and later ones halve the
      image.
    block: `BasicBlock` or `Bottleneck`.
    stem: 'imagenet' (7x7 with stride 2, then max-pooling: an image is divided
      by 32 in all), 'cifar' (3x3 without stride or pooling: by 8), for images
      of 32 to 48 pixels, or 'half' (3x3 with stride 2: by 16), which costs a
      quarter of 'cifar'.
    width: Multiplies every number of channels (see `layers.scaled`).
    layout: 'torchvision' or 'caffe': where bottlenecks have their stride, and
      whether the pooling of the stem pads or rounds up.
    lowering: See `ops.conv`.
    dtype: Compute dtype; parameters and statistics are float32.
    axis_name: Mapped batch axis that BatchNorm is synchronised over.
  """

  stages: tuple[int, ...] = (2, 2, 2, 2)
  block: Any = BasicBlock
  stem: str = 'imagenet'
  width: float = 1.0
  layout: str = 'torchvision'
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool):
    """Maps images [N, H, W, C] to features [N, h, w, F].

    F is 512 (`BasicBlock`) or 2048 (`Bottleneck`), times the width.

    Raises:
      ValueError: On an unknown stem or layout.
    """
    _check('stem', self.stem, STEMS)
    _check('layout', self.layout, LAYOUTS)
    options = {
      'lowering': self.lowering,
      'dtype': self.dtype,
      'axis_name': self.axis_name,
    }
    x = self._stem(x, train, options)
    for i, blocks in enumerate(self.stages):
      features = scaled(CHANNELS[i], self.width) * self.block.expansion
      for j in range(blocks):
        strides = 2 if i > 0 and j == 0 else 1
        x = self.block(
          features, strides, self.layout, options, name=f'layer{i + 1}_{j}'
        )(x, train)
    return x

  def _stem(self, x, train, options):
    conv, features = _layers(options), scaled(CHANNELS[0], self.width)
    if self.stem != 'imagenet':
      strides = 2 if self.stem == 'half' else 1
      return conv(features, 3, strides, 'conv1', relu=True)(x, train)
    x = conv(features, 7, 2, 'conv1', relu=True)(x, train)
    return max_pool(x, padding=1 if self.layout == 'torchvision' else None)


def channels(depth: str, width: float = 1.0) -> int:
  """Channels of the map that a ResNet of a depth ends with (`ResNet`'s F)."""
  stages, block = DEPTHS[depth]
  return scaled(CHANNELS[len(stages) - 1], width) * block.expansion


def _check(what, value, valid):
  if value not in valid:
    raise ValueError(
      f'ResNet {what} {value!r}: expected one of {", ".join(valid)}'
    )


def max_pool(x, padding: int | None = 1):
  """3x3 max-pooling with stride 2 of non-negative maps [N, H, W, C].

  As a maximum of shifted maps, because a window reduction and its gradient
  are slow inside a loop on CPU. Zeros pad as well as minus infinity does,
  where nothing is negative.

  Args:
    x: The output of a ReLU.
    padding: Padding on all sides; None for none before and what completes the
      last window after (Caffe's `ceil_mode`).
  """
  if padding is None:
    after = [(n - 3) % 2 for n in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), (0, after[0]), (0, after[1]), (0, 0)))
  pad = (padding or 0,) * 2
  taps = shapes.shifted(x, (3, 3), (2, 2), pad, (1, 1))
  result = taps[0]
  for tap in taps[1:]:
    result = lax.max(result, tap)
  return result


def make(name: str, **options) -> ResNet:
  """Makes a ResNet of a usual depth.

  Args:
    name: A key of `DEPTHS`.
    **options: Attributes of `ResNet`.

  Raises:
    ValueError: On an unknown name.
  """
  _check('depth', name, tuple(DEPTHS))
  stages, block = DEPTHS[name]
  return ResNet(stages, block, **options)
