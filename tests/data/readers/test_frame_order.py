"""Numbers of frames when any of them are lost."""

import hypothesis
from hypothesis import strategies as st

from emojax.data.readers.files.frame_order import FrameOrder


@st.composite
def streams(draw):
  """Stamps in order of decoding, and which of their frames are lost."""
  steps = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=40))
  first = draw(st.integers(-500, 500))
  stamps = [first + sum(steps[:i]) for i in range(len(steps))]
  groups, left = [], stamps
  while left:  # each group begins with the frame that the others are made of
    size = draw(st.integers(1, 4))
    group, left = left[:size], left[size:]
    groups += [group[-1], *group[:-1]]
  lost = draw(st.sets(st.sampled_from(stamps)))
  return stamps, groups, lost


@hypothesis.given(streams())
def test_numbers_are_those_of_the_display(found):
  stamps, decoded, lost = found
  order, seen, missing, out = FrameOrder(), [], [], 0
  for i, stamp in enumerate(decoded):
    order.expect(stamp, None)
    while out < len(stamps) and {*stamps[: out + 1]} <= {*decoded[: i + 1]}:
      if stamps[out] not in lost:
        before, own = order.take(stamps[out])
        missing += before
        seen.append(own)
      out += 1
    waiting = {*decoded[: i + 1]} - {stamp for _, stamp in seen + missing}
    assert {*order._waiting} == waiting  # nothing else is held
  missing += order.rest()
  numbers = list(enumerate(stamps))
  assert seen == [n for n in numbers if n[1] not in lost]
  assert missing == [n for n in numbers if n[1] in lost]
  assert order.origin == stamps[0]


def test_frames_without_stamps_are_counted():
  order = FrameOrder()
  for _ in range(3):
    order.expect(None, None)
  assert order.take(None) == ([], (0, 0))
  assert order.take(9000) == ([], (1, 1))
  assert order.counted
  assert order.rest() == [(2, 2)]


def test_frames_that_come_late_are_none():
  order = FrameOrder()
  for stamp in (0, 40, 80):
    order.expect(stamp, stamp)
  assert order.take(40) == ([(0, 0)], (1, 40))
  assert order.take(0) == ([], None)
  assert order.take(80) == ([], (2, 80))
  assert order.take(120) == ([], None)


def test_a_stamp_of_no_packet_is_the_frame_before():
  order = FrameOrder()
  for stamp in (0, 40, 80):
    order.expect(stamp, stamp)
  assert order.take(41) == ([(0, 0)], (1, 40))
