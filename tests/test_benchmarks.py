"""What benchmarks say of their contenders."""

from benchmarks import tables, workers


def contender(name, samples, cold=False):
  made = workers.Contender(name, 'module:function', {'members': 1})
  made.samples, made.processor = samples, [2 * s for s in samples]
  made.cold, made.facts = cold, {'fresh_peak': True}
  return made


def cells(*contenders, rival='rival'):
  table = tables.comparison(
    'title', contenders, rival, 'frame', lambda c: 1, lambda c: 1
  )
  at = table.columns.index(f'vs {rival}')
  assert any('load average' in note for note in table.notes)
  return {row[0]: (row[1], row[2], row[at]) for row in table.rows}


def test_the_clock_the_processors_and_the_ratio_are_shown():
  found = cells(contender('one', [0.01]), contender('rival', [0.02]))
  assert found == {'one': ('10', '20', '2.00x'), 'rival': ('20', '40', '1.00x')}


def test_who_is_over_the_limit_has_no_ratio():
  slow = contender('slow', [30.0], cold=True)
  found = cells(slow, contender('rival', [0.02]))
  assert found['slow'][2] == tables.MISSING
  assert found['rival'][2] == '1.00x'


def test_nobody_is_compared_with_a_rival_over_the_limit():
  slow = contender('rival', [30.0], cold=True)
  found = cells(contender('one', [0.01]), slow)
  assert {ratio for _, _, ratio in found.values()} == {tables.MISSING}


def test_a_first_step_over_the_limit_is_marked(monkeypatch):
  made = workers.Contender('slow', 'module:function', {'members': 1})
  monkeypatch.setattr(made, '_time', lambda steps: 20.0)
  made.warm_up(1, limit=15)
  assert made.cold
  assert made.samples == [20.0]
  made = workers.Contender('quick', 'module:function', {'members': 1})
  monkeypatch.setattr(made, '_time', lambda steps: 2.0)
  made.warm_up(1, limit=15)
  assert not made.cold
  assert made.samples == []


def test_the_fastest_way_is_chosen(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(workers.time, 'perf_counter', lambda: now[0])

  def takes(seconds):
    def run():
      now[0] += seconds

    return run

  ways = {'slow': takes(3), 'quick': takes(1), 'other': takes(2)}
  assert workers.fastest(ways) == 'quick'
