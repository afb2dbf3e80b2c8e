"""Clips and Dataset: selection, joining, and errors that name the array."""

import dataclasses

import numpy as np
import pytest

from emojax import tasks
from emojax.data.clips import clips as clips_lib

SCHEMA = tasks.ABAW2021


def make_clips(count=3, length=2, size=8, prefix='a', audio=False):
  shape = (count, length)
  targets = tasks.empty_targets(SCHEMA, shape)
  targets['expr'].value[..., 2] = 1
  targets['expr'].mask[:] = 1
  rng = np.random.default_rng(0)
  return clips_lib.Clips(
    image=rng.integers(0, 255, (*shape, size, size, 3)).astype(np.uint8),
    audio=np.zeros((*shape, 64, 64), np.float32) if audio else None,
    targets=targets,
    frame_mask=np.ones(shape, np.float32),
    clip_id=np.array([f'{prefix}{i}' for i in range(count)]),
    subject_id=np.array([f'{prefix}-person{i}' for i in range(count)]),
    truth={
      'au': np.full((*shape, 12), 0.5, np.float32),
      'expr': np.full((*shape, 7), 1 / 7, np.float32),
      'va': np.full((*shape, 2, 20), 1 / 20, np.float32),
    },
  )


def test_take_selects_every_array_in_order():
  clips = make_clips(4, audio=True)
  clips.audio[2] = 7
  taken = clips.take(np.array([2, 0]))
  assert taken.clip_id.tolist() == ['a2', 'a0']
  np.testing.assert_array_equal(taken.image, clips.image[[2, 0]])
  assert (taken.audio[0] == 7).all()
  assert not taken.audio[1].any()
  assert taken.targets['va'].value.shape == (2, 2, 2)
  assert taken.truth['va'].shape == (2, 2, 2, 20)
  assert len(clips.take(clips.clip_id == 'a1')) == 1
  taken.check(SCHEMA)


def test_counts_leave_out_padding():
  clips = make_clips(3, 5)
  clips.frame_mask[0, 3:] = 0
  assert (len(clips), clips.clip_length, clips.num_frames) == (3, 5, 13)


def test_concatenate_is_inverse_of_take():
  clips = make_clips(4, audio=True)
  joined = clips_lib.concatenate(
    [clips.take(slice(0, 1)), clips.take(slice(1, 4))]
  )
  np.testing.assert_array_equal(joined.image, clips.image)
  np.testing.assert_array_equal(joined.audio, clips.audio)
  assert joined.clip_id.tolist() == clips.clip_id.tolist()
  assert list(joined.targets) == list(clips.targets)
  joined.check(SCHEMA)


def test_concatenate_rejects_partial_truth():
  clips = make_clips()
  with pytest.raises(ValueError, match='only some of the parts have truth'):
    clips_lib.concatenate([clips, dataclasses.replace(clips, truth=None)])
  with pytest.raises(ValueError, match='at least one'):
    clips_lib.concatenate([])


def test_votes_follow_their_clips():
  votes = np.arange(60, dtype=np.float32).reshape(3, 2, 10)
  clips = dataclasses.replace(make_clips(), votes=votes)
  np.testing.assert_array_equal(clips.take([2, 0]).votes, votes[[2, 0]])
  joined = clips_lib.concatenate([clips.take([0]), clips.take([1, 2])])
  np.testing.assert_array_equal(joined.check(SCHEMA).votes, votes)
  with pytest.raises(ValueError, match=r'clips\.votes: expected shape'):
    dataclasses.replace(clips, votes=votes[:2]).check(SCHEMA)


def _float_image(clips):
  return dataclasses.replace(clips, image=clips.image / np.float32(255))


def _short_mask(clips):
  return dataclasses.replace(clips, frame_mask=clips.frame_mask[:, :1])


def _soft_mask(clips):
  clips.targets['au'].mask[0, 0, 3] = 0.5
  return clips


def _nan_label(clips):
  clips.targets['va'].value[1, 0, 1] = np.nan
  return clips


def _sentinel(clips):
  clips.targets['va'].value[1, 0, 1] = -5
  clips.targets['va'].mask[1, 0, 1] = 1
  return clips


def _no_class(clips):
  clips.targets['expr'].value[2] = 0
  return clips


def _no_task(clips):
  del clips.targets['va']
  return clips


def _same_name(clips):
  return clips_lib.concatenate([clips, clips])


def _bad_audio(clips):
  return dataclasses.replace(clips, audio=np.zeros((3, 2, 64), np.float32))


def _bad_truth(clips):
  clips.truth['va'][0, 0, 0, 0] = 0.9
  return clips


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (_float_image, r'clips\.image: expected uint8'),
    (_short_mask, r'clips\.frame_mask: expected shape \(3, 2\)'),
    (_soft_mask, r"targets\['au'\]\.mask: expected only 0 and 1"),
    (_nan_label, r"targets\['va'\]\.value: expected finite numbers, found 1 N"),
    (_sentinel, r"targets\['va'\]\.value: expected values in \[-1, 1\]"),
    (_no_class, r"targets\['expr'\]\.value: expected distributions"),
    (_no_task, r"clips\.targets has tasks \['au', 'expr'\]"),
    (_same_name, r'clips\.clip_id: expected unique names, found repeated'),
    (_bad_audio, r'clips\.audio: expected shape \(3, 2, 64, 64\)'),
    (_bad_truth, r"clips\.truth\['va'\]: expected distributions"),
  ],
)
def test_check_names_what_is_wrong(change, message):
  make_clips().check(SCHEMA)
  with pytest.raises(ValueError, match=message):
    change(make_clips()).check(SCHEMA)


def test_masked_labels_may_hold_anything_in_range_or_not():
  clips = make_clips()
  clips.targets['au'].value[0] = 0.3
  clips.targets['va'].value[0] = -5  # mask 0
  clips.check(SCHEMA)


def make_dataset(**changes):
  data = clips_lib.Dataset(
    train=make_clips(3, prefix='train'),
    groups={'expr': np.arange(3, dtype=np.int32)},
    val=make_clips(2, prefix='val'),
    test=make_clips(2, prefix='test'),
    ood={},
    schema=SCHEMA,
    name='tiny',
  )
  return dataclasses.replace(data, **changes)


def test_dataset_check_names_the_split():
  make_dataset().check()
  with pytest.raises(ValueError, match=r'tiny, val: clips\.image'):
    make_dataset(val=_float_image(make_clips(2))).check()
  with pytest.raises(ValueError, match=r"tiny, ood\['x'\]: clips\.targets"):
    make_dataset(ood={'x': _no_task(make_clips())}).check()


def test_dataset_check_finds_bad_groups():
  with pytest.raises(ValueError, match=r"groups\['au'\]: expected int32"):
    make_dataset(groups={'au': np.arange(3.0)}).check()
  with pytest.raises(ValueError, match=r'indices in \[0, 3\), found \[0, 3\]'):
    make_dataset(groups={'au': np.arange(4, dtype=np.int32)}).check()


def test_dataset_check_finds_shared_subjects():
  with pytest.raises(ValueError, match='train and test share subjects'):
    make_dataset(test=make_clips(1, prefix='train')).check()
