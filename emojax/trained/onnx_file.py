"""ONNX files of this package: what they say, and what they may consist of.

A graph is data that a runtime carries out, so it is looked at before the runtime
sees it: known operators of ONNX's own domain alone, all numbers in the file itself,
and the description that `emojax.load` needs. Needs no JAX.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from emojax.host import files
from emojax.interchange.vocabulary import OPERATORS, OPSET
from emojax.trained import description, guarantee_check
from emojax.trained.answering import ModelError

FORMAT = 'emojax-onnx-1'
# Texts in the file's metadata: the digest is of the graph and all other texts.
KIND, MODEL, DIGEST = 'emojax-format', 'emojax-model', 'emojax-digest'
MAX_BYTES = 2**31 - 1  # what protobuf reads
# What `unpacked` computes, and how much larger than the file it may become.
FOLDED, GROWTH = ('Cast', 'Mul'), 8
INSTALL = "ONNX files need the extra 'onnx': pip install 'emojax[onnx]'"
AGAIN = 'restore it or export the model again'


class File(NamedTuple):
  """A file that may be run.

  Attributes:
    data: Its bytes.
    metadata: What model.json would say, with the file's digest as `files`.
  """

  data: bytes
  metadata: dict[str, Any]


def library():
  """The package onnx.

  Raises:
    ImportError: If it is not installed; says what to do.
  """
  try:
    import onnx
  except ImportError as error:
    raise ImportError(f'{INSTALL} ({error})') from error
  return onnx


def digest(model: Any, texts: Mapping[str, str]) -> str:
  """SHA-256 of a graph and the texts beside it."""
  said = {k: v for k, v in texts.items() if k != DIGEST}
  made = hashlib.sha256(model.graph.SerializeToString(deterministic=True))
  made.update(json.dumps(said, sort_keys=True).encode())
  return made.hexdigest()


def read(path: pathlib.Path) -> File:
  """Reads a file and checks all that is in it.

  Raises:
    ModelError: If it is missing, damaged, or not of this package; if it holds
      anything that such files do not.
    ImportError: Without the package onnx.
  """
  if not path.is_file():
    raise ModelError(f'{path} is missing: there is no such file')
  onnx = library()
  try:
    data = files.read_bounded(path, MAX_BYTES)
  except OSError as error:
    why = error.strerror or error
    raise ModelError(f'{path} cannot be read ({why}): {AGAIN}') from error
  try:
    model = onnx.load_model_from_string(data)
  except Exception as error:  # protobuf's own kinds
    raise ModelError(f'{path} is damaged, or no ONNX file: {AGAIN}') from error
  texts = {entry.key: entry.value for entry in model.metadata_props}
  if texts.get(KIND) != FORMAT:
    raise ModelError(
      f'{path} is not an ONNX file of emojax export ({KIND} is '
      f'{texts.get(KIND)!r}, this version reads {FORMAT!r}): emojax.load runs no '
      'other, as it would not know what their outputs mean'
    )
  try:
    _check_graph(model)
    if texts.get(DIGEST) != digest(model, texts):
      raise ValueError(f'its SHA-256 is not that of {DIGEST}')
    metadata = _metadata(texts)
    _check_numbers(onnx, model)
  except (RecursionError, TypeError, ValueError) as error:
    raise ModelError(
      f'{path} is damaged or changed: {error}; {AGAIN}'
    ) from error
  metadata['files'] = {path.name: texts[DIGEST]}
  return File(data, metadata)


def _metadata(texts: Mapping[str, str]) -> dict[str, Any]:
  metadata = json.loads(texts.get(MODEL, ''), parse_constant=_no_number)
  description.check_answers(metadata)
  guarantee_check.check(metadata['schema'], metadata)
  return metadata


def _no_number(name: str):
  raise ValueError(f'{name} is no number')


def _check_graph(model: Any):
  """Raises ValueError unless everything is of the vocabulary and in the file."""
  if model.functions or model.training_info:
    raise ValueError('it holds functions or a training of its own')
  opsets = [(entry.domain, entry.version) for entry in model.opset_import]
  if opsets != [('', OPSET)]:
    raise ValueError(f'opsets {opsets}: expected ONNX {OPSET} alone')
  for graph in graphs(model.graph):
    for node in graph.node:
      if node.domain or node.op_type not in OPERATORS:
        name = f'{node.domain}:{node.op_type}'.lstrip(':')
        raise ValueError(f'the operator {name} is none that exports use')
    if graph.sparse_initializer:
      raise ValueError('it holds sparse arrays')
    for tensor in tensors(graph):
      if tensor.data_location or tensor.external_data:
        raise ValueError(f'{tensor.name} lies in another file')


def graphs(graph: Any) -> Iterator[Any]:
  """Yields a graph and the bodies of its loops, all the way down."""
  yield graph
  for node in graph.node:
    for attribute in node.attribute:
      bodies = [attribute.g] if attribute.HasField('g') else []
      for body in (*bodies, *attribute.graphs):
        yield from graphs(body)


def tensors(graph: Any) -> Iterator[Any]:
  """Yields the arrays of a graph, without those of the bodies of its loops."""
  yield from graph.initializer
  for node in graph.node:
    for attribute in node.attribute:
      if attribute.HasField('t'):
        yield attribute.t
      yield from attribute.tensors


def unpacked(data: bytes) -> bytes:
  """A graph whose kernels are computed: single precision, batch norms in them.

  A runtime would compute in advance whatever depends on nothing, in memory that
  nobody bounds (`onnx_model.session`). Here it is what exports leave to it, casts and
  products no larger than their factors, up to a few times the file.
  """
  onnx = library()
  model = onnx.load_model_from_string(data)
  tensors = {tensor.name: tensor for tensor in model.graph.initializer}
  made: dict[str, np.ndarray] = {}
  left, kept = min(MAX_BYTES - len(data), GROWTH * len(data)), []
  for node in model.graph.node:
    array = None
    if node.op_type in FOLDED and all(
      name in made or name in tensors for name in node.input
    ):
      array = _computed(onnx, node, [
        made[x] if x in made else onnx.numpy_helper.to_array(tensors[x])
        for x in node.input
      ])  # fmt: skip
    if array is None or array.nbytes > left:
      kept.append(node)
      continue
    left -= array.nbytes
    made[node.output[0]] = array
  used = {name for node in kept for name in node.input}
  used |= {output.name for output in model.graph.output}
  used |= {name for node in kept for name in _of_bodies(node)}
  for name, array in made.items():
    if name in used:
      model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
  del model.graph.node[:]
  model.graph.node.extend(kept)
  return model.SerializeToString()


def _computed(onnx: Any, node: Any, inputs) -> np.ndarray | None:
  """What a node of `FOLDED` gives; None where it is left to the runtime."""
  if node.op_type == 'Cast':
    to = onnx.helper.get_node_attr_value(node, 'to')
    return (
      inputs[0].astype(np.float32) if to == onnx.TensorProto.FLOAT else None
    )
  try:
    shape = np.broadcast_shapes(*(array.shape for array in inputs))
  except ValueError:
    return None
  if all(array.shape != shape for array in inputs):
    return None
  with np.errstate(all='ignore'):  # outputs that are not finite are noticed
    return np.multiply(*inputs)


def _of_bodies(node: Any) -> Iterator[str]:
  """Names that the bodies of a loop use."""
  for attribute in node.attribute:
    if attribute.HasField('g'):
      for graph in graphs(attribute.g):
        yield from (name for inner in graph.node for name in inner.input)
        yield from (output.name for output in graph.output)


def _check_numbers(onnx: Any, model: Any):
  """Raises ValueError unless all weights are finite; single numbers need not."""
  for graph in graphs(model.graph):
    for tensor in tensors(graph):
      array = onnx.numpy_helper.to_array(tensor)
      if array.size > 1 and array.dtype.kind == 'f':
        if not np.isfinite(array).all():
          raise ValueError(f'{tensor.name} holds numbers that are not finite')
