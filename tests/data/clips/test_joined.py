"""Joined sources: the clips of each under one numbering and schema."""

import dataclasses

import numpy as np
import pytest

from emojax import tasks
from emojax.data.clips import joined, pipeline
from emojax.data.clips.clips import Clips


def _faces(count, seed=0, classes=7):
  """Stills of another data set with expressions only."""
  rng = np.random.default_rng(seed)
  hot = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, (count, 1))]
  return Clips(
    image=rng.integers(0, 256, (count, 1, 32, 32, 3), dtype=np.uint8),
    audio=None,
    targets={'expr': tasks.Target(hot, np.ones((count, 1), np.float32))},
    frame_mask=np.ones((count, 1), np.float32),
    clip_id=np.array([f'{i}' for i in range(count)]),
    subject_id=np.array([f'{i}' for i in range(count)]),
  )


@pytest.fixture(scope='module')
def sources(affwild2_store):
  stored = pipeline.open_clips(affwild2_store, 'train')
  stored.has_audio = False  # stills have no sound
  return {'affwild2': stored, 'expw': _faces(9)}


@pytest.mark.slow
def test_clips_are_those_of_their_sources(sources):
  both = joined.JoinedClips(sources, tasks.ABAW2021)
  first = len(sources['affwild2'])
  assert len(both) == first + 9
  assert both.offset == {'affwild2': 0, 'expw': first}
  clips = both.take([first + 2, 5, first])
  clips.check(tasks.ABAW2021)
  np.testing.assert_array_equal(
    clips.image,
    np.concatenate(
      [
        sources['expw'].image[[2]],
        sources['affwild2'].take([5]).image,
        sources['expw'].image[[0]],
      ]
    ),
  )
  assert clips.clip_id[0] == 'expw/2'
  assert clips.clip_id[1] == 'affwild2/' + sources['affwild2'].clip_id[5]
  for task in ('au', 'va'):
    assert not clips.targets[task].mask[[0, 2]].any()
  for task in both.targets:
    np.testing.assert_array_equal(
      clips.targets[task].value, both.targets[task].value[[first + 2, 5, first]]
    )


def test_groups_join_the_subsets_of_a_task(sources):
  both = joined.JoinedClips(sources, tasks.ABAW2021)
  stored = sources['affwild2']
  group = both.group(
    {'affwild2': stored.groups['expr'][::10], 'expw': np.arange(9)}
  )
  assert group.dtype == np.int32
  assert both.targets['expr'].mask[group].all()
  assert len(group) == len(stored.groups['expr'][::10]) + 9


def test_sources_that_do_not_fit_are_named(sources):
  with pytest.raises(ValueError, match="'fer': task 'expr' has 8 labels"):
    joined.JoinedClips({'fer': _faces(3, classes=8)}, tasks.ABAW2021)
  with pytest.raises(ValueError, match='no such task'):
    joined.JoinedClips(sources, (tasks.expr_task(),))
  long = _faces(4)
  long = dataclasses.replace(long, frame_mask=np.ones((4, 2), np.float32))
  with pytest.raises(ValueError, match=r"different lengths.*'expw': 1"):
    joined.JoinedClips({**sources, 'long': long}, tasks.ABAW2021)
