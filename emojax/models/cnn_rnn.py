"""The recurrent part of the CNN-RNN of papers 001 and 002."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from emojax.models.gru import GRU
from emojax.models.layers import Linear
from emojax.tasks import Schema


class BidirectionalGRU(nn.Module):
  """Two GRUs over time, one of them backwards, as PyTorch's.

  Attributes:
    hidden: Size of the state of each direction.
    dtype: Compute dtype.
  """

  hidden: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    """Maps [B, L, F] to [B, L, 2 * hidden], forward states first."""
    forward = GRU(self.hidden, self.dtype, name='forward')(x)
    backward = GRU(self.hidden, self.dtype, name='backward')(x[:, ::-1])
    return jnp.concatenate([forward, backward[:, ::-1]], axis=-1)


class CNNRNN(nn.Module):
  """Features of a frozen `multitask_cnn.MultitaskCNN` to logits of every task.

  Per task a bidirectional GRU over that task's features and a linear layer
  (paper 001, Figure 4b), with the ReLU that the code has between them.

  Attributes:
    schema: The tasks, in the order of the features.
    features: Features of one task and frame.
    hidden: Size of the state of each direction.
    dtype: Compute dtype.
  """

  schema: Schema
  features: int = 128
  hidden: int = 64
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, inputs, train: bool, dropout: bool | None = None):
    """Applies the network.

    Args:
      inputs: 'features' float [B, L, tasks * features].
      train: Unused: there is no BatchNorm.
      dropout: Unused: there is no dropout.

    Returns:
      float32 logits [B, L, num_outputs] under every task's name.

    Raises:
      ValueError: If the features are not those of these tasks.
    """
    del train, dropout
    x = inputs['features']
    if x.ndim != 3 or x.shape[-1] != self.features * len(self.schema):
      raise ValueError(
        f"inputs['features'] has shape {x.shape}: expected [B, L, "
        f'{self.features * len(self.schema)}], {self.features} for each task'
      )
    outputs = {}
    for task, part in zip(
      self.schema, jnp.split(x, len(self.schema), axis=-1), strict=True
    ):
      gru = BidirectionalGRU(self.hidden, self.dtype, name=f'gru_{task.name}')
      linear = Linear(task.num_outputs, self.dtype, name=f'linear_{task.name}')
      outputs[task.name] = linear(nn.relu(gru(part))).astype(jnp.float32)
    return outputs
