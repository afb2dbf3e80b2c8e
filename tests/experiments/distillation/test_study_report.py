"""Tables and verdicts of several made-up runs at once."""

import copy
import dataclasses

import pytest
import synthetic_run

from emojax.evaluation import evaluate
from emojax.evaluation.subsets import ensembles
from emojax.experiments.distillation import (
  comparability,
  findings,
  published,
  study_findings,
  study_tables,
)
from emojax.experiments.distillation import study_report as report
from emojax.report import page, verdicts

pytestmark = pytest.mark.slow

RUN = synthetic_run.Run(clips=25, length=2)


def variant(name, seed=0, noise=0.5, members=5, modality='V', **settings):
  config = {
    'loss': {'reweight': settings.get('reweight', True)},
    'train': {'balance': settings.get('balance', 'paper')},
  }
  students = RUN.predictions('Stu1', members, noise=noise / 2, seed=seed + 50)
  teachers = RUN.predictions('Tea', members, noise, passes=2, seed=seed)
  results, curves = evaluate(
    RUN.schema, [teachers, students], RUN.dataset, modality=modality
  )
  sizes = ensembles(teachers, RUN.dataset.test, 'test', study_tables.SIZES)
  return study_tables.Variant(name, (), config, results, curves, sizes)


@pytest.fixture(scope='module')
def variants():
  return {
    'v': variant('v', noise=0.5),
    'va': variant('va', 1, 0.2, modality='VA'),
    'unweighted': variant('unweighted', 2, 3.0, members=10, reweight=False),
    'unbalanced': variant('unbalanced', 3, 3.0, balance='off'),
  }


SHOWN = {
  'table1': ('v', 'unweighted'),
  'table2': ('v', 'va'),
  'figure4': ('v', 'va'),
  'table3': ('v',),
  'table4': ('v',),
  'figure5': ('v',),
  'table5': ('unbalanced', 'v'),
  'table6': ('va',),
  'table7': ('va',),
}


def test_table_1_has_all_sizes_beside_the_papers(variants):
  (table,) = study_tables.table1([variants['v'], variants['unweighted']])
  rows = [[name for name, _ in section.rows] for section in table.sections]
  assert rows == [
    ['T = 1', 'T = 5'],
    ['T = 1', 'T = 5'],
    ['T = 1', 'T = 5 (2 ensembles)', 'T = 10'],
    ['T = 1', 'T = 5', 'T = 10'],
  ]
  paper = dict(table.sections[3].rows)['T = 10']
  assert paper[-1].value == published.TABLE1[False, 10]['total']
  here = dict(table.sections[0].rows)['T = 5']
  teachers = variants['v'].results['generations']['Tea']
  assert here[-1].value == pytest.approx(teachers['ensemble']['total'])


def test_table_2_has_both_networks(variants):
  (table,) = study_tables.table2([variants['v'], variants['va']])
  titles = [section.title for section in table.sections]
  assert ['EMENet-V,' in titles[0], 'EMENet-VA,' in titles[1]] == [True, True]
  assert len(table.sections[2].rows) == len(published.TABLE2)


def test_every_table_of_the_paper_is_made(variants):
  titles = [
    table.title
    for _, tables in report.make_tables(variants, SHOWN)
    for table in tables
  ]
  for number in range(1, 8):
    assert any(title.startswith(f'Table {number}.') for title in titles)
  assert any('out-of-distribution' in title for title in titles)


def test_ensembles_have_rows_of_the_baselines(variants):
  for table in study_tables.TABLES['table3']([variants['v']]):
    ensembles_ = dict(table.sections[1].rows)
    ts = variants['v'].results['generations']['Tea']['ts']['test_time']
    assert ensembles_['TS of Tea'][-1].value == ts['ensemble']['au/nll']
    mc = variants['v'].results['generations']['Tea']['mc']
    assert ensembles_['MC of Tea'][-1].value == mc['ensemble']['au/nll']


def test_verdicts_compare_the_right_runs(variants):
  groups = dict(study_findings.all_findings(variants, SHOWN))
  found = {
    finding.claim: finding for group in groups.values() for finding in group
  }
  # Runs with less noise are better: re-weighted, balanced, with voices.
  total = (
    'Class re-weighting raises the total emotion metric of single teachers'
  )
  assert found[total].verdict == 'yes'
  assert found[total].paper == '2.1527 with, 2.0999 without'
  lower = 'Class re-weighting lowers the AU score of single teachers'
  assert found[lower].verdict == 'no'
  balance = (
    'Multitask balancing raises the total emotion metric of single teachers'
  )
  assert found[balance].verdict == 'yes'
  voices = [claim for claim in found if claim.startswith('Voices lower')]
  assert len(voices) == 2
  assert 'Generations of EMENet-VA ("va")' in groups


def test_swapped_runs_give_the_opposite_verdict(variants):
  worse = variant('v', noise=3.0)
  better = variant('unweighted', 2, 0.3, reweight=False)
  found = verdicts.decide(study_findings.reweighting([worse, better]))
  assert [finding.verdict for finding in found[:3]] == ['no', 'yes', 'no']


def test_ensemble_sizes_are_judged_by_their_gains(variants):
  """The step to ten members is smaller by more than members differ."""
  (claim,) = study_findings.ensemble_size([variants['unweighted']])
  (gap,) = claim.differences
  sizes = variants['unweighted'].sizes
  total = {size: rows['mean']['total'] for size, rows in sizes.items()}
  assert gap.value == pytest.approx(2 * total[5] - total[1] - total[10])
  assert 0 < gap.error < abs(gap.value)
  assert gap.freedom == 9
  assert [len(sizes[n]['without']) for n in (1, 5, 10)] == [0, 10, 10]
  (finding,) = verdicts.decide([claim])
  assert finding.verdict == 'yes'
  older = {n: {**rows, 'without': []} for n, rows in sizes.items()}
  older = dataclasses.replace(variants['unweighted'], sizes=older)
  for few in (variants['v'], older):  # five members; the ten of an older run
    (finding,) = verdicts.decide(study_findings.ensemble_size([few]))
    assert finding.verdict == 'unclear'


def test_rows_of_a_study_are_one_family(variants):
  groups = study_findings.all_findings(variants, SHOWN)
  every = [finding for _, group in groups for finding in group]
  alone = verdicts.decide(findings.claims(variants['v'].results))
  joint = {(f.claim, f.here.split(';')[0]): f.p for f in every}
  for finding in alone:
    key = finding.claim, finding.here.split(';')[0]
    assert joint[key] >= finding.p
  assert any(joint[f.claim, f.here.split(';')[0]] > f.p for f in alone)


TABLE_1 = 'Class re-weighting and ensemble size (Table 1)'


def untrained(variant):
  """The same run, whose teachers were still improving."""
  worse = copy.deepcopy(variant)
  worse.results['validity'] = {'floor': 0.0, 'improving': ['Tea']}
  return worse


def untestable(variants, shown, title):
  """Claims by whether they could not be tested."""
  found = dict(study_findings.all_findings(variants, shown))[title]
  return {f.claim: f.verdict == 'untestable' for f in found}


def test_a_variant_that_was_not_trained_tests_nothing(variants):
  both = {**variants, 'unweighted': untrained(variants['unweighted'])}
  found = untestable(both, SHOWN, TABLE_1)
  # What is said of the other run alone can be tested.
  own = [claim for claim, gated in found.items() if not gated]
  assert len(found) == 5
  assert len(own) == 1
  assert own[0].endswith('five (v)')
  other = untestable(both, SHOWN, 'Multitask balancing (Table 5)')
  assert not any(other.values())


@pytest.mark.parametrize(
  ('table', 'title'),
  [
    ('table1', TABLE_1),
    ('table5', 'Multitask balancing (Table 5)'),
    ('figure4', 'Voices (Figure 4, Tables 6 and 7)'),
  ],
)
def test_a_run_that_is_not_compared_gates_nothing(variants, table, title):
  third = dataclasses.replace(untrained(variants['v']), name='third')
  names = (*SHOWN[table], 'third')
  found = untestable({**variants, 'third': third}, {table: names}, title)
  gated = [claim for claim in found if found[claim]]
  # Its own ensembles are all that is said of it.
  assert all(claim.endswith('(third)') for claim in gated)
  assert len(gated) == (table == 'table1')
  assert len(found) > len(gated)


def test_ensemble_size_needs_no_second_run(variants):
  alone = {'unweighted': variants['unweighted']}
  groups = study_findings.all_findings(alone, {'table1': ('unweighted',)})
  (finding,) = dict(groups)[TABLE_1]
  assert finding.claim.endswith('(unweighted)')
  assert finding.verdict != 'untestable'


def test_report_files(variants, tmp_path):
  html = report.write(tmp_path, variants, SHOWN)
  text = (tmp_path / 'report.md').read_text()
  for name in ('figure4', 'figure5'):
    assert (tmp_path / 'figures' / f'{name}.png').stat().st_size > 5000
    assert f'figures/{name}.png' in text
  assert text.count('directions only') >= 4
  assert html.read_text().count('data:image/png') == 2
  assert page.SYMBOLS['yes'] in text


# What may be compared.

PAPER = {
  'data': {'name': 'prepared', 'test_split': 'validation'},
  'model': {'width': 1.0, 'pretrained': 'mobilefacenet.pt'},
}


def results(dataset='affwild2', split='test', modality='V'):
  return {'dataset': dataset, 'split': split, 'modality': modality}


@pytest.mark.parametrize(
  ('found', 'config', 'verdict', 'what'),
  [
    (results(), PAPER, 'levels', []),
    (results('Aff-Wild2'), PAPER, 'levels', []),
    (
      results(),
      PAPER | {'model': {'width': 0.5, 'pretrained': ''}},
      'levels with care',
      ['model.width', 'model.pretrained'],
    ),
    (results('ferplus'), PAPER, 'directions only', ['data set']),
    (
      results(),
      PAPER | {'data': {'name': 'prepared', 'test_split': 'test'}},
      'directions only',
      ['split'],
    ),
    (
      results('embedded', modality='VA'),
      {'data': {'name': 'embedded'}, 'train': {'epochs': 10}},
      'directions only',
      ['data set', 'split', 'train.epochs'],
    ),
    (results() | {'split_name': 'validation'}, {}, 'levels', []),
  ],
)
def test_comparability(found, config, verdict, what):
  assert comparability.verdict(found, config) == verdict
  names = [d.what for d in comparability.differences(found, config)]
  assert names == what
  table = comparability.table(found, config)
  assert (table is None) == (not what)
  if table:
    assert verdict in table.note
