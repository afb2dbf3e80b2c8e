"""Temporal head of one task: features of a clip to logits of every frame."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from emojax.models.gru import GRU
from emojax.models.layers import Dropout, Linear

HEADS = ('paper', 'published', 'frames')


class TemporalHead(nn.Module):
  """GRU over time and a linear layer.

  'paper' (paper 000, section 3): dropout on the features, GRU, ReLU, linear.
  'published' (the order of its code): GRU, dropout, linear, without ReLU. The
  parameters are the same.

  'frames': as 'paper', but the GRU starts anew in every frame, so that a frame's
  answer depends on no other: the control of what memory is worth.

  None is the published network: that GRU reads [B, L, F] with the clips of a
  batch as its time axis, so that outputs depend on what else is in the batch.
  Here it runs over the frames of a clip, as the paper has it.

  Attributes:
    outputs: Number of logits.
    hidden: Size of the GRU's state.
    dropout: Dropout rate.
    kind: 'paper', 'published' or 'frames'.
    dtype: Compute dtype.
    axis_name: Mapped batch axis that dropout masks are drawn across.
  """

  outputs: int
  hidden: int = 128
  dropout: float = 0.5
  kind: str = 'paper'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, dropout: bool):
    """Maps [B, L, F] to float32 logits [B, L, outputs]."""
    if self.kind not in HEADS:
      raise ValueError(f'head {self.kind!r}: expected one of {HEADS}')
    drop = Dropout(self.dropout, self.axis_name)
    gru = GRU(self.hidden, self.dtype, name='gru')
    if self.kind == 'paper':
      x = nn.relu(gru(drop(x, dropout)))
    elif self.kind == 'frames':
      alone = drop(x, dropout).reshape(-1, 1, x.shape[-1])
      x = nn.relu(gru(alone)).reshape(*x.shape[:2], -1)
    else:
      x = drop(gru(x), dropout)
    x = Linear(self.outputs, self.dtype, name='linear')(x)
    return x.astype(jnp.float32)
