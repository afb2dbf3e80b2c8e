"""PyTorch's initial distributions, drawn from one stream of numbers.

A generator for each of a hundred arrays takes XLA ten seconds to compile; one
long draw that the arrays take their numbers from takes less than one. Inside
`one_stream` the initialisers use such a draw, elsewhere their own key.
"""

import contextlib
import contextvars
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_STREAM: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar(
  'stream', default=None
)


@contextlib.contextmanager
def one_stream(key, size: int):
  """Initialisers inside take their numbers from one draw of `size` numbers."""
  uniform = _uniform(key, (size,))
  # Made here, once, for the same reason.
  numbers = {'uniform': uniform, 'normal': _to_normal(uniform)}
  token = _STREAM.set([numbers, 0])
  try:
    yield
  finally:
    _STREAM.reset(token)


def uniform(bound: float):
  """Initialiser that draws uniformly from (-bound, bound)."""
  return lambda key, shape: bound * _draw(key, shape, 'uniform')


def xavier_uniform(key, shape):
  """PyTorch's `xavier_uniform_` for a kernel [..., I, O]."""
  receptive, fan_in, fan_out = _fans(shape)
  bound = math.sqrt(6 / (receptive * (fan_in + fan_out)))
  return bound * _draw(key, shape, 'uniform')


def kaiming_normal(key, shape):
  """PyTorch's `kaiming_normal_(mode='fan_out', nonlinearity='relu')`."""
  receptive, _, fan_out = _fans(shape)
  return math.sqrt(2 / (receptive * fan_out)) * _draw(key, shape, 'normal')


def _fans(shape):
  return math.prod(shape[:-2]), *shape[-2:]


def _draw(key, shape, kind):
  stream = _STREAM.get()
  if stream is None:
    numbers = _uniform(key, shape)
    return _to_normal(numbers) if kind == 'normal' else numbers
  numbers, start = stream
  stream[1] = start + math.prod(shape)
  return numbers[kind][start : stream[1]].reshape(shape)


def _uniform(key, shape):
  low = jnp.nextafter(jnp.float32(-1), jnp.float32(0))
  return jax.random.uniform(key, shape, jnp.float32, low, 1)


def _to_normal(uniform):
  return math.sqrt(2) * lax.erf_inv(uniform)
