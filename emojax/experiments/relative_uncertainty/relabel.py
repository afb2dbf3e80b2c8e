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
    epoch: Steps over which training accuracy is averaged, as labels change only
      where it is high enough; 0 if no accuracy is asked for.
  """

  fraction: float
  margin: float
  first_step: int
  epoch: int = 0


class Memory(NamedTuple):
  """The labels that a member believes in.

  Attributes:
    label: int32 [N], where changed.
    changed: bool [N].
    step: int32, steps so far.
    right: float32, share of images whose given label was predicted, in about the
      last epoch; None (nothing in a checkpoint) if nobody asks.
  """

  label: jax.Array
  changed: jax.Array
  step: jax.Array
  right: jax.Array | None = None


def fresh(size: int, watched: bool = False) -> Memory:
  """Memory of a member that has changed no label.

  Args:
    size: N.
    watched: Whether it keeps the training accuracy.
  """
  return Memory(
    jnp.zeros(size, jnp.int32),
    jnp.zeros(size, bool),
    jnp.int32(0),
    jnp.float32(0) if watched else None,
  )


def agreement(accuracy: float, wrong, classes: int):
  """Share of given labels that a network of some accuracy agrees with.

  Wrong labels say nothing of a network that is right in spite of them. If its own
  errors fall on all other classes alike, as flipped labels do, it agrees with right
  labels as often as it is accurate and with wrong ones by chance.

  Args:
    accuracy: On right labels, in [0, 1].
    wrong: Share of labels that are wrong, in [0, 1], an array or a number.
    classes: K.
  """
  return accuracy * (1 - wrong) + (1 - accuracy) * wrong / (classes - 1)


def watched(memory: Memory, epoch: int, given, logits) -> Memory:
  """Adds a batch's training accuracy to a memory that keeps it.

  A mean over all steps in the first epoch, then a moving one.

  Args:
    memory: Before the step is counted (`update`).
    epoch: Steps of an epoch.
    given: Labels of the batch before any change, int32 [B].
    logits: Predictions for the images themselves [B, K].
  """
  now = (logits.argmax(-1) == given).astype(jnp.float32).mean()
  share = 1 / jnp.minimum(memory.step + 1, epoch).astype(jnp.float32)
  before = jnp.float32(0) if memory.right is None else memory.right
  return memory._replace(right=before + share * (now - before))


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
    memory._replace(
      label=memory.label.at[index].set(jnp.where(ever, new, 0)),
      changed=memory.changed.at[index].set(ever),
      step=step,
    ),
    changed.sum().astype(jnp.float32),
  )
