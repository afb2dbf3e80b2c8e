"""Faces, their votes, and the labels that rules make of them."""

import dataclasses

import numpy as np
import pytest
import small_bnn

from emojax import tasks
from emojax.data import load
from emojax.data.readers import ferplus_rules
from emojax.experiments.bayesian import faces as data


@pytest.fixture(scope='module')
def config():
  return small_bnn.config().data


@pytest.fixture(scope='module', autouse=True)
def _made_once(config):
  dataset = load.from_config(config)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(load, 'from_config', lambda _: dataset)
    yield


def test_posteriors_stand_for_votes(config):
  found = data.from_config(config)
  truth = found.clips.truth['expr'][:, 0]
  np.testing.assert_allclose(found.votes, truth, atol=1e-6)
  value, mask = found.clips.targets['expr']
  kept = np.where(truth > 0.1, truth, 0)  # single votes of ten are outliers
  majority = kept.max(-1) > 0.5 * kept.sum(-1)
  assert 0 < majority.sum() < 40
  np.testing.assert_array_equal(mask[:, 0] > 0, majority)
  labels = value[majority, 0].argmax(-1)
  np.testing.assert_array_equal(labels, truth[majority].argmax(-1))
  assert found.dataset.schema == (tasks.expr_task(),)
  found.dataset.check()
  trained = found.dataset.train.targets['expr'].mask[:, 0]
  group = found.dataset.groups['expr']
  np.testing.assert_array_equal(group, np.flatnonzero(trained))


@pytest.mark.parametrize('rule', ['raw', 'crossentropy', 'probability'])
def test_soft_labels_are_for_training_only(config, rule):
  changed = config.copy_and_resolve_references()
  changed.rule = rule
  found = data.from_config(changed)
  value = found.dataset.train.targets['expr'].value
  assert ((value > 0.01) & (value < 0.99)).any()
  scored = found.clips.targets['expr'].value
  assert set(np.unique(scored)) <= {0, 1}
  if rule == 'raw':
    truth = found.dataset.train.truth['expr']
    np.testing.assert_allclose(value, truth, atol=1e-5)


def test_stored_labels_are_those_of_the_data_set(config):
  changed = config.copy_and_resolve_references()
  changed.rule = changed.eval_rule = 'stored'
  found = data.from_config(changed)
  stored = load.from_config(config).test.targets['expr']
  np.testing.assert_array_equal(found.clips.targets['expr'].value, stored.value)


def test_grey_images(config):
  changed = config.copy_and_resolve_references()
  changed.channels = 1
  found = data.from_config(changed)
  colour = load.from_config(config).test.image
  assert found.clips.image.shape == (*colour.shape[:-1], 1)
  want = colour @ np.float32([0.299, 0.587, 0.114])
  assert np.abs(found.clips.image[..., 0] - want).max() <= 0.51
  assert found.dataset.ood['textures'].image.shape[-1] == 1


def test_votes_by_ferplus_rules_without_those_for_no_emotion(config):
  whole = load.from_config(config)
  task = tasks.expr_task(tasks.FERPLUS)
  rng = np.random.default_rng(0)

  def voted(clips):
    votes = rng.multinomial(10, rng.dirichlet(np.ones(10), len(clips)))
    target = tasks.empty_targets((task,), (len(clips), 1))
    return dataclasses.replace(
      clips, votes=np.float32(votes)[:, None], targets=target, truth=None
    )

  splits = {s: voted(getattr(whole, s)) for s in ('train', 'val', 'test')}
  changed = dataclasses.replace(whole, schema=(task,), **splits)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(load, 'from_config', lambda _: changed)
    found = data.from_config(config)
  counts = splits['test'].votes[:, 0]
  named = counts[:, :8].sum(-1, keepdims=True)
  np.testing.assert_allclose(found.votes, counts[:, :8] / named, atol=1e-6)
  for row, value, mask in zip(counts, *found.clips.targets['expr']):
    want = ferplus_rules.target(row, 'majority')
    assert mask[0] == (want is not None)
    np.testing.assert_array_equal(value[0], 0 if want is None else want)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'rule': 'multi_target'}, "rule='multi_target': expected one of stored"),
    ({'eval_rule': 'raw'}, "eval_rule='raw': expected one of stored, majority"),
    ({'clip_length': 2}, 'expected config.data.clip_length=1'),
    ({'channels': 2}, 'config.data.channels=2: expected 1 or 3'),
  ],
)
def test_settings_that_make_no_sense(config, changes, message):
  changed = config.copy_and_resolve_references()
  changed.update(changes)
  with pytest.raises(ValueError, match=message):
    data.from_config(changed)


def test_rules_need_votes(config):
  whole = load.from_config(config)
  blind = dataclasses.replace(whole.train, truth=None)
  with pytest.raises(ValueError, match="rule 'majority' needs votes"):
    data._labelled(blind, tasks.expr_task(), 'majority')
