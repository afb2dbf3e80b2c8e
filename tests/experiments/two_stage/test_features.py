"""Features on disk, sequences of them, and their way back into clips."""

import numpy as np
import pytest

from emojax import tasks
from emojax.experiments.two_stage import features
from emojax.experiments.two_stage.features import FeatureClips

SCHEMA = (tasks.expr_task(), tasks.va_task())
N, LENGTH, SIZE = 3, 10, 4


def clips(seed=0) -> FeatureClips:
  rng = np.random.default_rng(seed)
  targets = tasks.empty_targets(SCHEMA, (N, LENGTH))
  targets['va'].value[:] = rng.uniform(-1, 1, (N, LENGTH, 2))
  targets['va'].mask[:] = rng.integers(0, 2, (N, LENGTH, 2))
  names = np.array([f'clip{i}' for i in range(N)])
  mask = np.ones((N, LENGTH), np.float32)
  mask[2, 4:] = 0  # padding
  values = rng.normal(size=(N, LENGTH, SIZE)).astype(np.float32)
  return FeatureClips(values, targets, mask, names, names)


def test_sequences_cover_every_frame_once():
  whole = clips()
  cut, places = whole.sequences(5, 5)
  assert len(cut) == 5  # the last one of clip 2 is padding
  assert list(cut.clip_id[:2]) == ['clip0+0', 'clip0+5']
  back = places.stitch(cut.features[None], (N, LENGTH))[0]
  np.testing.assert_array_equal(back[:2], whole.features[:2])
  np.testing.assert_array_equal(back[2, :5], whole.features[2, :5])
  assert not back[2, 5:].any()


def test_the_last_sequence_ends_where_the_clip_does():
  cut, places = clips().sequences(4, 4)
  first = places.clip[:, 0] == 0
  np.testing.assert_array_equal(places.frame[first][:, 0], [0, 4, 6])
  np.testing.assert_array_equal(cut.features[2], clips().features[0, 6:])


def test_labels_and_masks_go_along():
  whole = clips()
  cut, places = whole.sequences(4, 2)
  for i in range(len(cut)):
    c, f = places.clip[i, 0], places.frame[i]
    np.testing.assert_array_equal(cut.frame_mask[i], whole.frame_mask[c, f])
    for name in ('expr', 'va'):
      for part in range(2):
        np.testing.assert_array_equal(
          cut.targets[name][part][i], whole.targets[name][part][c, f]
        )


def test_they_are_a_source_of_the_engine():
  cut, _ = clips().sequences(5, 5)
  taken = cut.take(np.array([3, 0]))
  np.testing.assert_array_equal(taken.image, cut.features[[3, 0]])
  assert list(taken.clip_id) == ['clip1+5', 'clip0+0']


def test_sequences_longer_than_the_clips():
  with pytest.raises(ValueError, match='11 frames cannot be cut from clips'):
    clips().sequences(11, 11)


def test_on_disk(tmp_path):
  whole = clips()
  features.write(tmp_path / 'f.npz', whole.features)
  read = features.read(tmp_path / 'f.npz', whole)
  np.testing.assert_array_equal(read.features, whole.features)
  assert read.targets is whole.targets
  features.write(tmp_path / 'f.npz', whole.features[:2])
  with pytest.raises(ValueError, match='move the file away to make it anew'):
    features.read(tmp_path / 'f.npz', whole)
