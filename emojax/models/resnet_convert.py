"""ResNet weights from and to PyTorch, with torchvision's names.

The published ResNet-18 of MS-Celeb-1M (papers SCN and 003) and torchvision's
ImageNet weights both have these names; their last layers are left out.
"""

import re
from typing import Any

import numpy as np
from flax import traverse_util

Variables = dict[str, Any]
StateDict = dict[str, np.ndarray]

NORM = {
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# BatchNorm's counters, and what stands on top of the trunk in these files.
IGNORED = re.compile(r'num_batches_tracked$|^(fc|feature|classifier)\.')


def from_torch(state: StateDict, variables: Variables) -> Variables:
  """Returns a `ResNet`'s variables with the weights of a PyTorch ResNet.

  Args:
    state: A state_dict as NumPy arrays (`convert.read_state_dict`).
    variables: {'params', 'batch_stats'} of a `ResNet`; they are not changed.

  Raises:
    ValueError: Lists every missing, unexpected and mis-shaped name.
  """
  state = {k.removeprefix('module.'): v for k, v in state.items()}
  state = {k: v for k, v in state.items() if not IGNORED.search(k)}
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  names = {torch_name(path): path for path in flat}
  check(state, {name: to_shape(flat[p].shape) for name, p in names.items()})
  for name, path in names.items():
    array = np.asarray(state[name], np.float32)
    flat[path] = array if array.ndim == 1 else array.transpose(2, 3, 1, 0)
  return traverse_util.unflatten_dict(flat)


def to_torch(variables: Variables) -> StateDict:
  """Returns a `ResNet`'s variables as a PyTorch state_dict of NumPy arrays."""
  state = {}
  for path, array in traverse_util.flatten_dict(variables).items():
    array = np.array(array)
    array = array if array.ndim == 1 else array.transpose(3, 2, 0, 1)
    state[torch_name(path)] = np.ascontiguousarray(array)
  return state


def torch_name(path: tuple[str, ...]) -> str:
  """('params', 'layer1_0', 'conv2', 'scale') is 'layer1.0.bn2.weight'."""
  _, *block, layer, leaf = path
  prefix = ''.join(name.replace('_', '.') + '.' for name in block)
  if layer == 'downsample':
    return prefix + (
      'downsample.0.weight'
      if leaf == 'kernel'
      else f'downsample.1.{NORM[leaf]}'
    )
  if leaf == 'kernel':
    return f'{prefix}{layer}.weight'
  return f'{prefix}{layer.replace("conv", "bn")}.{NORM[leaf]}'


def to_shape(shape) -> tuple[int, ...]:
  """The shape in PyTorch's order of axes."""
  if len(shape) == 1:
    return tuple(shape)
  height, width, inputs, outputs = shape
  return outputs, inputs, height, width


def check(state, shapes):
  """Raises ValueError that lists everything that does not fit."""
  problems = [f'missing: {n}' for n in shapes if n not in state]
  problems += [f'unexpected: {n}' for n in state if n not in shapes]
  for name, shape in shapes.items():
    if name in state and np.shape(state[name]) != shape:
      problems.append(
        f'{name}: shape {np.shape(state[name])}, expected {shape}'
      )
  if problems:
    raise ValueError(
      'the PyTorch weights do not fit the ResNet; build it with the depth, '
      'width and stem that they were trained with (published ones: width 1, '
      "stem 'imagenet'):\n  " + '\n  '.join(problems)
    )
