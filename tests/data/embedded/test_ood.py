"""Out-of-distribution clips: shapes, masks, families, reproducibility."""

import numpy as np
import pytest
import sklearn.datasets

from emojax import tasks
from emojax.data.embedded import ood


@pytest.mark.parametrize('kind', ['digits', 'textures'])
def test_clips_have_no_labels_and_depend_on_the_seed_only(kind):
  clips = ood.ood_clips(kind, 0, 9, 3, 40).check(tasks.ABAW2021)
  assert clips.image.shape == (9, 3, 40, 40, 3)
  assert not any(target.mask.any() for target in clips.targets.values())
  assert clips.truth is None
  few = ood.ood_clips(kind, 0, 4, 3, 40)
  np.testing.assert_array_equal(few.image, clips.image[:4])
  other = ood.ood_clips(kind, 1, 4, 3, 40)
  assert not np.array_equal(few.image, other.image)
  # The frames of a clip drift, slowly.
  step = np.abs(np.diff(clips.image.astype(float), axis=1)).mean()
  assert 0 < step < 40


def test_digits_are_those_of_scikit_learn():
  image = ood.digits(0, 5, 1, 64)
  assert (image[..., 0] == image[..., 2]).all()
  source = sklearn.datasets.load_digits().images / 16 * 255
  for digit in image[:, 0, ..., 0].astype(float):
    # The centre of a source pixel lies between pixels 3 and 4 of its 8.
    centres = (digit[3::8] + digit[4::8]) / 2
    centres = (centres[:, 3::8] + centres[:, 4::8]) / 2
    distance = np.sort(np.abs(source - centres).mean((1, 2)))
    assert distance[0] < 6 < distance[1]


def test_textures_differ_by_family():
  image = ood.textures(0, 8, 1, 48)
  assert (image.reshape(8, -1, 3).std(1).max(1) > 10).all()
  flat = image[..., 0].reshape(8, -1).astype(float)
  assert (np.abs(np.corrcoef(flat)) - np.eye(8)).max() < 0.9


def test_sound_of_noise():
  pytest.importorskip('librosa', reason='pip install emojax[audio]')
  clips = ood.ood_clips('digits', 0, 2, 3, 32, audio_kind='log_mel')
  clips.check(tasks.ABAW2021)
  assert clips.audio.std() > 0.1


def test_unknown_kind_is_an_error():
  with pytest.raises(ValueError, match="'faces': expected one of"):
    ood.ood_clips('faces', 0, 1, 1, 32)
