"""Learners and the memory of labels, on outputs without a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax.experiments.relative_uncertainty import learners, relabel
from emojax.losses import noisy_labels

B, K, D = 8, 4, 3
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(D, K)).astype(np.float32)
FEATURES = RNG.normal(size=(B, D)).astype(np.float32)
OUTPUTS = {
  'features': FEATURES,
  'logits': FEATURES @ WEIGHT,
  'log_sigma': RNG.normal(size=(B, D)).astype(np.float32),
  'attention': RNG.normal(size=B).astype(np.float32),
  'confidence': RNG.normal(size=B).astype(np.float32),
}
LABELS = jnp.int32([0, 1, 2, 3, 0, 1, 2, 3])
EVERY = {
  'baseline': learners.baseline(),
  'rul': learners.rul(),
  'mix_output': learners.rul(structure='mix_output'),
  'loss_attention': learners.rul(structure='loss_attention'),
  'scn': learners.scn(),
  'dul': learners.dul(),
  'conf': learners.conf(),
  'rul_permutation': learners.METHODS['rul_permutation'].make(),
}


def learn(learner, outputs=OUTPUTS, key=0):
  batch = learners.Batch(
    outputs, LABELS, jax.random.key(key), lambda x: x @ WEIGHT, learner.memory
  )
  return learner.learn(batch)


@pytest.mark.parametrize('name', EVERY)
def test_every_learner_has_finite_loss_and_uncertainty(name):
  learner = EVERY[name]
  terms = learn(learner)
  assert np.isfinite(terms.loss)
  assert terms.loss.shape == ()
  assert set(terms.parts) == set(learner.parts)
  assert jax.tree.structure(terms.memory) == jax.tree.structure(learner.memory)
  assert learner.uncertainty(OUTPUTS).shape == (B,)
  assert learner.logits(OUTPUTS).shape == (B, K)


def test_shuffled_pairs_are_those_of_the_setting():
  shuffled = learn(EVERY['rul_permutation']).loss
  assert shuffled == learn(learners.rul('permutation')).loss
  assert shuffled != learn(EVERY['rul']).loss
  assert 'pairing' not in learners.METHODS['rul_permutation'].constants


def test_rul_puts_the_pieces_together():
  key = jax.random.key(3)
  j = noisy_labels.partners(key, LABELS)
  weight = noisy_labels.relative_weight(
    OUTPUTS['log_sigma'], OUTPUTS['log_sigma'][j]
  )
  mixed = noisy_labels.mix(weight, FEATURES, FEATURES[j]) @ WEIGHT
  expected = noisy_labels.add_up(mixed, LABELS, LABELS[j]).mean()
  np.testing.assert_allclose(
    learn(EVERY['rul'], key=3).loss, expected, rtol=1e-5
  )
  halved = learn(learners.rul(halved=True), key=3)
  np.testing.assert_allclose(halved.loss, expected / 2, rtol=1e-6)


@jax.jit
def pull(features):
  """Gradient of RUL's loss by the log-uncertainties, all equal: [B]."""

  def loss(log_sigma, key):
    outputs = {'logits': features, 'features': features, 'log_sigma': log_sigma}
    batch = learners.Batch(outputs, LABELS, key, lambda x: x, {})
    return EVERY['rul'].learn(batch).loss

  # Over several draws of the partners.
  keys = jax.random.split(jax.random.key(0), 20)
  gradients = jax.vmap(jax.grad(loss), (None, 0))(jnp.zeros((B, K)), keys)
  return gradients.mean(0).sum(-1)


def test_an_image_with_weak_features_is_made_more_uncertain():
  # Section 3.3: it needs the larger part of the mixture to be recognised.
  features = 4 * np.eye(K, dtype=np.float32)[LABELS]
  features[0] *= 0.1
  assert pull(features)[0] < 0


def test_an_image_that_looks_like_another_class_is_made_less_uncertain():
  # Eq. 4 by itself does not make wrong labels uncertain: such an image only
  # spoils the mixture for its partner.
  features = 4 * np.eye(K, dtype=np.float32)[LABELS]
  features[0] = 4 * np.eye(K)[1]
  assert pull(features)[0] > 0


def test_scn_scales_the_logits_it_predicts_with():
  found = EVERY['scn'].logits(OUTPUTS)
  scale = 1 / (1 + np.exp(-OUTPUTS['attention']))
  np.testing.assert_allclose(
    found, scale[:, None] * OUTPUTS['logits'], rtol=1e-5
  )
  np.testing.assert_allclose(
    EVERY['scn'].uncertainty(OUTPUTS), 1 - scale, rtol=1e-4
  )


def test_dul_without_variance_is_cross_entropy():
  outputs = OUTPUTS | {'log_sigma': np.full((B, D), -60, np.float32)}
  plain = learn(EVERY['baseline'], outputs).loss
  np.testing.assert_allclose(
    learn(learners.dul(kl_weight=0.0), outputs).loss, plain, rtol=1e-5
  )


def test_conf_adapts_its_weight_to_the_budget():
  sure = OUTPUTS | {'confidence': np.full(B, 9, np.float32)}
  unsure = OUTPUTS | {'confidence': np.full(B, -9, np.float32)}
  start = EVERY['conf'].memory['weight']
  assert learn(EVERY['conf'], sure).memory['weight'] < start
  assert learn(EVERY['conf'], unsure).memory['weight'] > start


def test_unknown_structures_are_refused():
  with pytest.raises(ValueError, match="RUL structure 'mix': expected one of"):
    learners.rul(structure='mix')


def test_labels_change_from_the_first_step_on_and_are_remembered():
  given = np.int32([0, 1, 2, 0, 1, 2])
  settings = relabel.Relabel(fraction=0.5, margin=0.2, first_step=1)
  memory = relabel.fresh(6)
  index = np.int32([4, 2])
  logits = np.float32([[9, 0, 0], [9, 0, 0]])
  doubt = np.float32([0.9, 0.1])  # so image 4 is the suspect
  for step, expected in ((0, 1), (1, 0)):
    labels = relabel.current(memory, given, index)
    memory, changed = relabel.update(
      memory, settings, True, index, labels, logits, doubt
    )
    assert relabel.current(memory, given)[4] == expected
    assert changed == step
  assert relabel.current(memory, given).tolist() == [0, 1, 2, 0, 0, 2]
  # An image that is drawn again keeps its label unless it changes again.
  labels = relabel.current(memory, given, index)
  memory, changed = relabel.update(
    memory, settings, True, index, labels, logits, 1 - doubt
  )
  assert relabel.current(memory, given).tolist() == [0, 1, 0, 0, 0, 2]
  assert changed == 1


@pytest.mark.parametrize(('fraction', 'allowed'), [(0.0, True), (1.0, False)])
def test_nothing_changes(fraction, allowed):
  memory, changed = relabel.update(
    relabel.fresh(3),
    relabel.Relabel(fraction, 0.2, 0),
    allowed,
    np.int32([0]),
    np.int32([1]),
    np.float32([[9, 0]]),
    np.float32([1]),
  )
  assert changed == 0
  assert not memory.changed.any()
  assert memory.step == 1


@pytest.mark.parametrize('wrong', [0.0, 0.3])
def test_agreement_with_given_labels_is_that_of_simulated_networks(wrong):
  rng, size = np.random.default_rng(1), 200_000
  right = rng.integers(0, K, size)

  def flipped(share):
    other = (right + rng.integers(1, K, size)) % K
    return np.where(rng.random(size) < share, other, right)

  given, predicted = flipped(wrong), flipped(0.4)
  found = relabel.agreement(0.6, wrong, K)
  assert found == pytest.approx((given == predicted).mean(), abs=0.005)


def test_training_accuracy_is_of_the_last_epoch_and_given_labels():
  given = np.int32([0, 1, 0, 1])
  right, wrong = 2.0 * np.eye(2)[given], 2.0 * np.eye(2)[1 - given]
  memory, seen = relabel.fresh(4, watched=True), []
  for logits in (wrong, right, right, right, wrong):
    memory = relabel.watched(memory, 2, given, logits)
    memory, _ = relabel.update(
      memory, relabel.Relabel(1.0, 0.0, 0, 2), False, np.arange(4), given,
      logits, np.ones(4),
    )  # fmt: skip
    seen.append(float(memory.right))
  np.testing.assert_allclose(seen, [0, 1 / 2, 3 / 4, 7 / 8, 7 / 16])
  # Nobody asks: nothing is kept, and checkpoints are those of before.
  assert len(jax.tree.leaves(relabel.fresh(4))) == 3


@pytest.mark.slow
def test_a_hard_image_is_the_uncertain_one_whatever_is_mixed():
  """A step along the gradient raises its uncertainty, by every structure."""
  labels = jnp.int32([0, 1])
  features = jnp.float32([[4.0, 0.0], [1.0, 0.0]])  # the second one is wrong
  for structure in ('mix_features', 'mix_output', 'loss_attention'):
    learner = learners.rul(structure=structure)

    def loss(log_sigma, learner=learner):
      outputs = {
        'features': features,
        'logits': features,
        'log_sigma': log_sigma,
      }
      key = jax.random.key(0)
      batch = learners.Batch(outputs, labels, key, lambda x: x, {})
      return learner.learn(batch).loss

    start = jnp.zeros((2, 3))
    stepped = start - 0.1 * jax.grad(loss)(start)
    easy, hard = learner.uncertainty({'log_sigma': stepped})
    assert hard > easy, structure


def test_baseline_with_label_smoothing_is_pytorchs():
  torch = pytest.importorskip('torch')
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(6, 5)).astype(np.float32)
  labels = rng.integers(0, 5, 6)
  batch = learners.Batch({'logits': logits}, labels, None, None, {})
  found = learners.baseline(0.2).learn(batch).loss
  expected = torch.nn.functional.cross_entropy(
    torch.tensor(logits), torch.tensor(labels), label_smoothing=0.2
  )
  np.testing.assert_allclose(found, float(expected), rtol=1e-5)
  with pytest.raises(ValueError, match='label_smoothing=1'):
    learners.baseline(1.0)
