"""Frames hidden in runs: labels of the clip, pictures of nothing, known optima."""

import dataclasses
import hashlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from benchmarks import hidden_frames as oracles
from emojax import tasks
from emojax.data import embedded
from emojax.data.embedded import hidden, parameters, voice
from emojax.evaluation import context

SMALL = dict(seed=1, size=32, clip_length=12, num_val=3, num_test=4, num_ood=1)
SMALL |= dict(num_train={'full': 2})


@pytest.fixture(scope='module')
def both():
  return embedded.make(**SMALL), embedded.make(**SMALL, hidden=0.5)


@pytest.fixture(scope='module')
def many():
  params = parameters.sample_clip_parameters(5, 240, 24, frame_rate=7.5)
  return params, hidden.sample(params, 0.5), parameters.posteriors(params)


def nll(p, truth, where):
  """Expected NLL of expressions, in nats."""
  return oracles.expected_nll(p[where], truth[where])


def test_default_data_and_voices_are_those_of_before():
  data = embedded.make(
    seed=3,
    size=32,
    clip_length=3,
    num_train={'au': 2, 'shared': 2, 'balanced_va': 1},
    num_val=1,
    num_test=2,
    num_ood=1,
    eval_clip_length=5,
  )
  digest = hashlib.sha256()
  for clips in (data.train, data.val, data.test):
    digest.update(clips.image.tobytes())
    for name in sorted(clips.targets):
      digest.update(clips.targets[name].value.tobytes())
    for name in sorted(clips.targets):
      rounded = np.round(clips.truth[name].astype(float), 4)
      digest.update(rounded.astype(np.float32).tobytes())
    assert clips.frame_truth is None
  assert digest.hexdigest().startswith('5f825751ee354d21e1662f3e1bc5c784')
  params = parameters.sample_clip_parameters(3, 2, 4, frame_rate=7.5)
  sound = np.round(voice.waveform(params), 4).tobytes()
  found = hashlib.sha256(sound).hexdigest()
  assert found.startswith('918c1c16e421cf5c70f8be7288d91d91')


def test_labels_and_posteriors_are_the_clips(both):
  plain, gaps = both
  gaps.check()
  for split in ('train', 'val', 'test'):
    one, other = getattr(plain, split), getattr(gaps, split)
    for name, target in one.targets.items():
      np.testing.assert_array_equal(other.targets[name].value, target.value)
      np.testing.assert_array_equal(other.truth[name], one.truth[name])
    changed = (one.image != other.image).any((2, 3, 4))
    assert 0.1 < changed.mean() < 0.9, split
    same = (other.frame_truth or other.truth)['expr'] == other.truth['expr']
    if split != 'train':
      np.testing.assert_array_equal(same.all(-1), ~changed)


def test_a_hidden_picture_depends_on_no_action(many):
  gaps = many[1]
  some = parameters.sample_clip_parameters(5, 3, 24, frame_rate=7.5)
  gaps = hidden.Hidden(gaps.frames[:3], gaps.blurred[:3])
  other = dataclasses.replace(some, channels=1 - some.channels)
  images = [embedded.render(p, 32) for p in (some, other)]
  for image, p in zip(images, (some, other)):
    hidden.hide(image, p, gaps)
  same = (images[0] == images[1]).all((2, 3, 4))
  np.testing.assert_array_equal(same, gaps.frames)


@hypothesis.given(st.floats(0.1, 0.9), st.integers(0, 2**20))
@hypothesis.settings(max_examples=15, deadline=None)
def test_shares_and_runs(share, seed):
  times = np.arange(4000) / 7.5
  rng = parameters.generator(seed, 'test')
  inside, blurred = hidden._runs(rng, times, share)
  assert abs(inside.mean() - share) < 0.12
  assert not (blurred & ~inside).any()
  edges = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]])))
  lengths = (edges[1::2] - edges[::2])[1:-1]
  assert lengths.min() >= int(0.4 * 7.5)
  # Runs that follow each other within a frame are one.
  assert share > 0.8 or lengths.mean() < 1.5 * 7.5


def test_every_frame_of_a_clip_is_hidden_equally_often(many):
  _, gaps, _ = many
  assert (np.abs(gaps.frames.mean(0) - 0.5) < 0.15).all()
  few = parameters.sample_clip_parameters(5, 2, 24, frame_rate=7.5)
  np.testing.assert_array_equal(hidden.sample(few, 0.5).frames, gaps.frames[:2])


def test_the_frame_optimum_is_the_prior_of_hidden_frames(many):
  params, gaps, truth = many
  alone = hidden.frame_posteriors(params, gaps, truth, samples=400)
  seen = ~gaps.frames
  for name, p in truth.items():
    np.testing.assert_array_equal(alone[name][seen], p[seen])
    # Means over other clips and over these agree.
    gap = alone[name][gaps.frames].mean(0) - p[gaps.frames].mean(0)
    assert np.abs(gap).max() < 0.1, name
  worse = nll(alone['expr'], truth['expr'], gaps.frames)
  best = nll(truth['expr'], truth['expr'], gaps.frames)
  marginal = truth['expr'].mean((0, 1))
  entropy = -(marginal * np.log(marginal)).sum()
  assert best + 0.5 < worse < entropy + 0.25


@pytest.mark.parametrize('name', ['visible', 'clarity'])
def test_hidden_frames_have_the_prior_of_their_own_scene(many, name):
  params, gaps, truth = many
  last = int(np.flatnonzero(gaps.frames.any(1))[-1])
  scene = getattr(params, name).copy()
  scene[last] *= 0.5
  other = dataclasses.replace(params, **{name: scene})
  found = [
    hidden.frame_posteriors(p, gaps, truth, samples=50) for p in (params, other)
  ]
  same = np.logical_and.reduce(
    [
      (a == b).reshape(*gaps.frames.shape, -1).all(-1)
      for a, b in zip(*(one.values() for one in found))
    ]
  )
  expected = np.zeros_like(gaps.frames)
  expected[last] = gaps.frames[last]
  np.testing.assert_array_equal(~same, expected)


def test_memory_can_do_better_than_any_single_frame(many):
  params, gaps, truth = many
  alone = hidden.frame_posteriors(params, gaps, truth, samples=400)['expr']
  fit = np.arange(len(gaps.frames)) < len(gaps.frames) // 2
  answer = oracles.with_memory(gaps, truth['expr'], alone, fit)
  held_out = gaps.frames & ~fit[:, None]
  found = nll(answer, truth['expr'], held_out)
  assert found < nll(alone, truth['expr'], held_out) - 0.2
  assert found > nll(truth['expr'], truth['expr'], held_out)


@pytest.mark.slow
def test_a_voice_can_tell_what_is_hidden():
  params = parameters.sample_clip_parameters(6, 120, 8, frame_rate=7.5)
  gaps = hidden.sample(params, 0.6)
  truth = parameters.posteriors(params)['va']
  arousal = (truth[:, :, 1] * tasks.bin_values()).sum(-1)[gaps.frames]
  clip = np.broadcast_to(np.arange(120)[:, None], gaps.frames.shape)
  fit = clip[gaps.frames] < 80
  left = {}
  for kind, sound in (
    ('face', voice.waveform(params)),
    ('hidden', voice.waveform(hidden.spoken(params, gaps), clear=True)),
  ):
    features = oracles.band_energies(sound, 8)[gaps.frames]
    error = (oracles.ridge(features, arousal, fit) - arousal)[~fit]
    left[kind] = (error**2).mean() / arousal[~fit].var()
  assert left['hidden'] < 0.75  # 1 is what a silent frame leaves
  assert left['hidden'] < left['face'] - 0.1


def test_voices_leave_frames_that_are_seen_as_they_are(many):
  params, gaps, _ = many
  spoken = hidden.spoken(params, gaps)
  before, after = params.motion['talk'], spoken.motion['talk']
  np.testing.assert_array_equal(after[~gaps.frames], before[~gaps.frames])
  assert (after[gaps.frames] == 1).all()
  np.testing.assert_array_equal(spoken.channels, params.channels)


def test_both_optima_are_scored(both):
  plain, gaps = (
    context.make(tasks.ABAW2021, data, 0, None, 'test') for data in both
  )
  assert plain.frame_optimum is None
  assert gaps.optimum == plain.optimum
  for task in ('au', 'expr', 'va'):
    alone = gaps.frame_optimum['entropy'][task]
    assert alone > gaps.optimum['entropy'][task] + 0.02, task


def test_bad_arguments_are_named(many):
  params, few = many[0], parameters.sample_clip_parameters(1, 1, 2)
  with pytest.raises(ValueError, match=r'hidden: expected a share in \[0, 1\)'):
    hidden.sample(params, 1.0)
  with pytest.raises(ValueError, match="voices 'loud': expected one of face"):
    embedded.make_clips(few, 32, 'log_mel', voices='loud')


def test_a_sheet_of_clips(tmp_path):
  path = tmp_path / 'clips.png'
  page = embedded.clip_sheet(size=32, clips=2, frames=6, path=path)
  plain = embedded.clip_sheet(size=32, clips=2, frames=6, hidden=0.0)
  assert page.shape == plain.shape == (2 * (14 + 32 + 2), 6 * 34, 3)
  assert (page != plain).any()
  assert path.stat().st_size > 1000
