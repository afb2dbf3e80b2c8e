"""benchmarks/prior_correction.py: runs in pairs to the tables of a page."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import scipy.stats

from benchmarks import prior_correction as page
from benchmarks import prior_tables, tables
from emojax import tasks

METRICS = (
  *prior_tables.SCORES,
  *prior_tables.PROBABILITIES,
  *prior_tables.ERRORS,
  *prior_tables.UNITS,
)


def _scores(value):
  return {key: value for key in METRICS}


def _truth(value):
  one = {'excess_nll': value, 'spearman_total': value / 10}
  both = {'au': one, 'expr': one}
  return {'single_mean': both, 'ensemble': both}


def _ood(value):
  return {'digits': {'ensemble/total': value, 'ensemble/epistemic': value}}


def _generation(value):
  """Scores `value`; a tenth less by TS, two by MC, and half with PC."""
  half = {key: _scores(value / 2) for key in ('mean', 'ensemble')}
  scaled = {key: _scores(value - 0.1) for key in ('mean', 'ensemble')}
  dropped = {key: _scores(value - 0.2) for key in ('mean', 'ensemble')}
  return {
    'single_mean': _scores(value),
    'ensemble': _scores(value),
    'truth': _truth(value),
    'ood': _ood(value),
    'ts': {'val': scaled, 'test_time': {}},
    'mc': dropped,
    'pc': {**half, 'truth': _truth(value / 2), 'ood': _ood(value / 2)},
  }


@pytest.fixture
def runs(tmp_path):
  for seed, shift in enumerate((0.0, 0.4, 0.5)):
    for corrected in (False, True):
      kind = page.CORRECTED if corrected else page.PLAIN
      results = {
        'names': ['Tea', 'Stu1'],
        'generations': {
          'Tea': _generation(2 + shift),
          'Stu1': _generation(1 + 2 * shift - 0.7 * corrected),
        },
        'optimum': {'metrics': _scores(0.25)},
        'validity': {'improving': ['Tea'] if seed == 1 else []},
      }
      config = {
        'seed': seed,
        'loss': {'correct_teachers': corrected},
        'distill': {'teachers': 'runs/plain' if corrected else ''},
        'train': {'balance': 'paper'},
        'generations': 1,
        'runtime': {'cpu_devices': 1 + corrected},
      }
      folder = tmp_path / f'{kind}-{seed}'
      folder.mkdir()
      (folder / 'results.json').write_text(json.dumps(results))
      (folder / 'config.json').write_text(json.dumps({'config': config}))
  return tmp_path


def _cells(table, title):
  (row,) = (row[1:] for row in table.rows if row[0] == title)
  return dict(zip(table.columns[1:], row, strict=True))


def _expected(values, sign=''):
  low, high = scipy.stats.t.interval(
    0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values)
  )
  return f'{np.mean(values):{sign}.3f} ± {(high - low) / 2:.3f}'


def test_cells_are_means_with_students_interval(runs):
  table = prior_tables.probabilities(page.read(runs), 'Tables')
  assert [c for c in table.columns if 'RMSE' in c] == [
    'Valence RMSE',
    'Arousal RMSE',
  ]
  for title, values in {
    'Tea, single': (2.0, 2.4, 2.5),
    'Tea + TS, single': (1.9, 2.3, 2.4),
    'Tea + MC dropout, single': (1.8, 2.2, 2.3),
    'Tea + PC, ensemble': (1.0, 1.2, 1.25),
    'Stu1, single': (1.0, 1.8, 2.0),
    'Stu1 of corrected teachers, ensemble': (0.3, 1.1, 1.3),
  }.items():
    assert _cells(table, title)['AU NLL'] == _expected(values), title
  assert _cells(table, 'Bayes optimum')['EXPR NLL'] == '0.250 ± 0.000'


def test_differences_are_paired_by_seed(runs):
  table = prior_tables.differences(page.read(runs))
  plain = [[cell.replace('*', '') for cell in row] for row in table.rows]
  table = dataclasses.replace(table, rows=plain)
  for title, values in {
    'students - teachers, single': (-1.0, -0.6, -0.5),
    'teachers: PC - none, single': (-1.0, -1.2, -1.25),
    'teachers: TS - none, single': (-0.1, -0.1, -0.1),
    'students + PC - teachers + PC, ensemble': (-0.5, -0.3, -0.25),
    'students of corrected teachers - teachers + PC, single': (
      -0.7,
      -0.1,
      0.05,
    ),
    'students of corrected teachers - students + PC, single': (-0.2, 0.2, 0.3),
  }.items():
    assert _cells(table, title)['EXPR NLL'] == _expected(values, '+'), title


def test_differences_that_remain_after_holm_are_bold(runs):
  table = prior_tables.differences(page.read(runs))
  shown = {row[0]: row[1].startswith('**') for row in table.rows}
  # t is infinite; -15.8 with p = 0.004, times what is left of 60; and -1.3.
  assert shown['teachers: TS - none, single']
  assert not shown['teachers: PC - none, single']
  assert not shown['students of corrected teachers - teachers + PC, single']
  assert 'over the 60 differences' in table.notes[0]
  assert table.notes[1].startswith(
    'in 1 of 3 seeds networks were still improving'
  )


def test_posteriors_and_foreign_images(runs):
  made = page.everything(page.read(runs))
  truth = _cells(made[3], 'Stu1 + PC, single')
  assert truth['AU excess NLL'] == _expected((0.5, 0.9, 1.0))
  assert truth['EXPR entropy, Spearman'] == _expected((0.05, 0.09, 0.1))
  foreign = _cells(made[4], 'Stu1 of corrected teachers')
  assert foreign['digits, epistemic'] == _expected((0.3, 1.1, 1.3))


def test_every_action_unit_has_a_column_of_single_networks(runs):
  table = page.everything(page.read(runs))[2]
  assert table.columns == ['', *tasks.AU12, 'mean']
  assert all('ensemble' not in row[0] for row in table.rows)
  assert _cells(table, 'Stu1 + PC, single')['AU26'] == _expected((0.5, 0.9, 1))


def _unbalanced(runs, seed, value, **changes):
  """Teachers without Algorithm 1."""
  config = json.loads((runs / f'plain-{seed}' / 'config.json').read_text())
  config['config'] |= {'train': {'balance': 'off'}, 'generations': 0, **changes}
  results = {'names': ['Tea'], 'generations': {'Tea': _generation(value)}}
  folder = runs / f'unbalanced-{seed}'
  folder.mkdir()
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'results.json').write_text(json.dumps(results))


def test_algorithm_1_is_compared_with_none_by_seed(runs):
  for seed, value in enumerate((1.0, 1.5, 1.7)):
    _unbalanced(runs, seed, value)
  table = page.everything(page.read(runs))[-1]
  assert table.title.startswith('Table 5')
  without = _cells(table, 'without, single')
  assert without['Total'] == _expected((1.0, 1.5, 1.7))
  assert _cells(table, 'with + PC, ensemble')['AU NLL'] == _expected(
    (1.0, 1.2, 1.25)
  )
  changed = _cells(table, 'with - without, single')['Total']
  assert changed.strip('*') == _expected((1.0, 0.9, 0.8), '+')
  assert 'over the 36 differences' in table.notes[0]


@pytest.mark.parametrize(
  ('seeds', 'changes', 'said'),
  [
    ((0, 1), {}, 'of other seeds'),
    ((0, 1, 2), {'train': {'balance': 'paper'}}, 'with and without balance'),
    ((0, 1, 2), {'model': 'other'}, 'differ in other settings'),
  ],
)
def test_runs_without_algorithm_1_match_the_others(runs, seeds, changes, said):
  for seed in seeds:
    _unbalanced(runs, seed, 1.0, **changes)
  with pytest.raises(ValueError, match=said):
    page.read(runs)


def test_pairs_have_the_same_teachers(runs):
  path = runs / 'corrected-1' / 'results.json'
  results = json.loads(path.read_text())
  results['generations']['Tea'] = _generation(7.0)
  path.write_text(json.dumps(results))
  with pytest.raises(ValueError, match=r'corrected-1 has other teachers'):
    page.read(runs)


def test_students_of_corrected_teachers_take_those_of_the_plain_run(tmp_path):
  plain, corrected, unbalanced = page.plan(tmp_path, [3], audio=False)
  assert f'--config.distill.teachers={plain.path}' in corrected.command
  assert unbalanced.path.name == 'unbalanced-3'
  (heard,) = page.plan(tmp_path, [3], audio=True)
  assert '--config.data.audio=True' in heard.command


def test_plain_runs_are_enough(runs):
  for folder in runs.glob('corrected-*'):
    shutil.rmtree(folder)
  made = page.everything(page.read(runs), audio=True)
  assert [table.title.split(':')[0] for table in made[1:3]] == [
    'Tables 6 and 7',
    'Table 6',
  ]
  rows = [row[0] for table in made for row in table.rows]
  assert 'Stu1 + PC, ensemble' in rows
  assert not any('of corrected teachers' in row for row in rows)


def test_scores_that_a_seed_lacks_leave_a_gap(runs):
  path = runs / 'plain-1' / 'results.json'
  results = json.loads(path.read_text())
  results['generations']['Tea']['mc'] = None
  path.write_text(json.dumps(results))
  table = prior_tables.probabilities(page.read(runs), 'Tables')
  assert set(_cells(table, 'Tea + MC dropout, single').values()) == {'–'}


@pytest.mark.parametrize(
  ('kind', 'key', 'value', 'said'),
  [
    ('plain', 'seed', 9, 'differ in other settings'),
    ('plain', 'loss', {'correct_teachers': True}, 'without and with'),
    ('corrected', 'loss', {'correct_teachers': False}, 'without and with'),
  ],
)
def test_pairs_differ_in_what_is_handed_on_alone(runs, kind, key, value, said):
  path = runs / f'{kind}-0' / 'config.json'
  made = json.loads(path.read_text())
  made['config'][key] = value
  path.write_text(json.dumps(made))
  with pytest.raises(ValueError, match=said):
    page.read(runs)


def test_unfinished_runs_are_named(runs):
  (runs / 'corrected-2' / 'results.json').unlink()
  with pytest.raises(ValueError, match=r'corrected-2/results\.json'):
    page.read(runs)


def test_what_is_around_the_tables_is_kept(runs, tmp_path, monkeypatch):
  # The made-up runs have few settings.
  monkeypatch.setattr(page.planned_runs, 'check', lambda plan: None)
  out = tmp_path / 'page.md'
  out.write_text(
    f'# A page\n\n{tables.START}\nformer tables\n{tables.END}\n\nThe end.\n'
  )
  assert page.main([str(runs), '--out', str(out)]) == 0
  text = out.read_text()
  assert text.startswith('# A page\n\n')
  assert text.endswith('\n\nThe end.\n')
  assert 'former' not in text
  assert '| Tea, single | 2.300 ± 0.657 |' in text
