"""MarbleNet-3x2x64 encoder: 64 x T audio coefficients to a feature vector.

Jia, Majumdar and Ginsburg (2021) in the configuration that EMENet-VA uses
(NeMo's `marblenet_3x2x64`): 1-D time-channel separable convolutions, ReLU, a
1x1 convolution with BatchNorm as the skip of blocks 2-4. EMENet-VA averages
the encoder's output over time. Inputs have a fixed length, so NeMo's masking of
padded frames is not needed.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from emojax import ops
from emojax.models.initialisers import xavier_uniform
from emojax.models.layers import ConvNorm, scaled

# filters, repeats, kernel, dilation, residual, separable.
BLOCKS = (
  (128, 1, 11, 1, False, True),
  (64, 2, 13, 1, True, True),
  (64, 2, 15, 1, True, True),
  (64, 2, 17, 1, True, True),
  (128, 1, 29, 2, False, True),
  (128, 1, 1, 1, False, False),
)
COEFFICIENTS = 64
EPS = 1e-3


class Separable(nn.Module):
  """Depth-wise convolution over time, 1x1 convolution, BatchNorm."""

  features: int
  kernel: int
  dilation: int
  options: dict[str, Any]

  @nn.compact
  def __call__(self, x, train: bool):
    shape = (self.kernel, 1, x.shape[-1])
    kernel = self.param('depthwise', xavier_uniform, shape)
    x = x.astype(self.options['dtype'])
    x = ops.conv(
      x,
      kernel.astype(x.dtype),
      padding=self.dilation * (self.kernel - 1) // 2,
      dilation=self.dilation,
      groups=x.shape[-1],
      lowering=self.options['lowering'],
    )
    return _pointwise(self.features, self.options, 'pointwise')(x, train)


def _pointwise(features, options, name):
  return ConvNorm(
    features, (1,), eps=EPS, kernel_init=xavier_uniform, name=name, **options
  )


class MarbleNet(nn.Module):
  """MarbleNet encoder and average over time.

  Attributes:
    width: Multiplies every number of channels but the input's.
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
    """Maps [N, 64 coefficients, T] to [N, 128 x width]."""
    if x.ndim != 3 or x.shape[1] != COEFFICIENTS:
      raise ValueError(
        f'MarbleNet got audio of shape {x.shape}: expected [N, '
        f'{COEFFICIENTS} coefficients, T]'
      )
    options = {
      'lowering': self.lowering,
      'dtype': self.dtype,
      'axis_name': self.axis_name,
    }
    x = x.swapaxes(1, 2)
    for i, block in enumerate(BLOCKS):
      x = self._block(f'block{i + 1}', x, train, options, *block)
    return jnp.mean(x, axis=1)

  def _block(
    self,
    name,
    x,
    train,
    options,
    filters,
    repeats,
    kernel,
    dilation,
    residual,
    separable,
  ):
    features, y = scaled(filters, self.width), x
    for i in range(repeats):
      y = nn.relu(y) if i else y
      unit = f'{name}_{i}' if repeats > 1 else name
      if separable:
        y = Separable(features, kernel, dilation, options, name=unit)(y, train)
      else:
        y = _pointwise(features, options, unit)(y, train)
    if residual:
      y = y + _pointwise(features, options, f'{name}_skip')(x, train)
    return nn.relu(y)
