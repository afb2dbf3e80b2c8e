"""BatchNorm of inference goes into the kernel of the convolution before it.

What a network says of a batch norm with known statistics is a chain of sums and
products with constants of a channel. A chain becomes one product and one sum;
after a convolution that nothing else reads it becomes its kernel and its bias.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from emojax.interchange.graph import Graph, exact_in_half

CHAIN = ('Add', 'Sub', 'Mul')


class Chain(NamedTuple):
  """`source * scale + shift`, in some nodes.

  Attributes:
    source: Name of what goes in.
    scale: A number or numbers that broadcast.
    shift: The same.
    nodes: Places of the nodes; the last one's output is the result.
  """

  source: str
  scale: Any
  shift: Any
  nodes: tuple[int, ...]


def fold(graph: Graph, outputs: Iterable[str]):
  """Rewrites the nodes of a graph, in place.

  Args:
    graph: Without the nodes of graphs that it is a body of.
    outputs: Names that are read from outside.
  """
  uses = Counter(outputs)
  for node in graph.nodes:
    uses.update(read(node))
  makers = {name: i for i, n in enumerate(graph.nodes) for name in n.output}
  replaced: dict[int, list[onnx.NodeProto]] = {}
  kernels: dict[tuple[str, str], onnx.NodeProto] = {}
  for chain in list(_chains(graph, uses, makers)):
    last = graph.nodes[chain.nodes[-1]].output[0]
    made = _into_convolution(graph, chain, uses, makers, kernels)
    if made is None and len(chain.nodes) < 3:
      continue  # it is one product and one sum already
    if made is None:
      made = {chain.nodes[-1]: _product_and_sum(graph, chain, last)}
    replaced |= {i: [] for i in chain.nodes} | made
  graph.nodes = [*kernels.values()] + [
    one for i, node in enumerate(graph.nodes) for one in replaced.get(i, [node])
  ]
  _rectifiers(graph, uses)


def _rectifiers(graph: Graph, uses):
  """PReLU, which a network says as z * (1 if z > 0 else slope), as one node."""
  made = {node.output[0]: node for node in graph.nodes if len(node.output) == 1}
  for i, node in enumerate(graph.nodes):
    if node.op_type != 'Mul':
      continue
    z, factor = node.input
    which = made.get(factor)
    if which is None or which.op_type != 'Where' or uses[factor] != 1:
      continue
    test, one, slope = which.input
    greater = made.get(test)
    if greater is None or greater.op_type != 'Greater':
      continue
    ones = graph.arrays.get(one)
    zero = graph.arrays.get(greater.input[1])
    if greater.input[0] == z and _is(ones, 1) and _is(zero, 0):
      if slope in graph.arrays:
        rectified = helper.make_node('PRelu', [z, slope], list(node.output))
        graph.nodes[i] = rectified


def _is(array: np.ndarray | None, number: float) -> bool:
  return array is not None and bool((array == number).all())


def read(node: onnx.NodeProto):
  """Yields the names that a node reads, those of bodies included."""
  yield from node.input
  for attribute in node.attribute:
    if attribute.type == onnx.AttributeProto.GRAPH:
      for inner in attribute.g.node:
        yield from read(inner)
      yield from (output.name for output in attribute.g.output)


def _chains(graph: Graph, uses, makers):
  """Chains that are as long as they can be."""
  done = set()
  for i in range(len(graph.nodes)):
    if i in done or (chain := _start(graph, i)) is None:
      continue
    while (following := _next(graph, chain, uses)) is not None:
      chain = following
    done |= set(chain.nodes)
    yield chain


def _start(graph: Graph, i: int) -> Chain | None:
  return _step(graph, i, None)


def _step(graph: Graph, i: int, chain: Chain | None) -> Chain | None:
  """A chain with the node of place i at its end, if it is one of them."""
  node = graph.nodes[i]
  if node.op_type not in CHAIN:
    return None
  a, b = node.input
  if a in graph.arrays and node.op_type != 'Sub':
    a, b = b, a
  if b not in graph.arrays or a in graph.arrays:
    return None
  number = graph.arrays[b]
  if number.dtype != np.float32:
    return None
  source, scale, shift, nodes = chain or Chain(a, 1.0, 0.0, ())
  number = np.float64(number)
  if node.op_type == 'Mul':
    scale, shift = scale * number, shift * number
  else:
    shift = shift + (number if node.op_type == 'Add' else -number)
  return Chain(source, scale, shift, (*nodes, i))


def _next(graph: Graph, chain: Chain, uses) -> Chain | None:
  name = graph.nodes[chain.nodes[-1]].output[0]
  if uses[name] != 1:
    return None
  for i in range(chain.nodes[-1] + 1, len(graph.nodes)):
    if name in graph.nodes[i].input:
      return _step(graph, i, chain)
  return None


def _product_and_sum(graph: Graph, chain: Chain, output: str):
  scale, shift = (
    graph.constant(np.asarray(x, np.float32))
    for x in (chain.scale, chain.shift)
  )
  middle = graph.fresh('scaled')
  return [
    helper.make_node('Mul', [chain.source, scale], [middle]),
    helper.make_node('Add', [middle, shift], [output]),
  ]


def _into_convolution(graph: Graph, chain: Chain, uses, makers, kernels):
  """Place -> nodes instead, if the chain follows a convolution of its own."""
  at = makers.get(chain.source)
  if at is None or uses[chain.source] != 1:
    return None
  node = graph.nodes[at]
  if node.op_type != 'Conv' or len(node.input) != 2:
    return None
  weight = graph.arrays.get(node.input[1])
  if weight is None:
    return None
  scale, shift = (
    _by_channel(x, len(weight), weight.ndim) for x in (chain.scale, chain.shift)
  )
  if scale is None or shift is None:
    return None
  kernel = _scaled(graph, node.input[1], weight, scale, kernels)
  bias = graph.constant(np.float32(shift))
  output = graph.nodes[chain.nodes[-1]].output
  made = helper.make_node('Conv', [node.input[0], kernel, bias], list(output))
  made.attribute.extend(node.attribute)
  return {at: [made]}


def _by_channel(number, channels: int, rank: int) -> np.ndarray | None:
  """Numbers of a chain as [channels]; None if they differ elsewhere."""
  number = np.asarray(number)
  if number.size == 1:
    return np.full(channels, number.reshape(()))
  shape = (1,) * (rank - number.ndim) + number.shape
  if shape[1] != channels or number.size != channels:
    return None
  return number.reshape(channels)


def _scaled(
  graph: Graph, name: str, weight: np.ndarray, scale: np.ndarray, kernels
) -> str:
  """Name of a kernel with its scale.

  What float16 holds stays so, and the product is left to the runtime, which
  computes it once, when it opens the file.
  """
  factor = scale.reshape(-1, *(1,) * (weight.ndim - 1))
  if not exact_in_half(weight):
    return graph.constant(np.float32(weight * factor))
  inputs = (name, graph.constant(np.float32(factor)))
  if inputs not in kernels:  # both views of a face have it
    made = graph.fresh('kernel')
    kernels[inputs] = helper.make_node('Mul', list(inputs), [made])
  return kernels[inputs].output[0]
