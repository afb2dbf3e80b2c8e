"""AlexNet, VGG16 and DenseNet in PyTorch, under the names of our parameters."""

import torch
from torch import nn
from torch.nn import functional

from emojax.models import alexnet, densenet, vgg
from emojax.models.layers import scaled


class Network(nn.Module):
  """Layers by name; `inputs` sizes follow from the first image."""

  def __init__(self, model):
    super().__init__()
    self.model = model

  def conv(self, x, features, kernel, name, stride=1, padding=0, bias=True):
    layer = self._get(
      name,
      lambda: nn.Conv2d(
        x.shape[1], features, kernel, stride, padding, bias=bias
      ),
    )
    return layer(x)

  def norm(self, x, name):
    kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
    return functional.relu(self._get(name, lambda: kind(x.shape[1]))(x))

  def dense(self, x, features, name):
    return self._get(name, lambda: nn.Linear(x.shape[1], features))(x)

  def _get(self, name, make):
    if not hasattr(self, name):
      setattr(self, name, make())
    return getattr(self, name)

  def forward(self, image):
    m = self.model
    x = self.features(image.flatten(0, 1).permute(0, 3, 1, 2), m.width)
    for i in range(m.DENSE_LAYERS):
      x = self.dense(x, m.hidden, f'dense{i + 1}')
      if m.DENSE_NORM:
        x = self.norm(x, f'dense{i + 1}_norm')
      else:
        x = functional.relu(x)
    return self.dense(x, m.schema[0].num_outputs, 'head_expr')


def rows_first(x):
  """Flattens maps in the order of channels-last arrays."""
  return x.permute(0, 2, 3, 1).flatten(1)


class AlexNet(Network):
  def features(self, x, width):
    stride = alexnet.first_stride(x.shape[2])
    for i, (channels, kernel, padding, pool) in enumerate(alexnet.LAYERS):
      name = f'conv{i + 1}'
      x = self.conv(
        x, scaled(channels, width), kernel, name, stride, padding, False
      )
      x, stride = self.norm(x, f'{name}_norm'), 1
      x = functional.max_pool2d(x, 3, 2) if pool else x
    return rows_first(x)


class VGG16(Network):
  def features(self, x, width):
    for i, stage in enumerate(vgg.STAGES):
      for j, channels in enumerate(stage):
        name = f'conv{i + 1}_{j + 1}'
        bias = not self.model.norm
        x = self.conv(x, scaled(channels, width), 3, name, 1, 1, bias)
        x = functional.relu(x) if bias else self.norm(x, f'{name}_norm')
      x = functional.max_pool2d(x, 2)
    return rows_first(x)


class DenseNet(Network):
  def features(self, x, width):
    growth = scaled(densenet.GROWTH, width)
    stem = scaled(densenet.STEM, width)
    x = self.conv(x, stem, 7, 'stem', 2, 3, False)
    x = functional.max_pool2d(self.norm(x, 'stem_norm'), 3, 2, 1)
    for i, layers in enumerate(self.model.blocks):
      for j in range(layers):
        name = f'block{i + 1}_{j + 1}'
        y = self.norm(x, f'{name}_norm1')
        y = self.conv(y, 4 * growth, 1, f'{name}_conv1', bias=False)
        y = self.norm(y, f'{name}_norm2')
        y = self.conv(y, growth, 3, f'{name}_conv2', 1, 1, False)
        x = torch.cat([x, y], 1)
      if i + 1 < len(self.model.blocks):
        name = f'transition{i + 1}'
        y = self.norm(x, f'{name}_norm')
        y = self.conv(y, x.shape[1] // 2, 1, f'{name}_conv', bias=False)
        x = functional.avg_pool2d(y, 2)
    return self.norm(x, 'final_norm').mean((2, 3))


def to_torch(variables) -> dict[str, torch.Tensor]:
  """Our variables as a `state_dict`."""
  state = {}
  for layer, values in variables['params'].items():
    for name, value in values.items():
      value = torch.tensor(value)
      if name == 'kernel':
        value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
      name = {'kernel': 'weight', 'scale': 'weight'}.get(name, name)
      state[f'{layer}.{name}'] = value
  for layer, values in variables['batch_stats'].items():
    for name, value in values.items():
      state[f'{layer}.running_{name}'] = torch.tensor(value)
  return state


def make(kind, model, image):
  """The network with its layers made, in float64."""
  network = kind(model)
  network(torch.from_numpy(image))
  return network.double()
