"""Sharpness, turn and size of faces."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from emojax.faces import align, quality


def test_blur_is_less_sharp_whatever_the_light():
  random = np.random.default_rng(0)
  crop = random.integers(80, 180, (64, 64, 3), np.uint8)
  values = [
    quality.sharpness(
      np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(r)))
    )
    for r in (0, 0.7, 1.5, 3)
  ]
  assert values == sorted(values, reverse=True)
  assert values[0] > 10 * values[2]
  assert quality.sharpness(crop // 2 + 60) == pytest.approx(values[0], rel=0.02)


def test_sharpness_of_noise_and_of_nothing():
  noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
  # Squares of the kernel's numbers: 4 * 1 + 16.
  assert quality.sharpness(noise) == pytest.approx(20, rel=0.02)
  assert quality.sharpness(np.full((9, 9, 3), 77, np.uint8)) == 0
  almost = np.full((48, 48), 77, np.uint8)
  almost[3, 3] = 78
  assert quality.sharpness(almost) == 0


def test_sharpness_against_scipy():
  ndimage = pytest.importorskip('scipy.ndimage')
  crop = np.random.default_rng(1).integers(0, 256, (40, 30), np.uint8)
  inner = ndimage.laplace(crop.astype(float))[1:-1, 1:-1]
  assert quality.sharpness(crop) == pytest.approx(inner.var() / crop.var())


@pytest.mark.parametrize('angle', [0, 0.3, -0.5, 3])
@pytest.mark.parametrize('yaw', [0, 0.2, 0.6, 1.2, -0.6])
def test_profile_is_the_sine_of_a_turn(yaw, angle):
  # A nose as far before the eyes as an eye is from the middle.
  eyes = np.cos(yaw) * np.array([[-1, 0], [1, 0]])
  nose = [[np.sin(yaw), 1.2]]
  points = np.concatenate([eyes, nose, [[-0.8, 2], [0.8, 2]]]) * 30 + 100
  cos, sin = np.cos(angle), np.sin(angle)
  points = points @ np.array([[cos, sin], [-sin, cos]])
  assert quality.profile(points) == pytest.approx(abs(np.sin(yaw)), abs=1e-9)


def test_profile_without_eyes():
  assert np.isnan(quality.profile(np.full((5, 2), np.nan)))
  assert quality.profile(np.ones((5, 2))) == 1
  assert quality.profile(align.FER2013.points) < 0.05


def test_size_is_the_mean_side():
  assert quality.size([5, 5, 40, 90]) == 60
  assert quality.size([0, 0, -3, 5]) == 0
