"""`jax.custom_vjp` as a decorator with arguments, its types kept.

`functools.partial(jax.custom_vjp, ...)` does the same, but a type checker no longer
knows what the decorated function returns.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax

T = TypeVar('T')


def custom_vjp(
  *constant: int,
) -> Callable[[Callable[..., T]], jax.custom_vjp[T]]:
  """Makes a function's gradient one of its own, which its `defvjp` says.

  Args:
    *constant: Places of the arguments that are settings, without a gradient.
  """

  def decorate(function: Callable[..., T]) -> jax.custom_vjp[T]:
    # Any: what its `__new__` may return instead is JAX's own trial.
    made: Any = jax.custom_vjp(function, nondiff_argnums=constant)
    return made

  return decorate
