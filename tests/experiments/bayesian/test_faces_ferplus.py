"""FER+ prepared once, for all label rules."""

import numpy as np
import pytest
import small_bnn

from emojax.data.prepare import command as prepare
from emojax.experiments.bayesian import faces as data

EMOTIONS = 'neutral,happiness,surprise,sadness,anger,disgust,fear,contempt'


def make_ferplus(root):
  """Files of 16 training faces and 8 of PublicTest; every fourth is a tie."""
  rng = np.random.default_rng(0)
  root.mkdir()
  faces, ballots = ['emotion,pixels,Usage'], []
  for i in range(24):
    split = 'Training' if i < 16 else 'PublicTest'
    pixels = ' '.join(map(str, rng.integers(0, 256, 2304)))
    faces.append(f'0,{pixels},{split}')
    votes = np.zeros(10, int)
    votes[i % 8] += 4 if i % 4 == 0 else 7
    votes[(i + 1) % 8] += 4 if i % 4 == 0 else 2
    votes[8] = 10 - votes.sum()  # unknown
    names = ','.join(map(str, votes))
    ballots.append(f'{split},fer{i:07d}.png,{names}')
  header = f'Usage,Image name,{EMOTIONS},unknown,NF'
  (root / 'fer2013.csv').write_text('\n'.join(faces))
  (root / 'fer2013new.csv').write_text('\n'.join([header, *ballots]))
  return root


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  root = tmp_path_factory.mktemp('sets')
  options = {'rule': 'raw', 'eval_rule': 'raw', 'duplicates': 'drop_training'}
  source, out = make_ferplus(root / 'fer'), root / 'ferplus'
  prepare.prepare('ferplus', source, out, size=48, workers=1, options=options)
  return out


def test_rules(folder):
  def opened(rule):
    config = small_bnn.GET_CONFIG('ferplus-alexnet').data
    config.update({'path': str(folder), 'rule': rule, 'ood_clips': 3})
    config.val_fraction = 0.25
    found = data.from_config(config)
    found.dataset.check()
    return found

  majority, raw, soft = (opened(r) for r in ('majority', 'raw', 'crossentropy'))
  assert majority.split == 'test'
  assert len(majority.dataset.train) == 12
  assert majority.clips.image.shape == (8, 1, 48, 48, 1)
  assert majority.dataset.ood['textures'].image.shape == (3, 1, 48, 48, 1)
  # Votes for no emotion count for no class, and ties have no label.
  np.testing.assert_allclose(majority.votes.sum(-1), 1, atol=1e-6)
  np.testing.assert_allclose(majority.votes[0, :2], [0.5, 0.5])
  np.testing.assert_allclose(majority.votes[1, 1:3], [7 / 9, 2 / 9], atol=1e-6)
  mask = majority.clips.targets['expr'].mask[:, 0]
  np.testing.assert_array_equal(mask, [0, 1, 1, 1, 0, 1, 1, 1])
  sizes = [len(f.dataset.groups['expr']) for f in (majority, raw)]
  assert sizes[0] < sizes[1] == 12
  # Seven of nine votes are enough for 'crossentropy' to ignore the others.
  for found, shares in (
    (majority, {0, 1}),
    (raw, {0, 2 / 9, 0.5, 7 / 9}),
    (soft, {0, 0.5, 1}),
  ):
    values = found.dataset.train.targets['expr'].value
    np.testing.assert_allclose(np.unique(values), sorted(shares), atol=1e-6)
    scored = found.clips.targets['expr'].value
    assert set(np.unique(scored)) == {0, 1}  # always by eval_rule


def test_classes_of_another_data_set(folder, tmp_path):
  """Votes follow the classes, and rules refuse what they do not know."""

  def prepared(order):
    options = {'rule': 'raw', 'eval_rule': 'raw', 'expressions': order}
    out, source = tmp_path / order, folder.parent / 'fer'
    prepare.prepare('ferplus', source, out, size=48, workers=1, options=options)
    config = small_bnn.GET_CONFIG('ferplus-alexnet').data
    config.update({'path': str(out), 'rule': 'majority', 'ood_clips': 3})
    config.val_fraction = 0.25
    return config

  found = data.from_config(prepared('affectnet'))
  labels = found.clips.targets['expr']
  shares = found.votes[labels.mask[:, 0] > 0]
  right = labels.value[labels.mask[:, 0] > 0, 0].argmax(-1)
  assert len(right) > 3
  np.testing.assert_array_equal(shares.argmax(-1), right)
  config = prepared('affwild2')
  with pytest.raises(ValueError, match='not for 7 classes and 10 answers'):
    data.from_config(config)
  config.rule = config.eval_rule = 'stored'
  assert data.from_config(config).votes.shape[1] == 7
