"""Augmentation against NumPy, Pillow and SciPy, and its statistics."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from emojax.data.transform import augment, geometry, transforms

NAMES = tuple(augment.COMPOSITIONS)


def _numbers(count, batch, frames=1, seed=0):
  keys = transforms.example_keys(jax.random.key(seed), batch)
  images = jnp.zeros((batch, frames, 1, 1, 1))
  return transforms.uniforms(keys, images, 'frame', count)


def _images(b=6, frames=2, size=24, c=3, seed=0):
  rng = np.random.default_rng(seed)
  small = rng.integers(0, 256, (b, frames, size // 4, size // 4, c))
  smooth = np.repeat(np.repeat(small, 4, 2), 4, 3)
  return smooth.astype(np.uint8)


@pytest.mark.parametrize('name', NAMES)
def test_result_depends_on_the_place_in_the_global_batch_only(name):
  images = _images(4, c=1 if name == 'ferplus' else 3)
  apply = jax.jit(augment.augmentation(name))
  key = jax.random.key(3)
  whole = apply(key, images)
  parts = [apply(key, images[i : i + 2], i) for i in (0, 2)]
  np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-6)
  assert whole.dtype == jnp.float32
  assert 0 <= whole.min() <= whole.max() <= 1
  if name != 'none':
    assert np.abs(whole - apply(jax.random.key(4), images)).max() > 0.05


@pytest.mark.parametrize('name', NAMES[1:])
def test_per_clip_treats_the_frames_of_a_clip_alike(name):
  one = _images(4, frames=1, c=1)
  images = np.concatenate([one, one], axis=1)
  key = jax.random.key(0)
  clip = jax.jit(augment.augmentation(name, per='clip'))(key, images)
  # The noise of 'rul' is white in either case.
  limit = 0.2 if name == 'rul' else 1e-6
  np.testing.assert_allclose(clip[:, 0], clip[:, 1], atol=limit)


def test_per_frame_treats_the_frames_of_a_clip_differently():
  images = np.repeat(_images(4, frames=1, c=1), 2, axis=1)
  apply = jax.jit(augment.augmentation('emenet'))
  frame = apply(jax.random.key(0), images)
  assert np.abs(frame[:, 0] - frame[:, 1]).max() > 0.2


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match=r"'emonet': expected one of none, emen"):
    augment.augmentation('emonet')
  with pytest.raises(ValueError, match="per 'video'"):
    augment.augmentation('emenet', per='video')
  with pytest.raises(ValueError, match='expected one of none'):
    augment.evaluation('crop')


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_jitter_equals_pillow(order):
  image = _images(1, 1)[0, 0]
  factor = (1.25, 0.75, 1.3)
  enhance = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
  expected = Image.fromarray(image)
  for number in order:
    expected = enhance[number](expected).enhance(factor[number])
  found = jax.jit(transforms.jitter)(
    image[None, None],
    jnp.array(order)[None, None],
    jnp.array(factor)[None, None],
  )
  # Pillow rounds to a byte after every step.
  np.testing.assert_allclose(
    255 * found[0, 0], np.asarray(expected, np.float32), atol=4
  )


def test_color_jitter_draws_factors_and_orders_of_its_range(monkeypatch):
  seen = []
  monkeypatch.setattr(transforms, 'jitter', lambda *args: seen.extend(args))
  u = _numbers(transforms.JITTER_NUMBERS, 600)
  transforms.color_jitter(u, jnp.zeros(()), (0.3, 0.2, 0.1))
  order, factor = np.asarray(seen[1])[:, 0], np.asarray(seen[2])[:, 0]
  orders, counts = np.unique(order, axis=0, return_counts=True)
  assert len(orders) == 6
  assert (np.sort(order) == np.arange(3)).all()
  assert counts.min() > 70
  np.testing.assert_allclose(factor.max(0), [1.3, 1.2, 1.1], atol=0.01)
  np.testing.assert_allclose(factor.min(0), [0.7, 0.8, 0.9], atol=0.01)


def test_flip_mirrors_half_of_the_images():
  images = _images(200, 1, 8)
  u = _numbers(1, 200)[..., 0]
  found = np.asarray(transforms.horizontal_flip(u, images))
  mirrored = (found == images[..., ::-1, :]).all((1, 2, 3, 4))
  kept = (found == images).all((1, 2, 3, 4))
  assert (mirrored | kept).all()
  assert 70 < mirrored.sum() < 130


def test_resized_crop_equals_pillow():
  image = _images(1, 1, 40, 1)[0, 0, :, :, 0]
  large = Image.fromarray(image.astype(np.float32)).resize((48, 48), 2)
  centre = np.asarray(large)[4:44, 4:44] / 255
  found = geometry.resized_crop(None, image[None, None, :, :, None])
  np.testing.assert_allclose(found[0, 0, ..., 0], centre, atol=1e-5)
  assert geometry.enlarged_size(112) == 134
  # A random crop is one of the 9 x 9 windows of the enlarged image.
  u = _numbers(geometry.CROP_NUMBERS, 1)
  drawn = jax.jit(geometry.resized_crop)(u, image[None, None, :, :, None])[0, 0]
  windows = np.lib.stride_tricks.sliding_window_view(
    np.asarray(large), (40, 40)
  )
  off = np.abs(windows / 255 - np.asarray(drawn)[..., 0]).max((2, 3))
  assert windows.shape[:2] == (9, 9)
  assert (off < 1e-5).sum() == 1


def test_random_crop_and_ten_crop():
  images = np.arange(48 * 48, dtype=np.float32).reshape(1, 1, 48, 48, 1) / 2304
  images = np.repeat(images, 200, 0)
  u = _numbers(geometry.CROP_NUMBERS, 200)
  crops = np.asarray(
    jax.jit(geometry.random_crop, static_argnums=2)(u, images, 44)
  )
  assert crops.shape == (200, 1, 44, 44, 1)
  corner = np.round(crops[:, 0, 0, 0, 0] * 2304).astype(int)
  rows, columns = corner // 48, corner % 48
  assert set(rows) == set(columns) == set(range(5))
  ten = geometry.ten_crop(images[:1], 44)
  assert ten.shape == (10, 1, 1, 44, 44, 1)
  np.testing.assert_array_equal(ten[4, 0, 0], images[0, 0, 2:46, 2:46])
  np.testing.assert_array_equal(ten[5:], ten[:5, ..., ::-1, :])
  with pytest.raises(ValueError, match='does not fit'):
    geometry.random_crop(u, images, 50)


def test_padded_crops_are_the_windows_of_a_padded_image():
  image = 1 + np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8, 1)
  images = np.repeat(image, 200, 0)
  u = _numbers(geometry.CROP_NUMBERS, 200)
  found = np.asarray(geometry.padded_crop(u, images, 1))[:, 0, ..., 0]
  windows = np.lib.stride_tricks.sliding_window_view(
    np.pad(image[0, 0, :, :, 0], 1), (8, 8)
  )
  same = (windows[None] == found[:, None, None]).all((3, 4))
  assert (same.sum((1, 2)) == 1).all()  # each is one of them
  assert same.any(0).sum() == 9  # and each of them is drawn
  # An eighth of the image is padded: of 8 pixels one.
  both = jax.jit(augment.augmentation('cifar10'))(jax.random.key(0), images)
  both = np.rint(255 * np.asarray(both))[:, 0, ..., 0]
  for mirrored in (both, both[..., ::-1]):
    same = (windows[None] == mirrored[:, None, None]).all((3, 4))
    assert same.any(0).sum() == 9
    assert 0.35 < same.any((1, 2)).mean() < 0.65


@pytest.mark.slow
def test_random_erasing_covers_its_range_of_areas():
  ones = jnp.ones((400, 1, 30, 30, 3))
  u = _numbers(transforms.ERASE_NUMBERS, 400)
  found = np.asarray(transforms.random_erasing(u, ones, value=(0.1, 0.2, 0.3)))[
    :, 0
  ]
  erased = found[..., 0] < 1
  np.testing.assert_allclose(
    found[erased], np.broadcast_to([0.1, 0.2, 0.3], found[erased].shape)
  )
  share = erased.mean((1, 2))
  assert 0.4 < (share > 0).mean() < 0.6
  assert 0.015 < share[share > 0].min() < 0.05
  assert 0.2 < share.max() <= 0.27
  rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
  np.testing.assert_array_equal(rows * columns, erased.sum((1, 2)))


def test_gaussian_noise_has_its_variance():
  keys = transforms.example_keys(jax.random.key(1), 20)
  grey = jnp.full((20, 1, 32, 32, 3), 0.5)
  noise = 255 * (transforms.gaussian_noise(keys, grey, 30.0) - 0.5)
  assert abs(float(noise.mean())) < 0.1
  assert abs(float(noise.var()) - 30) < 1


def test_rul_mirrors_a_quarter_and_adds_noise_to_a_quarter(monkeypatch):
  images = _images(400, 1, 8)
  monkeypatch.setattr(transforms, 'random_erasing', lambda u, x, **_: x)
  found = jax.jit(augment.augmentation('rul'))(jax.random.key(0), images)
  plain = images / np.float32(255)
  same = [
    (np.abs(found - x) < 1e-6).all((1, 2, 3, 4)).mean()
    for x in (plain, plain[..., ::-1, :])
  ]
  np.testing.assert_allclose(same, [0.5, 0.25], atol=0.08)


def test_warp_equals_scipy():
  image = _images(1, 1, 20)[0, 0].astype(np.float32) / 255
  matrix = np.array([[0.9, 0.3], [-0.25, 1.1]])
  move = np.array([0.05, -0.1])
  centre = np.full(2, 9.5)
  expected = [
    ndimage.affine_transform(
      image[..., c],
      matrix,
      centre - matrix @ (centre + move * 20),
      order=1,
      mode='reflect',
    )
    for c in range(3)
  ]
  found = jax.jit(geometry.warp)(jnp.asarray(image), jnp.asarray(matrix), move)
  np.testing.assert_allclose(found, np.stack(expected, -1), atol=1e-5)


def test_affine_of_no_strength_changes_nothing():
  images = _images()
  u = _numbers(geometry.AFFINE_NUMBERS, 6)
  still = partial(geometry.affine, shift=0.0, scale=1.0, angle=0.0, skew=0.0)
  found = jax.jit(still)(u, images)
  np.testing.assert_allclose(found, images / np.float32(255), atol=1e-5)


def test_evaluation_is_the_middle_of_what_training_draws():
  images = _images(1, 1, 48)
  crop = augment.evaluation('fer2013')(images)
  np.testing.assert_allclose(crop, images[:, :, 2:46, 2:46] / np.float32(255))
  plain = augment.evaluation('emenet')(images)
  np.testing.assert_allclose(plain, images / np.float32(255))
  assert augment.evaluation('incomplete')(images).shape == images.shape
