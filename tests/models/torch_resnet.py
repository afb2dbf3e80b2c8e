"""ResNet in PyTorch, with torchvision's names, for parity tests."""

from torch import nn
from torch.nn import functional


class Block(nn.Module):
  def __init__(self, inputs, outputs, strides, layout, bottleneck):
    super().__init__()
    if bottleneck:
      middle, first = outputs // 4, strides if layout == 'caffe' else 1
      sizes = [
        (inputs, middle, 1, first),
        (middle, middle, 3, strides // first),
        (middle, outputs, 1, 1),
      ]
    else:
      sizes = [(inputs, outputs, 3, strides), (outputs, outputs, 3, 1)]
    self.depth = len(sizes)
    for i, (a, b, k, s) in enumerate(sizes, 1):
      conv = nn.Conv2d(a, b, k, s, k // 2, bias=False)
      setattr(self, f'conv{i}', conv)
      setattr(self, f'bn{i}', nn.BatchNorm2d(b))
    self.downsample = None
    if strides > 1 or inputs != outputs:
      self.downsample = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, strides, bias=False),
        nn.BatchNorm2d(outputs),
      )

  def forward(self, x):
    y = x
    for i in range(1, self.depth + 1):
      y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
      y = functional.relu(y) if i < self.depth else y
    return functional.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
  """Feature maps [N, F, h, w]."""

  def __init__(self, stages, bottleneck, stem, layout, width):
    super().__init__()
    expansion = 4 if bottleneck else 1
    self.stages = len(stages)
    self.stem, self.layout = stem, layout
    inputs = int(64 * width)
    size = (7, 2, 3) if stem == 'imagenet' else (3, 1, 1)
    self.conv1 = nn.Conv2d(3, inputs, *size, bias=False)
    self.bn1 = nn.BatchNorm2d(inputs)
    for i, blocks in enumerate(stages):
      outputs, layers = int(64 * 2**i * width) * expansion, []
      for j in range(blocks):
        strides = 2 if i > 0 and j == 0 else 1
        layers.append(Block(inputs, outputs, strides, layout, bottleneck))
        inputs = outputs
      setattr(self, f'layer{i + 1}', nn.Sequential(*layers))

  def forward(self, x):
    x = functional.relu(self.bn1(self.conv1(x)))
    if self.stem == 'imagenet' and self.layout == 'caffe':
      x = functional.max_pool2d(x, 3, 2, 0, ceil_mode=True)
    elif self.stem == 'imagenet':
      x = functional.max_pool2d(x, 3, 2, 1)
    for i in range(self.stages):
      x = getattr(self, f'layer{i + 1}')(x)
    return x
