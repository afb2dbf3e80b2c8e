"""Dirichlet distributions over a label's distributions; Beta for action units."""

import jax
import jax.numpy as jnp

from emojax import tasks

LABELS = 'probabilities'  # of the teachers, what `loss` takes
SMOOTHING = 1e-4  # of members' probabilities, which may be 0
# Of the sum of the concentrations, over choices. Above, differences of log-gamma
# functions are rounded away in float32.
LOG_PRECISION = (-4.0, 6.0)
LEAST = 1e-6  # concentration


def further(task: tasks.Task) -> tuple[tasks.Task, ...]:
  """The task of the log precisions, one for each distribution."""
  labels = ('all',) if task.kind == 'categorical' else task.labels
  return (tasks.Task(f'{task.name}_precision', 'binary', labels),)


def mean(task: tasks.Task, logits, log_precision) -> jax.Array:
  """Logits of the mean distribution, which are outputs of their own."""
  del task, log_precision
  return logits


def concentrations(task: tasks.Task, logits, log_precision):
  """Parameters of the distribution over a label's distributions.

  Malinin et al. (ICLR 2020) have exp(logits), whose softmax is the mean and whose
  sum is the precision. Here both have outputs of their own, so that action units,
  of one logit each, are a Beta distribution in the same way.

  Args:
    task: The task.
    logits: [..., num_outputs].
    log_precision: [..., number of labels] ('categorical': 1), logarithm of the sum
      of the concentrations over the number of choices, softly within
      `LOG_PRECISION`: about 0 and equal logits are the uniform distribution.

  Returns:
    [..., A, 2] (absent, present), [..., E] or [..., D, K], > 0.
  """
  logits = tasks.split_logits(task, logits)
  if task.kind == 'binary':
    logits = jnp.stack([jnp.zeros_like(logits), logits], -1)
  low, high = LOG_PRECISION
  # Softly, so that gradients never end.
  log_precision = high - jax.nn.softplus(high - log_precision)
  log_precision = low + jax.nn.softplus(log_precision - low)
  if task.kind != 'categorical':
    log_precision = log_precision[..., None]
  choices = logits.shape[-1]
  alpha = jnp.exp(jax.nn.log_softmax(logits) + log_precision) * choices
  return jnp.maximum(alpha, LEAST)


def nll(alpha, probs):
  """Minus the log-density of a Dirichlet distribution, mean over M samples.

  Args:
    alpha: Concentrations [..., C], > 0.
    probs: Distributions [M, ..., C]; smoothed by `SMOOTHING`, as the density has
      no value at 0.

  Returns:
    [...]; below 0 where the density is above 1.
  """
  probs = (1 - SMOOTHING) * probs + SMOOTHING / probs.shape[-1]
  mean_log = jnp.log(probs).mean(0)
  lgamma = jax.scipy.special.gammaln
  normaliser = lgamma(alpha).sum(-1) - lgamma(alpha.sum(-1))
  return normaliser - ((alpha - 1) * mean_log).sum(-1)


def loss(task: tasks.Task, said, logits, log_precision):
  """Minus the log-density of what the teachers say.

  Malinin, Mlodozeniec and Gales, "Ensemble distribution distillation", ICLR 2020
  (arXiv 1905.00076), without their annealing of a temperature. The number of the
  equation could not be checked.

  Args:
    task: The task.
    said: Probabilities of M teachers, [M, ..., A], [M, ..., E], [M, ..., D, K].
    logits: As `concentrations` takes them.
    log_precision: As `concentrations` takes them.

  Returns:
    (losses [..., A], [...] or [..., D], what each counts for).
  """
  if task.kind == 'binary':
    said = jnp.stack([1 - said, said], -1)
  return nll(concentrations(task, logits, log_precision), said), 1.0


def draw(key, task: tasks.Task, logits, log_precision) -> jax.Array:
  """Logits of one draw of the Dirichlet distribution of every frame and label.

  Args:
    key: Of the draw.
    task: The task.
    logits: Of the mean, [..., num_outputs].
    log_precision: As `concentrations` takes it.
  """
  alpha = concentrations(task, logits, log_precision)
  # Gamma variates of small concentrations are 0 in floats, their logarithms not.
  drawn = jax.random.loggamma(key, alpha)
  if task.kind == 'binary':
    return drawn[..., 1] - drawn[..., 0]
  return jax.nn.log_softmax(drawn).reshape(logits.shape)
