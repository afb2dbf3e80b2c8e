"""Rendering: reproducible, in colour, and every action in its place."""

import dataclasses

import numpy as np
import pytest

from emojax.data.embedded import affect, parameters
from emojax.data.embedded.render import render

BROWS, EYES, MOUTH = slice(12, 24), slice(24, 36), slice(44, 64)


def plain(count=4, **changes):
  """Parameters of upright, unmoving, unoccluded and noise-free faces."""
  params = parameters.sample_clip_parameters(7, count, 1)
  off = 'noise', 'soft', 'glasses', 'dark_glass', 'hand', 'block'
  traits = params.traits | {name: 0 * params.traits[name] for name in off}
  motion = {name: 0 * value for name, value in params.motion.items()}
  motion['scale'] = motion['scale'] + 1
  return dataclasses.replace(
    params,
    channels=np.zeros_like(params.channels),
    traits=traits | changes,
    motion=motion,
  )


def raised(params, **intensities):
  channels = params.channels.copy()
  for name, value in intensities.items():
    channels[..., affect.CHANNELS.index(name)] = value
  return dataclasses.replace(params, channels=channels)


def change(params, **intensities):
  """Mean absolute change of each row of the pixels, [N, 64]."""
  before, after = render(params, 64), render(raised(params, **intensities), 64)
  return np.abs(after.astype(float) - before).mean((1, 3, 4))


@pytest.mark.parametrize(
  ('name', 'region'),
  [
    ('AU1', BROWS),
    ('AU2', BROWS),
    ('AU4', BROWS),
    ('AU5', EYES),
    ('AU7', EYES),
    ('AU10', MOUTH),
    ('AU12', MOUTH),
    ('AU15', MOUTH),
    ('AU20', MOUTH),
    ('AU23', MOUTH),
    ('AU25', MOUTH),
    ('AU26', MOUTH),
  ],
)
def test_actions_move_their_part_of_the_face(name, region):
  rows = change(plain(), **{name: 0.9})
  share = rows[:, region].sum(1) / rows.sum(1)
  # The rest: furrows and, with a smile, cheeks.
  assert (share > 0.5).all(), share
  assert (rows[:, region].max(1) > 0.8).all()


def test_every_channel_is_visible_and_graded():
  params = plain(1)
  for name in affect.CHANNELS:
    little, much = (change(params, **{name: x}).sum() for x in (0.3, 0.9))
    assert 0.5 < little < much, name


def test_raised_brows_and_lowered_brows_go_their_ways():
  params = plain()
  centre = [
    _dark_row(render(raised(params, **action), 64))
    for action in ({'AU4': 0.9}, {}, {'AU1': 0.6, 'AU2': 0.6})
  ]
  assert (centre[0] > centre[1]).all()
  assert (centre[1] > centre[2]).all()


def _dark_row(images):
  """Mean row of the darkest pixels in the upper half of the cheeks' columns."""
  grey = images[:, 0, 8:26, 14:50].mean(-1)
  weight = np.maximum(grey.mean((1, 2), keepdims=True) - 25 - grey, 0)
  return (weight.sum(2) * np.arange(18)).sum(1) / weight.sum((1, 2))


def test_faces_are_symmetric_without_pose_and_light():
  zero = np.zeros(4, np.float32)
  image = render(plain(light_x=zero), 64)[:, 0, 6:60, 12:52].astype(float)
  assert np.abs(image - image[:, :, ::-1]).mean() < 1.5  # the background


def test_images_do_not_depend_on_threads_count_or_company():
  many = parameters.sample_clip_parameters(0, 16, 6, frame_rate=7.5)
  few = parameters.sample_clip_parameters(0, 3, 6, frame_rate=7.5)
  images = render(many, 48, threads=1)
  np.testing.assert_array_equal(render(many, 48, threads=3), images)
  np.testing.assert_array_equal(render(few, 48), images[:3])
  assert images.shape == (16, 6, 48, 48, 3)
  assert images.dtype == np.uint8


def test_sizes_show_the_same_picture():
  params = plain(3)
  small, large = (render(params, size).astype(float) for size in (40, 120))
  pooled = large.reshape(3, 1, 40, 3, 40, 3, 3).mean((3, 5))
  assert np.abs(pooled - small).mean() < 3
  with pytest.raises(ValueError, match='size 31: expected at least 32'):
    render(params, 31)


def test_sensor_noise_is_new_in_every_frame_and_has_its_level():
  params = parameters.sample_clip_parameters(7, 1, 2)
  still = plain(1)
  two = {name: np.repeat(v, 2, 1) for name, v in still.motion.items()}
  params = dataclasses.replace(
    still,
    channels=np.zeros_like(params.channels),
    motion=two,
    traits=still.traits | {'noise': np.full(1, 0.02, np.float32)},
  )
  first, second = render(params, 64)[0].astype(float)
  spread = (first - second).std()
  np.testing.assert_allclose(spread, 0.02 * 255 * np.sqrt(2), rtol=0.05)


def test_a_hand_hides_the_mouth():
  hand = np.ones(4, np.float32)
  hidden = change(plain(hand=hand), AU12=0.9)
  assert hidden.sum() < 0.5 * change(plain(), AU12=0.9).sum()


def test_a_blink_closes_the_eyes():
  params = plain()
  white = []
  for blink in (0, 1):
    motion = params.motion | {'blink': params.motion['blink'] + blink}
    image = render(dataclasses.replace(params, motion=motion), 64)
    white.append((image[:, :, EYES, 14:50].min(-1) > 120).mean((1, 2, 3)))
  assert (white[1] <= white[0]).all()
