"""Classifiers that also say how uncertain an image is (paper 003 and rivals).

A ResNet, an embedding of the image and a linear classifier on it, and beside
them what a method learns uncertainty with.
"""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from emojax.models import resnet
from emojax.models.layers import Dropout, Linear, by_statistics
from emojax.tasks import Schema

EMBEDDINGS = ('branch', 'pooled')
ESTIMATES = ('none', 'log_sigma', 'attention', 'confidence')
NORMALISATIONS = {
  'none': ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
  'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
EPS = 2e-5  # of the branches' BatchNorm, in the published code


class BatchNorm(nn.Module):
  """Batch normalisation with PyTorch's conventions, alone; see `ConvNorm`.

  Attributes:
    affine: Whether scale and bias are learned.
    axis_name: Mapped batch axis that statistics are synchronised over.
  """

  affine: bool = True
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool):
    shape = x.shape[-1:]
    scale, bias = jnp.ones(shape), jnp.zeros(shape)
    if self.affine:
      scale = self.param('scale', nn.initializers.ones, shape)
      bias = self.param('bias', nn.initializers.zeros, shape)
    return by_statistics(self, x, train, scale, bias, None, EPS)


class Branch(nn.Module):
  """BatchNorm, dropout, flatten, linear, BatchNorm (paper 003, section 4.2).

  Attributes:
    features: D, size of the result.
    dropout: Dropout rate.
    axis_name: Mapped batch axis.
  """

  features: int
  dropout: float
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool, dropout: bool):
    """Maps a map of features [N, h, w, C] to [N, D]."""
    x = BatchNorm(False, self.axis_name, name='norm')(x, train)
    x = Dropout(self.dropout, self.axis_name)(x, dropout)
    x = Linear(self.features, name='linear')(x.reshape(x.shape[0], -1))
    return BatchNorm(True, self.axis_name, name='norm_out')(x, train)


class UncertaintyNet(nn.Module):
  """Image to logits, embedding and the estimate of uncertainty.

  Attributes:
    schema: One categorical task.
    image_size: Height and width of the images.
    depth: 'resnet18', 'resnet34' or 'resnet50'.
    stem: See `resnet.ResNet`.
    width: Width multiplier of the trunk.
    embedding: 'branch' (papers RUL and DUL: a `Branch` on the map) or 'pooled'
      (the mean of the map).
    features: Size of a branch's result; D, if the embedding is one.
    estimate: 'none'; 'log_sigma': another `Branch`, of logarithms (RUL: of the
      uncertainties, DUL: of the variances); 'attention' (SCN) and 'confidence'
      (CONF): one logit from the embedding.
    dropout: Dropout rate of the branches.
    normalise: 'imagenet' subtracts ImageNet's mean and divides by its standard
      deviation, 'none' takes images in [0, 1] as they are.
    lowering: See `ops.conv`.
    dtype: Compute dtype of the trunk; all else is float32.
    axis_name: Mapped batch axis: BatchNorm is synchronised over it and dropout
      masks are drawn for the whole batch.
  """

  schema: Schema
  image_size: int
  depth: str = 'resnet18'
  stem: str = 'imagenet'
  width: float = 1.0
  embedding: str = 'branch'
  features: int = 64
  estimate: str = 'log_sigma'
  dropout: float = 0.4
  normalise: str = 'imagenet'
  lowering: str = 'auto'
  dtype: Any = jnp.float32
  axis_name: str | None = None

  channels = 3
  audio = False

  def setup(self):
    for what, valid in (
      ('embedding', EMBEDDINGS),
      ('estimate', ESTIMATES),
      ('normalise', NORMALISATIONS),
    ):
      if getattr(self, what) not in valid:
        raise ValueError(
          f'{what} {getattr(self, what)!r}: expected one of {", ".join(valid)}'
        )
    self.trunk = resnet.make(
      self.depth,
      stem=self.stem,
      width=self.width,
      lowering=self.lowering,
      dtype=self.dtype,
      axis_name=self.axis_name,
    )
    branch = (self.features, self.dropout, self.axis_name)
    if self.embedding == 'branch':
      self.mu = Branch(*branch)
    if self.estimate == 'log_sigma':
      self.log_sigma = Branch(*branch)
    elif self.estimate == 'attention':
      self.attention = Linear(1)
    elif self.estimate == 'confidence':
      self.confidence = Linear(1)
    self.classifier = Linear(self._task.num_outputs)

  @property
  def _task(self):
    (task,) = self.schema
    if task.kind != 'categorical':
      raise ValueError(f'task {task.name!r} is {task.kind}, not categorical')
    return task

  def __call__(self, inputs, train: bool, dropout: bool | None = None):
    """Applies the network.

    Args:
      inputs: 'image' float [B, L, H, W, C] in [0, 1], C 1 or 3; every frame is
        an image of its own.
      train: Normalise with the batch's statistics and update the running ones.
      dropout: Whether dropout is on; None means `train`.

    Returns:
      float32 logits [B, L, K] under the task's name, 'features' [B, L, D], what
      the classifier reads, and what `estimate` names: 'log_sigma' [B, L, features],
      'attention' [B, L] or 'confidence' [B, L] (logits of a sigmoid).

    Raises:
      ValueError: If the images have an unexpected shape.
    """
    dropout = train if dropout is None else dropout
    image = self._checked(inputs['image'])
    lead = image.shape[:2]
    image = image.reshape(math.prod(lead), *image.shape[2:])
    maps = self.trunk(self._normalised(image), train).astype(jnp.float32)
    if self.embedding == 'branch':
      features = self.mu(maps, train, dropout)
    else:
      features = maps.mean((1, 2))
    outputs = {'features': features, self._task.name: self.classify(features)}
    if self.estimate == 'log_sigma':
      outputs['log_sigma'] = self.log_sigma(maps, train, dropout)
    elif self.estimate != 'none':
      outputs[self.estimate] = getattr(self, self.estimate)(features)[:, 0]
    return {k: v.reshape(*lead, *v.shape[1:]) for k, v in outputs.items()}

  def classify(self, features):
    """Maps embeddings [..., D], mixed or not, to float32 logits [..., K]."""
    return self.classifier(features).astype(jnp.float32)

  def _checked(self, image):
    size = self.image_size
    if image.ndim != 5 or image.shape[2:4] != (size, size):
      raise ValueError(
        f"inputs['image'] has shape {image.shape}: expected [B, L, {size}, "
        f'{size}, C]; build the model with the size of the augmented images'
      )
    return image

  def _normalised(self, image):
    mean, deviation = (jnp.float32(v) for v in NORMALISATIONS[self.normalise])
    image = jnp.broadcast_to(image, (*image.shape[:-1], 3))  # grey as colour
    return ((image - mean) / deviation).astype(self.dtype)
