"""Batch plans: without replacement, a fresh order for everyone, no surprises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.engine import plan

GROUPS = [np.arange(0, 7), np.arange(10, 16), np.arange(12, 40)]


def columns(drawn, group: int, clips_per_group: int) -> np.ndarray:
  """What an epoch took of one group, in order."""
  start = group * clips_per_group
  return drawn[:, start : start + clips_per_group].reshape(-1)


@st.composite
def problems(draw):
  """Disjoint groups, and an epoch that may exhaust some of them."""
  sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
  ends = np.cumsum(sizes)
  groups = [np.arange(e - s, e) for s, e in zip(sizes, ends, strict=True)]
  steps, per_group = draw(st.integers(1, 8)), draw(st.integers(1, 5))
  return groups, steps, per_group, draw(st.integers(0, 2**31))


@settings(deadline=None, max_examples=60)
@given(problems())
def test_each_group_is_read_round_by_round(problem):
  groups, steps, per_group, seed = problem
  drawn = plan.epoch_plan((seed,), groups, steps, per_group)
  assert drawn.shape == (steps, len(groups) * per_group)
  assert drawn.dtype == np.int32
  for g, group in enumerate(groups):
    order = columns(drawn, g, per_group)
    for start in range(0, len(order), len(group)):
      part = order[start : start + len(group)]
      assert len(set(part)) == len(part)  # without replacement
      assert set(part) <= set(group)
      if len(part) == len(group):
        assert set(part) == set(group)  # a whole round leaves nobody out


def test_every_clip_once_where_it_divides():
  group = np.arange(5, 17)
  drawn = plan.epoch_plan((0, 1, 2, 3), [group], steps=4, clips_per_group=3)
  np.testing.assert_array_equal(np.sort(drawn.reshape(-1)), group)


def test_exhausted_group_is_shuffled_again():
  group = np.arange(8)
  drawn = plan.epoch_plan((0,), [group, np.arange(100)], 6, 4)
  rounds = columns(drawn, 0, 4).reshape(3, 8)
  np.testing.assert_array_equal(np.sort(rounds), np.tile(group, (3, 1)))
  assert len({tuple(r) for r in rounds}) == 3


def test_order_is_uniform():
  # Each of 6 clips comes first in a sixth of 3000 epochs.
  first = [
    plan.epoch_plan((0, i), [np.arange(6)], 1, 1)[0, 0] for i in range(3000)
  ]
  counts = np.bincount(first, minlength=6)
  assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


def test_plan_depends_on_seed_generation_member_and_epoch():
  base = (0, 0, 0, 0)
  drawn = {
    seed: plan.epoch_plan(seed, GROUPS, 3, 2).tobytes()
    for seed in (base, *(tuple(np.eye(4, dtype=int)[i]) for i in range(4)))
  }
  assert len(set(drawn.values())) == 5
  assert plan.epoch_plan(base, GROUPS, 3, 2).tobytes() == drawn[base]


def test_a_members_epoch_does_not_depend_on_the_others():
  whole = plan.stack_plan(3, 1, range(4), range(5), GROUPS, 3, 2)
  assert whole.shape == (4, 5, 3, 6)
  part = plan.stack_plan(3, 1, [2], range(3, 5), GROUPS, 3, 2)
  np.testing.assert_array_equal(part[0], whole[2, 3:])


def test_groups_do_not_mix():
  drawn = plan.stack_plan(0, 0, range(2), range(2), GROUPS, 3, 2)
  for g, group in enumerate(GROUPS):
    assert np.isin(drawn[..., 2 * g : 2 * g + 2], group).all()


def test_no_epoch_is_an_empty_plan():
  drawn = plan.stack_plan(0, 0, range(2), range(4, 4), GROUPS, 3, 2)
  assert drawn.shape == (2, 0, 3, 6)


@pytest.mark.parametrize(('clips', 'steps'), [(1, 6), (2, 3), (4, 1), (6, 1)])
def test_steps_until_the_smallest_group_is_used_up(clips, steps):
  assert plan.steps_per_epoch(GROUPS, clips) == steps


def test_too_few_clips_for_one_batch():
  with pytest.raises(ValueError, match=r'6 clips.*takes 7.*config.train'):
    plan.steps_per_epoch(GROUPS, 7)
  names = [f'task{i}' for i in range(len(GROUPS))]
  smallest = names[int(np.argmin([len(group) for group in GROUPS]))]
  with pytest.raises(ValueError, match=rf'subset \({smallest}\) has'):
    plan.steps_per_epoch(GROUPS, 7, names)
