"""Beta distributions of action units by evidence, with an asymmetric loss.

After AB-ENN of Li and Liu, "UAU-Net" (arXiv 2604.21227), whose abstract alone was at
hand: Beta distributions from evidence for presence and evidence for absence, each 1
and more, and a loss for labels of which few are positive. Here it is the likelihood of
what the teachers say, and its asymmetry that of Ridnik et al. ("Asymmetric loss",
ICCV 2021, Eq. 7): what teachers hold absent and the network does, too, counts little.
That weighs whole frames by what is said of them, so that the best distribution of a
frame is still that of the teachers.

Expressions, valence and arousal have the Dirichlet distributions of `ops.dirichlet`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.ops import dirichlet

LABELS = 'probabilities'  # of the teachers, what `loss` takes
LOG_EVIDENCE = (-6.0, 7.0)  # softly
FOCUS = 2.0  # exponent for what is absent; 0 for what is present


def further(task: tasks.Task) -> tuple[tasks.Task, ...]:
  """The task of the evidence for absence; of other kinds that of precisions."""
  if task.kind == 'binary':
    return (dataclasses.replace(task, name=f'{task.name}_absent'),)
  return dirichlet.further(task)


def concentrations(present, absent) -> jax.Array:
  """Parameters of the Beta distributions, 1 + evidence.

  Args:
    present: Log evidence, [..., A].
    absent: Log evidence, [..., A].

  Returns:
    [..., A, 2] (absent, present), > 1: one mode, never at both ends at once.
  """
  low, high = LOG_EVIDENCE
  raw = jnp.stack([absent, present], -1)
  raw = high - jax.nn.softplus(high - raw)
  return 1 + jnp.exp(low + jax.nn.softplus(raw - low))


def mean(task: tasks.Task, logits, other) -> jax.Array:
  """Logits of the mean distribution.

  Args:
    task: The task.
    logits: Of an action unit the log evidence for presence, [..., num_outputs].
    other: Of `further`.
  """
  if task.kind != 'binary':
    return dirichlet.mean(task, logits, other)
  logs = jnp.log(concentrations(logits, other))
  return logs[..., 1] - logs[..., 0]


def loss(task: tasks.Task, said, logits, other):
  """Minus the log-density of what the teachers say, and what each counts for.

  Args:
    task: The task.
    said: Probabilities of M teachers, [M, ..., A], [M, ..., E], [M, ..., D, K].
    logits: As `mean` takes them.
    other: As `mean` takes them.

  Returns:
    (losses [..., A], [...] or [..., D], their weights in [0, 1]).
  """
  if task.kind != 'binary':
    return dirichlet.loss(task, said, logits, other)
  alpha = concentrations(logits, other)
  both = jnp.stack([1 - said, said], -1)
  # The weight says which frames count, and is not to be lowered itself.
  held = jax.lax.stop_gradient(alpha[..., 1] / alpha.sum(-1))
  present = said.mean(0)
  weight = present + (1 - present) * held**FOCUS
  return dirichlet.nll(alpha, both), weight


def draw(key, task: tasks.Task, logits, other) -> jax.Array:
  """Logits of one draw of every frame and label.

  Args:
    key: Of the draw.
    task: The task.
    logits: As `mean` takes them.
    other: As `mean` takes them.
  """
  if task.kind != 'binary':
    return dirichlet.draw(key, task, logits, other)
  drawn = jax.random.loggamma(key, concentrations(logits, other))
  return drawn[..., 1] - drawn[..., 0]
