"""Weights of papers 001 and 002 from and to PyTorch state_dicts.

The trunk has MatConvNet's names (`conv2_1_1x1_reduce`) in the VGGFace2 network
fine-tuned on FER+, which the published models start from, and torchvision's
elsewhere. Heads are numbered in the published models: give their order.
"""

import re
from typing import Any

import numpy as np
from flax import traverse_util

from emojax.models import resnet_convert
from emojax.models.resnet_convert import NORM, StateDict, Variables

LAYER = {
  'conv1': '1x1_reduce',
  'conv2': '3x3',
  'conv3': '1x1_increase',
  'downsample': '1x1_proj',
}
HEAD = {
  'norm0': 'bn0',
  'linear0': 'fc_0',
  'norm1': 'bn1',
  'linear1': 'fc_1',
}
GRU = {
  'kernel_i': 'weight_ih_l0',
  'kernel_h': 'weight_hh_l0',
  'bias_i': 'bias_ih_l0',
  'bias_h': 'bias_hh_l0',
}
LINEAR = {'kernel': 'weight', 'bias': 'bias'}
# The network's own classifier of eight expressions, and BatchNorm's counters.
CLASSIFIER = re.compile(r'num_batches_tracked$|^(classifier|fc)\.')


def dag_name(path: tuple[str, ...]) -> str:
  """('params', 'layer1_0', 'conv2', 'scale'): 'conv2_1_3x3_bn.weight'."""
  _, *block, layer, leaf = path
  if block:
    stage, number = block[0].removeprefix('layer').split('_')
    layer = f'conv{int(stage) + 1}_{int(number) + 1}_{LAYER[layer]}'
  else:
    layer = 'conv1_7x7_s2'
  return f'{layer}.weight' if leaf == 'kernel' else f'{layer}_bn.{NORM[leaf]}'


def trunk_from_torch(
  state: StateDict, variables: Variables, layout: str = 'caffe'
) -> Variables:
  """Returns a `MultitaskCNN`'s variables with pretrained trunk weights.

  Args:
    state: A ResNet's state_dict as NumPy arrays (`convert.read_state_dict`):
      `resnet50_ferplus_dag` and the like ('caffe'), or torchvision's.
    variables: {'params', 'batch_stats'}; they are not changed.
    layout: 'caffe' or 'torchvision'.

  Raises:
    ValueError: Lists every missing, unexpected and mis-shaped name.
  """
  state = {k: v for k, v in state.items() if not CLASSIFIER.search(k)}
  return _replaced(state, variables, _trunk_names(variables, layout))


def from_torch(
  state: StateDict, variables: Variables, task_order: tuple[str, ...]
) -> Variables:
  """Returns variables with all weights of a published model.

  Args:
    state: The state_dict of a multitask CNN or of the GRUs of a CNN-RNN.
    variables: Those of a `MultitaskCNN` (layout 'caffe', head 'published') or
      a `CNNRNN`; they are not changed.
    task_order: Names of the tasks in the order of the state_dict's heads.

  Raises:
    ValueError: Lists every missing, unexpected and mis-shaped name.
  """
  return _replaced(state, variables, names(variables, task_order))


def to_torch(variables: Variables, task_order: tuple[str, ...]) -> StateDict:
  """Returns variables as a published model's state_dict of NumPy arrays."""
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  return {
    name: _to_torch(path, flat[path])
    for name, path in names(variables, task_order).items()
  }


def names(variables: Variables, task_order: tuple[str, ...]):
  """Maps names of the published models to paths in `variables`."""
  found = {
    'backbone.model.' + name: path
    for name, path in _trunk_names(variables, 'caffe').items()
  }
  for path in traverse_util.flatten_dict(variables):
    module, _, task = path[1].partition('_')
    if module == 'trunk':
      continue
    if task not in task_order:
      raise ValueError(
        f'task_order {task_order} does not name the head of {task!r}'
      )
    found[f'classifier.{task_order.index(task)}.{_head_name(path)}'] = path
  return found


def _trunk_names(variables, layout):
  one = {'caffe': dag_name, 'torchvision': resnet_convert.torch_name}[layout]
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  return {
    one((path[0], *path[2:])): path for path in flat if path[1] == 'trunk'
  }


def _head_name(path: tuple[str, ...]) -> str:
  _, module, *inner = path
  if module.startswith('gru_'):
    direction, leaf = inner
    return f'GRU_layer.{GRU[leaf]}' + '_reverse' * (direction == 'backward')
  if module.startswith('linear_'):
    return f'fc_1.{LINEAR[inner[0]]}'
  layer, leaf = inner
  kinds = LINEAR if layer.startswith('linear') else NORM
  return f'{HEAD[layer]}.{kinds[leaf]}'


def _to_torch(path, array) -> np.ndarray:
  """Kernels [..., I, O] to PyTorch's [O, I, ...]; vectors stay."""
  array = np.asarray(array)
  return array if array.ndim == 1 else np.moveaxis(array, (-1, -2), (0, 1))


def _torch_shape(shape) -> tuple[int, ...]:
  return tuple(shape) if len(shape) == 1 else (*shape[:-3:-1], *shape[:-2])


def _replaced(state, variables, found):
  state = {
    name.removeprefix('module.'): np.asarray(array, np.float32)
    for name, array in state.items()
    if not name.endswith('num_batches_tracked')
  }
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  shapes = {name: _torch_shape(flat[p].shape) for name, p in found.items()}
  resnet_convert.check(state, shapes)
  for name, path in found.items():
    array = state[name]
    flat[path] = (
      array if array.ndim == 1 else np.moveaxis(array, (0, 1), (-1, -2))
    )
  return traverse_util.unflatten_dict(flat)
