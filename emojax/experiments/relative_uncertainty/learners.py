"""What each method of paper 003 learns from a batch, as pure functions.

A learner is the part of a training objective that differs between methods: a
loss of the network's outputs, and how uncertain these say each image is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from emojax.engine import optimisation
from emojax.losses import noisy_labels, smooth_values

PyTree = Any
Outputs = dict[str, jax.Array]


class Batch(NamedTuple):
  """What a learner sees of a batch of B images.

  Attributes:
    outputs: The network's, with 'logits' [B, K] and 'features' [B, D].
    labels: int32 [B].
    key: PRNG key.
    classify: `features [B, D] -> logits [B, K]`.
    memory: The learner's own numbers, carried from step to step.
  """

  outputs: Outputs
  labels: jax.Array
  key: jax.Array
  classify: Callable
  memory: PyTree


class Terms(NamedTuple):
  """A learner's loss.

  Attributes:
    loss: Scalar.
    parts: Scalars to log.
    memory: See `Batch`.
  """

  loss: jax.Array
  parts: dict[str, jax.Array]
  memory: PyTree


@dataclasses.dataclass(frozen=True)
class Learner:
  """A method of learning uncertainty.

  Attributes:
    learn: `Batch -> Terms`.
    estimate: What the network estimates (`UncertaintyNet.estimate`).
    embedding: That of the published code (`UncertaintyNet.embedding`).
    by_feature: Whether every feature has an estimate of its own, so that there are
      as many of them, whatever the embedding.
    uncertainty: `outputs -> [...]`, higher is less certain.
    logits: `outputs -> logits [..., K]` of the images themselves.
    parts: Names of the parts that are logged.
    memory: Start of the learner's own numbers.
  """

  learn: Callable[[Batch], Terms]
  estimate: str
  embedding: str
  uncertainty: Callable[[Outputs], jax.Array]
  logits: Callable[[Outputs], jax.Array] = lambda outputs: outputs['logits']
  parts: tuple[str, ...] = ()
  memory: PyTree = dataclasses.field(default_factory=dict)
  by_feature: bool = False


def _cross_entropy(logits, labels):
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def _mean_sigma(outputs):
  return jnp.exp(outputs['log_sigma']).mean(-1)


def _mean_inverse_sigma(outputs):
  return jnp.exp(-outputs['log_sigma']).mean(-1)


def baseline(smoothing: float = 0.0) -> Learner:
  """Cross-entropy; uncertainty is one minus the highest probability.

  Args:
    smoothing: Share of every label that all classes divide (label smoothing).
  """
  optimisation.check_range('loss.label_smoothing', smoothing, 0, 1)

  def learn(batch):
    logits, labels = batch.outputs['logits'], batch.labels
    if smoothing:
      classes = logits.shape[-1]
      soft = smooth_values(jax.nn.one_hot(labels, classes), smoothing, classes)
      loss = optax.softmax_cross_entropy(logits, soft).mean()
    else:
      loss = _cross_entropy(logits, labels).mean()
    return Terms(loss, {}, batch.memory)

  def uncertainty(outputs):
    return 1 - jax.nn.softmax(outputs['logits']).max(-1)

  return Learner(learn, 'none', 'pooled', uncertainty)


def rul(
  pairing: str = 'different',
  ratio: str = 'elementwise',
  halved: bool = False,
  structure: str = 'mix_features',
  mixing: str = 'probabilities',
) -> Learner:
  """Relative Uncertainty Learning, and the other structures of Table 5.

  Args:
    pairing: See `noisy_labels.partners`.
    ratio: See `noisy_labels.relative_weight`.
    halved: Halve the loss, as the published code does.
    structure: 'mix_features' (RUL), 'mix_output' or 'loss_attention'.
    mixing: What 'mix_output' mixes; see `noisy_labels.mixed_output`.
  """
  structures = ('mix_features', 'mix_output', 'loss_attention')
  if structure not in structures:
    raise ValueError(
      f'RUL structure {structure!r}: expected one of {", ".join(structures)}'
    )

  def learn(batch):
    out, labels = batch.outputs, batch.labels
    j = noisy_labels.partners(batch.key, labels, pairing)
    weight = noisy_labels.relative_weight(
      out['log_sigma'], out['log_sigma'][j], ratio
    )
    if structure == 'mix_features':
      mixed = noisy_labels.mix(weight, out['features'], out['features'][j])
      loss = noisy_labels.add_up(batch.classify(mixed), labels, labels[j])
    else:
      both = (weight, out['logits'], out['logits'][j], labels, labels[j])
      loss = (
        noisy_labels.mixed_output(*both, mixing)
        if structure == 'mix_output'
        else noisy_labels.weighted_losses(*both)
      )
    return Terms(loss.mean() * (0.5 if halved else 1.0), {}, batch.memory)

  # The loss of a hard image falls with its weight: here sigma is a certainty.
  uncertain = structure != 'loss_attention'
  estimate = _mean_sigma if uncertain else _mean_inverse_sigma
  return Learner(learn, 'log_sigma', 'branch', estimate)


def scn(high: float = 0.7, margin: float = 0.15) -> Learner:
  """SCN: attention weights multiply the logits, and are ranked.

  Args:
    high: Share of the batch in the important group.
    margin: Between the groups' means; the paper's. Its code recommends 0.07 for
      batches of 64.
  """

  def learn(batch):
    attention = jax.nn.sigmoid(batch.outputs['attention'])
    rank = noisy_labels.rank_regularisation(attention, high, margin)
    loss = _cross_entropy(logits(batch.outputs), batch.labels).mean() + rank
    return Terms(loss, {'rank': rank}, batch.memory)

  def logits(outputs):
    weight = jax.nn.sigmoid(outputs['attention'])
    return weight[..., None] * outputs['logits']

  def uncertainty(outputs):
    return 1 - jax.nn.sigmoid(outputs['attention'])

  return Learner(
    learn, 'attention', 'pooled', uncertainty, logits, parts=('rank',)
  )


def dul(kl_weight: float = 0.01) -> Learner:
  """DUL for classification: Gaussian embeddings, near the standard normal.

  'log_sigma' are logarithms of variances here.

  Args:
    kl_weight: Weight of the divergence.
  """

  def learn(batch):
    mean, log_var = batch.outputs['features'], batch.outputs['log_sigma']
    noise = jax.random.normal(batch.key, mean.shape)
    sample = mean + noise * jnp.exp(0.5 * log_var)
    kl = noisy_labels.gaussian_kl(mean, log_var).mean()
    loss = _cross_entropy(batch.classify(sample), batch.labels).mean()
    return Terms(loss + kl_weight * kl, {'kl': kl}, batch.memory)

  return Learner(
    learn, 'log_sigma', 'branch', _mean_sigma, parts=('kl',), by_feature=True
  )


def conf(budget: float = 0.3, weight: float = 0.1) -> Learner:
  """CONF: unsure images may ask for hints, at a price that adapts to a budget.

  Args:
    budget: Mean confidence loss to hold.
    weight: Weight of the confidence loss at the start.
  """

  def learn(batch):
    chance, draw = jax.random.split(batch.key)
    # Half of the batch on average: coins whose own odds are uniform.
    odds = jax.random.uniform(chance, batch.labels.shape)
    hint = jax.random.bernoulli(draw, odds).astype(jnp.float32)
    confidence = jax.nn.sigmoid(batch.outputs['confidence'])
    nll, cost = noisy_labels.hinted(
      batch.outputs['logits'], confidence, batch.labels, hint
    )
    cost, now = cost.mean(), batch.memory['weight']
    loss = nll.mean() + now * cost
    later = noisy_labels.next_budget_weight(
      now, jax.lax.stop_gradient(cost), budget
    )
    return Terms(loss, {'confidence': cost}, {'weight': later})

  def uncertainty(outputs):
    return 1 - jax.nn.sigmoid(outputs['confidence'])

  return Learner(
    learn,
    'confidence',
    'pooled',
    uncertainty,
    parts=('confidence',),
    memory={'weight': jnp.float32(weight)},
  )


class Kind(NamedTuple):
  """A method that runs compare, and its row in the tables.

  Attributes:
    title: Name of the row.
    make: Makes the learner; without arguments, with the published constants.
    constants: Settings of `config.loss` by argument of `make`.
  """

  title: str
  make: Callable[..., Learner]
  constants: Mapping[str, str] = MappingProxyType({})


_RUL = {
  'pairing': 'rul_pairing',
  'ratio': 'rul_ratio',
  'halved': 'rul_halved',
  'mixing': 'mix_output',
}
# The pairs of the published code, beside the paper's in one run.
_SHUFFLED = {name: _RUL[name] for name in ('ratio', 'halved')}
# Keys of random streams are places in this order: what is new stands last.
METHODS = {
  'baseline': Kind('Baseline', baseline, {'smoothing': 'label_smoothing'}),
  'scn': Kind('SCN', scn, {'high': 'scn_high', 'margin': 'scn_margin'}),
  'conf': Kind(
    'CONF', conf, {'budget': 'conf_budget', 'weight': 'conf_weight'}
  ),
  'dul': Kind('DUL', dul, {'kl_weight': 'dul_kl'}),
  'rul': Kind('RUL', rul, _RUL),
  'mix_output': Kind('mix output', partial(rul, structure='mix_output'), _RUL),
  'loss_attention': Kind(
    'loss attention', partial(rul, structure='loss_attention'), _RUL
  ),
  'rul_permutation': Kind(
    'RUL, shuffled pairs', partial(rul, pairing='permutation'), _SHUFFLED
  ),
}
