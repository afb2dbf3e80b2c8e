"""Stacks of members: vmap or map on a device, a mesh over devices.

A stack is a member's pytree with a leading axis M. The mesh is ('member',
'batch'): members never talk to each other while they train; only the soft
labels at the end of a generation are summed over the `member` axis.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

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
    ValueError: If there are not enough devices.
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
  return jax.make_mesh(
    (member_devices, batch_devices),
    (MEMBER, BATCH),
    axis_types=(AxisType.Auto, AxisType.Auto),
    devices=devices[:need],
  )


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
  """Places a pytree on the mesh, its leading axes split over the named axes."""
  return jax.device_put(tree, NamedSharding(mesh, P(*axes)))


def ensemble_mean(
  values: jax.Array, weight: jax.Array, axis: str | None = None
) -> jax.Array:
  """Weighted mean over the member axis, across devices where `axis` is given."""
  total = jnp.tensordot(weight, values, axes=1)
  count = weight.sum()
  if axis is not None:
    total, count = jax.lax.psum((total, count), axis)
  return total / count
