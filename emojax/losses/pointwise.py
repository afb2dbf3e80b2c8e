"""Losses per element and per example (paper 000, Eqs. 2, 4, 5, 8-10)."""

import jax
import jax.numpy as jnp

from emojax.losses.types import Array, Scalable


def check_shapes(name: str, logits: Array, targets: Array) -> None:
  """Raises ValueError if two shapes differ; broadcasting would hide it."""
  if jnp.shape(logits) != jnp.shape(targets):
    raise ValueError(
      f'{name}: shapes {jnp.shape(logits)} and {jnp.shape(targets)} must be '
      'equal; insert or drop the axis that is too few or too many'
    )


def bce_with_logits(
  logits: Array, targets: Array, pos_weight: Scalable = 1.0
) -> Array:
  """Binary cross-entropy per element (paper 000, Eqs. 2 and 9).

  Beware of `pos_weight` with soft targets. For a target q the minimum lies at
  odds `pos_weight * q / (1 - q)`. For hard labels that re-balances the classes
  once. Eq. 9 applies the same p_c to the teachers' probabilities, so that the
  odds are multiplied by p_c again in every generation (p_c = 32 for the rare
  action units). The published code distils without it: `pos_weight=1`, where
  the optimum is the teacher's probability.

  Args:
    logits: [...].
    targets: Probabilities in [0, 1], same shape as `logits`.
    pos_weight: Weight p_c >= 0 of the positive term, broadcast to `logits`
      (Eq. 3); 1 is the unweighted loss.

  Returns:
    Losses >= 0, same shape as `logits`; finite for finite logits.

  Raises:
    ValueError: if the shapes of logits and targets differ.

  Examples:
    >>> loss = bce_with_logits(jnp.zeros(2), jnp.array([0.0, 1.0]), 3.0)
    >>> [round(float(x), 3) for x in loss]  # log 2, and three times that
    [0.693, 2.079]
  """
  check_shapes('bce_with_logits', logits, targets)
  positive = targets * jax.nn.softplus(-logits)
  return pos_weight * positive + (1 - targets) * jax.nn.softplus(logits)


def cross_entropy(
  logits: Array, targets: Array, class_weight: Scalable = 1.0
) -> Array:
  """Class-weighted cross-entropy per example (paper 000, Eqs. 4 and 5).

  Args:
    logits: [..., E].
    targets: Distributions (one-hot or soft) [..., E].
    class_weight: Weight of each class, broadcast to [..., E].

  Returns:
    -sum_c w_c y_c log softmax(logits)_c, [...]. To reduce as PyTorch does for
    hard labels, divide by the sum of `example_weight` (see `masked_mean`).

  Raises:
    ValueError: if the shapes of logits and targets differ.
  """
  check_shapes('cross_entropy', logits, targets)
  log_probs = jax.nn.log_softmax(logits)
  return -jnp.sum(class_weight * targets * log_probs, axis=-1)


def kl_divergence(
  logits: Array, targets: Array, class_weight: Scalable = 1.0
) -> Array:
  """KL(targets || softmax(logits)) per example (paper 000, Eq. 10).

  The cross-entropy minus the entropy of the targets: for one-hot targets it
  *is* the cross-entropy, and its gradient in the logits always is. With class
  weights other than 1 and soft targets a value can be negative.

  Args:
    logits: [..., E].
    targets: Distributions [..., E]; zeros are allowed.
    class_weight: As in `cross_entropy`.

  Returns:
    [...].
  """
  log_targets = jnp.log(jnp.where(targets > 0, targets, 1))
  negative_entropy = jnp.sum(class_weight * targets * log_targets, axis=-1)
  return cross_entropy(logits, targets, class_weight) + negative_entropy


def example_weight(targets: Array, class_weight: Scalable = 1.0) -> Array:
  """What an example counts for in a class-weighted mean: sum_c w_c y_c."""
  return jnp.sum(class_weight * targets, axis=-1)


def expected_value(logits: Array, bin_values: Array) -> Array:
  """Expectation of a softmax over bins.

  Args:
    logits: [..., K].
    bin_values: [K], see `tasks.bin_values`.

  Returns:
    [...], between the smallest and the largest bin value.
  """
  return jnp.sum(jax.nn.softmax(logits) * bin_values, axis=-1)
