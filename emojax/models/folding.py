"""Trained networks as they answer fastest: norms in the kernels, frames in blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from emojax.models.emenet import EMENet
from emojax.models.layers import ConvNorm
from emojax.models.one_network import OneNetwork

PyTree = Any
# Means of more standard deviations than this keep their norm: `x * gain + shift`
# takes the difference of two large numbers, `(x - mean) * gain` does not.
MOST_DEVIATIONS = 32.0
# Beside a layer's two arrays XLA keeps a few more, and memory of more than 32 MiB
# in all goes back to the system after every call.
MOST_BYTES = 8 << 20


class Layer(NamedTuple):
  """A `ConvNorm` of a network.

  Attributes:
    path: Names from the network down to it.
    eps: Added to its variance.
    foldable: Whether it computes in float32: in bfloat16 a kernel with its scale
      would be rounded to other numbers.
    size: Bytes of a frame that it reads and writes.
  """

  path: tuple[str, ...]
  eps: float
  foldable: bool
  size: int


def layers(
  network: nn.Module, variables: PyTree, inputs: Mapping[str, Any]
) -> list[Layer]:
  """The convolutions with a norm that a network has; nothing is computed.

  Args:
    network: Unbound.
    variables: Of one member; arrays or their shapes.
    inputs: Of one frame.
  """
  found = []

  def watch(following, args, kwargs, context):
    made = following(*args, **kwargs)
    layer = context.module
    if isinstance(layer, ConvNorm) and context.method_name == '__call__':
      size = sum(x.size * x.dtype.itemsize for x in (args[0], made))
      single = jnp.dtype(layer.dtype) == jnp.float32
      found.append(Layer(layer.path, layer.eps, single, size))
    return made

  with nn.intercept_methods(watch):
    jax.eval_shape(lambda v: network.apply(v, inputs, train=False), variables)
  return found


def fold(
  found: Sequence[Layer], params: PyTree, state: PyTree
) -> tuple[PyTree, PyTree]:
  """Multiplies BatchNorm's scales into kernels, of whatever layers it can.

  Args:
    found: Layers of the network.
    params: Nested dictionaries of arrays on the host, with leading member axes or
      none.
    state: Likewise, with 'batch_stats' if there are any.

  Returns:
    Both as `ConvNorm` takes them: 'shift' in place of 'scale' and 'bias', and no
    statistics. The arrays of other layers are the same ones.
  """
  params, state = _copied(params), _copied(state)
  for layer in found:
    holder = _at(params, layer.path)
    stats = _at(state.get('batch_stats', {}), layer.path)
    if layer.foldable and stats and holder:
      _fold_one(layer, holder, stats)
  return params, state


def block(found: Sequence[Layer], cache: int) -> int:
  """Frames whose largest layer fits a cache, at least 1; see `fitting`.

  Args:
    found: Layers of the network.
    cache: Bytes that a core has.
  """
  return fitting(max((layer.size for layer in found), default=1), cache)


def fitting(largest: int, cache: int) -> int:
  """Frames that fit a cache, at least 1.

  Args:
    largest: Bytes of a frame that the largest layer reads and writes.
    cache: Bytes that a core has. A virtual machine is told of caches that others
      use, too; more than `MOST_BYTES` are not counted on.
  """
  return max(1, min(cache, MOST_BYTES) // largest)


def with_block(network: nn.Module, frames: int) -> nn.Module:
  """The network whose encoders see so many frames at a time.

  Only EMENet has them apart from what reads a whole clip; of other networks the
  caller chooses how many clips they see.
  """
  if isinstance(network, EMENet):
    return network.clone(block=frames)
  if isinstance(network, OneNetwork):
    return network.clone(trunk=with_block(network.trunk, frames))
  return network


def _fold_one(layer: Layer, params: dict[str, Any], stats: dict[str, Any]):
  """Folds one layer, in place, unless digits would be lost."""
  mean, var, scale, bias, kernel = (
    np.asarray(x, np.float64)
    for x in (
      stats['mean'], stats['var'], params['scale'], params['bias'],
      params['kernel'],
    )
  )  # fmt: skip
  inverse = 1 / np.sqrt(var + layer.eps)
  with np.errstate(invalid='ignore', over='ignore'):
    if not (np.abs(mean * inverse) <= MOST_DEVIATIONS).all():
      return
    gain = scale * inverse
    axes = (..., *[None] * (kernel.ndim - gain.ndim), slice(None))
    params['kernel'] = np.float32(kernel * gain[axes])
    params['shift'] = np.float32(bias - mean * gain)
  for name in ('scale', 'bias'):
    del params[name]
  stats.clear()


def _copied(tree: PyTree) -> PyTree:
  """The dictionaries anew, the arrays as they are."""
  if isinstance(tree, Mapping):
    return {name: _copied(part) for name, part in tree.items()}
  return tree


def _at(tree: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
  """What is at a path of nested dictionaries; {} if nothing is."""
  for name in path:
    tree = tree.get(name, {})
  return tree
