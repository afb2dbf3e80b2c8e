"""The CPU devices that a process gives to JAX."""

import os

from absl import logging

from emojax.host import threads


def set_cpu_devices(members: int, wanted: int = 0):
  """Gives JAX several CPU devices for members to train side by side.

  A loop's body hardly uses more than one core and a half where arrays are small,
  so on CPU a stack is faster on several devices: as many as share the members
  evenly, since padding costs more than it gains where arrays are large.

  Args:
    members: Members of a stack.
    wanted: Devices; 0 for as many as is best.
  """
  import jax

  if 'device_count' in os.environ.get('XLA_FLAGS', ''):
    return  # the user has decided
  # Processes on one host share its cores, so each takes what it is told to.
  most = (
    1 if jax.distributed.is_initialized() else min(threads.cores(), members)
  )
  even = max(n for n in range(1, most + 1) if members % n == 0)
  wanted = wanted or even
  # JAX gives its configuration the attribute as it is imported.
  if jax.config.jax_num_cpu_devices == wanted:  # pyright: ignore[reportAttributeAccessIssue]
    return  # as a run before this one in the same interpreter
  try:
    jax.config.update('jax_num_cpu_devices', wanted)
  except RuntimeError:
    logging.warning(
      'JAX runs already in this process: it keeps its CPU devices, not %d. To '
      'change that, start a new process (in a notebook, restart the kernel)',
      wanted,
    )
