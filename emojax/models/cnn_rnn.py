"""The recurrent part of the CNN-RNN of papers 001 and 002."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from emojax.data.clips import windows
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


class FramesCNNRNN(nn.Module):
  """Frames to logits: a CNN, and a `CNNRNN` on sequences of its features.

  Clips are cut into sequences as papers 001 and 002 evaluate them: one after the
  other, the last one ends where the clip does, and what is in two has the later
  one's logits.

  Attributes:
    cnn: A `multitask_cnn.MultitaskCNN`; its statistics stay as they are.
    rnn: The recurrent network.
    length: Frames of a sequence; clips that are shorter are one.
  """

  cnn: nn.Module
  rnn: CNNRNN
  length: int

  audio = False

  @property
  def image_size(self) -> int:
    """Height and width of the images."""
    return self.cnn.image_size

  @property
  def channels(self) -> int:
    """Channels of the images."""
    return self.cnn.channels

  def __call__(self, inputs, train: bool, dropout: bool | None = None):
    """Applies the networks; see `emenet.EMENet.__call__`."""
    del train, dropout
    features = self.cnn(inputs, train=False)['features']
    clips, frames, _ = features.shape
    length = min(self.length, frames)
    index = windows.cut(np.arange(frames), length, length, 'end').index
    cut = features[:, index].reshape(-1, length, features.shape[-1])
    found = self.rnn({'features': cut}, train=False)
    return {name: _stitched(x, index, clips) for name, x in found.items()}


def _stitched(outputs, index: np.ndarray, clips: int):
  """Outputs of sequences [B * n, length, C] as clips [B, L, C].

  Args:
    outputs: The outputs.
    index: int [n, length], their frames.
    clips: B.
  """
  # Where a frame is last, computed here: a scatter has no order.
  place = np.zeros(index.max() + 1, int)
  for position, frame in enumerate(index.reshape(-1)):
    place[frame] = position
  return outputs.reshape(clips, index.size, -1)[:, place]
