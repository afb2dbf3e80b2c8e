"""AlexNet with BatchNorm after every layer (paper 004)."""

from typing import ClassVar

from emojax.models.classifier import Classifier, max_pool
from emojax.models.layers import scaled

# Channels, kernel, padding, and whether max-pooling follows; those of the
# second version ("One weird trick", 2014), as in torchvision.
LAYERS = (
  (64, 11, 2, True),
  (192, 5, 2, True),
  (384, 3, 1, False),
  (256, 3, 1, False),
  (256, 3, 1, True),
)
STRIDES = (4, 2, 1)


def first_stride(size: int) -> int:
  """Stride of the first convolution, the published 4 if the images allow it.

  Images of less than 63 pixels would vanish in the third pooling: those of 35
  and more get stride 2, smaller ones stride 1.

  Raises:
    ValueError: If the images are too small.
  """
  for stride in STRIDES:
    n = (size + 4 - 11) // stride + 1
    if n >= 15:  # 15, 7, 3, 1
      return stride
  raise ValueError(f'AlexNet got images of {size} pixels: expected at least 21')


class AlexNet(Classifier):
  """AlexNet with dense layers of `hidden` units instead of 4096.

  See `Classifier` for the attributes. Published noise: dropout of the inputs of
  both hidden dense layers, at a rate of 0.5.
  """

  PUBLISHED: ClassVar = frozenset({'dense1', 'dense2'})
  DENSE_NORM: ClassVar = True

  def _features(self, x, train, active):
    strides = first_stride(min(x.shape[1:3]))
    for i, (channels, kernel, padding, pool) in enumerate(LAYERS):
      x = self._conv(
        x,
        scaled(channels, self.width),
        kernel,
        f'conv{i + 1}',
        active,
        strides=strides if i == 0 else 1,
        padding=padding,
        use_bias=False,
      )
      x = self._norm(x, f'conv{i + 1}_norm', train)
      x = self._dropped(x, 'conv', active)
      if pool:
        x = max_pool(x, 3, 2)
    return x.reshape(x.shape[0], -1)
