"""Rules for programs in programs: calls and loops."""

from collections.abc import Sequence
from typing import Any

from onnx import helper

from emojax.interchange import folding
from emojax.interchange.graph import (
  TranslationError,
  Value,
  described,
  is_symbol,
)
from emojax.interchange.rules import rule


@rule('jit')
@rule('pjit')
@rule('closed_call')
@rule('custom_jvp_call')
@rule('custom_vjp_call')
@rule('checkpoint')
def _call(walk, equation, *inputs):
  p = equation.params
  inner = p['jaxpr'] if 'jaxpr' in p else p['call_jaxpr']
  if hasattr(inner, 'consts'):
    return walk.program(inner.jaxpr, inner.consts, inputs)
  return walk.program(inner, (), inputs)


@rule('scan')
def _scan(walk, equation, *inputs):
  """A loop as ONNX's Scan; one of a single step is no loop."""
  p = equation.params
  first, last = p['num_consts'], p['num_consts'] + p['num_carry']
  fixed, carry, rows = inputs[:first], inputs[first:last], inputs[last:]
  if not rows:
    raise TranslationError('a loop over nothing has no rule')
  shapes = [tuple(out.aval.shape) for out in equation.outvars]
  if not is_symbol(p['length']) and p['length'] == 1:
    rows = [walk.reshaped(x, tuple(x.shape[1:])) for x in rows]
    closed = p['jaxpr']
    found = walk.program(closed.jaxpr, closed.consts, (*fixed, *carry, *rows))
    return [walk.reshaped(x, s) for x, s in zip(found, shapes, strict=True)]
  return _loop(walk, p, fixed, carry, rows, shapes)


def _loop(walk, p, fixed, carry, rows, shapes) -> list[Value]:
  closed, count = p['jaxpr'], len(carry)
  body = walk.inner()
  seen = closed.jaxpr.invars[len(fixed) :]
  inputs = [Value(body.graph.fresh('each'), tuple(v.aval.shape)) for v in seen]
  found = body.program(closed.jaxpr, closed.consts, (*fixed, *inputs))
  outputs = [
    body.output(x, v.aval) for x, v in zip(found, closed.jaxpr.outvars)
  ]
  folding.fold(body.graph, outputs)
  graph = helper.make_graph(
    body.graph.nodes,
    body.graph.fresh('body'),
    _described([x.name for x in inputs], seen),
    _described(outputs, closed.jaxpr.outvars),
  )
  directions = {'scan_input_directions': [int(p['reverse'])] * len(rows)}
  if len(outputs) > count:  # an empty list is no attribute
    away = [int(p['reverse'])] * (len(outputs) - count)
    directions['scan_output_directions'] = away
  names = walk.graph.add_several(
    'Scan',
    [walk.name(x) for x in (*carry, *rows)],
    ['scan'] * len(outputs),
    body=graph,
    num_scan_inputs=len(rows),
    **directions,
  )
  return [Value(n, s) for n, s in zip(names, shapes, strict=True)]


def _described(names: Sequence[str], variables: Sequence[Any]):
  return [
    described(name, v.aval.dtype, v.aval.shape)
    for name, v in zip(names, variables, strict=True)
  ]
