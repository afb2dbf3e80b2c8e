"""Labels that change while a member learns, inside the compiled program.

The labels of all N training images are part of the member's state: what an
image is relabelled to counts from the next time that it is drawn (as in SCN).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from emojax.losses import noisy_labels


class Relabel(NamedTuple):
  """When labels change.

  Attributes:
    fraction: Share of a batch that is suspected: its most uncertain images.
      1 is SCN's published code, 0 never changes a label.
    margin: See `noisy_labels.relabelled`.
    first_step: Steps before it begins.
  """

  fraction: float
  margin: float
  first_step: int


class Memory(NamedTuple):
  """The labels that a member believes in.

  Attributes:
    label: int32 [N], where changed.
    changed: bool [N].
    step: int32, steps so far.
  """

  label: jax.Array
  changed: jax.Array
  step: jax.Array


def fresh(size: int) -> Memory:
  """Memory of a member that has changed no label."""
  return Memory(jnp.zeros(size, jnp.int32), jnp.zeros(size, bool), jnp.int32(0))


def current(memory: Memory, given, index=slice(None)):
  """Labels that a member believes in.

  Args:
    memory: Its memory.
    given: Labels of all images before any change, int32 [N].
    index: Which images, int32 [B]; all by default.
  """
  return jnp.where(memory.changed[index], memory.label[index], given[index])


def update(
  memory: Memory,
  settings: Relabel,
  allowed,
  index,
  labels,
  logits,
  uncertainty,
) -> tuple[Memory, jax.Array]:
  """Changes labels of a batch after a step.

  Args:
    memory: The memory before.
    settings: When labels change.
    allowed: Whether this member's labels may change, a bool of its own.
    index: int32 [B], numbers of the images.
    labels: int32 [B], their current labels.
    logits: Predictions for the images themselves [B, K].
    uncertainty: [B].

  Returns:
    The memory after, and how many labels changed.
  """
  step = memory.step + 1
  if settings.fraction == 0:
    return memory._replace(step=step), jnp.float32(0)
  suspects = noisy_labels.most_uncertain(uncertainty, settings.fraction)
  suspects &= allowed & (memory.step >= settings.first_step)
  new, changed = noisy_labels.relabelled(
    logits, labels, suspects, settings.margin
  )
  # Unchanged images keep what the memory says of them.
  ever = memory.changed[index] | changed
  return (
    Memory(
      memory.label.at[index].set(jnp.where(ever, new, 0)),
      memory.changed.at[index].set(ever),
      step,
    ),
    changed.sum().astype(jnp.float32),
  )
