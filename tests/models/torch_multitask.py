"""Papers 001 and 002 in PyTorch, with the published names, for parity tests."""

import torch
from torch import nn
from torch.nn import functional

MEAN = (131.0912, 103.8827, 91.4953)


class Dag(nn.Module):
  """A ResNet of bottlenecks with MatConvNet's names; pooled features."""

  def __init__(self, stages, width):
    super().__init__()
    self.stages = stages
    inputs = int(64 * width)
    self._add('conv1_7x7_s2', 3, inputs, 7, 2)
    for i, blocks in enumerate(stages):
      middle = int(64 * 2**i * width)
      for j in range(blocks):
        name, strides = f'conv{i + 2}_{j + 1}', 2 if i and not j else 1
        self._add(f'{name}_1x1_reduce', inputs, middle, 1, strides)
        self._add(f'{name}_3x3', middle, middle, 3, 1)
        self._add(f'{name}_1x1_increase', middle, 4 * middle, 1, 1)
        if not j:
          self._add(f'{name}_1x1_proj', inputs, 4 * middle, 1, strides)
        inputs = 4 * middle

  def _add(self, name, inputs, outputs, size, strides):
    conv = nn.Conv2d(inputs, outputs, size, strides, size // 2, bias=False)
    setattr(self, name, conv)
    setattr(self, f'{name}_bn', nn.BatchNorm2d(outputs))

  def _layer(self, name, x):
    return getattr(self, f'{name}_bn')(getattr(self, name)(x))

  def forward(self, x):
    x = functional.relu(self._layer('conv1_7x7_s2', x))
    x = functional.max_pool2d(x, 3, 2, 0, ceil_mode=True)
    for i, blocks in enumerate(self.stages):
      for j in range(blocks):
        name = f'conv{i + 2}_{j + 1}'
        y = functional.relu(self._layer(f'{name}_1x1_reduce', x))
        y = functional.relu(self._layer(f'{name}_3x3', y))
        y = self._layer(f'{name}_1x1_increase', y)
        x = x if j else self._layer(f'{name}_1x1_proj', x)
        x = functional.relu(x + y)
    return x.mean((2, 3))


class Backbone(nn.Module):
  def __init__(self, stages, width):
    super().__init__()
    self.model = Dag(stages, width)


class Head(nn.Module):
  def __init__(self, inputs, hidden, outputs):
    super().__init__()
    self.bn0, self.fc_0 = nn.BatchNorm1d(inputs), nn.Linear(inputs, hidden)
    self.bn1, self.fc_1 = nn.BatchNorm1d(hidden), nn.Linear(hidden, outputs)

  def forward(self, x):
    feature = self.bn1(functional.relu(self.fc_0(self.bn0(x))))
    return self.fc_1(feature), feature


class CNN(nn.Module):
  """Images [N, 3, H, W] in [0, 1] to a list of (logits, features)."""

  def __init__(self, stages, width, hidden, outputs):
    super().__init__()
    self.backbone = Backbone(stages, width)
    inputs = int(64 * 2 ** (len(stages) - 1) * width) * 4
    self.classifier = nn.ModuleList(Head(inputs, hidden, n) for n in outputs)

  def forward(self, image):
    mean = torch.tensor(MEAN, dtype=image.dtype)[:, None, None]
    x = self.backbone.model(255 * image - mean)
    return [head(x) for head in self.classifier]


class GRUHead(nn.Module):
  def __init__(self, inputs, hidden, outputs):
    super().__init__()
    self.GRU_layer = nn.GRU(
      inputs, hidden, batch_first=True, bidirectional=True
    )
    self.fc_1 = nn.Linear(2 * hidden, outputs)

  def forward(self, x):
    return self.fc_1(functional.relu(self.GRU_layer(x)[0]))


class RNN(nn.Module):
  """Features of every task [B, L, F] to a list of logits."""

  def __init__(self, inputs, hidden, outputs):
    super().__init__()
    heads = [GRUHead(inputs, hidden, n) for n in outputs]
    self.classifier = nn.ModuleList(heads)

  def forward(self, features):
    return [head(x) for head, x in zip(self.classifier, features)]
