"""How tests compile.

They compile much and compute little. Of XLA's two code generators for CPUs the older
one, without optimisation, is the fastest for small programs. It rounds differently
from one program to the next, and errs in some gradients of XLA's own convolutions:
tests that compare bits of different programs, or gradients with another library's,
take the one that users have.
"""

import contextlib
import functools
import importlib.metadata

import pytest

# That the flag exists is known of these versions.
OLDER = importlib.metadata.version('jaxlib').startswith('0.10.')
FLAG = 'xla_cpu_use_fusion_emitters'
FLAGS = ['--xla_backend_optimization_level=0', *[f'--{FLAG}=false'] * OLDER]
USERS_FLAGS = [f'--{FLAG}=true'] * OLDER  # after FLAGS: the last one counts
USERS_OPTIONS = {FLAG: True} if OLDER else {}  # of `jax.jit`


@contextlib.contextmanager
def users_programs():
  """The engine's programs by the code generator that users have."""
  from emojax.engine import programs

  with pytest.MonkeyPatch.context() as patch:
    make = functools.partial(programs._program, options=USERS_OPTIONS)
    patch.setattr(programs, '_program', make)
    yield
