"""What to lower when a device has no memory left."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from emojax.engine import stack

CODE = 'RESOURCE_EXHAUSTED'  # how XLA's own messages begin
MEMBERS, PREDICTION = 'runtime.member_chunk', 'runtime.predict_clips'
STREAM = 'runtime.stream_steps'
# What a batch has; a run that goes on must keep it.
BATCH = (
  'train.clips_per_task',
  'recurrent.clips_per_task',
  'train.batch_size',
)


class OutOfMemoryError(RuntimeError):
  """A program or its data did not fit a device; says what to lower."""


@contextlib.contextmanager
def explained(
  values: Mapping[str, Any], training: bool = True
) -> Iterator[None]:
  """Says of XLA's errors about memory which settings would need less.

  Programs are compiled, called and waited for inside: each of these may fail.

  Args:
    values: Settings by their dotted names, as of `settings.flatten`.
    training: Whether networks are trained; else they only predict.

  Raises:
    OutOfMemoryError: In the place of JAX's error. Other errors are left alone.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    code, _, said = (str(error).splitlines() or [''])[0].partition(': ')
    if code != CODE:
      raise
    device = jax.devices()[0].device_kind
    raise OutOfMemoryError(
      f'{device}: {said[:200].rstrip(".")}: '
      f'{remedy(values, stack.default_chunk(), training)}'
    ) from error


def remedy(values: Mapping[str, Any], chunk: int, training: bool) -> str:
  """Names the settings that memory grows with, and what they are.

  Args:
    values: As in `explained`.
    chunk: Members side by side where that setting is -1; 0 for all.
    training: As in `explained`.
  """
  side = chunk if values[MEMBERS] < 0 else values[MEMBERS]
  found = [] if side == 1 else [f'{MEMBERS} (now {side or "all"})']
  if values[PREDICTION] > 1:
    found.append(f'{PREDICTION} (now {values[PREDICTION]})')
  found += [
    f'{name} (now {values[name]}; in a new --workdir)'
    for name in BATCH
    if training and values.get(name, 1) > 1
  ]
  parts = [f'lower config.{" or config.".join(found)}'] if found else []
  if training and not values[STREAM]:
    parts.append(f'keep the data off it by --config.{STREAM}=20')
  return ', or '.join(parts) or 'no setting is left to lower: a larger device'
