"""The assembled data set: groups, masks, subjects, noise, invalid frames."""

import numpy as np
import pytest

from emojax.data import embedded
from emojax.data.embedded import dataset as dataset_lib

COUNTS = {'au': 4, 'expr': 3, 'va': 2, 'shared': 2, 'full': 2, 'balanced_au': 3}


def make(**changes):
  options = dict(
    seed=1,
    size=32,
    clip_length=3,
    num_train=COUNTS,
    num_val=2,
    num_test=2,
    num_ood=2,
  )
  return embedded.make(**(options | changes))


@pytest.fixture(scope='module')
def data():
  return make()


def test_the_data_set_is_valid_and_complete(data):
  data.check()
  assert len(data.train) == sum(COUNTS.values())
  assert {name: len(rows) for name, rows in data.groups.items()} == COUNTS
  assert sorted(data.ood) == ['digits', 'textures']
  assert data.train.image.shape == (16, 3, 32, 32, 3)


def test_groups_have_the_labels_of_their_tasks_only(data):
  for group, rows in data.groups.items():
    clips = data.train.take(rows)
    for task, target in clips.targets.items():
      expected = float(task in dataset_lib.LABELLED[group])
      assert (target.mask == expected).all(), (group, task)
      assert target.value.any() or not expected
  for clips in (data.val, data.test):
    assert all((target.mask == 1).all() for target in clips.targets.values())


def test_truth_is_known_everywhere_but_out_of_distribution(data):
  for clips in (data.train, data.val, data.test):
    assert clips.truth['va'].shape == (*clips.image.shape[:2], 2, 20)
  assert all(clips.truth is None for clips in data.ood.values())


def test_more_clips_leave_the_others_as_they_are(data):
  more = make(num_train={'expr': 5, 'au': 6}, num_val=3, num_test=0, num_ood=0)
  for group in ('au', 'expr'):
    few = data.train.take(data.groups[group])
    many = more.train.take(more.groups[group][: len(few)])
    np.testing.assert_array_equal(many.image, few.image)
    np.testing.assert_array_equal(
      many.targets[group].value, few.targets[group].value
    )
  np.testing.assert_array_equal(more.val.image[:2], data.val.image)
  more.check()
  assert len(more.test) == len(more.ood['digits']) == 0


def test_seeds_differ(data):
  assert not np.array_equal(make(seed=2).val.image, data.val.image)


def test_label_noise_spares_truth_validation_and_images(data):
  noisy = make(label_noise=0.5)
  np.testing.assert_array_equal(noisy.train.image, data.train.image)
  np.testing.assert_array_equal(noisy.train.truth['au'], data.train.truth['au'])
  for task in ('au', 'expr', 'va'):
    before, after = data.train.targets[task], noisy.train.targets[task]
    np.testing.assert_array_equal(after.mask, before.mask)
    kept = before.mask.reshape(before.value.shape[:-1] + (-1,)) > 0
    wrong = (after.value != before.value)[
      np.broadcast_to(kept, before.value.shape)
    ]
    assert 0.05 < wrong.mean() < 0.6, task
    np.testing.assert_array_equal(
      noisy.val.targets[task].value, data.val.targets[task].value
    )
  noisy.check()


def test_invalid_frames_are_black_and_unlabelled(data):
  gaps = make(invalid_rate=0.4, num_train={'full': 20})
  gaps.check()
  valid = gaps.train.frame_mask > 0
  assert 0.4 < valid.mean() < 0.8
  assert not gaps.train.image[~valid].any()
  assert gaps.train.image[valid].any((1, 2, 3)).all()
  for target in gaps.train.targets.values():
    assert not target.mask[~valid].any()
    assert target.mask[valid].all()


def test_sound_comes_with_every_clip():
  pytest.importorskip('librosa', reason='pip install emojax[audio]')
  counts = dict(num_train={'va': 2}, num_val=1, num_test=1, num_ood=1)
  mel = make(audio=True, **counts).check()
  mfcc = make(audio=True, audio_kind='mfcc', **counts)
  for clips in (mel.train, mel.val, mel.test, *mel.ood.values()):
    assert clips.audio.shape == (len(clips), 3, 64, 64)
    assert clips.audio.std() > 0.1
  np.testing.assert_allclose(  # an orthonormal transform of the same features
    np.linalg.norm(mfcc.val.audio), np.linalg.norm(mel.val.audio), rtol=1e-4
  )


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match=r"num_train: .*got \['faces'\]"):
    make(num_train={'faces': 3})
  with pytest.raises(ValueError, match='label_noise: expected a share'):
    make(label_noise=1.5)
