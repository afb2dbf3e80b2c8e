"""A pytree in one vector per type of number.

Networks have hundreds of small arrays, and a member's state several copies of
them. A program whose loops carry these one by one has a kernel for each that only
copies it in or out, and compiles slowly (docs/benchmarks.md). A few vectors do
not need them.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a tree lies in its vectors.

  Attributes:
    treedef: Structure of the tree.
    leaves: Type and shape of every leaf, without leading axes of stacks.
  """

  treedef: Any
  leaves: tuple[tuple[str, tuple[int, ...]], ...]

  @property
  def dtypes(self) -> list[str]:
    """Types of number, in the order of the vectors."""
    return sorted({dtype for dtype, _ in self.leaves})


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Packed:
  """A tree as one vector for each type of number.

  It is a pytree of its vectors. As part of a stack these have leading axes,
  which `tree` gives to every leaf.

  Attributes:
    vectors: Type of number -> array [..., size].
    layout: How the tree lies in them.
  """

  vectors: dict[str, Any]
  layout: Layout

  def tree_flatten_with_keys(self):
    keys = self.layout.dtypes
    children = [(jax.tree_util.DictKey(k), self.vectors[k]) for k in keys]
    return children, self.layout

  @classmethod
  def tree_unflatten(cls, layout, vectors):
    return cls(dict(zip(layout.dtypes, vectors)), layout)

  def tree(self) -> PyTree:
    """The tree again; NumPy arrays become views."""
    at = dict.fromkeys(self.vectors, 0)
    leaves = []
    for dtype, shape in self.layout.leaves:
      vector, start = self.vectors[dtype], at[dtype]
      at[dtype] = start + math.prod(shape)
      part = vector[..., start : at[dtype]]
      leaves.append(part.reshape(*vector.shape[:-1], *shape))
    return jax.tree.unflatten(self.layout.treedef, leaves)


def pack(tree: PyTree) -> Packed:
  """Lays a tree of arrays, of one member, into vectors."""
  leaves, treedef = jax.tree.flatten(tree)
  leaves = [jnp.asarray(x) for x in leaves]
  layout = Layout(treedef, tuple((str(x.dtype), x.shape) for x in leaves))
  vectors = {
    dtype: jnp.concatenate([x.ravel() for x in leaves if x.dtype == dtype])
    for dtype in layout.dtypes
  }
  return Packed(vectors, layout)


def unpack(tree: PyTree) -> PyTree:
  """Replaces every `Packed` inside a tree by the tree that it holds."""
  return jax.tree.map(
    lambda x: x.tree() if isinstance(x, Packed) else x,
    tree,
    is_leaf=lambda x: isinstance(x, Packed),
  )
