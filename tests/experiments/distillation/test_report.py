"""The whole report of made-up runs: files, numbers, verdicts."""

import copy
import io
import json

import numpy as np
import pytest
import scipy.stats
import synthetic_run
from PIL import Image
from rich.console import Console

from emojax import tasks
from emojax.evaluation import Predictions, evaluate
from emojax.experiments.distillation import (
  comparability,
  contents,
  figures_generations,
  findings,
  plain,
  published,
  report,
  summary,
  tables,
  tables_extra,
)
from emojax.report import (
  examples,
  figures_training,
  figures_uncertainty,
  style,
  verdicts,
)
from emojax.report.figures_training import by_member


def log_lines(names, members, epochs=3):
  """Lines of metrics.jsonl; the second epoch is the best."""
  scores = {'val/total': 2.0, 'val/au/score': 0.6, 'val/expr/score': 0.5}
  return [
    {
      'generation': name,
      'epoch': epoch,
      'member': member,
      'best': epoch < 2,
      'task_weight/au': 0.5 + 0.1 * epoch,
      'task_weight/expr': 0.5 - 0.1 * epoch,
      **{key: value - (epoch - 1) ** 2 / 9 for key, value in scores.items()},
    }
    for name in names
    for epoch in range(epochs)
    for member in range(members)
  ]


def make_folder(path, run, predictions, lines=()):
  results, curves = evaluate(run.schema, predictions, run.dataset)
  results['timings'] = {'Tea': 12.5}
  (path / 'results.json').write_text(json.dumps(results, allow_nan=False))
  (path / 'curves.json').write_text(json.dumps(curves, allow_nan=False))
  if lines:
    text = '\n'.join(map(json.dumps, lines))
    (path / 'metrics.jsonl').write_text(text)
    config = {'config': {'train': {'epochs': 3}}, 'environment': {'jax': '1'}}
    (path / 'config.json').write_text(json.dumps(config))
  for prediction in predictions:
    prediction.save(path / 'predictions' / f'{prediction.name}.npz')
  return results


@pytest.fixture(scope='module')
def full(tmp_path_factory):
  """(folder, results) of a run with everything in it."""
  folder = tmp_path_factory.mktemp('run')
  run = synthetic_run.Run(clips=40, length=3)
  predictions = [
    run.predictions('Tea', 4, noise=1.0, scale=1.5, passes=2, seed=1),
    run.predictions('Stu1', 4, noise=0.3, seed=2),
    run.predictions('Stu2', 4, noise=0.4, seed=3),
  ]
  lines = log_lines(['Tea', 'Stu1', 'Stu2'], 4)
  results = make_folder(folder, run, predictions, lines)
  runs = {'without balancing': results, 'with balancing': results}
  page = report.write(folder, run.dataset.test, runs)
  assert page == folder / 'report.html'
  return folder, results


FIGURES = (
  'entropy example excess generations ood_roc rejection reliability_ensemble '
  'reliability_single scores task_weights training uncertainty'
).split()


def test_weights_that_never_change_make_no_figure():
  lines = [
    line | {'task_weight/au': 0.5, 'task_weight/expr': 0.5}
    for line in log_lines(['Tea'], 2)
  ]
  assert figures_training.task_weights(lines, ['Tea']) is None


def test_all_files_are_written(full):
  folder, _ = full
  found = sorted(path.stem for path in (folder / 'figures').iterdir())
  assert found == FIGURES
  for name in FIGURES:
    image = np.asarray(Image.open(folder / 'figures' / f'{name}.png'))
    assert min(image.shape[:2]) > 300
    assert image[..., :3].std() > 10  # there is something on it


def test_markdown_has_the_numbers_beside_the_papers(full):
  folder, results = full
  text = (folder / 'report.md').read_text()
  tea = results['generations']['Tea']
  assert f'{tea["ensemble"]["total"]:.4f}' in text
  assert f'{tea["single_mean"]["au/nll/AU4"]:.3f}' in text
  mean, std = (tea[k]['expr/nll'] for k in ('single_mean', 'single_std'))
  assert f'{mean:.3f} ± {std:.3f}' in text
  assert f'{tea["ts"]["test_time"]["mean"]["au/nll"]:.3f}' in text
  assert f'{tea["mc"]["mean"]["va/rmse/arousal"]:.3f}' in text
  assert f'{tea["ood"]["noise"]["single/total"]:.3f}' in text
  assert f'{results["optimum"]["metrics"]["expr/nll"]:.3f}' in text
  for number in ('2.2465', '0.430', '1.052', '0.998', '0.6328', '2.1173'):
    assert number in text
  assert 'levels cannot be compared' in text
  for i in range(1, 6):
    assert f'**Table {i}.' in text
  for name in FIGURES:
    assert f'](figures/{name}.png)' in text
  assert '12.5 s' in text
  assert 'config: train.epochs' in text


ROWS = {  # by table, whether PC has rows in it
  'Table 1.': '| Tea, single |',
  'Table 3.': '| PC of Tea |',
  'Table 4.': '| PC of Tea |',
  'Calibration': '| PC of Tea |',
  'AUROC of out': '| PC of Tea |',
  'Distance from': '| PC of Tea |',
}


@pytest.mark.slow
@pytest.mark.parametrize('corrected', [True, False])
def test_prior_correction_has_a_row_in_every_table(full, tmp_path, corrected):
  results = copy.deepcopy(full[1])
  numbers = iter(range(10))
  for name in results['names']:
    generation = results['generations'][name]
    del generation['pc']  # as in runs of before
    if corrected and name != 'Stu2':
      of = results['generations']['Stu2']
      generation['pc'] = {
        'mean': of['single_mean'] | {'expr/nll': 0.4321 + next(numbers)},
        'std': of['single_std'],
        **{key: of[key] for key in ('members', 'ensemble', 'ood', 'truth')},
      }
  (tmp_path / 'results.json').write_text(json.dumps(results))
  curves = (full[0] / 'curves.json').read_text()
  (tmp_path / 'curves.json').write_text(curves)
  report.write(tmp_path)
  text = (tmp_path / 'report.md').read_text()
  assert ('PC: prior correction' in text) == corrected
  assert ('0.432 ±' in text) == corrected
  assert ('1.432 ±' in text) == corrected  # the students' row
  assert 'PC of Stu2' not in text
  for title, row in ROWS.items():
    table = text.split(f'**{title}')[1].split('\n**')[0]
    assert (row in table) == corrected, title
    if row == '| PC of Tea |':
      assert ('| PC of Stu1 |' in table) == corrected, title


def test_html_stands_alone(full):
  folder, results = full
  text = (folder / 'report.html').read_text()
  assert text.count('src="data:image/png;base64,') == len(FIGURES)
  for word in ('src="figures', '<script', 'href=', 'http'):
    assert word not in text
  assert 'prefers-color-scheme: dark' in text
  assert f'{results["generations"]["Stu2"]["ensemble"]["total"]:.4f}' in text


def test_detection_below_chance_is_no_detection():
  def generation(auc):
    without = [auc + 0.01 * step for step in (-1, 0, 1, 0.5)]
    return {
      'ood': {'digits': {'ensemble/epistemic': auc}},
      'without_member': {'ood': {'digits': without}},
    }

  def verdict(*aucs):
    names = ['Tea', 'Stu1', 'Stu2'][: len(aucs)]
    runs = dict(zip(names, map(generation, aucs)))
    found = findings.out_of_domain({'names': names, 'generations': runs})
    (finding,) = verdicts.decide(found)
    return finding.verdict

  assert verdict(0.31, 0.49) == 'untestable'
  assert verdict(0.31, 0.7) == 'yes'
  assert verdict(0.8, 0.6) == 'no'
  assert verdict(0.7, 0.701) == 'unclear'
  assert verdict(0.7, 0.6, 0.9) == 'no'  # the first students, not the best


def test_runs_without_left_out_members_show_nothing_of_ensembles(full):
  """Those that were scored before `without_member` was kept."""
  old = copy.deepcopy(full[1])
  for run in old['generations'].values():
    del run['without_member']
  found = {f.claim: f for f in findings.all_findings(old)}
  new = {f.claim: f for f in findings.all_findings(full[1])}
  assert list(found) == list(new)
  for claim, finding in found.items():
    if 'nsemble' in claim:
      assert finding.verdict == 'unclear'
  claim = next(claim for claim in found if claim.startswith('Ensembles beat'))
  assert '±' in new[claim].here
  assert '±' not in found[claim].here


def test_an_ensembles_advantage_has_the_jackknifes_interval(full):
  """As when every ensemble is scored anew, and narrower than if it were exact."""
  run = full[1]['generations']['Tea']
  gap = findings._advantage(run)
  totals = np.array([row['total'] for row in run['members']])
  ensembles = [row['total'] for row in run['without_member']['ensemble']]
  pseudo = [
    4 * gap.value - 3 * (ensemble - np.delete(totals, m).mean())
    for m, ensemble in enumerate(ensembles)
  ]
  assert gap.error == pytest.approx(scipy.stats.sem(pseudo))
  assert gap.value == pytest.approx(run['ensemble']['total'] - totals.mean())


def test_what_training_did_not_reach_is_not_testable(full):
  results = copy.deepcopy(full[1])
  accuracy = results['generations']['Tea']['single_mean']['expr/acc']
  results['validity'] = {'floor': accuracy + 0.01, 'improving': []}
  found = findings.all_findings(results)
  assert {f.verdict for f in found} == {'untestable'}
  assert f'{accuracy:.3f} is below the floor' in found[0].here
  text = summary.summary(results, found)
  assert f'{len(found)} cannot be tested here' in text
  assert 'AU NLL' not in text  # said once, not of each
  results['validity']['floor'] = accuracy - 0.01
  plain = [f.verdict for f in findings.all_findings(full[1])]
  assert [f.verdict for f in findings.all_findings(results)] == plain
  results['validity']['improving'] = ['Stu1']  # of Tea, Stu1 and Stu2
  waiting = [
    f.claim for f in findings.all_findings(results) if f.verdict == 'untestable'
  ]
  assert len(waiting) == 2
  assert 'in every generation' in waiting[0]
  assert 'Stu1 ensemble' in waiting[1]


def test_verdicts_follow_the_numbers(full):
  results = full[1]
  verdicts = {f.claim: f.verdict for f in findings.all_findings(results)}
  claim = (
    'AU NLL of single students (Stu2) is lower than that of single teachers'
  )
  assert verdicts[claim] == 'yes'
  worse = copy.deepcopy(results)
  for name in ('single_mean', 'ensemble'):
    worse['generations']['Stu2'][name]['au/nll'] += 10
  assert {f.claim: f.verdict for f in findings.all_findings(worse)}[
    claim
  ] == 'no'
  noisy = copy.deepcopy(results)
  noisy['generations']['Stu2']['single_std']['au/nll'] = 100
  assert {f.claim: f.verdict for f in findings.all_findings(noisy)}[
    claim
  ] == 'unclear'
  text = summary.summary(worse, findings.all_findings(worse))
  assert 'Single students beat single teachers: ' in text
  assert 'AU NLL no' in text


def corrected(results, *names):
  """A run whose generations `names` have a prior correction, which changes nothing."""
  found = copy.deepcopy(results)
  for name in found['names']:
    of = copy.deepcopy(found['generations'][name])
    pc = {key: of[key] for key in ('members', 'ensemble', 'ood', 'truth')}
    pc |= {
      'mean': of['single_mean'],
      'std': of['single_std'],
      'log_weights': {},
    }
    found['generations'][name]['pc'] = pc if name in names else None
  return found


def test_students_of_corrected_answers_have_corrected_rivals(full):
  results = corrected(full[1], 'Tea')
  for names in ([], ['Tea', 'Stu1', 'Stu2']):
    assert not comparability.learned_corrected(corrected(full[1], *names))
  assert comparability.learned_corrected(results)
  teachers, student = (results['generations'][n] for n in ('Tea', 'Stu2'))
  # Between what teachers say and what is left of it after the correction.
  key = 'expr/nll'
  teachers['single_mean'][key], teachers['pc']['mean'][key] = 2.0, 1.0
  student['single_mean'][key] = 1.5
  for scores in (
    teachers['single_std'],
    teachers['pc']['std'],
    student['single_std'],
  ):
    scores[key] = 1e-3
  found = {f.claim: f for f in findings.all_findings(results)}
  start = 'EXPR NLL of single students (Stu2) is lower than that of '
  about = [claim for claim in found if claim.startswith(start)]
  assert about == [f'{start}single teachers after prior correction']
  assert found[about[0]].verdict == 'no'
  assert found[about[0]].here.startswith('1.000 ')
  for text in (
    'beat single teachers',
    'nearer to the true posteriors than those of',
  ):
    assert all('after prior' in c for c in found if text in c and 'Stu2' in c)
  about = [f for claim, f in found.items() if 'foreign images' in claim]
  assert [f.verdict for f in about] == ['unclear']
  pc = teachers['pc']['ood']['noise']['ensemble/epistemic']
  assert f'"noise": {pc:.3f} to ' in about[0].here
  assert 'advantage shrinks' in ' '.join(found)


def test_a_report_says_that_students_learned_corrected_answers(full):
  results = corrected(full[1], 'Tea')
  said = plain.sentences(results)[0]
  assert 'answers of the generation before, after prior correction.' in said
  note = tables.note(results, 'TS.')
  assert 'nothing to correct in them' in note
  both = corrected(full[1], 'Tea', 'Stu1', 'Stu2')
  assert 'are corrected by the same' in tables.note(both, 'TS.')
  assert tables.note(full[1], 'TS.') == 'TS.'
  alone = corrected(full[1], 'Tea')
  alone['names'] = ['Tea']
  assert 'tudents' not in tables.note(alone, 'TS.')


def test_the_example_is_what_an_exported_model_says(full):
  folder, results = full
  weights = {'AU1': 2.0} | {label: 0.0 for label in tasks.AU12[1:]}
  results = corrected(results, 'Tea', 'Stu1', 'Stu2')
  results['generations']['Stu2']['pc']['log_weights'] = {'au': weights}
  found = Predictions.load(folder / 'predictions' / 'Stu2.npz')
  said = contents.as_exported(found, results)
  shift = found.logits['test']['au'] - said.logits['test']['au']
  np.testing.assert_allclose(shift[..., 0], 2, atol=1e-5)
  np.testing.assert_array_equal(shift[..., 1:], 0)
  for name in ('expr', 'va'):
    np.testing.assert_array_equal(
      said.logits['test'][name], found.logits['test'][name]
    )
  assert contents.as_exported(found, full[1]) is found  # nothing was weighted
  captions = {
    name: caption
    for name, _, caption in contents.figures(
      contents.Contents(results, {}, [], {}, folder / 'predictions', None, {})
    )
  }
  assert captions['example'].endswith('as exported models answer.')
  assert captions['rejection'].endswith('Without prior correction.')


def test_the_best_model_may_be_a_corrected_one(full):
  results = corrected(full[1], 'Tea', 'Stu1')
  assert 'prior correction' not in summary._best(full[1])[0]
  results['generations']['Stu1']['pc']['ensemble']['total'] = 9.0
  assert summary._best(results) == [
    'Best total emotion metric: 9.000 (Stu1 ensemble after prior correction).'
  ]


def test_plain_sentences_come_before_verdicts_and_have_the_runs_numbers(full):
  folder, results = full
  said = plain.sentences(results)
  tea = results['generations']['Tea']
  assert len(said) == 3
  assert said[0].startswith('4 networks (the teachers) were trained')
  assert 'say little' not in said[0]
  assert 'Stu1 and Stu2' in said[0]
  assert f'{tea["single_mean"]["au/nll"]:.3f} for an action unit' in said[1]
  assert f'possible: {results["optimum"]["metrics"]["au/nll"]:.3f}' in said[1]
  assert 'prior correction' not in ' '.join(said)  # nothing was weighted
  rank = tea['truth']['ensemble']['expr']['spearman_total']
  assert f'{rank:.2f} (EXPR)' in said[2]
  assert f'{tea["ood"]["noise"]["ensemble/epistemic"]:.2f} (noise)' in said[2]
  text = (folder / 'report.md').read_text()
  assert 0 < text.index('4 networks') < text.index('| Finding |')
  results = copy.deepcopy(results)
  tea = results['generations']['Tea']
  tea['pc'] = {
    'log_weights': {'expr': {}},
    'mean': {'expr/nll': 0.1234},
    'truth': tea['truth'],
    'ood': {'noise': {'ensemble/epistemic': 0.625}},
  }
  assert '0.62 (noise)' in plain.sentences(results)[2]
  said = plain.sentences(results)[1]
  assert said.count('after prior correction') == 1
  assert 'for an expression, 0.123 after prior correction' in said


def test_plain_sentences_say_where_networks_have_not_learned_enough(full):
  results = copy.deepcopy(full[1])
  results['generations']['Tea']['single_mean']['expr/acc'] = 0.3
  results['validity'] = {'floor': 0.4, 'improving': ['Tea', 'Stu1']}
  said = plain.sentences(results)[0]
  assert 'say little about what such networks can do' in said
  assert 'an accuracy of 0.300 is below the floor 0.40' in said
  assert 'still improving when training ended: Tea, Stu1' in said
  results['validity'] = {'floor': 0.3, 'improving': []}
  assert 'say little' not in plain.sentences(results)[0]


def test_accuracy_that_weights_gave_up_is_not_held_against_teachers(full):
  results = copy.deepcopy(full[1])
  tea = results['generations']['Tea']
  tea['single_mean']['expr/acc'] = 0.3
  results['validity'] = {'floor': 0.4, 'improving': []}
  tea['pc'] = {'mean': {'expr/acc': 0.41}}
  assert findings.teachers_accuracy(results) == 0.41
  tea['pc'] = {'mean': {'expr/acc': 0.39}}
  assert findings.teachers_accuracy(results) == 0.39
  tea['pc'] = None  # an older run, or one without weights
  assert findings.teachers_accuracy(results) == 0.3


def test_plain_sentences_leave_out_what_a_run_does_not_have():
  run = synthetic_run.Run((tasks.expr_task(),), clips=6, length=1, truth=False)
  teachers = run.predictions(members=1)
  results, _ = evaluate(run.schema, [teachers], run.dataset)
  results['generations']['Tea']['ood'] = {}
  said = plain.sentences(results)
  assert len(said) == 2
  assert said[0] == (
    '1 network (the teachers) was trained to tell the expression from faces.'
  )
  assert 'best possible' not in said[1]


def corrected_run():
  """(results, curves) of two generations that were weighted."""
  run = synthetic_run.Run(clips=10, length=2)
  weights = {'au': np.linspace(0, 2, 12), 'expr': np.linspace(-2, 0, 7)}
  predictions = [run.predictions('Tea', 2), run.predictions('Stu1', 2, seed=1)]
  priors = {'Tea': weights, 'Stu1': {'expr': weights['expr']}}
  return evaluate(run.schema, predictions, run.dataset, priors=priors)


def test_corrected_predictions_and_the_optimum_are_drawn():
  results, curves = corrected_run()
  with style.use():
    nll = figures_generations.uncertainty(results)
    reliability = figures_uncertainty.reliability(results, curves, 'single')
    rejection = figures_uncertainty.rejection(results, curves)
    entropy = figures_uncertainty.entropy(results, curves)
  optimum = results['optimum']['metrics']
  for axis, key in zip(nll.axes, figures_generations.UNCERTAINTY):
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert lines['Bayes optimum'].get_ydata()[0] == optimum[key]
    if key[:2] == 'va':
      assert 'prior correction: ensemble' not in lines
      continue
    corrected = lines['prior correction: ensemble'].get_ydata()
    expected = [
      results['generations'][name]['pc']['ensemble'][key]
      for name in ('Tea', 'Stu1')
    ]
    # The action units of these students were not weighted.
    expected[1] = np.nan if key == 'au/nll' else expected[1]
    np.testing.assert_array_equal(corrected, expected)
  dashed = [
    [
      line.get_label()
      for line in axis.get_lines()
      if '--' == line.get_linestyle()
    ]
    for axis in reliability.axes[:3]
  ]
  both = ['Tea, prior correction', 'Stu1, prior correction']
  assert dashed == [both[:1], both, []]
  for axis in rejection.axes:
    assert 'Bayes optimum' in [line.get_label() for line in axis.get_lines()]
  titles = [axis.get_title('left').split('\n')[0] for axis in entropy.axes[:-1]]
  assert titles[::3] == ['Tea, AU', 'Tea corrected, AU', 'Stu1 corrected, AU']


def test_curves_of_runs_of_before_are_drawn_without_what_they_lack():
  results, curves = corrected_run()
  del curves['entropy_pc']
  for name in results['names']:
    del results['generations'][name]['pc']
    del curves['rejection'][name]['optimum']
    for kind in ('single', 'ensemble'):
      del curves['reliability'][name][f'pc/{kind}']
      old = curves['reliability'][name][kind]['expr']
      curves['reliability'][name][kind]['va'] = old
  with style.use():
    for kind in ('single', 'ensemble'):
      assert figures_uncertainty.reliability(results, curves, kind)
    assert figures_uncertainty.rejection(results, curves)
    assert len(figures_uncertainty.entropy(results, curves).axes) == 7
    assert figures_generations.excess(results)


def test_training_has_a_legend_and_begins_where_differences_are_seen():
  lines = [
    line | {'val/total': -100 if line['epoch'] == 0 else line['epoch']}
    for line in log_lines(['Tea'], 2, epochs=8)
  ]
  figure = figures_training.validation(lines, ['Tea'])
  texts = [text.get_text() for text in figure.legends[0].get_texts()]
  assert texts[-1] == 'selected epoch of a member'
  low, high = figure.axes[0].get_ylim()
  assert 0 < low < 2
  assert 7 < high < 8


def test_terminal_prints_verdicts_and_tables(full):
  console = Console(file=io.StringIO(), width=100)
  report.terminal(full[1], console)
  text = console.file.getvalue()
  assert 'Table 4. Expressions, valence and arousal' in text
  assert '✓ yes' in text
  assert f'{full[1]["generations"]["Stu1"]["ensemble"]["expr/nll"]:.3f}' in text


@pytest.mark.parametrize(
  ('schema', 'absent'),
  [
    pytest.param(
      (tasks.au_task(tasks.AU8),), 'Table 4', marks=pytest.mark.slow
    ),
    ((tasks.expr_task(tasks.FERPLUS),), 'Table 3'),
  ],
)
def test_runs_of_one_task(tmp_path, schema, absent):
  run = synthetic_run.Run(schema, clips=15, length=1, truth=False)
  teachers = [run.predictions(members=2)]
  results = make_folder(tmp_path, run, teachers)
  report.write(tmp_path, run.dataset.test)
  text = (tmp_path / 'report.md').read_text()
  assert absent not in text
  assert 'posteriors' not in text
  assert 'Table 1.' in text
  names = {path.stem for path in (tmp_path / 'figures').iterdir()}
  assert {'example', 'generations', 'ood_roc', 'rejection'} <= names
  assert not names & {'training', 'entropy', 'excess', 'scores'}
  assert len(findings.all_findings(results)) == 1


@pytest.mark.slow
def test_equal_runs_give_equal_reports_and_nothing_stale_stays(tmp_path):
  schema = (tasks.expr_task(),)
  run = synthetic_run.Run(schema, clips=6, length=1, truth=False)
  make_folder(tmp_path, run, [run.predictions(members=2)])
  files = []
  for _ in range(2):
    report.write(tmp_path, run.dataset.test)
    files.append((tmp_path / 'report.html').read_bytes())
  assert files[0] == files[1]
  report.write(tmp_path)  # no clips, no example
  assert not (tmp_path / 'figures' / 'example.png').exists()
  assert 'example.png' not in (tmp_path / 'report.md').read_text()


def test_au_columns_of_the_paper_are_found_by_name():
  run = synthetic_run.Run((tasks.au_task(tasks.AU8),), clips=15, length=1)
  results, _ = evaluate(run.schema, [run.predictions()], run.dataset)
  table = tables.au_nll(results)
  assert [*table.columns] == [*tasks.AU8, 'Mean']
  row = dict(zip(table.columns, dict(table.sections[-1].rows)['Stu1']))
  assert row['AU12'].value == published.TABLE3['Stu1']['au/nll/AU12']
  assert row['AU20'].value is None  # not among the paper's twelve


def test_examples_are_the_extremes():
  run = synthetic_run.Run(clips=10, length=2)
  prediction = run.predictions(noise=0.1)
  certain, uncertain = examples.choose(prediction, 'test', run.dataset.test)
  totals = [np.mean([r.total for r in e.rows]) for e in (certain, uncertain)]
  assert totals[0] < totals[1]
  labels = [*tasks.AU12, 'expression', 'valence', 'arousal']
  assert [row.name for row in certain.rows] == labels
  for row in (*certain.rows, *uncertain.rows):
    assert 0 <= row.aleatoric <= row.total + 1e-6
    assert row.total == pytest.approx(row.true, abs=0.15)


def test_padding_is_no_example():
  run = synthetic_run.Run(clips=4, length=1)
  clips = run.dataset.test
  clips.frame_mask[:] = 0
  assert examples.choose(run.predictions(), 'test', clips) == []
  clips.frame_mask[2] = 1
  assert [
    e.title for e in examples.choose(run.predictions(), 'test', clips)
  ] == ['only frame']


def test_clips_of_another_split_are_an_error():
  run = synthetic_run.Run(clips=4, length=1)
  other = synthetic_run.Run(clips=5, length=1)
  with pytest.raises(ValueError, match=r"predictions of 'test' are \(4, 1\)"):
    examples.choose(run.predictions(), 'test', other.dataset.test)


def test_training_curves_mark_the_last_improvement():
  lines = log_lines(['Tea'], 2)
  (epochs, values, best), _ = by_member(lines, 'Tea', 'val/total')
  assert epochs.tolist() == [0, 1, 2]
  assert values.argmax() == 1
  assert best[-1] == 1


def test_generations_have_different_looks():
  names = ['Tea', *(f'Stu{i}' for i in range(1, 6))]
  looks = style.stack_styles(names, apart='Tea')
  assert len({look['color'] for look in looks.values()}) == len(names)
  assert len({look['marker'] for look in looks.values()}) == len(names)


def test_missing_results_are_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'results\.json is missing'):
    report.write(tmp_path)


def test_selective_prediction_has_a_table(full):
  folder, _ = full
  results = json.loads((folder / 'results.json').read_text())
  table = tables_extra.selective(results)
  assert table.columns[:3] == [
    'AU AURC',
    'AU E-AURC',
    'AU coverage at 5 % risk',
  ]
  single, ensemble = table.sections
  name = results['names'][0]
  one = results['generations'][name]['selective']['expr']
  at = table.columns.index('EXPR AUROC of errors')
  assert ensemble.rows[0][1][at].value == one['ensemble']['error_auroc']
  assert single.rows[0][1][at].spread == one['std']['error_auroc']
  assert 'Selective prediction' in (folder / 'report.md').read_text()
  for generation in results['generations'].values():
    del generation['selective']  # as in results of before
  assert tables_extra.selective(results) is None


def test_students_of_another_kind_or_number_are_named_as_what_they_are():
  def of(students, **more):
    generations = {
      name: {'num_members': size}
      for name, size in (('Tea', 5), ('Stu1', students))
    }
    schema = [{'name': 'expr'}]
    return {
      'names': ['Tea', 'Stu1'],
      'generations': generations,
      'schema': schema,
      **more,
    }

  said = plain._done(of(5))
  assert said.endswith(
    'as many students (Stu1) on the mean answers of the teachers.'
  )
  said = plain._done(of(1, distill='credal'))
  assert said.endswith('1 student (Stu1) on what each of the teachers answers.')
  assert summary.sizes(of(5)) == '5 members per generation (Tea, Stu1)'
  assert summary.sizes(of(1)) == '5 members (Tea), 1 member (Stu1)'
