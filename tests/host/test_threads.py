"""Stages in threads: the order, the errors and the end are those of a loop."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.host import threads


@settings(max_examples=30, deadline=None)
@given(
  waits=st.lists(st.integers(0, 2), max_size=20),
  workers=st.integers(1, 4),
  ahead=st.integers(1, 6),
)
def test_results_come_in_order(waits, workers, ahead):
  def slow(item):
    i, wait = item
    time.sleep(wait / 1000)
    return i

  found = threads.mapped(slow, enumerate(waits), workers, ahead)
  assert list(found) == list(range(len(waits)))


def test_no_more_than_asked_are_ahead():
  made = []

  def values():
    for i in range(100):
      made.append(i)
      yield i

  found = threads.mapped(lambda x: x, values(), 2, 3)
  for expected in range(20):
    assert next(found) == expected
    time.sleep(0.002)
    # Three are ahead, and the next one waits for room.
    assert len(made) <= expected + 1 + 3 + 1
  found.close()


@pytest.mark.parametrize('where', ['value', 'function'])
@pytest.mark.parametrize('kind', [ValueError, KeyboardInterrupt])
def test_errors_come_where_they_belong(where, kind):
  def values():
    for i in range(9):
      if i == 5 and where == 'value':
        raise kind('five')
      yield i

  def function(i):
    if i == 5 and where == 'function':
      raise kind('five')
    return i

  found = threads.mapped(function, values(), 3, 8)
  assert [next(found) for _ in range(5)] == [0, 1, 2, 3, 4]
  with pytest.raises(kind, match='five'):
    next(found)


def test_closing_ends_the_threads_and_the_values():
  before, closed = threading.active_count(), []

  def values():
    try:
      i = 0
      while True:
        yield (i := i + 1)
    finally:
      closed.append(threading.current_thread())

  found = threads.mapped(lambda x: x, values(), 2, 2)
  assert next(found) == 1
  assert threading.active_count() > before
  found.close()
  assert threading.active_count() == before
  assert closed  # where a file is closed, it is by who has read it
  assert closed[0] is not threading.current_thread()


def test_stages_work_at_the_same_time():
  """Two calls wait for each other, which one after the other never would."""
  barrier = threading.Barrier(2, timeout=20)
  found = threads.mapped(lambda _: barrier.wait() >= 0, range(4), 2, 2)
  assert list(found) == [True] * 4
