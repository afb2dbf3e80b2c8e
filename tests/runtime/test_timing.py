"""Timings of a run and of its resumption."""

import pytest

from emojax.runtime import timing


@pytest.fixture
def clock(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(timing.time, 'monotonic', lambda: now[0])
  return now


def test_adds_over_laps_and_sittings(clock, tmp_path):
  path = tmp_path / 'timings.json'
  timings = timing.Timings(path)
  timings.start('Tea')
  clock[0] += 2
  timings.lap()
  clock[0] += 3.04
  timings.lap()
  clock[0] += 50  # lost: no lap
  resumed = timing.Timings(path)
  assert resumed.rounded() == {'Tea': 5.0}
  resumed.start('Tea')
  clock[0] += 1
  resumed.lap()
  resumed.start('Stu1')
  clock[0] += 7
  resumed.lap()
  assert timing.Timings(path).rounded() == {'Tea': 6.0, 'Stu1': 7.0}


def test_what_is_not_begun_has_no_time(tmp_path):
  assert timing.Timings(tmp_path / 'none.json').rounded() == {}


def test_a_lap_of_nothing_is_no_time(clock, tmp_path):
  """It would be the machine's, since it was started."""
  with pytest.raises(RuntimeError, match='before start'):
    timing.Timings(tmp_path / 'timings.json').lap()
  assert not (tmp_path / 'timings.json').exists()
