"""Credal sets: probabilities between a lower and an upper bound of every class.

Wang, Cuzzolin, Moens and Hallez, "Credal ensemble distillation for uncertainty
quantification" (CREDIT, arXiv 2511.13766): of what M teachers say, the bounds are the
least and the largest probability of every class, and the point within them is the
intersection probability of the credal wrapper (Wang et al., arXiv 2405.15047),

  p* = lower + beta * width,    beta = (1 - sum of lower) / (sum of width),

which sums to 1. A network has 2 C + 1 outputs: p* by a softmax, widths and beta by
sigmoids. Of the two classes of an action unit both widths are one number and beta is
1/2, so that two outputs say all.
"""

import dataclasses

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.ops.dirichlet import LEAST

LABELS = 'probabilities'  # of the teachers, what `loss` takes


def further(task: tasks.Task) -> tuple[tasks.Task, ...]:
  """Tasks whose outputs a network has besides those of a task: widths and beta."""
  widths = dataclasses.replace(task, name=f'{task.name}_width')
  if task.kind == 'binary':
    return (widths,)
  labels = ('all',) if task.kind == 'categorical' else task.labels
  return widths, tasks.Task(f'{task.name}_weight', 'binary', labels)


def mean(task: tasks.Task, logits, *rest) -> jax.Array:
  """Logits of the intersection probability, which answers for the set."""
  del task, rest
  return logits


def bounds(task: tasks.Task, logits, width, weight=None):
  """Least and largest probability of every class, with p* between them.

  Args:
    task: The task.
    logits: Of p*, [..., num_outputs].
    width: Logits of the widths, [..., num_outputs].
    weight: Logits of beta, [..., number of labels] ('categorical': 1); None for
      action units.

  Returns:
    (lower, upper) in [0, 1]: [..., A] of presence, [..., E] or [..., D, K].
  """
  width = jax.nn.sigmoid(tasks.split_logits(task, width))
  if task.kind == 'binary':
    middle, beta = jax.nn.sigmoid(logits), 0.5
  else:
    middle = jax.nn.softmax(tasks.split_logits(task, logits))
    beta = _beta(task, weight)
  lower = jnp.maximum(middle - beta * width, 0)
  return lower, jnp.minimum(middle + (1 - beta) * width, 1)


def _beta(task: tasks.Task, weight):
  beta = jax.nn.sigmoid(weight)
  return beta if task.kind == 'categorical' else beta[..., None]


def intersection(lower, upper):
  """Intersection probability of bounds, and beta.

  Args:
    lower: [..., C], of a sum of at most 1.
    upper: [..., C], of a sum of at least 1.

  Returns:
    (p* [..., C], beta [..., 1]); beta is 1/2 where all widths are 0.
  """
  width = upper - lower
  total = width.sum(-1, keepdims=True)
  some = total > LEAST
  beta = (1 - lower.sum(-1, keepdims=True)) / jnp.where(some, total, 1)
  beta = jnp.where(some, jnp.clip(beta, 0, 1), 0.5)
  return lower + beta * width, beta


def loss(task: tasks.Task, said, logits, width, weight=None):
  """Cross-entropy of p*, and squared errors of widths (their mean) and of beta.

  CREDIT's loss, as others have described it (its text could not be checked), without
  its temperature of 2.5.

  Args:
    task: The task.
    said: Probabilities of M teachers, [M, ..., A], [M, ..., E], [M, ..., D, K].
    logits: As `bounds` takes them.
    width: As `bounds` takes them.
    weight: As `bounds` takes them.

  Returns:
    (losses [..., A], [...] or [..., D], what each counts for).
  """
  lower, upper = said.min(0), said.max(0)
  error = (jax.nn.sigmoid(tasks.split_logits(task, width)) - upper + lower) ** 2
  if task.kind == 'binary':
    middle = (lower + upper) / 2
    entropy = jax.nn.softplus(logits) - middle * logits
    return entropy + error, 1.0
  middle, beta = intersection(lower, upper)
  logs = jax.nn.log_softmax(tasks.split_logits(task, logits))
  errors = error.mean(-1) + ((_beta(task, weight) - beta) ** 2)[..., 0]
  return errors - (middle * logs).sum(-1), 1.0


def draw(key, task: tasks.Task, logits, width, weight=None) -> jax.Array:
  """Logits of an extreme point of the set of every frame and label.

  In a random order of the classes each gets as much as its upper bound and what
  is left to share out allow, the others their lower bound: these are the extreme
  points of a set of such bounds (de Campos, Huete and Moral, 1994). Of an action
  unit it is one of the two bounds.

  Args:
    key: Of the draw.
    task: The task.
    logits: As `bounds` takes them.
    width: As `bounds` takes them.
    weight: As `bounds` takes them.
  """
  lower, upper = bounds(task, logits, width, weight)
  order = jax.random.uniform(key, lower.shape)
  if task.kind == 'binary':
    probs = jnp.clip(jnp.where(order < 0.5, lower, upper), LEAST, 1 - LEAST)
    return jnp.log(probs) - jnp.log1p(-probs)
  places = jnp.argsort(order, -1)
  gaps = jnp.take_along_axis(upper - lower, places, -1)
  left = 1 - lower.sum(-1, keepdims=True) - (jnp.cumsum(gaps, -1) - gaps)
  given = jnp.clip(left, 0, gaps)
  back = jnp.argsort(places, -1)
  probs = lower + jnp.take_along_axis(given, back, -1)
  return jnp.log(jnp.maximum(probs, LEAST)).reshape(logits.shape)
