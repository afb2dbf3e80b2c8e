"""Rules for primitives: numbers one by one, and arrays in another shape.

A rule is `(walk, equation, *inputs) -> outputs`. Inputs are NumPy arrays, which are
constants, or `Value`s. Rules of `ELEMENTWISE` see axes that are still to be
broadcast; all others see arrays of the shape that the program says.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from emojax.interchange.graph import (
  TranslationError,
  Value,
  element_type,
  is_symbol,
)

Rule = Callable[..., Any]
LAST = np.iinfo(np.int64).min + 1  # before the first element, for steps of -1

# One node each. Constants are computed at once, where NumPy has a function.
ELEMENTWISE: dict[str, Rule] = {}
RULES: dict[str, Rule] = {}
_NODES = {
  'abs': 'Abs', 'add': 'Add', 'add_any': 'Add', 'and': 'And', 'ceil': 'Ceil',
  'div': 'Div', 'eq': 'Equal', 'erf': 'Erf', 'exp': 'Exp', 'floor': 'Floor',
  'ge': 'GreaterOrEqual', 'gt': 'Greater', 'le': 'LessOrEqual', 'log': 'Log',
  'logistic': 'Sigmoid', 'lt': 'Less', 'max': 'Max', 'min': 'Min',
  'mul': 'Mul', 'neg': 'Neg', 'not': 'Not', 'or': 'Or', 'pow': 'Pow',
  'sign': 'Sign', 'sqrt': 'Sqrt', 'sub': 'Sub', 'tanh': 'Tanh',
}  # fmt: skip
NUMPY: dict[str, Callable] = {
  'add': np.add,
  'mul': np.multiply,
  'sub': np.subtract,
  'rsqrt': lambda x: 1 / np.sqrt(x),
  'square': np.square,
}


def elementwise(name: str):
  """Registers a rule `(walk, equation, *names) -> name`."""

  def register(rule: Callable[..., str]):
    def complete(walk, equation, *inputs):
      names, order = walk.aligned(inputs)
      shape = broadcast_shape([x.shape for x in inputs])
      return [Value(rule(walk, equation, *names), shape, order)]

    ELEMENTWISE[name] = complete
    return rule

  return register


def rule(name: str):
  """Registers a rule."""

  def register(function: Rule) -> Rule:
    RULES[name] = function
    return function

  return register


def _known(value) -> bool:
  return isinstance(value, np.ndarray)


def broadcast_shape(shapes) -> tuple:
  """The common shape, as NumPy has it, of sizes that may be symbols."""
  rank = max(map(len, shapes))
  padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
  return tuple(
    next((n for n in sizes if is_symbol(n) or n != 1), 1)
    for sizes in zip(*padded, strict=True)
  )


def _register_nodes():
  for name, op in _NODES.items():

    def one(walk, equation, *names, op=op):
      del equation
      return walk.graph.add(op, *names)

    elementwise(name)(one)


_register_nodes()


@elementwise('ne')
def _ne(walk, equation, a, b):
  return walk.graph.add('Not', walk.graph.add('Equal', a, b))


@elementwise('square')
def _square(walk, equation, x):
  return walk.graph.add('Mul', x, x)


@elementwise('rsqrt')
def _rsqrt(walk, equation, x):
  return walk.graph.add('Reciprocal', walk.graph.add('Sqrt', x))


@elementwise('integer_pow')
def _integer_pow(walk, equation, x):
  power = equation.params['y']
  if power == 2:
    return walk.graph.add('Mul', x, x)
  return walk.graph.add('Pow', x, walk.graph.constant(np.float32(power)))


@elementwise('log1p')
def _log1p(walk, equation, x):
  one = walk.graph.constant(np.float32(1))
  return walk.graph.add('Log', walk.graph.add('Add', x, one))


@elementwise('round')
def _round(walk, equation, x):
  # ONNX rounds halves to the even neighbour.
  if equation.params['rounding_method'].name != 'TO_NEAREST_EVEN':
    raise TranslationError('round away from zero has no rule')
  return walk.graph.add('Round', x)


@elementwise('is_finite')
def _is_finite(walk, equation, x):
  add = walk.graph.add
  return add('Not', add('Or', add('IsNaN', x), add('IsInf', x)))


@elementwise('clamp')
def _clamp(walk, equation, low, x, high):
  return walk.graph.add('Min', walk.graph.add('Max', x, low), high)


@elementwise('select_n')
def _select_n(walk, equation, which, *cases):
  if len(cases) != 2 or equation.invars[0].aval.dtype != np.bool_:
    raise TranslationError('a choice of more than two has no rule')
  return walk.graph.add('Where', which, cases[1], cases[0])


@elementwise('convert_element_type')
def _convert(walk, equation, x):
  to = element_type(equation.params['new_dtype'])
  if to == element_type(equation.invars[0].aval.dtype):
    return x
  return walk.graph.add('Cast', x, to=to)


@rule('stop_gradient')
@rule('copy')
@rule('copy_p')
def _same(walk, equation, x):
  return [x]


@rule('broadcast_in_dim')
def _broadcast_in_dim(walk, equation, x, *sizes):
  """Axes of size 1 where the program has more: see `Value`."""
  shape, places = (
    equation.params[key] for key in ('shape', 'broadcast_dimensions')
  )
  found: list[Any] = [1] * len(shape)
  for place, size in zip(places, x.shape):
    found[place] = size
  return [walk.reshaped(x, tuple(found))]


@rule('reshape')
@rule('squeeze')
@rule('expand_dims')
def _reshape(walk, equation, x, *sizes):
  if equation.params.get('dimensions') and equation.primitive.name == 'reshape':
    raise TranslationError('reshape in another order has no rule')
  return [walk.reshaped(x, equation.outvars[0].aval.shape)]


@rule('transpose')
def _transpose(walk, equation, x):
  return [walk.transposed(x, equation.params['permutation'])]


@rule('slice')
def _slice(walk, equation, x):
  p, shape = equation.params, equation.outvars[0].aval.shape
  rank, cut = len(shape), []
  for axis in range(rank):
    step = p['strides'][axis] if p['strides'] else 1
    start, limit = p['start_indices'][axis], p['limit_indices'][axis]
    whole = not is_symbol(start) and start == 0 and step == 1
    if not (whole and limit == x.shape[axis]):
      cut.append((axis, start, limit, step))
  if x.order is not None:
    cut = [(x.order.index(axis), *rest) for axis, *rest in cut]
  return [Value(sliced(walk, x.name, cut), tuple(shape), x.order)]


def sliced(walk, name: str, cut) -> str:
  """Name of a part of what the graph has, by (axis, start, stop, step)."""
  if not cut:
    return name
  axes, starts, stops, steps = zip(*cut)
  numbers = [walk.graph.shape(starts), walk.graph.shape(stops)]
  numbers += [walk.graph.constant(np.array(x, np.int64)) for x in (axes, steps)]
  return walk.graph.add('Slice', name, *numbers)


@rule('rev')
def _rev(walk, equation, x):
  cut = [(axis, -1, LAST, -1) for axis in equation.params['dimensions']]
  return [Value(sliced(walk, walk.name(x), cut), x.shape)]


@rule('split')
def _split(walk, equation, x):
  sizes, axis = (equation.params[key] for key in ('sizes', 'axis'))
  names = walk.graph.add_several(
    'Split',
    [walk.name(x), walk.graph.shape(sizes)],
    ['split'] * len(sizes),
    axis=axis,
  )
  shapes = [out.aval.shape for out in equation.outvars]
  return [Value(n, tuple(s)) for n, s in zip(names, shapes, strict=True)]


@rule('concatenate')
def _concatenate(walk, equation, *parts):
  axis, shape = equation.params['dimension'], equation.outvars[0].aval.shape
  names = [walk.name(part) for part in parts]
  return [Value(walk.graph.add('Concat', *names, axis=axis), tuple(shape))]


@rule('pad')
def _pad(walk, equation, x, value):
  amounts = equation.params['padding_config']
  if any(low < 0 or high < 0 or inner for low, high, inner in amounts):
    raise TranslationError('padding that cuts or spreads has no rule')
  x = walk.value(x)
  if x.order is not None:
    amounts = [amounts[axis] for axis in x.order]
  sizes = [low for low, _, _ in amounts] + [high for _, high, _ in amounts]
  name = walk.graph.add(
    'Pad', x.name, walk.graph.shape(sizes), walk.name(value)
  )
  return [Value(name, tuple(equation.outvars[0].aval.shape), x.order)]


@rule('gather')
def _gather(walk, equation, x, index):
  """Places along one axis; what else a gather can be has no rule."""
  p, shape = equation.params, equation.outvars[0].aval.shape
  d = p['dimension_numbers']
  if _known(index) and index.ndim == 1 and not d.operand_batching_dims:
    return [_one_place(walk, p, x, index, tuple(shape))]
  (axis, *more), source = d.start_index_map, x.shape
  whole = all(
    bool(size == n)
    for i, (size, n) in enumerate(zip(p['slice_sizes'], source))
    if i != axis
  )
  one = p['slice_sizes'][axis] == 1 and d.collapsed_slice_dims == (axis,)
  if more or not whole or not one or d.operand_batching_dims:
    raise TranslationError(f'a gather along several axes ({d}) has no rule')
  lead = index.shape[:-1]
  chosen = walk.reshaped(index, tuple(lead))
  name = walk.graph.add('Gather', walk.name(x), walk.name(chosen), axis=axis)
  found = Value(name, (*source[:axis], *lead, *source[axis + 1 :]))
  places = iter(range(axis, axis + len(lead)))
  rest = iter([*range(axis), *range(axis + len(lead), len(shape))])
  order = [
    next(rest if i in d.offset_dims else places) for i in range(len(shape))
  ]
  return [walk.transposed(found, order)]


def _one_place(walk, p, x, index, shape):
  """A slice: a gather from a single place that is known."""
  x, cut = walk.value(x), []
  for axis, first in zip(
    p['dimension_numbers'].start_index_map, index.tolist()
  ):
    size = p['slice_sizes'][axis]
    cut.append((axis, first, first + size, 1))
  part = Value(sliced(walk, walk.name(x), cut), tuple(p['slice_sizes']))
  return walk.reshaped(part, shape)


@rule('iota')
def _iota(walk, equation):
  p = equation.params
  if any(map(is_symbol, p['shape'])):
    raise TranslationError('an iota of a size known at run time has no rule')
  shape = [1] * len(p['shape'])
  shape[p['dimension']] = p['shape'][p['dimension']]
  return [np.arange(shape[p['dimension']], dtype=p['dtype']).reshape(shape)]


@rule('dim_as_value')
def _dim_as_value(walk, equation):
  """A size as a number, which means divide by."""
  size, dtype = equation.params['dim'], equation.outvars[0].aval.dtype
  if not is_symbol(size):
    return [np.asarray(size, dtype)]
  number = walk.graph.add(
    'Cast', walk.graph.shape([size]), to=element_type(dtype)
  )
  return [walk.reshaped(Value(number, (1,)), ())]


@rule('dynamic_slice')
def _dynamic_slice(walk, equation, x, *starts):
  sizes = equation.params['slice_sizes']
  if not all(map(_known, starts)):
    raise TranslationError('a slice from a place that is computed has no rule')
  cut = []
  for axis, (start, size, n) in enumerate(zip(starts, sizes, x.shape)):
    if not bool(size == n):
      first = min(max(0, int(start)), n - size)
      cut.append((axis, first, first + size, 1))
  return [Value(sliced(walk, walk.name(x), cut), tuple(sizes))]


@rule('stack')
def _stack(walk, equation, *parts):
  axis, shape = equation.params['axis'], tuple(equation.outvars[0].aval.shape)
  one = (*shape[:axis], 1, *shape[axis + 1 :])
  names = [walk.name(walk.reshaped(part, one)) for part in parts]
  return [Value(walk.graph.add('Concat', *names, axis=axis), shape)]
