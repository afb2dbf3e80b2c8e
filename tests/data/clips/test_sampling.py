"""Clip weights: each task by its own method, frames averaged, masks kept."""

import numpy as np
import pytest

from emojax import tasks
from emojax.data.balance import balance
from emojax.data.clips import sampling


def _targets(clips=300, frames=1, seed=0):
  rng = np.random.default_rng(seed)
  shape = (clips, frames)
  mask = (rng.random(shape) < 0.8).astype(np.float32)
  au = rng.random((*shape, 12)) < np.linspace(0.5, 0.02, 12)
  expr = rng.choice(7, shape, p=np.arange(1, 8) / 28)

  def wide(width):
    return np.repeat(mask[..., None], width, -1)

  return {
    'au': tasks.Target(au.astype(np.float32), wide(12)),
    'expr': tasks.Target(np.eye(7, dtype=np.float32)[expr], mask),
    'va': tasks.Target(
      rng.normal(0, 0.3, (*shape, 2)).clip(-1, 1).astype(np.float32), wide(2)
    ),
  }


def test_stills_have_the_weights_of_balance():
  targets = _targets()
  mask = targets['expr'].mask[:, 0]
  used = mask > 0
  classes = targets['expr'].value[:, 0].argmax(-1)
  values = targets['va'].value[:, 0]
  labels = targets['au'].value[used, 0]

  def weights(*names, variant='paper'):
    return sampling.clip_weights(tasks.ABAW2021, targets, names, variant, 3)

  np.testing.assert_allclose(
    weights('expr'), balance.class_weights(classes, mask)
  )
  for variant, limits in (('paper', 'unit'), ('published', 'data')):
    np.testing.assert_allclose(
      weights('va', variant=variant),
      balance.va_weights(values * mask[:, None], limits=limits, mask=mask),
    )
    np.testing.assert_allclose(
      weights('va', 'expr', variant=variant),
      balance.expr_va_weights(
        classes, values * mask[:, None], limits=limits, mask=mask
      ),
    )
  np.testing.assert_array_equal(
    weights('au')[used], np.bincount(balance.ml_ros(labels, seed=3))
  )
  np.testing.assert_array_equal(
    weights('au', variant='published')[used],
    balance.ml_ros_published(labels, 3),
  )
  assert not weights('au')[~used].any()


def test_clips_have_the_mean_of_their_labelled_frames():
  targets = _targets(40, 5)
  mask = targets['expr'].mask
  found = sampling.clip_weights(tasks.ABAW2021, targets, ('expr',))
  classes = targets['expr'].value.argmax(-1)
  frames = balance.class_weights(classes.ravel(), mask.ravel()).reshape(40, 5)
  np.testing.assert_allclose(
    found, [f[m > 0].mean() if m.any() else 0 for f, m in zip(frames, mask)]
  )


def test_resampled_epochs_are_balanced():
  targets = _targets(4000)
  weights = sampling.clip_weights(tasks.ABAW2021, targets, ('expr',))
  index = balance.resample(weights, 7000, seed=0)
  share = targets['expr'].value[index, 0].mean(0)
  np.testing.assert_allclose(share, 1 / 7, atol=0.02)
  weights = sampling.clip_weights(tasks.ABAW2021, targets, ('au',))
  before = balance.mean_imbalance_ratio(targets['au'].value[:, 0])
  index = balance.resample(weights, 8000, seed=0)
  assert balance.mean_imbalance_ratio(targets['au'].value[index, 0]) < before


def test_what_cannot_be_balanced_together_is_refused():
  for names in (('au', 'expr'), ('fau',), ('expr', 'fau')):
    with pytest.raises(ValueError, match='cannot be balanced together'):
      sampling.clip_weights(tasks.ABAW2021, _targets(), names)
  with pytest.raises(ValueError, match="variant 'code'"):
    sampling.clip_weights(tasks.ABAW2021, _targets(), ('au',), 'code')
