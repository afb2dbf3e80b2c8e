"""Corruptions against NumPy, SciPy, scikit-image and Pillow."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.color
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emojax.data.embedded import ood
from emojax.data.transform import corruptions, jpeg

KEY = jax.random.key(0)


def smooth(shape, seed=0):
  """Pictures with edges, shades and colours, uint8."""
  rng = np.random.default_rng(seed)
  drawn = rng.uniform(0, 255, shape)
  blurred = scipy.ndimage.gaussian_filter(drawn, (0, 2, 2, 0))
  low, high = blurred.min(), blurred.max()
  return np.uint8(255 * (blurred - low) / (high - low))


def through_pillow(image, quality):
  data = io.BytesIO()
  Image.fromarray(image.squeeze()).save(
    data, 'JPEG', quality=quality, subsampling=0
  )
  return np.asarray(Image.open(data)).reshape(image.shape)


@pytest.mark.parametrize('quality', [5, 40, 50, 58, 65, 80, 95])
@pytest.mark.parametrize('shape', [(3, 48, 48, 1), (3, 48, 40, 3)])
def test_jpeg_is_pillows(quality, shape):
  images = smooth(shape)
  found = np.asarray(jpeg.compress(jnp.asarray(images), quality), int)
  right = np.stack([through_pillow(one, quality) for one in images]).astype(int)
  apart = np.abs(found - right)
  # The library transforms in whole numbers, so that pixels differ by rounding,
  # and a coefficient on the edge of two steps may fall to either side: that
  # changes one block, by what a step is.
  n, height, width, channels = shape
  blocks = apart.reshape(n, height // 8, 8, width // 8, 8, channels)
  same = blocks.max((2, 4, 5)) <= (1 if channels == 1 else 4)
  assert same.mean() > 0.85
  assert apart.mean() < 0.36
  assert apart.mean() < 0.36 * np.abs(found - images).mean()


def test_jpeg_of_real_pictures_and_sizes_that_are_no_multiple_of_eight():
  images = ood.textures(0, 8, 1, 45)[:, 0, :, :43]
  found = np.asarray(jpeg.compress(jnp.asarray(images), 50), int)
  right = np.stack([through_pillow(one, 50) for one in images]).astype(int)
  assert found.shape == images.shape
  assert np.abs(found - right).mean() < 0.36


@pytest.mark.parametrize('base', [jpeg.LUMINANCE, jpeg.CHROMINANCE])
@pytest.mark.parametrize('quality', [1, 10, 49, 50, 75, 100])
def test_tables_are_the_librarys(base, quality):
  data = io.BytesIO()
  Image.fromarray(smooth((1, 8, 8, 3))[0]).save(
    data, 'JPEG', quality=quality, subsampling=0
  )
  with Image.open(data) as image:
    number = 0 if base is jpeg.LUMINANCE else 1
    right = np.array(image.quantization[number]).reshape(8, 8)
  np.testing.assert_array_equal(jpeg.table(base, quality), right)


@pytest.mark.parametrize('quality', [0, 101, 50.5])
def test_other_qualities_are_refused(quality):
  with pytest.raises(ValueError, match=r'1\.\.100'):
    jpeg.table(jpeg.LUMINANCE, quality)


@pytest.mark.parametrize('sigma', [0.4 / 32, 1 / 32, 0.1])
def test_blur_is_scipys(sigma):
  images = smooth((2, 40, 48, 3))
  right = scipy.ndimage.gaussian_filter(
    np.float64(images), (0, 40 * sigma, 48 * sigma, 0), mode='nearest'
  )
  found = np.asarray(corruptions.blur(jnp.asarray(images), sigma), int)
  assert np.abs(found - right).max() < 0.51


@pytest.mark.parametrize('channels', [1, 3])
def test_brightness_is_scikit_images(channels):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 20, 20, 3), np.uint8)
  images[0, 0] = 0
  images[0, 1] = 255
  if channels == 1:
    images = np.repeat(images[..., :1], 3, -1)
  hsv = skimage.color.rgb2hsv(images / 255)
  hsv[..., 2] = np.clip(hsv[..., 2] + 0.2, 0, 1)
  right = 255 * skimage.color.hsv2rgb(hsv)
  given_ = jnp.asarray(images[..., :channels])
  found = np.asarray(corruptions.brightness(given_, 0.2), int)
  assert np.abs(found - right[..., :channels]).max() < 0.51


@pytest.mark.parametrize('scale', corruptions.SEVERITIES['noise'])
def test_noise_has_its_deviation_and_no_mean(scale):
  images = np.full((6, 60, 60, 3), 128, np.uint8)
  keys = jax.random.split(KEY, 6)
  found = np.float64(corruptions.noise(keys, jnp.asarray(images), scale)) - 128
  assert abs(found.mean()) < 5 * 255 * scale / np.sqrt(found.size)
  # Rounding adds a twelfth to the variance.
  assert found.std() == pytest.approx(
    np.hypot(255 * scale, np.sqrt(1 / 12)), rel=0.02
  )
  pairs = np.corrcoef(found.reshape(6, -1)) - np.eye(6)
  assert np.abs(pairs).max() < 0.05  # another draw for every image


@pytest.mark.parametrize('share', corruptions.SEVERITIES['occlusion'])
def test_occlusion_covers_one_square_by_the_mean(share):
  images = np.random.default_rng(1).integers(0, 256, (9, 40, 40, 3), np.uint8)
  keys = jax.random.split(KEY, 9)
  found = np.asarray(corruptions.occlusion(keys, jnp.asarray(images), share))
  places = set()
  for before, after in zip(images, found, strict=True):
    mean = np.rint(before.reshape(-1, 3).mean(0)).astype(np.uint8)
    hidden = (after == mean).all(-1)
    assert (after[~hidden] == before[~hidden]).all()
    rows, columns = hidden.any(1).nonzero()[0], hidden.any(0).nonzero()[0]
    # Pixels that happen to have the mean's colour are hardly there.
    assert abs(hidden.sum() / hidden.size - share) < 0.03
    places.add((rows[0], columns[0]))
  assert len(places) > 3


@pytest.mark.slow
@pytest.mark.parametrize('kind', corruptions.KINDS)
@pytest.mark.parametrize('channels', [1, 3])
def test_severities_ascend_whatever_the_batches(kind, channels):
  images = smooth((6, 48, 48, 3))[..., :channels]
  errors = []
  for severity in range(1, 6):
    found = np.asarray(corruptions.jitted(kind, severity, KEY, images))
    assert found.dtype == np.uint8
    assert found.shape == images.shape
    errors.append(np.square(np.float64(found) - images).mean())
  assert errors[0] > 0
  assert errors == sorted(errors)
  halves = [
    corruptions.jitted(kind, 5, KEY, images[i : i + 3], i) for i in (0, 3)
  ]
  # Fused or not, a half may be rounded to either side.
  assert np.abs(np.concatenate(halves).astype(int) - found).max() <= 1


@given(st.integers(0, 2**32 - 1), st.sampled_from(corruptions.KINDS))
@settings(deadline=None, max_examples=20)
def test_a_key_says_all_that_is_random(seed, kind):
  images = smooth((2, 16, 16, 1))
  key, other = jax.random.key(seed), jax.random.key(seed ^ 1)
  first, again, different = (
    np.asarray(corruptions.jitted(kind, 3, k, images))
    for k in (key, key, other)
  )
  np.testing.assert_array_equal(first, again)
  if kind == 'noise':
    assert (first != different).any()
  elif kind != 'occlusion':
    np.testing.assert_array_equal(first, different)


def test_what_is_no_corruption_is_named():
  images = np.zeros((1, 8, 8, 1), np.uint8)
  with pytest.raises(ValueError, match="'fog': expected one of noise, blur"):
    corruptions.corrupt('fog', 1, KEY, images)
  for severity in (0, 6, 1.5):
    with pytest.raises(ValueError, match='expected 1 to 5'):
      corruptions.corrupt('blur', severity, KEY, images)
  for bad in (images[0], images.astype(np.float32)):
    with pytest.raises(ValueError, match='expected uint8'):
      corruptions.corrupt('blur', 1, KEY, bad)
  with pytest.raises(ValueError, match='2 channels'):
    jpeg.compress(jnp.zeros((1, 8, 8, 2), jnp.uint8), 50)
