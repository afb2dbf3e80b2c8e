"""EMENet in PyTorch under the names of the published weights, for parity."""

import torch
from torch import nn
from torch.nn import functional

from emojax.models.layers import scaled
from emojax.models.marblenet import BLOCKS
from emojax.models.mobilefacenet import STAGES


class ConvNorm(nn.Module):
  def __init__(self, i, o, kernel, stride=1, padding=0, groups=1, prelu=True):
    super().__init__()
    self.conv = nn.Conv2d(i, o, kernel, stride, padding, 1, groups, False)
    self.bn = nn.BatchNorm2d(o)
    if prelu:
      self.prelu = nn.PReLU(o)

  def forward(self, x):
    x = self.bn(self.conv(x))
    return self.prelu(x) if hasattr(self, 'prelu') else x


class Unit(nn.Module):
  def __init__(self, i, middle, o, stride):
    super().__init__()
    self.conv = ConvNorm(i, middle, 1)
    self.conv_dw = ConvNorm(middle, middle, 3, stride, 1, middle)
    self.project = ConvNorm(middle, o, 1, prelu=False)
    self.skip = stride == 1

  def forward(self, x):
    y = self.project(self.conv_dw(self.conv(x)))
    return x + y if self.skip else y


class MobileFaceNet(nn.Module):
  def __init__(self, final_size, width=1.0, embedding=0):
    super().__init__()
    previous = scaled(64, width)
    self.conv1 = ConvNorm(3, previous, 3, 2, 1)
    self.conv2_dw = ConvNorm(previous, previous, 3, 1, 1, previous)
    for name, middle, features, stride, repeats in STAGES:
      middle, features = scaled(middle, width), scaled(features, width)
      units = [
        Unit(previous if i == 0 else features, middle, features, stride)
        for i in range(repeats)
      ]
      stage = units[0]
      if repeats > 1:
        stage = nn.Module()
        stage.model = nn.Sequential(*units)
      setattr(self, name, stage)
      previous = features
    last = scaled(512, width)
    self.conv_6_sep = ConvNorm(previous, last, 1)
    self.output_layer = nn.Module()
    self.output_layer.conv_6_dw = ConvNorm(
      last, last, final_size, groups=last, prelu=False
    )
    if embedding:
      self.output_layer.linear = nn.Linear(last, embedding, bias=False)
      self.output_layer.bn = nn.BatchNorm1d(embedding)

  def forward(self, x):
    x = self.conv2_dw(self.conv1(x))
    for name, *_ in STAGES:
      stage = getattr(self, name)
      x = stage.model(x) if hasattr(stage, 'model') else stage(x)
    return self.output_layer.conv_6_dw(self.conv_6_sep(x)).flatten(1)


class MaskedConv(nn.Module):
  """Only for the name `.conv` that NeMo's convolutions have."""

  def __init__(self, *args, **kwargs):
    super().__init__()
    self.conv = nn.Conv1d(*args, bias=False, **kwargs)

  def forward(self, x):
    return self.conv(x)


class JasperBlock(nn.Module):
  def __init__(self, i, o, repeats, kernel, dilation, residual, separable):
    super().__init__()
    layers, previous = [], i
    for repeat in range(repeats):
      if repeat:
        layers += [nn.ReLU(), nn.Dropout(0)]
      if separable:
        layers.append(
          MaskedConv(
            previous,
            previous,
            kernel,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=previous,
          )
        )
      layers += [MaskedConv(previous, o, 1), nn.BatchNorm1d(o, eps=1e-3)]
      previous = o
    self.mconv = nn.Sequential(*layers)
    if residual:
      skip = [MaskedConv(i, o, 1), nn.BatchNorm1d(o, eps=1e-3)]
      self.res = nn.ModuleList([nn.Sequential(*skip)])

  def forward(self, x):
    y = self.mconv(x)
    return functional.relu(y + self.res[0](x) if hasattr(self, 'res') else y)


class MarbleNet(nn.Module):
  def __init__(self, width=1.0):
    super().__init__()
    self.encoder, previous, blocks = nn.Module(), 64, []
    for filters, *settings in BLOCKS:
      blocks.append(JasperBlock(previous, scaled(filters, width), *settings))
      previous = scaled(filters, width)
    self.encoder.encoder = nn.Sequential(*blocks)

  def forward(self, x):
    return self.encoder.encoder(x).mean(-1)


class Head(nn.Module):
  def __init__(self, features, hidden, outputs):
    super().__init__()
    self.rnn = nn.GRU(features, hidden, batch_first=True)
    self.decoder = nn.Linear(hidden, outputs)


class EMENet(nn.Module):
  """The heads' outputs, in their order; without dropout."""

  def __init__(self, outputs, final_size, width, hidden, audio, relu):
    super().__init__()
    trunk, features = MobileFaceNet(final_size, width), scaled(512, width)
    if audio:
      self.video_backbone, self.audio_backbone = trunk, MarbleNet(width)
      features += scaled(128, width)
    else:
      self.backbone = trunk
    self.tmodels = nn.ModuleList([Head(features, hidden, n) for n in outputs])
    self.relu = relu

  def forward(self, image, audio):
    batch, frames = image.shape[:2]
    x = image.flatten(0, 1).permute(0, 3, 1, 2)
    if hasattr(self, 'backbone'):
      x = self.backbone(x)
    else:
      sound = self.audio_backbone(audio.flatten(0, 1))
      x = torch.cat([self.video_backbone(x), sound], 1)
    x, outputs = x.view(batch, frames, -1), []
    for head in self.tmodels:
      y = head.rnn(x)[0]
      outputs.append(head.decoder(functional.relu(y) if self.relu else y))
    return outputs
