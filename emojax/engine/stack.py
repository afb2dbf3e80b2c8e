"""Stacks of members: vmap or map on a device, a mesh over devices.

A stack is a member's pytree with a leading axis M. The mesh is ('member',
'batch'): members never talk to each other while they train; only the soft
labels at the end of a generation are summed over the `member` axis. The mesh may
span several processes; each then handles the parts of stacks and batches that
its own devices hold.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from emojax.host import processes

PyTree = Any
MEMBER, BATCH = 'member', 'batch'


def make_mesh(
  member_devices: int = 0, batch_devices: int = 1, members: int | None = None
):
  """Returns a mesh ('member', 'batch') over this job's devices.

  Args:
    member_devices: Devices over which members are spread; 0 for all that
      `batch_devices` leaves.
    batch_devices: Devices over which each member's batch is split.
    members: Number of members; more devices than that are not used.

  Raises:
    ValueError: If there are not enough devices, or if a process of the job gets
      nothing to do.
  """
  devices = jax.devices()
  if member_devices == 0:
    member_devices = max(1, len(devices) // batch_devices)
    member_devices = min(member_devices, members or member_devices)
  need = member_devices * batch_devices
  if need > len(devices):
    raise ValueError(
      f'a {member_devices} x {batch_devices} mesh needs {need} devices but '
      f'there are {len(devices)}: lower runtime.member_devices or '
      'runtime.batch_devices'
    )
  rows = _rows(devices, batch_devices)[:member_devices]
  idle = set(range(processes.count())) - {d.process_index for d in rows.flat}
  if idle:
    raise ValueError(
      f'a {member_devices} x {batch_devices} mesh leaves processes '
      f'{sorted(idle)} without a device to use: start fewer processes, or raise '
      'ensemble.size or runtime.batch_devices'
    )
  mesh = jax.sharding.Mesh(rows, (MEMBER, BATCH), (AxisType.Auto,) * 2)
  _meet(mesh)
  return mesh


def _rows(devices: list, batch_devices: int) -> np.ndarray:
  """Devices as rows that share a batch, rows of all processes taking turns.

  A batch stays within a process where that is possible, since its gradients are
  communicated; and a few members still use all processes.
  """
  num = len(devices) // batch_devices
  rows = [devices[i * batch_devices :][:batch_devices] for i in range(num)]
  turn, seen = [], {}
  for row in rows:
    process = row[0].process_index
    seen[process] = seen.get(process, -1) + 1
    turn.append((seen[process], process))
  order = sorted(range(num), key=lambda i: turn[i])
  return np.array([rows[i] for i in order])


def _meet(mesh):
  """Connects the processes along both axes while none of them is late.

  CPU devices connect when a group of them first communicates, and give up
  after 30 seconds; once connected they wait for each other.
  """
  if processes.count() == 1:
    return
  ones = put(
    np.ones(tuple(mesh.shape.values()), np.float32), mesh, MEMBER, BATCH
  )
  for axes in ((MEMBER,), (BATCH,), (MEMBER, BATCH)):
    total = jax.shard_map(
      functools.partial(jax.lax.psum, axis_name=axes),
      mesh=mesh,
      in_specs=P(MEMBER, BATCH),
      out_specs=P(MEMBER, BATCH),
      check_vma=False,
    )
    jax.block_until_ready(jax.jit(total)(ones))
  gather(ones, mesh)


def default_chunk() -> int:
  """Members to vectorise at a time: one by one on CPU, all elsewhere.

  On CPU a single member's activations just fit the caches; a stack's do not
  (docs/benchmarks.md). 0 means all.
  """
  return 1 if jax.default_backend() == 'cpu' else 0


def map_members(fn: Callable, chunk: int) -> Callable:
  """Maps `fn(stacked, shared)` over the leading axis of its first argument.

  Args:
    fn: `(stacked, shared) -> outputs` for one member.
    chunk: Members vectorised at a time; 0 for all at once, 1 for one by one.
  """

  def mapped(stacked, shared):
    size = jax.tree.leaves(stacked)[0].shape[0]

    def one(x):
      return fn(x, shared)

    if chunk == 1:
      return jax.lax.map(one, stacked)
    if chunk == 0 or chunk >= size:
      return jax.vmap(one)(stacked)
    return jax.lax.map(one, stacked, batch_size=chunk)

  return mapped


def padded_size(members: int, mesh) -> int:
  """Stack size after padding to a multiple of the member devices."""
  return -(-members // mesh.shape[MEMBER]) * mesh.shape[MEMBER]


def pad_members(tree: PyTree, size: int) -> PyTree:
  """Repeats the last member until the stack has `size` members."""

  def pad(x):
    missing = size - x.shape[0]
    if missing == 0:
      return x
    return np.concatenate([x, np.repeat(np.asarray(x[-1:]), missing, 0)])

  return jax.tree.map(pad, tree)


def unpad_members(tree: PyTree, members: int) -> PyTree:
  """Drops the padding of `pad_members`."""
  return jax.tree.map(lambda x: x[:members], tree)


def put(tree: PyTree, mesh, *axes) -> PyTree:
  """Places a pytree on the mesh, its leading axes split over the named axes.

  All processes hold the whole arrays; each takes what its devices need.
  """
  sharding = NamedSharding(mesh, P(*axes))
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)

  def place(x):
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])

  return jax.tree.map(place, tree)


def gather(tree: PyTree, mesh) -> PyTree:
  """Brings whole arrays from the mesh to the host of every process."""
  arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]
  if not all(x.is_fully_addressable for x in arrays):
    tree = _replicate(mesh)(tree)
  return jax.device_get(tree)


@functools.cache
def _replicate(mesh) -> Callable:
  return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, P()))


def local_places(mesh, axis: str) -> list[int]:
  """Places along a mesh axis at which this process has devices."""
  mine = np.vectorize(lambda d: d.process_index == jax.process_index())
  other = 1 - mesh.axis_names.index(axis)
  return np.flatnonzero(mine(mesh.devices).any(other)).tolist()


def local_part(x: np.ndarray, mesh, *axes) -> np.ndarray:
  """The part of a host array that this process's devices work on."""
  for dim, axis in enumerate(axes):
    if axis is not None:
      parts = np.split(x, mesh.shape[axis], dim)
      x = np.concatenate([parts[i] for i in local_places(mesh, axis)], dim)
  return x


def put_part(tree: PyTree, mesh, *axes) -> PyTree:
  """As `put`, for arrays of which every process holds its `local_part` only."""
  sharding = NamedSharding(mesh, P(*axes))
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)
  places = [axis and local_places(mesh, axis) for axis in axes]

  def place(x):
    unit = [n // len(p) if p else n for n, p in zip(x.shape, places)]
    shape = list(x.shape)
    for dim, axis in enumerate(axes):
      shape[dim] = unit[dim] * (mesh.shape[axis] if axis else 1)

    def local(index):
      index = list(index)
      for dim, here in enumerate(places):
        if here:
          start = here.index((index[dim].start or 0) // unit[dim]) * unit[dim]
          index[dim] = slice(start, start + unit[dim])
      return x[tuple(index)]

    return jax.make_array_from_callback(tuple(shape), sharding, local)

  return jax.tree.map(place, tree)


def ensemble_mean(
  values: jax.Array, weight: jax.Array, axis: str | None = None
) -> jax.Array:
  """Weighted mean over the member axis, across devices where `axis` is given."""
  # Accelerators would round the values to eight bits or eleven, whatever they are.
  total = jnp.tensordot(weight, values, axes=1, precision='highest')
  count = weight.sum()
  if axis is not None:
    total, count = jax.lax.psum((total, count), axis)
  return total / count
