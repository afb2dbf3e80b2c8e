"""A JAX function as an ONNX model.

The function is traced with sizes that are symbols, and every equation of its jaxpr
becomes nodes by the rule of its primitive. What depends on constants alone is
computed while this is done. Functions under `jax.jit` are traced once and written
as often as they are called: this is how the members of an ensemble are unrolled.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from onnx import helper

from emojax.interchange import control, folding, linear
from emojax.interchange.graph import (
  Graph,
  TranslationError,
  Value,
  constants,
  described,
  is_symbol,
)
from emojax.interchange.rules import ELEMENTWISE, NUMPY, RULES
from emojax.interchange.vocabulary import IR_VERSION, OPSET

_REGISTERED = (control, linear)  # importing them adds their rules


def model(
  function: Callable[..., dict[str, Any]],
  inputs: Mapping[str, jax.ShapeDtypeStruct],
  symbols: Sequence[Any],
  texts: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
  """Translates a function.

  Args:
    function: `(**inputs) -> arrays by name`, without side effects and keys.
    inputs: Shapes and types by name; sizes may be symbols of
      `jax.export.symbolic_shape` and products of them.
    symbols: The symbols, each the size of some axis of an input.
    texts: For the metadata of the file.

  Returns:
    The model, checked by ONNX's own checker.

  Raises:
    TranslationError: If a primitive has no rule.
  """
  names = list(inputs)
  closed, shape = jax.make_jaxpr(
    lambda *arrays: function(**dict(zip(names, arrays))), return_shape=True
  )(*inputs.values())
  walk = Walk(Graph())
  walk.graph.sizes += _sizes(inputs, symbols)
  found = walk.program(
    closed.jaxpr,
    closed.consts,
    [Value(name, tuple(inputs[name].shape)) for name in names],
  )
  outputs = sorted(shape)  # as JAX orders a dictionary's values
  for name, value, variable in zip(outputs, found, closed.jaxpr.outvars):
    made = walk.output(value, variable.aval)
    walk.graph.nodes.append(helper.make_node('Identity', [made], [name]))
  return _written(walk.graph, inputs, shape, outputs, texts)


def _sizes(inputs, symbols):
  for symbol in symbols:
    yield next(
      (symbol, name, axis)
      for name, one in inputs.items()
      for axis, size in enumerate(one.shape)
      if is_symbol(size) and bool(size == symbol)
    )


def _written(graph: Graph, inputs, shape, outputs, texts) -> onnx.ModelProto:
  folding.fold(graph, outputs)
  _drop_unread(graph, outputs)
  casts, arrays = constants(graph.arrays)
  made = helper.make_model(
    helper.make_graph(
      [*casts, *graph.nodes],
      'emojax',
      [described(n, x.dtype, x.shape) for n, x in inputs.items()],
      [described(n, shape[n].dtype, shape[n].shape) for n in outputs],
      arrays,
    ),
    opset_imports=[helper.make_opsetid('', OPSET)],
    ir_version=IR_VERSION,
    producer_name='emojax',
  )
  helper.set_model_props(made, dict(texts or {}))
  onnx.checker.check_model(made, full_check=True)
  return made


def _drop_unread(graph: Graph, outputs: Sequence[str]):
  """Leaves out nodes and constants that no output depends on."""
  needed, kept = set(outputs), []
  for node in reversed(graph.nodes):
    if needed.intersection(node.output):
      needed |= set(folding.read(node))
      kept.append(node)
  graph.nodes = kept[::-1]
  graph.arrays = {n: a for n, a in graph.arrays.items() if n in needed}


class Walk:
  """Goes through a program and adds its equations to a graph.

  Attributes:
    graph: The graph.
  """

  def __init__(self, graph: Graph):
    self.graph = graph

  def inner(self) -> 'Walk':
    """The same for the body of a loop."""
    return Walk(Graph(self.graph))

  def program(self, jaxpr, consts, inputs) -> list[Any]:
    """Adds a jaxpr; returns what its outputs are."""
    known: dict[Any, Any] = {}

    def value(atom):
      if hasattr(atom, 'val'):
        return np.asarray(atom.val, atom.aval.dtype)  # a number of Python's
      return known[atom]

    known.update(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))
    for equation in jaxpr.eqns:
      found = self._equation(equation, [value(x) for x in equation.invars])
      known.update(zip(equation.outvars, found, strict=True))
    return [value(x) for x in jaxpr.outvars]

  def _equation(self, equation, inputs) -> list[Any]:
    name = equation.primitive.name
    constant = all(isinstance(x, np.ndarray) for x in inputs)
    if constant and name in NUMPY:
      return [np.asarray(NUMPY[name](*inputs), equation.outvars[0].aval.dtype)]
    if name in ('broadcast_in_dim', 'stop_gradient', 'copy', 'copy_p'):
      return RULES[name](self, equation, *inputs)
    if name in ELEMENTWISE and not constant:
      return ELEMENTWISE[name](self, equation, *inputs)
    full = [self.full(x, v.aval) for x, v in zip(inputs, equation.invars)]
    if _computable(equation, full):
      found = equation.primitive.bind(*full, **equation.params)
      many = equation.primitive.multiple_results
      return list(map(np.asarray, found if many else [found]))
    if name in ELEMENTWISE:
      return ELEMENTWISE[name](self, equation, *full)
    if name not in RULES:
      raise TranslationError(
        f'the primitive {name!r} has no rule in emojax.interchange'
      )
    first = full
    if name not in _CALLS and not constant:
      first = [self._tensor(name, i, x) for i, x in enumerate(full)]
    return RULES[name](self, equation, *first)

  def _tensor(self, name: str, i: int, x):
    """A constant where a rule needs a tensor: its first input."""
    return self.value(x) if i == 0 and isinstance(x, np.ndarray) else x

  def full(self, x, aval):
    """An array of the shape that the program says."""
    shape = tuple(aval.shape)
    if _same(x.shape, shape):
      return x
    if isinstance(x, np.ndarray) and not any(map(is_symbol, shape)):
      return np.broadcast_to(x, shape)
    name = self.graph.add('Expand', self.name(x), self.graph.shape(shape))
    return Value(name, shape)

  def name(self, x) -> str:
    """Name of a value or constant, in the order of the program."""
    if isinstance(x, np.ndarray):
      return self.graph.constant(x)
    if x.order is None:
      return x.name
    back = [int(i) for i in np.argsort(x.order)]
    return self.graph.add('Transpose', x.name, perm=back)

  def aligned(self, inputs) -> tuple[list[str], tuple[int, ...] | None]:
    """(names, their common order) of what is combined one by one.

    The order of some is that of all, unless the others have another one: numbers
    and constants have none.
    """
    values = [x for x in inputs if isinstance(x, Value) and len(x.shape)]
    orders = {x.order for x in values}
    order = orders.pop() if len(orders) == 1 else None
    if order is None:
      return [self.name(x) for x in inputs], None
    return [self._in_order(x, order) for x in inputs], order

  def _in_order(self, x, order: tuple[int, ...]) -> str:
    if isinstance(x, Value):
      return x.name
    if x.ndim:
      x = x.reshape((1,) * (len(order) - x.ndim) + x.shape).transpose(order)
    return self.graph.constant(x)

  def value(self, x) -> Value:
    """A value or constant as a value."""
    if isinstance(x, np.ndarray):
      return Value(self.graph.constant(x), x.shape)
    return x

  def output(self, x, aval) -> str:
    """Name of what leaves a graph: made by a node of its own."""
    return self.graph.add_several(
      'Identity', [self.name(self.full(x, aval))], ['output']
    )[0]

  def reshaped(self, x, shape: tuple):
    """An array in another shape, in the same order."""
    if isinstance(x, np.ndarray) and not any(map(is_symbol, shape)):
      return x.reshape(shape)
    if _same(x.shape, shape):
      return x
    symbols = [is_symbol(size) for size in shape]
    sizes = shape
    if sum(symbols) == 1:  # the runtime finds it
      sizes = tuple(-1 if s else n for s, n in zip(symbols, shape))
    name = self.graph.add('Reshape', self.name(x), self.graph.shape(sizes))
    return Value(name, tuple(shape))

  def transposed(self, x, order: Sequence[int]):
    """An array with its axes in another order."""
    order = [int(i) for i in order]
    if order == list(range(len(order))):
      return x
    if isinstance(x, np.ndarray):
      return x.transpose(order)
    name = self.graph.add('Transpose', self.name(x), perm=order)
    return Value(name, tuple(x.shape[i] for i in order))


_CALLS = frozenset({
  'jit', 'pjit', 'closed_call', 'custom_jvp_call', 'custom_vjp_call',
  'checkpoint', 'scan', 'conv_general_dilated', 'dim_as_value',
})  # fmt: skip


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
  return len(a) == len(b) and all(bool(x == y) for x, y in zip(a, b))


def _computable(equation, inputs) -> bool:
  """Whether an equation depends on constants alone."""
  outputs = [v.aval.shape for v in equation.outvars]
  return (
    all(isinstance(x, np.ndarray) for x in inputs)
    and equation.primitive.name not in _CALLS
    and not any(is_symbol(n) for shape in outputs for n in shape)
  )
