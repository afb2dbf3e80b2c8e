"""Crops: the similarity, what is sampled, and what is refused."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from emojax.faces import align

RULE = align.FER2013
NONE = np.full((5, 2), np.nan)
POINTS = np.array(RULE.points)


def smooth(height=240, width=320):
  """uint8 [H, W, 3] without detail that a change of scale could lose."""
  y, x = np.mgrid[:height, :width] / 40
  waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
  return (127 + 100 * waves).astype(np.uint8)


def placed(angle, scale, shift):
  """The rule's landmarks turned, scaled and moved, [5, 2]."""
  cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
  return POINTS @ np.array([[cos, sin], [-sin, cos]]) + shift


similarities = st.tuples(
  st.floats(-3.1, 3.1), st.floats(5, 500), st.floats(-300, 300)
)


@hypothesis.given(similarities)
def test_an_exact_similarity_is_found(which):
  angle, scale, shift = which
  found = align.similarity([0, 0, 1, 1], placed(angle, scale, shift), RULE)
  np.testing.assert_allclose(
    found,
    [
      [scale * np.cos(angle), -scale * np.sin(angle), shift],
      [scale * np.sin(angle), scale * np.cos(angle), shift],
    ],
    atol=1e-6 * scale,
  )


@hypothesis.given(st.integers(0, 10**6))
def test_least_squares_as_in_scikit_image(seed):
  transform = pytest.importorskip('skimage.transform')
  random = np.random.default_rng(seed)
  source = placed(random.uniform(-0.5, 0.5), 80, 50) + random.normal(
    0, 4, (5, 2)
  )
  oracle = transform.SimilarityTransform.from_estimate(source, POINTS)
  np.testing.assert_allclose(
    align.umeyama(source, POINTS), oracle.params[:2], atol=1e-9
  )


def test_no_reflection():
  mirrored = POINTS * [-100, 100] + 200
  turn = align.umeyama(mirrored, POINTS)[:, :2]
  assert np.linalg.det(turn) > 0


@pytest.mark.parametrize('angle', [0, 0.4, -1.5, 3.0])
@pytest.mark.parametrize('scale', [20, 60, 110])
def test_what_is_sampled_is_there(angle, scale):
  # Every pixel of the crop is the picture's where the similarity says.
  image, size, shift = smooth(), 48, np.array([150.0, 110.0])
  crop = align.crop(
    image, [0, 0, 1, 1], placed(angle, scale, shift), RULE, size
  )
  y, x = (np.mgrid[:size, :size] + 0.5) / size
  at = np.stack([x, y], -1).reshape(-1, 2)
  cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
  at = at @ np.array([[cos, sin], [-sin, cos]]) + shift
  ends = np.clip(at, 0.5, [319.5, 239.5]) - 0.5
  x, y = ends.T / 40
  expected = 127 + 100 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
  error = np.abs(crop.reshape(-1, 3) - expected)
  assert error.mean() < 1.5
  assert error.max() < 8


def test_the_crop_of_the_whole_is_the_whole():
  image = smooth(48, 48)
  rule = align.CropRule(RULE.points, (0, 0, 1))
  crop = align.crop(image, [0, 0, 48, 48], NONE, rule, 48)
  # Means over four samples of a pixel and its neighbours.
  assert np.abs(crop.astype(int) - image).max() <= 3


@pytest.mark.parametrize('side', [97, 400, 1003])
def test_fine_detail_becomes_grey(side):
  image = (np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8)
  image = np.repeat(image[..., None], 3, 2)
  rule = align.CropRule(RULE.points, (0, 0, 1))
  crop = align.crop(image, [0, 0, side, side], NONE, rule, 24)
  assert np.abs(crop[1:-1, 1:-1].astype(int) - 127).max() < 24


def test_edges_go_on():
  image = smooth(60, 80)
  image[:, 0], image[0] = 10, 200
  rule = align.CropRule(RULE.points, (0, 0, 1))
  crop = align.crop(image, [-40, -40, 80, 80], NONE, rule, 80)
  np.testing.assert_array_equal(crop[:38, :38], 200)
  np.testing.assert_array_equal(crop[44:, :38], 10)


def test_a_box_without_landmarks_follows_the_rule():
  rule = align.CropRule(RULE.points, (0.5, -0.25, 2))
  matrix = align.similarity([10, 20, 40, 40], NONE, rule)
  np.testing.assert_allclose(matrix, [[80, 0, 10], [0, 80, -10]])
  # One landmark that is missing, or all in one place, are no landmarks.
  part = POINTS * 100
  part[2] = np.nan
  for points in (part, np.full((5, 2), 7.0)):
    again = align.similarity([10, 20, 40, 40], points, rule)
    np.testing.assert_array_equal(again, matrix)


@pytest.mark.parametrize(
  'box',
  [
    [0, 0, 0, 10],
    [0, 0, -5, 10],
    [np.nan, 0, 5, 5],
    [0, 0, np.inf, 5],
    [500, 0, 20, 20],
    [-50, -50, 20, 20],
    [-1e30, 0, 2e30, 2e30],
    [0, 0, 1e9, 1e9],
  ],
)
def test_boxes_that_show_nothing_are_refused(box):
  with pytest.raises(ValueError, match=r'box of width|outside of the picture'):
    align.crop(smooth(), np.array(box), NONE, RULE, 48)


def test_large_boxes_cost_little():
  # 300,000 pixels wide around a picture of 320: no such array is made.
  crop = align.crop(smooth(), [-1.5e5, -1.5e5, 3e5, 3e5], NONE, RULE, 48)
  assert crop.shape == (48, 48, 3)


@pytest.mark.parametrize('shape', [(1, 1, 3), (2, 300, 3), (300, 1, 3)])
def test_small_pictures(shape):
  image = np.full(shape, 90, np.uint8)
  crop = align.crop(image, [-2, -2, 9, 9], NONE, RULE, 8)
  np.testing.assert_array_equal(crop, np.full((8, 8, 3), 90))


@pytest.mark.parametrize(
  'image',
  [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4))],
)
def test_other_arrays_are_refused(image):
  with pytest.raises(ValueError, match=r'uint8 \[H, W, 3\]'):
    align.crop(image, [0, 0, 9, 9], NONE, RULE, 8)


def test_a_rule_is_the_same_after_json():
  text = json.dumps(RULE.to_json())
  assert align.CropRule.from_json(json.loads(text)) == RULE


@pytest.mark.parametrize(
  'change',
  [
    {'points': [[0.1, 0.2]] * 4},
    {'points': [[0.1, 0.2]] * 5},
    {'points': [[0.1, 0.2, 0.3]] * 5},
    {'points': 3},
    {'points': [['0.1', 0.2]] * 5},
    {'points': [[float('nan'), 0.2]] * 5},
    {'points': None},
    {'box': [0, 0]},
    {'box': [0, 0, 0]},
    {'box': [0, 0, -1]},
    {'box': [0, 0, True]},
    {'box': [0, 1e9, 1]},
    {'more': 1},
  ],
)
def test_what_is_no_rule_is_refused(change):
  with pytest.raises(ValueError, match=r'crop rule|is no number'):
    align.CropRule.from_json({**RULE.to_json(), **change})


@pytest.mark.parametrize('value', [None, [], 'x', {'points': []}])
def test_what_is_no_rule_at_all(value):
  with pytest.raises(ValueError, match='crop rule has the keys'):
    align.CropRule.from_json(value)
