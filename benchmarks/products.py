"""The matrix products of a network alone: what a step would take without all else.

The products are read off the traced program, so that they are those that the network
has: their sizes, and how often. NumPy's BLAS does them, with all threads in each or in a
stream on every core, whichever is faster. Nothing else is done: what an implementation
without any loss would take, if its products were as fast as these. Other libraries'
may be faster.
"""

import math
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NamedTuple

import jax
import numpy as np
import threadpoolctl
from jax.extend import core

from benchmarks import engine, workers
from benchmarks import problem as problems

BLOCK = 8  # frames: their products stay in the caches


class Product(NamedTuple):
  """A [rows, inner] matrix times an [inner, columns] one, `times` in a row."""

  rows: int
  inner: int
  columns: int
  times: int

  @property
  def operations(self) -> int:
    """Multiplications and additions."""
    return 2 * math.prod(self)


def traced(jaxpr: core.Jaxpr, times: int = 1) -> Iterator[Product]:
  """The products of a program; of branches all, of `while` loops one turn.

  Args:
    jaxpr: The program.
    times: How often it runs.
  """
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'dot_general':
      yield _product(equation, times)
    inside = times * int(equation.params.get('length') or 1)  # of a scan
    for value in equation.params.values():
      for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, core.ClosedJaxpr):
          yield from traced(one.jaxpr, inside)
        elif isinstance(one, core.Jaxpr):
          yield from traced(one, inside)


def _product(equation, times: int) -> Product:
  (inner, _), (batch, _) = equation.params['dimension_numbers']
  left, right = (x.aval.shape for x in equation.invars)
  repeated = math.prod(left[i] for i in batch)
  shared = math.prod(left[i] for i in inner)
  rows, columns = (math.prod(x) // (repeated * shared) for x in (left, right))
  return Product(rows, shared, columns, repeated * times)


def of_step(size: int, frames: int) -> list[Product]:
  """The products of loss and gradients of a batch."""
  m = engine.method(size, 'matmul')
  data = problems.make(size, frames, 1, 1)
  state = jax.eval_shape(m.init, jax.random.key(0))
  clips = data.plan[0, 0]
  values = {name: value[clips] for name, value in data.values.items()}
  batch = {
    'inputs': {'image': data.image[clips]},
    'targets': problems.targets(values),
  }
  hparams = {k: v[0] for k, v in engine.hparams(1).items()}
  hparams['task_weight'] = np.ones(len(problems.SCHEMA), np.float32)
  step = jax.value_and_grad(m.objective, has_aux=True)
  made = jax.make_jaxpr(step)(*state, batch, jax.random.key(0), hparams)
  return list(traced(made.jaxpr))


def of_prediction(size: int, frames: int) -> list[Product]:
  """The products of the logits of stills."""
  m = engine.method(size, 'matmul')
  state = jax.eval_shape(m.init, jax.random.key(0))
  image = problems.images(size, frames)[0][:, None]
  made = jax.make_jaxpr(m.predict)(*state, {'image': image})
  return list(traced(made.jaxpr))


def training(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(steps)`: the products of a step of every member."""
  found, members = of_step(spec['size'], spec['frames']), spec['members']
  shares = _shared(members, workers.cores())
  return _fastest([[found] * n for n in shares], [found] * members)


def prediction(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(times)`: the products of all stills by all members.

  Cores have their own stills; of a single one, their own members.
  """
  size, frames, members = spec['size'], spec['frames'], spec['members']
  cores, of = workers.cores(), {}
  if frames > 1:
    shares = _shared(frames, cores)
    parts = [_blocks(size, share, of) * members for share in shares]
  else:
    parts = [_blocks(size, 1, of) * n for n in _shared(members, cores)]
  return _fastest(parts, _blocks(size, frames, of) * members)


def _blocks(size: int, frames: int, of: dict[int, list[Product]]):
  """Products of so many stills, block by block."""
  whole, rest = divmod(frames, BLOCK)
  found = []
  for number in [BLOCK] * whole + [rest] * (rest > 0):
    if number not in of:
      of[number] = of_prediction(size, number)
    found.append(of[number])
  return found


def _shared(count: int, among: int) -> list[int]:
  """`count` things on at most `among` streams, as evenly as can be."""
  return [len(range(i, count, among)) for i in range(min(count, among))]


def _fastest(
  parts: list[list[list[Product]]], whole: list[list[Product]]
) -> tuple[Callable[[int], None], dict]:
  """One thread in every product and a stream per core, or all threads in each.

  Args:
    parts: Lists of products of every stream.
    whole: All of them in one. Lists that are one object share their operands, as
      weights and buffers do.
  """
  cores = workers.cores()
  ways = {
    f'{len(parts)} streams': _way(parts, 1),
    f'{cores} threads in every product': _way([whole], cores),
  }
  chosen = workers.fastest(ways)

  def run(times: int):
    for _ in range(times):
      ways[chosen]()

  work = sum(one.operations for found in whole for one in found)
  return run, {'note': f'{work / 1e9:.3g} GFLOP, {chosen}'}


def _way(streams: list[list[list[Product]]], threads: int):
  rng = np.random.default_rng(0)

  def operands(found: list[Product]):
    shapes = [
      ((p.rows, p.inner), (p.inner, p.columns), (p.rows, p.columns))
      for p in found
    ]
    return [
      ([rng.random(shape, np.float32) for shape in three], one.times)
      for three, one in zip(shapes, found)
    ]

  prepared = []
  for stream in streams:
    made = {id(found): operands(found) for found in stream}
    prepared.append([made[id(found)] for found in stream])

  def one(stream):
    for found in stream:
      for (left, right, out), times in found:
        for _ in range(times):
          np.matmul(left, right, out=out)

  pool = futures.ThreadPoolExecutor(len(prepared))

  def run():
    with threadpoolctl.threadpool_limits(threads, 'blas'):
      list(pool.map(one, prepared))

  return run
