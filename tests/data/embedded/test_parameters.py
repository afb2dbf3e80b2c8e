"""Sampling: reproducible, independent of the count, smooth, balanced or not."""

import numpy as np
import pytest

from emojax.data.embedded import affect, annotator, parameters


def leaves(params):
  """All arrays of parameters by name."""
  arrays = {
    name: getattr(params, name)
    for name in ('channels', 'visible', 'clarity', 'noise_seed')
    + ('clip_id', 'subject_id')
  }
  return arrays | params.motion | params.traits


def assert_same(found, expected):
  for name, array in leaves(expected).items():
    np.testing.assert_array_equal(leaves(found)[name], array, err_msg=name)


def test_clips_depend_on_seed_and_number_only():
  many = parameters.sample_clip_parameters(3, 12, 5, group='au')
  few = parameters.sample_clip_parameters(3, 4, 5, group='au')
  late = parameters.sample_clip_parameters(3, 4, 5, group='au', first_clip=8)
  other = parameters.sample_clip_parameters(4, 4, 5, group='au')
  for name, array in leaves(many).items():
    np.testing.assert_array_equal(leaves(few)[name], array[:4], err_msg=name)
    np.testing.assert_array_equal(leaves(late)[name], array[8:], err_msg=name)
  assert not np.array_equal(few.channels, other.channels)
  assert not np.array_equal(few.traits['skin'], other.traits['skin'])


def test_posteriors_and_labels_do_not_depend_on_the_count():
  many = parameters.sample_clip_parameters(0, 9, 7)
  few = parameters.sample_clip_parameters(0, 2, 7)
  for name, array in parameters.posteriors(few).items():
    np.testing.assert_array_equal(parameters.posteriors(many)[name][:2], array)
  labels = parameters.draw_labels(many)
  for name, target in parameters.draw_labels(few).items():
    np.testing.assert_array_equal(labels[name].value[:2], target.value)


def test_zero_clips_have_the_shapes_of_some():
  some = leaves(parameters.sample_clip_parameters(0, 2, 3))
  none = leaves(parameters.sample_clip_parameters(0, 0, 3))
  for name, array in some.items():
    assert none[name].shape == (0, *array.shape[1:]), name
    assert none[name].dtype.kind == array.dtype.kind, name


def test_subjects_are_shared_by_groups_and_never_by_splits():
  def sample(split, group):
    return parameters.sample_clip_parameters(0, 8, 1, split=split, group=group)

  au, expr, val = (
    sample('train', 'au'),
    sample('train', 'expr'),
    sample('v', ''),
  )
  assert len(set(au.subject_id)) == 2
  np.testing.assert_array_equal(au.subject_id, expr.subject_id)
  np.testing.assert_array_equal(au.traits['skin'], expr.traits['skin'])
  assert not np.array_equal(au.channels, expr.channels)
  assert not set(au.subject_id) & set(val.subject_id)
  # The four clips of a subject differ in everything but the person.
  assert len(np.unique(au.traits['nose_width'])) == 2
  assert len(np.unique(au.traits['light_x'])) == 8


def test_long_videos_are_smooth_and_eventful():
  params = parameters.sample_clip_parameters(1, 3, 1000, frame_rate=30)
  channels = params.channels
  assert channels.shape == (3, 1000, 15)
  assert channels.min() >= 0
  assert channels.max() <= 1
  # The fastest onset takes 0.22 of a second, 6.6 frames; speech is as fast.
  assert np.abs(np.diff(channels, axis=1)).max() < 0.4
  expressions = parameters.posteriors(params)['expr'].argmax(-1)
  assert all(len(np.unique(clip)) >= 3 for clip in expressions)


def test_balanced_sampling_changes_frequencies_but_not_meaning():
  def frequency(imbalance):
    params = parameters.sample_clip_parameters(
      0, 600, 2, frame_rate=1, imbalance=imbalance
    )
    return params, parameters.posteriors(params)['expr'].mean((0, 1))

  (_, uneven), (params, even) = frequency(True), frequency(False)
  assert even.max() / even.min() < 4 < 8 < uneven.max() / uneven.min()
  np.testing.assert_array_equal(
    parameters.posteriors(params)['expr'],
    annotator.posteriors(
      params.channels.astype(float),
      np.repeat(params.visible[:, None], 2, 1).astype(float),
      np.repeat(params.clarity[:, None], 2, 1).astype(float),
    )['expr'],
  )


def test_label_frequencies_are_those_of_the_paper():
  """Class weights of paper 000, appendix A: neg / pos and 1 / frequency."""
  params = parameters.sample_clip_parameters(5, 1500, 2, frame_rate=0.5)
  truth = parameters.posteriors(params)
  expr = 1 / np.array([2.5, 25, 40, 33, 4, 5.88, 12.5])
  found = truth['expr'].mean((0, 1))
  np.testing.assert_allclose(found, expr / expr.sum(), rtol=0.25, atol=0.012)
  found = truth['au'].mean((0, 1))
  np.testing.assert_allclose(
    found, annotator.AU_PREVALENCE, rtol=0.15, atol=0.012
  )


def test_talking_moves_the_mouth():
  times = np.arange(300) / 30
  still = np.zeros((300, 7))
  rng = np.random.default_rng(0)
  talk, syllables = affect.speech(rng, times, still, rate=1.0)
  args = still, np.zeros((300, 12))
  silent = affect.combine(*args, 0 * talk, syllables, np.ones(15))
  talking = affect.combine(*args, talk, syllables, np.ones(15))
  assert not silent.any()
  moved = talking.max(0) > 0.05
  names = {name for name, m in zip(affect.CHANNELS, moved) if m}
  assert names == {'AU25', 'AU26'}
  aroused = still.copy()
  aroused[:, 6] = 1  # surprise
  _, faster = affect.speech(np.random.default_rng(0), times, aroused, rate=1.0)
  assert faster[-1] - faster[0] > 1.2 * (syllables[-1] - syllables[0])


@pytest.mark.parametrize(
  'arguments', [(0, -1, 4), (0, 2, 0)], ids=['clips', 'frames']
)
def test_bad_counts_are_errors(arguments):
  with pytest.raises(ValueError, match='expected num_clips >= 0'):
    parameters.sample_clip_parameters(*arguments)
  with pytest.raises(ValueError, match='frame_rate > 0, got 1, 1 and 0'):
    parameters.sample_clip_parameters(0, 1, 1, frame_rate=0)
