"""EMENet-V and EMENet-VA (paper 000): trunk, GRU heads, optional audio."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from emojax.models.heads import TemporalHead
from emojax.models.layers import checked_images, in_blocks, scaled
from emojax.models.marblenet import MarbleNet
from emojax.models.mobilefacenet import STAGES, MobileFaceNet
from emojax.tasks import Schema


class EMENet(nn.Module):
  """Frames, and for EMENet-VA their audio, to logits of every task.

  Attributes:
    schema: The tasks; each gets a temporal head of its own.
    image_size: Height and width of the images, at least 32.
    audio: False is EMENet-V, True is EMENet-VA.
    channels: Channels of the images.
    width: Width multiplier of the trunk and of MarbleNet.
    hidden: Size of the GRUs' states.
    dropout: Dropout rate of the heads.
    head: 'paper', 'published' or 'frames'; see `heads.TemporalHead`.
    lowering: See `ops.conv`.
    dtype: Compute dtype; parameters, statistics and logits are float32.
    axis_name: Mapped batch axis: BatchNorm is synchronised over it and dropout
      masks are drawn for the whole batch.
    block: Frames that the encoders see at a time, but in training; 0 for all. What
      a layer says to the next one then stays in the caches (`folding.block`).
  """

  schema: Schema
  image_size: int
  audio: bool = False
  channels: int = 3
  width: float = 1.0
  hidden: int = 128
  dropout: float = 0.5
  head: str = 'paper'
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None
  block: int = 0

  def largest_layer(self) -> int:
    """Bytes of a frame that the trunk's largest layer reads and writes.

    That is the first expansion; of the narrowest trunks the first convolution,
    which reads the image. Nothing is traced.
    """
    size, half = self.image_size, -(-self.image_size // 2)
    stem, middle = (scaled(c, self.width) for c in (64, STAGES[0][1]))
    first = size**2 * self.channels + half**2 * stem
    most = max(first, half**2 * (stem + middle))
    return most * jnp.dtype(self.dtype).itemsize

  @nn.compact
  def __call__(self, inputs, train: bool, dropout: bool | None = None):
    """Applies the network.

    Args:
      inputs: 'image' float [B, L, H, W, C] in [0, 1]; EMENet-VA also needs
        'audio' float [B, L, 64 coefficients, T].
      train: Normalise with the batch's statistics and update the running ones.
      dropout: Whether dropout is on; None means `train`. Monte-Carlo dropout
        is `train=False, dropout=True`. Needs the PRNG 'dropout'.

    Returns:
      float32 logits [B, L, num_outputs] under every task's name, and
      'features' [B, L, F], what the heads read.

    Raises:
      ValueError: If an input is missing or has an unexpected shape.
    """
    dropout = train if dropout is None else dropout
    image = self._checked(inputs)
    features = self._encode(MobileFaceNet, 'trunk', image, train)
    if self.audio:
      sound = self._encode(MarbleNet, 'marblenet', inputs['audio'], train)
      features = jnp.concatenate([features, sound], axis=-1)
    outputs = {'features': features.astype(jnp.float32)}
    for task in self.schema:
      outputs[task.name] = TemporalHead(
        task.num_outputs,
        self.hidden,
        self.dropout,
        self.head,
        self.dtype,
        self.axis_name,
        name=f'head_{task.name}',
      )(features, dropout)
    return outputs

  def _encode(self, encoder, name, x, train):
    lead = x.shape[:2]
    module = encoder(
      self.width, self.lowering, self.dtype, self.axis_name, name=name
    )
    x = x.reshape(-1, *x.shape[2:])
    if self.block and not train:
      x = in_blocks(module, x, self.block, self.dtype)
    else:
      x = module(x.astype(self.dtype), train)
    return x.reshape(*lead, -1)

  def _checked(self, inputs):
    image = checked_images(inputs['image'], self.image_size, self.channels)
    if self.audio and inputs.get('audio') is None:
      raise ValueError(
        "EMENet-VA needs inputs['audio'] [B, L, 64, T]: use data with audio or "
        "the model 'emenet_v'"
      )
    return image
