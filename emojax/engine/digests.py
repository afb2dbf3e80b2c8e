"""Digests of the arrays of a stack, so that a changed bit does not go unnoticed.

They are computed on the host from what is handed to the writer, and again from
what the reader returns: damage of the storage shows as well as a misreading.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

PyTree = Any
SIZE = hashlib.sha256().digest_size


def of_tree(tree: PyTree) -> dict[str, str]:
  """Computes a digest of every array.

  Of several processes each reads the rows that its own devices hold, so that
  nothing but digests is sent between them; all must call this then.

  Args:
    tree: Arrays, whole or split over processes along their first axis.

  Returns:
    Path in the tree, 'params/kernel', to a SHA-256 in hexadecimal of the
    array's type, shape and bytes.

  Raises:
    ValueError: If an array is split along another axis.
  """
  arrays = _by_path(tree)
  rows = {name: _own_rows(name, array) for name, array in arrays.items()}
  parts = {n: r for n, r in rows.items() if not _is_whole(arrays[n])}
  if parts:
    # Rows of other processes are zeros, and nobody's digest is below that.
    gathered = multihost_utils.process_allgather(parts)
    rows |= {name: np.max(found, axis=0) for name, found in gathered.items()}
  return {name: _digest(arrays[name], rows[name]) for name in arrays}


def differing(tree: PyTree, expected: Mapping[str, str]) -> list[str]:
  """Paths of the arrays that are not those of some digests, sorted."""
  found = of_tree(tree)
  names = found.keys() | expected.keys()
  return sorted(n for n in names if found.get(n) != expected.get(n))


def _by_path(tree: PyTree) -> dict[str, Any]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


def _is_whole(array) -> bool:
  return not isinstance(array, jax.Array) or array.is_fully_addressable


def _own_rows(name: str, array) -> np.ndarray:
  """Digests of the rows that this process has, uint8 [M, SIZE]; else zeros."""
  if _is_whole(array):
    return _row_digests(np.asarray(array))
  found = np.zeros((array.shape[0], SIZE), np.uint8)
  for shard in array.addressable_shards:
    part = np.asarray(shard.data)
    if part.shape[1:] != array.shape[1:]:
      raise ValueError(f'{name} is split along another axis than its first')
    start = shard.index[0].start or 0
    found[start : start + len(part)] = _row_digests(part)
  return found


def _row_digests(array: np.ndarray) -> np.ndarray:
  count = len(array) if array.size and array.ndim else 1
  rows = np.ascontiguousarray(array).reshape(count, -1)
  digests = [hashlib.sha256(row.view(np.uint8).data).digest() for row in rows]
  return np.frombuffer(b''.join(digests), np.uint8).reshape(-1, SIZE)


def _digest(array, rows: np.ndarray) -> str:
  head = f'{np.dtype(array.dtype).name} {list(array.shape)} '.encode()
  return hashlib.sha256(head + rows.tobytes()).hexdigest()
