"""benchmarks/one_network.py: finished runs to the frontier of a page."""

import json
import math

import numpy as np
import pytest
import small_run

from benchmarks import one_network as page
from benchmarks import one_network_cost as costs
from emojax import models, tasks
from emojax.models import count

SCHEMA = tasks.ABAW2021


def truth(value):
  one = {'kl': value, 'spearman_total': value / 2}
  both = dict.fromkeys(('au', 'expr', 'va'), one)
  return {'single_mean': both, 'ensemble': both}


def generation(value, passes):
  """Scores `value`; half of it after prior correction."""
  metrics = {'au/nll': value, 'expr/nll': value + 1}
  half = {'au/nll': value / 2, 'expr/nll': (value + 1) / 2}
  return {
    'single_mean': metrics,
    'ensemble': metrics,
    'truth': truth(value),
    'ood': {'digits': {'ensemble/epistemic': 0.9, 'mc/epistemic': value / 10}},
    'mc': {'passes': passes} if passes else None,
    'pc': {'mean': half, 'ensemble': half, 'truth': truth(value / 2)},
  }


def finished(path, kind, seed=0, value=2.0, improving=(), **changes):
  """A folder with what a run has written of its settings and its scores."""
  config = small_run.config(
    distill__method=kind, seed=seed, data__seed=seed, ensemble__size=3,
    model__name='emenet_v', **changes,
  )  # fmt: skip
  results = {
    'names': ['Tea', 'Stu1'],
    'generations': {
      'Tea': generation(1 + seed, 0),
      'Stu1': generation(value, 4),
    },
    'optimum': {'metrics': {'au/nll': 0.25, 'expr/nll': 0.5}},
    'schema': [task.to_json() for task in SCHEMA],
    'validity': {'improving': list(improving)},
  }
  path.mkdir()
  stored = {'config': config.to_dict()}
  (path / 'config.json').write_text(json.dumps(stored))
  (path / 'results.json').write_text(json.dumps(results))
  return path


def test_every_way_to_answer_has_a_row_and_teachers_only_one(tmp_path):
  paths = [
    finished(tmp_path / 'mean', 'mean'),
    finished(tmp_path / 'hydra', 'hydra', value=4.0),
    finished(tmp_path / 'second', 'hydra', seed=1, value=6.0),
  ]
  made = page.rows([page.read(path) for path in paths])
  found = {way.name: entries for way, entries in made.items()}
  assert list(found) == [
    'one teacher', 'all teachers (T = 3)', 'mean', 'mean + dropout passes',
    'hydra',
  ]  # fmt: skip
  assert [len(x) for x in found.values()] == [2, 2, 1, 1, 2]
  # Prior correction halves everything, and the optimum is what cannot be less.
  assert found['mean'][0]['au/nll'] == 1 - 0.25
  assert found['mean'][0]['expr/nll'] == 1.5 - 0.5
  assert [one['au/kl'] for one in found['hydra']] == [2, 3]
  assert [one['ood/digits'] for one in found['hydra']] == [0.4, 0.6]
  assert found['mean'][0]['ood/digits'] is None  # it does not disagree
  assert found['all teachers (T = 3)'][1]['ood/digits'] == 0.9


def test_votes_are_the_truth_where_there_are_any(tmp_path):
  path = finished(tmp_path / 'run', 'credal')
  results = json.loads((path / 'results.json').read_text())
  results['votes'] = {
    'rows': {
      f'{name} {kind}': {
        'mean': {'vote/kl': value, 'vote/spearman/total': value / 2}
      }
      for name, value in (('Tea', 0.4), ('Stu1', 0.3))
      for kind in ('single', 'ensemble')
    }
  }
  (path / 'results.json').write_text(json.dumps(results))
  made = page.rows([page.read(path)])
  found = {way.name: entries[0] for way, entries in made.items()}
  assert found['credal'] == {'kl': 0.3, 'spearman': 0.15, 'ood/digits': 0.2}
  assert found['one teacher']['kl'] == 0.4


def test_runs_of_other_settings_are_not_compared(tmp_path):
  first = page.read(finished(tmp_path / 'first', 'mean'))
  same = finished(tmp_path / 'same', 'beta', seed=3, distill__students=1)
  page.check([first, page.read(same)])
  other = finished(tmp_path / 'other', 'mean', train__epochs=9)
  with pytest.raises(ValueError, match=r'differ in train\.epochs:'):
    page.check([first, page.read(other)])
  (same / 'results.json').unlink()
  with pytest.raises(ValueError, match='no finished run'):
    page.read(same)


@pytest.mark.slow
def test_costs_are_counted(tmp_path):
  config = page.read(finished(tmp_path / 'run', 'mean')).config

  def macs(kind, members, samples):
    way = costs.Way('', kind, members, samples)
    return costs.cost(way, config, SCHEMA, timed=False).macs

  one = macs('', 1, 0)
  model = models.from_config(config, SCHEMA)
  np.testing.assert_allclose(one, count.count(model).macs, rtol=1e-3)
  assert macs('', 3, 0) == 3 * one
  # Passes share the trunk; heads are all that a Hydra has more of.
  assert one < macs('mean', 1, 4) < 4 * one
  assert one < macs('dirichlet', 1, 4) < macs('hydra', 1, 3) < 3 * one


@pytest.mark.slow
def test_the_page_is_written_between_its_markers(tmp_path, capsys):
  runs = [
    finished(tmp_path / 'mean', 'mean', improving=['Tea']),
    finished(tmp_path / 'credal', 'credal'),
  ]
  out, figure = tmp_path / 'page.md', tmp_path / 'figure.png'
  out.write_text(
    'before\n\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n'
  )
  page.main(
    [*map(str, runs), '--out', str(out), '--figure', str(figure), '--no-time']
  )
  text = out.read_text()
  assert text.startswith('before')
  assert text.endswith('after\n')
  assert 'old' not in text
  lines = [line for line in text.splitlines() if line.startswith('| credal')]
  assert lines[0].split(' | ')[1:5] == ['1', '0.750', '1.000', '1.000']
  assert 'seed 0, mean: still improving when training ended: Tea' in text
  assert figure.read_bytes().startswith(b'\x89PNG')
  section = ['--out', str(out), '--section', 'FER+', '--no-time']
  with pytest.raises(SystemExit):
    page.main([*map(str, runs), *section])
  assert 'no lines <!-- tables of FER+ -->' in capsys.readouterr().err
  assert out.read_text() == text
  out.write_text(
    text + '<!-- tables of FER+ -->\n<!-- end of tables of FER+ -->\n'
  )
  page.main([*map(str, runs), *section])
  assert out.read_text().startswith(text)
  assert out.read_text().count('| credal') == 2
  with pytest.raises(SystemExit):
    page.main([str(tmp_path / 'nothing'), '--no-time'])
  assert 'is no finished run' in capsys.readouterr().err


def test_cells_have_the_spread_of_the_runs():
  assert page.cell([1.0]) == '1.000'
  assert page.cell([1.0, 2.0]) == f'1.500 ± {math.sqrt(0.5):.3f}'
  assert page.cell([1.0, None]) == '–'
