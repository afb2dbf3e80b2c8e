"""The members of a model as they answer fastest on this machine.

Norms are in the kernels. On CPU encoders see blocks of frames that fit the caches
(`models.folding`), and each core has a stream of its own: a program of one thread
that answers for one member and a part of the clips. Threads inside every small
product would wait for each other more than they compute. Streams are threads of this
process on JAX's one CPU device, so that nothing has to be set before JAX starts.
"""

from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from emojax import models
from emojax.host import caches, threads
from emojax.models import folding

PyTree = Any
Arrays = Mapping[str, np.ndarray]
ALONE = {'xla_cpu_multi_thread_eigen': False}  # one thread for all of a program


class Members:
  """Runs a function of one member for all of them.

  Args:
    one: `(network, params, state, inputs, key, number) -> arrays [N, ...]` by
      name; key and number are None, or those of a stochastic pass.
    network: Unbound.
    params: Arrays [M, ...] on the host.
    state: The same.
    streams: Cores to use; 0 for all that this process has.
  """

  def __init__(
    self,
    one: Callable,
    network: nn.Module,
    params: PyTree,
    state: PyTree,
    streams: int = 0,
  ):
    self._one, self._streams = one, streams or threads.cores()
    self._cpu = jax.default_backend() == 'cpu'
    first = jax.tree.map(lambda x: x[0], {'params': params, **state})
    found = folding.layers(network, first, models.example_inputs(network))
    params, state = folding.fold(found, params, state)
    if self._cpu:
      frames = folding.block(found, caches.per_core())
      network = folding.with_block(network, frames)
    self._network = network
    self._count = len(jax.tree.leaves(params)[0])
    self._weights = [
      jax.device_put(jax.tree.map(lambda x, i=i: x[i], (params, state)))
      for i in range(self._count)
    ]
    self._programs: dict[Any, Callable] = {}

  def __call__(self, inputs: Arrays, keys=None) -> dict[str, np.ndarray]:
    """What all members say of some clips.

    Args:
      inputs: Arrays [N, ...].
      keys: Keys [M, S] of stochastic passes, or None for one without noise.

    Returns:
      Arrays [M, N, ...], or [M * S, N, ...], the passes of a member next to each
      other.
    """
    clips = len(next(iter(inputs.values())))
    parts = 1
    if self._cpu and keys is None:  # a pass draws its noise for all clips
      parts = parts_of(clips, self._count, self._streams)
    cut = [_part(inputs, i, parts) for i in range(parts)]
    jobs = [(m, part) for m in range(self._count) for part in cut]
    program = self._program(cut[0], keys, len(jobs))

    def run(job):
      number, part = job
      noise = () if keys is None else (keys[number],)
      return jax.device_get(program(*self._weights[number], part, *noise))

    said = self._all(run, jobs)
    return _joined(said, parts, clips)

  def _all(self, run: Callable, jobs) -> list[Any]:
    """Runs jobs, as many at a time as there are streams."""
    streams = min(self._streams, len(jobs)) if self._cpu else 1
    if streams == 1:
      return [run(job) for job in jobs]
    with futures.ThreadPoolExecutor(streams) as pool:
      return list(pool.map(run, jobs))

  def _program(self, inputs: Arrays, keys, jobs: int) -> Callable:
    """Compiled for inputs of these shapes, once, before threads call it."""
    # With fewer jobs than cores the threads of a program have those to spare.
    alone = self._cpu and jobs >= self._streams
    noise = () if keys is None else (keys[0],)
    shapes = tuple(sorted((k, v.shape) for k, v in inputs.items()))
    key = shapes, alone, None if keys is None else keys.shape
    if key not in self._programs:
      made = jax.jit(
        self._said if keys is None else self._passes,
        compiler_options=ALONE if alone else None,
      )
      lowered = made.lower(*self._weights[0], inputs, *noise)
      self._programs[key] = lowered.compile()
    return self._programs[key]

  def _said(self, params, state, inputs):
    found = self._one(self._network, params, state, inputs, None, None)
    return jax.tree.map(lambda x: x[None], found)

  def _passes(self, params, state, inputs, keys):
    def draw(pass_):
      return self._one(self._network, params, state, inputs, *pass_)

    return jax.lax.map(draw, (keys, jnp.arange(len(keys))))


def parts_of(clips: int, members: int, streams: int) -> int:
  """Parts of some clips, so that streams have the least to do one after another.

  Args:
    clips: N; parts are of equal length, the last clip is repeated.
    members: M; a job is a part of a member.
    streams: Jobs that run at a time.
  """

  def cost(parts):
    return -(-members * parts // streams) * -(-clips // parts)

  return min(range(1, min(clips, streams) + 1), key=cost)


def _part(inputs: Arrays, number: int, parts: int) -> dict[str, np.ndarray]:
  """Clips of a part; the last one is repeated where there are too few."""
  clips = len(next(iter(inputs.values())))
  if parts == 1:
    return dict(inputs)
  size = -(-clips // parts)
  rows = np.minimum(np.arange(number * size, (number + 1) * size), clips - 1)
  return {name: array[rows] for name, array in inputs.items()}


def _joined(said: list[Any], parts: int, clips: int) -> dict[str, np.ndarray]:
  """Arrays [1 or S, n, ...] of jobs as [M, N, ...] or [M * S, N, ...]."""
  members = [said[i : i + parts] for i in range(0, len(said), parts)]
  return {
    name: np.concatenate(
      [np.concatenate([p[name] for p in m], 1)[:, :clips] for m in members]
    )
    for name in said[0]
  }
