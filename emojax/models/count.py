"""Parameters and multiply-accumulates of a model, counted from the model."""

import math
from typing import Any, NamedTuple

import jax
from flax import traverse_util

from emojax import models


class Count(NamedTuple):
  """Size of a model.

  Attributes:
    parameters: Number of trainable parameters.
    flax_gru: The same if each GRU had Flax's biases: one vector for the reset
      and update gates instead of PyTorch's two.
    parts: Parameters of each top-level module.
    macs: Multiply-accumulates of the convolutions, GRUs and linear layers for
      one frame (and its audio).
  """

  parameters: int
  flax_gru: int
  parts: dict[str, int]
  macs: int


def count(model) -> Count:
  """Counts a model of `models.build` without computing anything."""
  variables = models.shapes(model)
  params = variables['params']
  total = num_parameters(params)
  return Count(
    parameters=total,
    flax_gru=total - _doubled_biases(params),
    parts={name: num_parameters(part) for name, part in params.items()},
    macs=multiply_accumulates(model, variables),
  )


def num_parameters(tree) -> int:
  """Elements of all arrays of a tree."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _doubled_biases(params) -> int:
  # Reset and update gates are the first two thirds of the recurrent bias.
  flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(params)
  return sum(v.size // 3 * 2 for k, v in flat.items() if k[-1] == 'bias_h')


def multiply_accumulates(model, variables) -> int:
  """Those of every product in the model's program for one frame."""
  # This lowering has one operation for each convolution.
  model = model.clone(lowering='conv')
  inputs = models.example_inputs(model)
  return of_program(
    lambda v, x: model.apply(v, x, train=False), variables, inputs
  )


def of_program(function, *args) -> int:
  """Multiply-accumulates of every product in a function's program.

  Args:
    function: Of arrays; convolutions are counted with the lowering 'conv'.
    *args: Its arguments, or their shapes; nothing is computed.
  """
  return _in_jaxpr(jax.make_jaxpr(function)(*args).jaxpr)


def _in_jaxpr(jaxpr) -> int:
  return sum(_in_equation(equation) for equation in jaxpr.eqns)


def _in_equation(equation) -> int:
  name, params = equation.primitive.name, equation.params
  if name == 'conv_general_dilated':
    kernel = equation.invars[1].aval.shape
    outputs = kernel[params['dimension_numbers'].rhs_spec[0]]
    return _size(equation) * math.prod(kernel) // outputs
  if name == 'dot_general':
    contracted = params['dimension_numbers'][0][0]
    left = equation.invars[0].aval.shape
    return _size(equation) * math.prod(left[axis] for axis in contracted)
  inner = [getattr(value, 'jaxpr', value) for value in params.values()]
  total = sum(_in_jaxpr(jaxpr) for jaxpr in inner if hasattr(jaxpr, 'eqns'))
  return total * params['length'] if name == 'scan' else total


def _size(equation) -> int:
  return math.prod(equation.outvars[0].aval.shape)
