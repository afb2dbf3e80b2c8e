"""Multitask CNN of papers 001 and 002: a ResNet-50 and one MLP per task."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from emojax.models import resnet
from emojax.models.layers import Dropout, Linear, by_statistics, checked_images
from emojax.tasks import Schema

HEADS = ('paper', 'published')
# What pretrained weights of either layout expect of an image in [0, 1]:
# (factor, mean, deviation). 'caffe' is the VGGFace2 network fine-tuned on FER+,
# in RGB order; 'torchvision' is ImageNet.
NORMALISATION = {
  'caffe': (255.0, (131.0912, 103.8827, 91.4953), (1.0, 1.0, 1.0)),
  'torchvision': (1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def normalised(image, layout: str):
  """Images [..., C] in [0, 1] as the layout's pretrained weights expect them.

  Grey images (C = 1) use the mean over the channels.
  """
  factor, mean, deviation = NORMALISATION[layout]
  mean, deviation = (np.asarray(x, np.float32) for x in (mean, deviation))
  if image.shape[-1] == 1:
    mean, deviation = mean.mean(), deviation.mean()
  return (image * factor - mean) / deviation


class BatchNorm(nn.Module):
  """BatchNorm of feature vectors [..., C], as PyTorch's BatchNorm1d.

  Attributes:
    lowering: See `ops.conv`.
    axis_name: Mapped batch axis that statistics are synchronised over.
  """

  lowering: str = 'auto'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool):
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    return by_statistics(self, x, train, scale, bias, None, 1e-5, self.lowering)


class MLPHead(nn.Module):
  """Two linear layers of one task.

  'paper' (001, Figure 4): linear, ReLU, linear. 'published' (the code): a
  BatchNorm before each linear layer, and in paper 002's code dropout before the
  last one.

  Attributes:
    outputs: Number of logits.
    hidden: Size between the layers.
    kind: 'paper' or 'published'.
    dropout: Rate before the last layer; 0 in paper 001, 0.5 in 002's code.
    options: `lowering` and `axis_name` of the BatchNorms.
    dtype: Compute dtype.
  """

  outputs: int
  hidden: int
  kind: str
  dropout: float
  options: dict[str, Any]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, train: bool, dropout: bool):
    """Maps [..., F] to (logits [..., outputs], what they are read from)."""
    if self.kind not in HEADS:
      raise ValueError(f'head {self.kind!r}: expected one of {HEADS}')
    norm = self.kind == 'published'
    if norm:
      x = BatchNorm(**self.options, name='norm0')(x, train)
    x = nn.relu(Linear(self.hidden, self.dtype, name='linear0')(x))
    if norm:
      x = BatchNorm(**self.options, name='norm1')(x, train)
    drop = Dropout(self.dropout, self.options['axis_name'])
    y = Linear(self.outputs, self.dtype, name='linear1')(drop(x, dropout))
    return y.astype(jnp.float32), x.astype(jnp.float32)


class MultitaskCNN(nn.Module):
  """Frames to logits of every task; a schema of one task is a single-task CNN.

  Attributes:
    schema: The tasks.
    image_size: Height and width of the images, at least 32.
    depth: Name of the trunk, a key of `resnet.DEPTHS`.
    layout: 'caffe' or 'torchvision': the trunk's and its input's conventions.
    stem: See `resnet.ResNet`.
    channels: Channels of the images.
    width: Width multiplier of the trunk.
    hidden: Size of the heads' middle.
    dropout: Rate before the last layers.
    head: 'paper' or 'published', see `MLPHead`.
    lowering: See `ops.conv`.
    dtype: Compute dtype; parameters, statistics and logits are float32.
    axis_name: Mapped batch axis of BatchNorm and of dropout masks.
  """

  schema: Schema
  image_size: int
  depth: str = 'resnet50'
  layout: str = 'caffe'
  stem: str = 'imagenet'
  channels: int = 3
  width: float = 1.0
  hidden: int = 128
  dropout: float = 0.0
  head: str = 'paper'
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  audio = False

  @nn.compact
  def __call__(self, inputs, train: bool, dropout: bool | None = None):
    """Applies the network; see `emenet.EMENet.__call__`.

    Returns:
      float32 logits [B, L, num_outputs] under every task's name, and
      'features' [B, L, tasks * hidden]: what the last layers read, task after
      task. A `cnn_rnn.CNNRNN` reads them.
    """
    dropout = train if dropout is None else dropout
    image = checked_images(inputs['image'], self.image_size, self.channels)
    x = image.reshape(-1, *image.shape[2:])
    options = {'lowering': self.lowering, 'axis_name': self.axis_name}
    if self.depth not in resnet.DEPTHS:
      raise ValueError(
        f'depth {self.depth!r}: expected one of {", ".join(resnet.DEPTHS)}'
      )
    stages, block = resnet.DEPTHS[self.depth]
    trunk = resnet.ResNet(
      stages,
      block,
      self.stem,
      self.width,
      self.layout,
      dtype=self.dtype,
      **options,
      name='trunk',
    )
    x = trunk(normalised(x, self.layout).astype(self.dtype), train)
    x = x.mean(axis=(1, 2)).reshape(*image.shape[:2], -1)
    outputs, features = {}, []
    for task in self.schema:
      outputs[task.name], feature = MLPHead(
        task.num_outputs,
        self.hidden,
        self.head,
        self.dropout,
        options,
        self.dtype,
        name=f'head_{task.name}',
      )(x, train, dropout)
      features.append(feature)
    return {**outputs, 'features': jnp.concatenate(features, axis=-1)}
