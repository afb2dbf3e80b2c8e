"""Gaussian distributions over logits, with a mean and a variance of every logit.

A softmax does not see what is added to all of its logits, so those of the teachers
are centred first: their mean over the classes is 0. Action units have one logit each.
Kendall and Gal (NeurIPS 2017, section 3.3) have the same distribution for noise of the
data; here it is of what teachers disagree on.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from emojax import tasks

LABELS = 'logits'  # of the teachers, centred: what `loss` takes
LOG_VARIANCE = (-8.0, 4.0)  # softly: deviations from 0.02 to 7
POINTS = 32  # of the quadrature for one logit
NODES = 6  # binary logarithm of half of the nodes for several logits


def further(task: tasks.Task) -> tuple[tasks.Task, ...]:
  """The task of the log variances."""
  return (dataclasses.replace(task, name=f'{task.name}_spread'),)


def centred(task: tasks.Task, logits) -> jax.Array:
  """Logits without what a softmax does not see: [..., A], [..., E], [..., D, K]."""
  logits = tasks.split_logits(task, logits)
  if task.kind == 'binary':
    return logits
  return logits - logits.mean(-1, keepdims=True)


def log_variance(raw) -> jax.Array:
  """Softly within `LOG_VARIANCE`, so that gradients never end."""
  low, high = LOG_VARIANCE
  return low + jax.nn.softplus(high - jax.nn.softplus(high - raw) - low)


def deviation(task: tasks.Task, raw) -> jax.Array:
  """Standard deviations of independent noise on the logits.

  Variances are learned of centred logits, which have lost what all share: of K
  independent ones one part in K. A softmax centres what is drawn once more, so that
  the part is put back before.

  Args:
    task: The task.
    raw: What log variances are made of, [..., num_outputs] or split.
  """
  found = jnp.exp(log_variance(raw) / 2)
  if task.kind == 'binary':
    return found
  classes = task.bins if task.kind == 'binned' else len(task.labels)
  return found * np.float32(np.sqrt(classes / max(classes - 1, 1)))


def loss(task: tasks.Task, said, logits, spread):
  """Minus the log-density of the teachers' logits, mean over them and the classes.

  Args:
    task: The task.
    said: `centred` logits of M teachers, with that axis in front.
    logits: Means, [..., num_outputs].
    spread: What log variances are made of, [..., num_outputs].

  Returns:
    (losses [..., A], [...] or [..., D], what each counts for).
  """
  centre = tasks.split_logits(task, logits)
  log_var = log_variance(tasks.split_logits(task, spread))
  error = ((said - centre) ** 2).mean(0)
  found = (error * jnp.exp(-log_var) + log_var + np.log(2 * np.pi)) / 2
  return (found if task.kind == 'binary' else found.mean(-1)), 1.0


def mean(task: tasks.Task, logits, spread) -> jax.Array:
  """Logits of the mean distribution, which has no closed form.

  By Gauss-Hermite quadrature of action units' one logit; of several by nodes that
  are always the same (`nodes`), so that the same image has the same answer.

  Args:
    task: The task.
    logits: As `loss` takes them.
    spread: As `loss` takes them.
  """
  centre = tasks.split_logits(task, logits)[None]
  wide = deviation(task, tasks.split_logits(task, spread))
  lse = jax.scipy.special.logsumexp
  if task.kind == 'binary':
    points, weights = scipy.special.roots_hermite(POINTS)
    shape = (-1, *(1,) * logits.ndim)
    points = jnp.float32(np.sqrt(2) * points).reshape(shape)
    weights = jnp.float32(np.log(weights)).reshape(shape)
    drawn = centre + wide * points
    return lse(jax.nn.log_sigmoid(drawn) + weights, 0) - lse(
      jax.nn.log_sigmoid(-drawn) + weights, 0
    )
  at = nodes(centre.shape[-1])
  at = at.reshape(len(at), *(1,) * (centre.ndim - 2), -1)
  logs = jax.nn.log_softmax(centre + wide * at)
  return (lse(logs, 0) - np.log(len(at))).reshape(logits.shape)


def nodes(size: int) -> np.ndarray:
  """Points of a standard Gaussian, evenly spread and each with its opposite.

  Returns:
    float32 [2 * 2 ** NODES, size], of Sobol's sequence in the middle of its cells:
    no number is drawn, so that all versions have the same points.
  """
  import scipy.stats.qmc  # slow to import: not for `emojax.load`

  sobol = scipy.stats.qmc.Sobol(size, scramble=False).random_base2(NODES)
  half = scipy.special.ndtri(sobol + 0.5 / 2**NODES)
  return np.concatenate([half, -half]).astype(np.float32)


def draw(key, task: tasks.Task, logits, spread) -> jax.Array:
  """Logits of one draw of every frame and label.

  Args:
    key: Of the draw.
    task: The task.
    logits: As `loss` takes them.
    spread: As `loss` takes them.
  """
  noise = jax.random.normal(key, logits.shape)
  return logits + deviation(task, spread) * noise
