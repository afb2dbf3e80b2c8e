"""An ONNX graph while it is made: nodes, constants and sizes known at run time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from emojax.interchange.vocabulary import OPERATORS

LEAST = 64  # numbers of an array from which on float16 saves something
TYPES = {
  np.dtype(kind): helper.np_dtype_to_tensor_dtype(np.dtype(kind))
  for kind in ('float32', 'float16', 'uint8', 'int8', 'int32', 'int64', 'bool')
}


class TranslationError(ValueError):
  """A program cannot be written as an ONNX graph; says what has no rule."""


class Value(NamedTuple):
  """What a node gives.

  Attributes:
    name: In the graph.
    shape: Sizes, numbers or symbols. Where the program has broadcast an axis that
      is 1 here, it still is: most operations broadcast by themselves.
    order: Where given, axis i of what the graph has is axis `order[i]` of the
      program's array. So the maps of convolutions stay as ONNX wants them, with
      channels in front, until something asks for the program's order.
  """

  name: str
  shape: tuple
  order: tuple[int, ...] | None = None


def is_symbol(size: Any) -> bool:
  """Whether a size is known at run time only."""
  return not isinstance(size, int | np.integer)


def element_type(dtype) -> int:
  """ONNX's number of a dtype."""
  try:
    return TYPES[np.dtype(dtype)]
  except (KeyError, TypeError):
    raise TranslationError(f'numbers of type {dtype} have no rule') from None


class Graph:
  """A graph, or the body of a loop in one.

  Attributes:
    nodes: Nodes in an order in which they can be computed.
    arrays: Constants by name, of the whole model.
    sizes: (symbol, name of the input, its axis).
  """

  def __init__(self, outer: 'Graph | None' = None):
    self.nodes: list[onnx.NodeProto] = []
    self._outer = outer
    self._known: dict[Any, str] = {}
    if outer is None:
      self.arrays: dict[str, np.ndarray] = {}
      self.sizes: list[tuple[Any, str, int]] = []
      self._constants: dict[Any, str] = {}
      self._count = [0]
    else:
      self.arrays, self.sizes = outer.arrays, outer.sizes
      self._constants, self._count = outer._constants, outer._count

  def fresh(self, what: str) -> str:
    """A name that nothing has."""
    self._count[0] += 1
    return f'{what}_{self._count[0]}'

  def constant(self, array) -> str:
    """Name of an array, the same for equal ones."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    element_type(array.dtype)
    key = (array.dtype.str, array.shape, array.tobytes())
    if key not in self._constants:
      name = self._constants[key] = self.fresh('constant')
      self.arrays[name] = array
    return self._constants[key]

  def add(self, op: str, *inputs: str, **attributes) -> str:
    """Adds a node with one output, unless there is the same one already."""
    key = (op, inputs, repr(sorted(attributes.items())))
    if (name := self._find(key)) is None:
      (name,) = self.add_several(op, inputs, [op.lower()], **attributes)
      self._known[key] = name
    return name

  def add_several(
    self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes
  ) -> list[str]:
    """Adds a node with several outputs, named after what they are."""
    if op not in OPERATORS:
      raise TranslationError(f'the operator {op} is not in the vocabulary')
    names = [self.fresh(one) for one in outputs]
    self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
    return names

  def _find(self, key) -> str | None:
    graph: Graph | None = self
    while graph is not None:
      if key in graph._known:
        return graph._known[key]
      graph = graph._outer
    return None

  def shape(self, sizes: Sequence[Any]) -> str:
    """Name of int64 [n], sizes that may be symbols."""
    if not any(map(is_symbol, sizes)):
      return self.constant(np.array([int(n) for n in sizes], np.int64))
    return self.add('Concat', *map(self._size, sizes), axis=0)

  def _size(self, size) -> str:
    """Name of int64 [1]: a product of symbols and a number."""
    if not is_symbol(size):
      return self.constant(np.array([int(size)], np.int64))
    symbols = [symbol for symbol, _, _ in self.sizes]
    product: Any = 1
    for symbol in symbols:
      product = product * symbol
    for group in ([product], symbols):
      for known in group:
        times = size // known
        if not is_symbol(times) and bool(times * known == size):
          factors = symbols if known is product else [known]
          name = self.constant(np.array([int(times)], np.int64))
          for one in factors:
            name = self.add('Mul', name, self._symbol(one))
          return name
    raise TranslationError(f'the size {size} is no product of {symbols}')

  def _symbol(self, symbol) -> str:
    """Name of int64 [1], an input's size."""
    for known, name, axis in self.sizes:
      if bool(known == symbol):
        return self.add('Shape', name, start=axis, end=axis + 1)
    raise TranslationError(f'no input has the size {symbol}')


def tensor(name: str, array: np.ndarray) -> onnx.TensorProto:
  """A constant as it is written."""
  return numpy_helper.from_array(np.ascontiguousarray(array), name)


def exact_in_half(array: np.ndarray) -> bool:
  """Whether float16 holds an array of float32 without any loss."""
  if array.dtype != np.float32 or array.size < LEAST:
    return False
  with np.errstate(over='ignore'):
    return np.array_equal(array.astype(np.float16).astype(np.float32), array)


def constants(
  arrays: dict[str, np.ndarray],
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
  """(casts, constants): what float16 holds exactly is kept so, and cast."""
  nodes, found = [], []
  for name, array in arrays.items():
    if exact_in_half(array):
      found.append(tensor(f'{name}_half', array.astype(np.float16)))
      cast = helper.make_node(
        'Cast', [f'{name}_half'], [name], to=onnx.TensorProto.FLOAT
      )
      nodes.append(cast)
    else:
      found.append(tensor(name, array))
  return nodes, found


def described(name: str, dtype, shape: Sequence[Any]) -> onnx.ValueInfoProto:
  """An input or output with its type and sizes."""
  sizes = [str(n) if is_symbol(n) else int(n) for n in shape]
  return helper.make_tensor_value_info(name, element_type(dtype), sizes)
