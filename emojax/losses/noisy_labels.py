"""Losses that learn how uncertain an image is: paper 003 and its rivals.

RUL (Relative Uncertainty Learning, paper 003), SCN (Wang et al., CVPR 2020),
DUL (Chang et al., CVPR 2020) and CONF (DeVries and Taylor, 2018). B images of a
batch, K classes, D dimensions of a feature; labels are class numbers int32 [B].
"""

import jax
import jax.numpy as jnp
import optax

from emojax.losses.types import Array

PAIRINGS = ('different', 'permutation')
RATIOS = ('elementwise', 'means')
MIXING = ('probabilities', 'logits')
ROUNDING = 1e-7
PROBABILITY = 1e-12  # CONF's code keeps probabilities this far from 0 and 1


def partners(
  key: jax.Array, labels: jax.Array, kind: str = 'different'
) -> Array:
  """Draws the image that each image is compared with.

  Args:
    key: PRNG key.
    labels: int32 [B].
    kind: 'different' draws among the images of another label (paper 003: "note
      that they have different labels"), among all others if there are none;
      'permutation' shuffles the batch (published code): a partner may have the
      same label or be the image itself.

  Returns:
    int32 [B].
  """
  _check('pairing', kind, PAIRINGS)
  size = labels.shape[0]
  if kind == 'permutation':
    return jax.random.permutation(key, size)
  itself = jnp.eye(size)
  same = labels[:, None] == labels[None, :]
  # Later terms only decide where earlier ones are equal.
  score = jax.random.uniform(key, (size, size)) - 2.0 * same - 4.0 * itself
  return jnp.argmax(score, axis=1).astype(jnp.int32)


def relative_weight(
  log_sigma: Array, other: Array, ratio: str = 'elementwise'
) -> Array:
  """Uncertainty of an image relative to its partner's (paper 003, Eq. 2).

  Args:
    log_sigma: Logarithms of the uncertainties [B, D].
    other: Those of the partners [B, D].
    ratio: 'elementwise' is the mean over D of s_i / (s_i + s_j) (paper); 'means'
      is the ratio of the means over D (published code).

  Returns:
    [B] in (0, 1); the partner's is one minus it.
  """
  _check('ratio', ratio, RATIOS)
  if ratio == 'elementwise':
    # s_i / (s_i + s_j), without overflow.
    return jax.nn.sigmoid(log_sigma - other).mean(-1)
  total = jax.scipy.special.logsumexp
  return jax.nn.sigmoid(total(log_sigma, axis=-1) - total(other, axis=-1))


def mix(weight: Array, values: Array, other: Array) -> Array:
  """Mixes rows [B, ...]: `weight` [B] of the one, the rest of the other (Eq. 3)."""
  weight = weight.reshape(-1, *[1] * (values.ndim - 1))
  return weight * values + (1 - weight) * other


def add_up(logits: Array, labels: Array, other: Array) -> Array:
  """Both labels are to be recognised from mixed features (paper 003, Eq. 4).

  Args:
    logits: Of the mixed features [B, K].
    labels: int32 [B].
    other: The partners' labels, int32 [B].

  Returns:
    The sum of the two cross-entropies [B]. The published code halves it.
  """
  ce = optax.softmax_cross_entropy_with_integer_labels
  return ce(logits, labels) + ce(logits, other)


def mixed_output(
  weight: Array,
  logits: Array,
  other_logits: Array,
  labels: Array,
  other: Array,
  mixing: str,
) -> Array:
  """Ablation 'mix output' (paper 003, Table 5): outputs are mixed, not features.

  With a linear classifier and weights that add up to one, mixing logits *is*
  mixing features, that is RUL itself; hence 'probabilities'.

  Args:
    weight: [B], see `relative_weight`.
    logits: [B, K].
    other_logits: The partners' [B, K].
    labels: int32 [B].
    other: The partners' labels, int32 [B].
    mixing: 'probabilities' or 'logits' (the paper's words).

  Returns:
    [B].
  """
  _check('mixing', mixing, MIXING)
  if mixing == 'logits':
    return add_up(mix(weight, logits, other_logits), labels, other)
  weight = weight.clip(ROUNDING, 1 - ROUNDING)  # of 0 there is no logarithm
  logs = jnp.logaddexp(
    jnp.log(weight)[:, None] + jax.nn.log_softmax(logits),
    jnp.log1p(-weight)[:, None] + jax.nn.log_softmax(other_logits),
  )
  return add_up(logs, labels, other)  # logarithms of probabilities are logits


def weighted_losses(
  weight: Array, logits: Array, other_logits: Array, labels: Array, other: Array
) -> Array:
  """Ablation 'loss attention' (paper 003, Table 5): nothing is mixed.

  The uncertainties weight the two losses instead; arguments as `mixed_output`.
  """
  ce = optax.softmax_cross_entropy_with_integer_labels
  return weight * ce(logits, labels) + (1 - weight) * ce(other_logits, other)


def rank_regularisation(
  importance: Array, high: float, margin: float
) -> jax.Array:
  """SCN's Eq. 4: important images are to stand out from the others.

  Args:
    importance: Attention weights [B] in (0, 1).
    high: Share of the batch that is the important group.
    margin: By how much its mean must exceed that of the others.

  Returns:
    A scalar, at least 0.

  Raises:
    ValueError: If one of the groups is empty.
  """
  size = importance.shape[0]
  count = int(size * high)
  if not 0 < count < size:
    raise ValueError(
      f'rank regularisation: a share of {high} of {size} images leaves one '
      'group empty; use a larger batch or another share'
    )
  ranked = jnp.sort(importance, descending=True)
  gap = ranked[:count].mean() - ranked[count:].mean()
  return jnp.maximum(0.0, margin - gap)


def gaussian_kl(mean: Array, log_var: Array) -> Array:
  """DUL's Eq. 5: divergence of N(mean, exp(log_var)) from N(0, 1), [B].

  Args:
    mean: [B, D].
    log_var: [B, D].
  """
  return -0.5 * (1 + log_var - mean**2 - jnp.exp(log_var)).sum(-1)


def hinted(
  logits: Array, confidence: Array, labels: Array, hint: Array
) -> tuple[Array, Array]:
  """CONF's Eqs. 2 and 3: likelihood after asking for hints.

  An unsure network moves its prediction towards the label; what that costs is
  the confidence's own loss, `-log(confidence)`.

  Args:
    logits: [B, K].
    confidence: [B] in (0, 1).
    labels: int32 [B].
    hint: [B], 1 where hints may be asked for, else 0.

  Returns:
    (negative log-likelihood [B], -log(confidence) [B]).
  """
  probs = jax.nn.softmax(logits).clip(PROBABILITY, 1 - PROBABILITY)
  confidence = confidence.clip(PROBABILITY, 1 - PROBABILITY)
  given = jnp.take_along_axis(probs, labels[:, None], 1)[:, 0]
  share = confidence * hint + (1 - hint)
  return -jnp.log(share * given + (1 - share)), -jnp.log(confidence)


def next_budget_weight(weight: Array, mean_cost: Array, budget: float) -> Array:
  """CONF's weight of the confidence loss after a step, which holds the budget."""
  return jnp.where(mean_cost < budget, weight / 1.01, weight / 0.99)


def most_uncertain(uncertainty: Array, fraction: float) -> Array:
  """Which images of a batch are its most uncertain share, bool [B].

  NaN is more uncertain than any number. Of equally uncertain images at the
  border the first are taken: the share is exact, and batches have no order.
  """
  count = round(uncertainty.shape[0] * fraction)
  rank = jnp.argsort(jnp.argsort(uncertainty, descending=True))
  return rank < count


def relabelled(
  logits: Array, labels: Array, suspects: Array, margin: float
) -> tuple[Array, Array]:
  """SCN's Eq. 6, which RUL shares: suspects get the label that is predicted.

  Args:
    logits: Predictions for the images themselves [B, K].
    labels: int32 [B].
    suspects: bool [B].
    margin: By how much the highest probability must exceed the label's. NaN
      exceeds nothing: such images keep their labels.

  Returns:
    (labels int32 [B], which of them are new bool [B]).
  """
  probs = jax.nn.softmax(logits)
  given = jnp.take_along_axis(probs, labels[:, None], 1)[:, 0]
  change = suspects & (probs.max(-1) - given > margin)
  found = jnp.argmax(probs, -1).astype(labels.dtype)
  return jnp.where(change, found, labels), change


def _check(what, value, valid):
  if value not in valid:
    raise ValueError(f'{what} {value!r}: expected one of {", ".join(valid)}')
