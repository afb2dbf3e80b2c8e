"""What is said when a device has no memory left."""

import jax
import jax.numpy as jnp
import pytest
import small_run

from emojax.runtime import memory
from emojax.settings import flatten

VALUES = flatten(small_run.config().to_dict())


def test_a_program_that_does_not_fit_names_settings():
  """By JAX's own error, so that a change of its text is noticed."""
  program = jax.jit(lambda: jnp.zeros(2**55, jnp.uint8))
  with pytest.raises(memory.OutOfMemoryError) as found:
    with memory.explained(VALUES | {'runtime.member_chunk': 0}):
      jax.block_until_ready(program())
  text = str(found.value)
  assert text.startswith(
    'cpu: Out of memory allocating 36028797018963968 bytes: '
  )
  for name in ('member_chunk (now all)', 'predict_clips (now 4)'):
    assert f'config.runtime.{name}' in text
  assert 'config.train.clips_per_task (now 3; in a new --workdir)' in text
  assert '\n' not in text


def test_other_errors_are_left_alone():
  error = jax.errors.JaxRuntimeError('INTERNAL: RESOURCE_EXHAUSTED of another')
  with pytest.raises(jax.errors.JaxRuntimeError) as found:
    with memory.explained(VALUES):
      raise error
  assert found.value is error


@pytest.mark.parametrize(
  ('changes', 'chunk', 'training', 'expected'),
  [
    (
      {'runtime.predict_clips': 1, 'train.clips_per_task': 1},
      1,
      True,
      'keep the data off it by --config.runtime.stream_steps=20',
    ),
    (
      {'runtime.predict_clips': 3},
      0,
      False,
      'lower config.runtime.member_chunk (now all) or '
      'config.runtime.predict_clips (now 3)',
    ),
    (
      {'runtime.predict_clips': 1},
      1,
      False,
      'no setting is left to lower: a larger device',
    ),
  ],
)
def test_only_what_can_be_lowered_is_named(changes, chunk, training, expected):
  assert memory.remedy(VALUES | changes, chunk, training) == expected
