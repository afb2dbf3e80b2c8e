"""Weights from and to PyTorch, as dictionaries of NumPy arrays.

The names are those of the published code: the trunk's from the public
definition of MobileFaceNet that the landmark-pretrained weights belong to, the
audio encoder's from NeMo, the heads' from EMENet, which numbers them: its
default order of tasks is (expr, au, va).
"""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from flax import traverse_util

Variables = dict[str, Any]
StateDict = dict[str, np.ndarray]
Path = tuple[str, ...]

SAFE_TORCH = (2, 6)
TASK_ORDER = ('expr', 'au', 'va')
LAYER = {
  'kernel': 'conv.weight',
  'scale': 'bn.weight',
  'bias': 'bn.bias',
  'slope': 'prelu.weight',
  'mean': 'bn.running_mean',
  'var': 'bn.running_var',
}
NORM = {
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
UNIT = {'expand': 'conv', 'depthwise': 'conv_dw', 'project': 'project'}
HEAD: dict[Path, str] = {
  ('gru', 'kernel_i'): 'rnn.weight_ih_l0',
  ('gru', 'kernel_h'): 'rnn.weight_hh_l0',
  ('gru', 'bias_i'): 'rnn.bias_ih_l0',
  ('gru', 'bias_h'): 'rnn.bias_hh_l0',
  ('linear', 'kernel'): 'decoder.weight',
  ('linear', 'bias'): 'decoder.bias',
}
# The landmark network's embedding and BatchNorm's counters have no counterpart.
IGNORED = re.compile(
  r'num_batches_tracked$|output_layer\.(linear|bn)\.|preprocessor\.'
)


def read_state_dict(path: str | pathlib.Path) -> StateDict:
  """Reads a PyTorch checkpoint (.pth, .pt, .pth.tar) as NumPy arrays.

  No code of the file is run.

  Raises:
    ImportError: If PyTorch is not installed, or older than 2.6: before, files
      could run code even with `weights_only` (CVE-2025-32434).
    OSError: If the file cannot be opened.
    ValueError: If it is damaged, holds no dictionary of tensors, or numbers
      that are not finite.
  """
  try:
    import torch  # pyright: ignore[reportMissingImports]  # optional
  except ImportError as error:
    raise ImportError(
      f'reading {path} needs PyTorch: pip install emojax[parity], or convert '
      'the file to a dictionary of NumPy arrays elsewhere'
    ) from error
  if _version(torch.__version__) < SAFE_TORCH:
    raise ImportError(
      f'PyTorch {torch.__version__} lets files run code (CVE-2025-32434): '
      f'reading {path} needs PyTorch >= {".".join(map(str, SAFE_TORCH))}'
    )
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
  except OSError:
    raise
  except Exception as error:  # unpickling raises whatever a file leads it to
    line = (str(error).splitlines() or [''])[0][:200]
    raise ValueError(
      f'{path} is no PyTorch checkpoint of tensors, or damaged '
      f'({type(error).__name__}: {line})'
    ) from error
  if isinstance(state, dict):
    state = state.get('state_dict', state)
  if not isinstance(state, dict) or not all(
    isinstance(name, str) and torch.is_tensor(x) for name, x in state.items()
  ):
    raise ValueError(
      f'{path}: expected a state_dict (names to tensors), or a dictionary with '
      "one under 'state_dict'"
    )
  return {
    name.removeprefix('module.'): _array(path, name, tensor)
    for name, tensor in state.items()
  }


def _version(text: str) -> tuple[int, ...]:
  """'2.13.0+cpu' -> (2, 13)."""
  return tuple(int(part) for part in re.findall(r'\d+', text)[:2])


def _array(path, name: str, tensor) -> np.ndarray:
  """A tensor as a finite array; NumPy has no bfloat16."""
  if tensor.is_sparse or tensor.is_quantized:
    raise ValueError(f'{path}: {name} is no dense tensor')
  tensor = tensor.detach()
  if tensor.is_floating_point():
    if not tensor.isfinite().all():
      raise ValueError(
        f'{path}: {name} holds numbers that are not finite; a network that '
        'starts from them could only diverge'
      )
    if str(tensor.dtype) not in ('torch.float64', 'torch.float16'):
      tensor = tensor.float()
  return tensor.numpy()


def loader(path: str, place: Callable[[StateDict, Variables], Variables]):
  """Returns the function that loads trunk weights into a fresh member.

  Args:
    path: A PyTorch checkpoint; '' for none.
    place: Such as `trunk_from_torch`.

  Returns:
    `(params, model_state) -> (params, model_state)`; None without a path.

  Raises:
    ImportError, OSError, ValueError: As `read_state_dict`.
  """
  if not path:
    return None
  state_dict = read_state_dict(path)

  def load(params, model_state):
    loaded = place(state_dict, {'params': params, **model_state})
    return loaded.pop('params'), loaded

  return load


def trunk_from_torch(state: StateDict, variables: Variables) -> Variables:
  """Returns `variables` with the trunk's weights of a PyTorch MobileFaceNet.

  Args:
    state: The state_dict of the landmark-pretrained network; its landmark
      layer is left out.
    variables: {'params', 'batch_stats'} of EMENet, which are not changed.

  Raises:
    ValueError: Lists every missing, unexpected and mis-shaped name.
  """
  names = {_trunk_name(path): path for path in _paths(variables, 'trunk')}
  return _replaced(state, variables, names)


def from_torch(
  state: StateDict,
  variables: Variables,
  task_order: tuple[str, ...] = TASK_ORDER,
) -> Variables:
  """Returns `variables` with all weights of a PyTorch EMENet.

  Args:
    state: The state_dict of EMENet-V or -VA.
    variables: {'params', 'batch_stats'} of the model, which are not changed.
    task_order: Names of the tasks in the order of the state_dict's heads.

  Raises:
    ValueError: Lists every missing, unexpected and mis-shaped name.
  """
  return _replaced(state, variables, emenet_names(variables, task_order))


def to_torch(
  variables: Variables, task_order: tuple[str, ...] = TASK_ORDER
) -> StateDict:
  """Returns EMENet's variables as a PyTorch state_dict of NumPy arrays."""
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  names = emenet_names(variables, task_order)
  return {name: _transposed(flat[path]) for name, path in names.items()}


def emenet_names(
  variables: Variables, task_order: tuple[str, ...] = TASK_ORDER
) -> dict[str, Path]:
  """Maps names of the published EMENet-V or -VA to paths in `variables`."""
  heads = [f'head_{task}' for task in task_order]
  found = [name for name in variables['params'] if name.startswith('head_')]
  if sorted(heads) != sorted(found):
    raise ValueError(
      f'task_order {task_order} does not name the heads of the model: '
      f'{sorted(found)}'
    )
  audio = 'marblenet' in variables['params']
  trunk = 'video_backbone.' if audio else 'backbone.'
  names = {
    trunk + _trunk_name(path): path for path in _paths(variables, 'trunk')
  }
  for path in _paths(variables, 'marblenet'):
    names['audio_backbone.encoder.encoder.' + _marblenet_name(path)] = path
  for i, head in enumerate(heads):
    for path in _paths(variables, head):
      names[f'tmodels.{i}.{HEAD[path[2:]]}'] = path
  return names


def _paths(variables, module) -> list[Path]:
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  return [path for path in flat if path[1] == module]


def _trunk_name(path: Path) -> str:
  """('params', 'trunk', 'conv_3_0', 'expand', 'kernel') and the like."""
  _, _, stage, *unit, leaf = path
  if stage == 'conv_6_dw':
    stage = 'output_layer.conv_6_dw'
  elif unit:
    stage = re.sub(r'^(conv_\d)_(\d)$', r'\1.model.\2', stage)
  return '.'.join([stage, *(UNIT[u] for u in unit), LAYER[leaf]])


def _marblenet_name(path: Path) -> str:
  """('params', 'marblenet', 'block2_1', 'pointwise', 'kernel') and the like.

  A repeat in NeMo is five modules: two convolutions, BatchNorm, ReLU, dropout.
  """
  _, _, unit, *inner, leaf = path
  block, _, repeat = unit.partition('_')
  prefix = f'{int(block.removeprefix("block")) - 1}.'
  if repeat == 'skip':
    prefix, first = prefix + 'res.0.', 0
  else:
    prefix, first = prefix + 'mconv.', 5 * int(repeat or 0)
  if leaf == 'depthwise':
    return f'{prefix}{first}.conv.weight'
  first += len(inner)
  if leaf == 'kernel':
    return f'{prefix}{first}.conv.weight'
  return f'{prefix}{first + 1}.{NORM[leaf]}'


def _transposed(array) -> np.ndarray:
  """Kernels [..., I, O] to PyTorch's [O, I, ...]; vectors stay."""
  array = np.asarray(array)
  if array.ndim == 1:
    return array
  return np.moveaxis(array, (-1, -2), (0, 1))


def _untransposed(array) -> np.ndarray:
  array = np.asarray(array)
  return array if array.ndim == 1 else np.moveaxis(array, (0, 1), (-1, -2))


def _replaced(state, variables, names):
  state = {
    name.removeprefix('module.'): _untransposed(array)
    for name, array in state.items()
    if not IGNORED.search(name)
  }
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
  _check(state, {name: flat[path].shape for name, path in names.items()})
  for name, path in names.items():
    flat[path] = state[name].astype(np.float32)
  return traverse_util.unflatten_dict(flat)


def _check(state, shapes):
  """Raises ValueError that lists everything that does not fit."""
  problems = [f'missing: {n}' for n in shapes if n not in state]
  problems += [f'unexpected: {n}' for n in state if n not in shapes]
  for name, shape in shapes.items():
    if name in state and state[name].shape != shape:
      problems.append(f'{name}: shape {state[name].shape}, expected {shape}')
  if problems:
    raise ValueError(
      'the PyTorch weights do not fit the model (shapes as [..., in, out]); '
      'build it with the width, channels and image_size that they were '
      'trained with (112 for the landmark weights):\n  ' + '\n  '.join(problems)
    )
