"""Rules for convolutions, products and sums."""

import numpy as np

from emojax.interchange.graph import TranslationError, Value, element_type
from emojax.interchange.rules import rule

LETTERS = 'abcdefghijklmnopqrstuvwxyz'


@rule('conv_general_dilated')
def _conv(walk, equation, x, kernel):
  p = equation.params
  if any(n != 1 for n in p['lhs_dilation']) or p['batch_group_count'] != 1:
    raise TranslationError('transposed convolutions have no rule')
  if not isinstance(kernel, np.ndarray):
    raise TranslationError('a convolution with a computed kernel has no rule')
  numbers = p['dimension_numbers']
  x = walk.value(x)
  if x.order != tuple(numbers.lhs_spec):
    x = walk.transposed(x, numbers.lhs_spec)
  weight = walk.graph.constant(kernel.transpose(numbers.rhs_spec))
  low, high = zip(*p['padding'])
  name = walk.graph.add(
    'Conv',
    x.name,
    weight,
    strides=list(p['window_strides']),
    pads=[*low, *high],
    dilations=list(p['rhs_dilation']),
    group=p['feature_group_count'],
  )
  shape = tuple(equation.outvars[0].aval.shape)
  return [Value(name, shape, tuple(numbers.out_spec))]


@rule('dot_general')
def _dot(walk, equation, a, b):
  (left, right), (batch_a, batch_b) = equation.params['dimension_numbers']
  shape = tuple(equation.outvars[0].aval.shape)
  names, ranks = [walk.name(x) for x in (a, b)], [len(x.shape) for x in (a, b)]
  plain = not batch_a and ranks[1] == 2
  if plain and tuple(left) == (ranks[0] - 1,) and tuple(right) == (0,):
    return [Value(walk.graph.add('MatMul', *names), shape)]
  letters = iter(LETTERS)
  first = [next(letters) for _ in range(ranks[0])]
  second = [next(letters) for _ in range(ranks[1])]
  for i, j in (*zip(left, right), *zip(batch_a, batch_b)):
    second[j] = first[i]
  out = [first[i] for i in batch_a]
  out += [c for i, c in enumerate(first) if i not in (*left, *batch_a)]
  out += [c for i, c in enumerate(second) if i not in (*right, *batch_b)]
  text = f'{"".join(first)},{"".join(second)}->{"".join(out)}'
  return [Value(walk.graph.add('Einsum', *names, equation=text), shape)]


def _register(name: str, op: str):
  @rule(name)
  def reduced(walk, equation, x):
    axes = walk.graph.constant(np.array(equation.params['axes'], np.int64))
    found = walk.graph.add(op, walk.name(x), axes, keepdims=0)
    return [Value(found, tuple(equation.outvars[0].aval.shape))]


_register('reduce_sum', 'ReduceSum')
_register('reduce_max', 'ReduceMax')
_register('reduce_min', 'ReduceMin')


@rule('argmax')
def _argmax(walk, equation, x):
  (axis,) = equation.params['axes']
  found = walk.graph.add('ArgMax', walk.name(x), axis=axis, keepdims=0)
  to = equation.params['index_dtype']
  cast = walk.graph.add('Cast', found, to=element_type(to))
  return [Value(cast, tuple(equation.outvars[0].aval.shape))]
