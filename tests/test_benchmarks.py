"""What benchmarks say of their contenders."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from benchmarks import clock, products, step_cost, tables, workers


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


def test_processes_of_a_stage_are_counted():
  busy = 'import time\nwhile time.process_time() < 0.2: pass'
  with clock.Clock('stage', 1) as timed:
    subprocess.run([sys.executable, '-c', busy], check=True)
  assert timed.milliseconds >= 150


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


def test_products_are_those_of_the_program_as_often_as_they_run():
  def program(x, y):
    def body(carry, _):
      return jax.jit(jnp.matmul)(carry, y), None

    x, _ = jax.lax.scan(body, x, None, length=3)
    return jnp.einsum('bij,bkj->bik', x.reshape(2, 2, 8), jnp.ones((2, 5, 8)))

  made = jax.make_jaxpr(program)(jnp.ones((4, 8)), jnp.ones((8, 8)))
  found = list(products.traced(made.jaxpr))
  assert found == [(4, 8, 8, 3), (2, 8, 5, 2)]
  assert found[0].operations == 2 * 4 * 8 * 8 * 3


def test_streams_share_products_as_evenly_as_they_can():
  assert products._shared(5, 2) == [3, 2]
  assert products._shared(1, 2) == [1]
  of = {8: ['eight'], 3: ['three']}
  found = products._blocks(48, 19, of)
  assert found == [['eight'], ['eight'], ['three']]
  assert found[0] is found[1]  # with the same operands


@pytest.mark.parametrize(
  ('preset', 'names', 'minutes'),
  [
    ('cifar10h:hard', ['emenet_v'], 12.0),
    (
      'bayesian:converged-alexnet',
      ['alexnet-dropout', 'alexnet-dropconnect'],
      7.2,
    ),
    (
      'relative_uncertainty:small_fer2013',
      ['baseline', 'scn', 'dul', 'rul', 'rul_permutation'],
      7.2,
    ),
  ],
)
def test_what_a_network_of_a_preset_costs(
  preset, names, minutes, monkeypatch, capsys
):
  seen = []

  def measure(problem, *rest):
    seen.append(problem.name)
    return 0.002

  monkeypatch.setattr(step_cost, 'measure', measure)
  assert step_cost.main([preset, '--images', '9000', 'seed=1']) == 0
  assert seen == names
  if len(names) > 1:
    step_cost.main([preset, '--only', names[1]])
    assert seen == [*names, names[1]]
    with pytest.raises(ValueError, match='has none of nothing'):
      step_cost.main([preset, '--only=nothing'])
  assert capsys.readouterr().out.count(f'{minutes:.1f} │') == len(names)
