"""Array operations with two lowerings and custom gradients.

A convolution inside a loop, or vmapped over its kernel, leaves XLA:CPU's fast
path and can be 50 times slower. Every operation here therefore has a `lax` form
(accelerators) and a `matmul` form (CPU) with equal results and parameters; and a
convolution a third one, `conv`, for graphs of others (`conv.resolve_lowering`).
"""

from emojax.ops.conv import LOWERINGS, conv, resolve_lowering
from emojax.ops.depthwise import depthwise_conv
from emojax.ops.norm import batch_norm, normalise

__all__ = [
  'LOWERINGS',
  'batch_norm',
  'conv',
  'depthwise_conv',
  'normalise',
  'resolve_lowering',
]
