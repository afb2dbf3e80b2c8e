"""One network that answers as an ensemble does: a distribution over answers.

Any network of the registry is the trunk: it is built for more tasks than there are
labels for, and each of them gets a head of its own.

  hydra              M heads of every task, each the student of one teacher
  a family           of distributions (`ops.families`): beside a task's outputs those
                     of the family's further tasks

Its logits are those of the mean distribution. A stochastic pass (`train=False,
dropout=True`, the contract of MC dropout) is a member: of a Hydra the head of that
number, of a distribution a draw.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.ops.families import FAMILIES
from emojax.tasks import Schema, Task

KINDS = ('hydra', *FAMILIES)
MEMBERS, PARAMETERS = 'members', 'parameters'
MOST_HEADS = 64  # of a task; a model of strangers may ask for any number


def head_name(task: str, number: int) -> str:
  """Name of the task of a Hydra's head."""
  return f'{task}_{number}'


def widened(kind: str, schema: Schema, heads: int) -> Schema:
  """The tasks that the trunk is built for.

  Raises:
    ValueError: If there is no such kind, a Hydra has less than two heads or more
      than `MOST_HEADS`.
  """
  if kind not in KINDS:
    raise ValueError(f'distribution {kind!r}: expected one of {KINDS}')
  if kind == 'hydra':
    if not 2 <= heads <= MOST_HEADS:
      raise ValueError(
        f'heads {heads}: a Hydra has one for each teacher, from 2 to {MOST_HEADS}'
      )
    return tuple(
      dataclasses.replace(task, name=head_name(task.name, m))
      for task in schema
      for m in range(heads)
    )
  further = FAMILIES[kind].further
  return (*schema, *(other for task in schema for other in further(task)))


class OneNetwork(nn.Module):
  """See the module's docstring.

  Attributes:
    trunk: A network of the registry, built for `widened` tasks.
    schema: The tasks.
    distribution: One of `KINDS`.
    heads: Of a Hydra, M; 0 otherwise.
  """

  trunk: nn.Module
  schema: Schema
  distribution: str
  heads: int = 0

  @property
  def image_size(self) -> int:
    """Height and width of the images."""
    return self.trunk.image_size

  @property
  def channels(self) -> int:
    """Channels of the images."""
    return self.trunk.channels

  @property
  def audio(self) -> bool:
    """Whether the network listens."""
    return self.trunk.audio

  @nn.compact
  def __call__(self, inputs, train: bool, dropout=None, number=None):
    """Applies the network.

    Args:
      inputs: Of the trunk.
      train: Of the trunk.
      dropout: None or `train`: in training of the trunk; True without training:
        a stochastic pass, which needs the PRNG 'dropout'.
      number: Of that pass, for a Hydra: from 0 on, and around.

    Returns:
      float32 logits [B, L, num_outputs] by task, and beside those of the mean what
      the loss reads: 'members' (task -> [B, L, M, num_outputs]) or 'parameters'
      (task -> outputs [B, L, ...] of the task and of its further ones).
    """
    drawn = bool(dropout) and not train
    found = self.trunk(inputs, train, False if drawn else dropout)
    if self.distribution == 'hydra':
      members = {
        task.name: jnp.stack(
          [found[head_name(task.name, m)] for m in range(self.heads)], 2
        )
        for task in self.schema
      }
      if drawn:
        head = 0 if number is None else number % self.heads
        return {name: jnp.take(x, head, 2) for name, x in members.items()}
      means = {t.name: mean_logits(t, members[t.name], 2) for t in self.schema}
      return {**means, MEMBERS: members}
    family = FAMILIES[self.distribution]
    outputs = {
      task.name: (
        found[task.name],
        *(found[other.name] for other in family.further(task)),
      )
      for task in self.schema
    }
    if drawn:
      key = self.make_rng('dropout')
      return {
        task.name: family.draw(
          jax.random.fold_in(key, i), task, *outputs[task.name]
        )
        for i, task in enumerate(self.schema)
      }
    means = {t.name: family.mean(t, *outputs[t.name]) for t in self.schema}
    return {**means, PARAMETERS: outputs}


def mean_logits(task: Task, logits, axis: int) -> jax.Array:
  """Logits of the mean of the members' probabilities.

  Args:
    task: The task.
    logits: Of every member, [..., num_outputs].
    axis: That of the members.
  """
  count = logits.shape[axis]
  if task.kind == 'binary':
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    lse = jax.scipy.special.logsumexp
    return lse(yes, axis) - lse(no, axis)
  logs = jax.nn.log_softmax(tasks.split_logits(task, logits))
  mean = jax.scipy.special.logsumexp(logs, axis) - jnp.log(count)
  return mean.reshape(*mean.shape[: logits.ndim - 2], -1)


def build(kind: str, heads: int, schema: Schema, make: Any) -> OneNetwork:
  """Makes a network that answers as an ensemble does.

  Args:
    kind: One of `KINDS`.
    heads: Of a Hydra.
    schema: The tasks.
    make: `schema -> network` of the registry.
  """
  trunk = make(widened(kind, schema, heads))
  heads = heads if kind == 'hydra' else 0
  return OneNetwork(trunk, schema, kind, heads)
