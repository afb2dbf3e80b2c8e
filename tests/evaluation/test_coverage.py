"""Coverage of prediction sets against direct counts, and within their bands."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import synthetic_run

from emojax import tasks, uncertainty
from emojax.evaluation import (
  coverage,
  coverage_apart,
  coverage_generation,
  evaluate,
)
from emojax.evaluation.coverage_labels import Labels, labels, mean, subjects
from emojax.metrics import calibration
from emojax.report import prediction_sets
from emojax.uncertainty import conformal_scores, conformal_sets, prior

AU, EXPR, VA = SCHEMA = synthetic_run.SCHEMA
BINS = tasks.bin_values()
USUAL = {'au': 'units', 'expr': 'lac', 'va': 'mass'}


@pytest.fixture(scope='module')
def run():
  return synthetic_run.Run(clips=120, length=2)


@pytest.fixture(scope='module')
def logits(run):
  return run.predictions(members=2).logits


@pytest.fixture(scope='module')
def measured(run, logits):
  pairs = coverage_generation.held_out(
    SCHEMA, run.dataset.val, logits['val'], run.dataset.test, logits['test']
  )
  return coverage_generation.evaluate(pairs, (0.8, 0.9), BINS)


def one(run, task, which='test'):
  clips = getattr(run.dataset, which)
  return next(x for x in labels(SCHEMA, clips) if x.task == task)


def test_what_is_measured_is_what_is_counted(run, logits, measured):
  """Classes, by hand."""
  val, test = one(run, EXPR, 'val'), one(run, EXPR)
  p, q = (
    uncertainty.probabilities(EXPR, of.pick(logits[key])).mean(0)
    for of, key in ((val, 'val'), (test, 'test'))
  )
  fitted = conformal_sets.fit(
    EXPR, 'lac', p[None], val.target, val.groups, (0.9,)
  )
  inside = 1 - np.float64(q) <= fitted['all'].thresholds[0.9]
  label = test.target.value.argmax(-1)
  right = inside[np.arange(len(label)), label]
  by_person = [
    right[test.groups == name].mean() for name in np.unique(test.groups)
  ]
  found = measured['expr']['lac']['0.9']
  assert found['coverage'] == pytest.approx(np.mean(by_person))
  sizes = inside.sum(-1)
  by_person = [
    sizes[test.groups == name].mean() for name in np.unique(test.groups)
  ]
  assert found['size'] == pytest.approx(np.mean(by_person))
  for number, name in enumerate(EXPR.labels):
    told = found['by_class'][name]
    assert told['frames'] == (label == number).sum()
  assert sum(x['frames'] for x in found['by_size']) == len(label)
  part = found['parts']['all']
  assert part['tested'] == len(np.unique(test.groups))
  assert part['calibrated'] == len(np.unique(val.groups))
  assert part['band'][0] < 0.9 < part['band'][1]


def test_held_out_people_are_covered_within_the_band(measured):
  """Of 64 parts at a level, nine in ten; sets with ties may be over it."""
  for level in ('0.8', '0.9'):
    below = [
      part['coverage'] < part['band'][0] - 1e-9
      for methods in measured.values()
      for found in methods.values()
      for part in found[level]['parts'].values()
    ]
    assert len(below) == 24 + 1 + 3 + 7 + 4
    assert np.mean(below) < 0.1


def test_parts_are_those_of_the_methods(measured):
  assert set(measured['au']['units']['0.9']['parts']) == {
    f'{unit}/{state}' for unit in AU.labels for state in ('absent', 'present')
  }
  assert list(measured['va']['mass']['0.9']['parts']) == list(VA.labels)
  assert list(measured['expr']['by_class']['0.9']['parts']) == list(EXPR.labels)


def test_more_coverage_is_larger(measured):
  for methods in measured.values():
    for found in methods.values():
      assert found['0.8']['size'] <= found['0.9']['size']
      assert found['0.8']['coverage'] <= found['0.9']['coverage']


def test_the_usual_methods_have_single_members(measured):
  single = {
    (task, method)
    for task, methods in measured.items()
    for method, found in methods.items()
    if 'single' in found['0.9']
  }
  assert single == set(USUAL.items())
  for task, method in single:
    found = measured[task][method]['0.9']['single']
    assert 0 < found['coverage'] <= 1
    assert 'single' not in measured[task][method]['0.8']  # nobody shows it


def test_measures_are_json(measured):
  json.dumps(measured, allow_nan=False)


@pytest.fixture(scope='module')
def evaluated(run):
  found, _ = evaluate(SCHEMA, [run.predictions(members=2)], run.dataset, seed=5)
  return found


def test_every_generation_says_its_sets(run, logits, measured, evaluated):
  found = evaluated['generations']['Tea']['sets']
  assert found['other_labels'] == []
  lac = found['held_out']['expr']['lac']
  assert lac['0.9'] == measured['expr']['lac']['0.9']
  assert 'by_class' not in lac['0.95']  # kept small
  pairs = coverage_generation.halves(
    SCHEMA, run.dataset.test, logits['test'], 5
  )
  assert found['halves'] == coverage_generation.evaluate(pairs, bin_values=BINS)


def test_a_scored_validation_set_has_halves_only(run):
  found, _ = evaluate(
    SCHEMA, [run.predictions(members=2)], run.dataset, split='val'
  )
  sets = found['generations']['Tea']['sets']
  assert sets['held_out'] is None
  assert set(sets['halves']) == {'au', 'expr', 'va'}


def test_validation_predictions_that_are_nan_are_a_note(run, evaluated):
  broken = run.predictions(members=2)
  broken.logits['val']['va'][1, 3, 0] = np.nan
  found, _ = evaluate(SCHEMA, [broken], run.dataset, seed=5, temperature=False)
  tea = found['generations']['Tea']
  assert tea['sets']['held_out'] is None
  halves = evaluated['generations']['Tea']['sets']['halves']
  assert tea['sets']['halves'] == halves  # test people are of use nevertheless
  start = 'no prediction sets by the validation set: Tea'
  assert [n for n in tea['notes'] if n.startswith(start)]


def test_the_report_has_what_was_measured(evaluated):
  sets = prediction_sets.of_generations(evaluated)
  table = prediction_sets.coverage(sets)
  rows = dict(table.sections[0].rows)
  part = evaluated['generations']['Tea']['sets']['held_out']['expr']['lac']
  low, high = part['0.8']['parts']['all']['band']
  assert f'[{low:.3f}, {high:.3f}]' in rows['EXPR, lac'][0]
  assert f'{part["0.8"]["coverage"]:.3f}' in rows['EXPR, lac'][0]
  assert rows['EXPR, lac'][3].value == part['0.9']['size']
  assert ' of 24)' in rows['AU, units'][1]
  assert len(table.sections) == 2
  cases = dict(prediction_sets.worst(sets).sections[0].rows)['EXPR, lac']
  told = part['0.9']['by_class']
  name = min(told, key=lambda n: told[n]['coverage'])
  assert cases[0] == f'{name} ({told[name]["coverage"]:.2f})'


def test_coverage_outside_its_band_is_marked():
  part = {'band': [0.8, 0.9], 'infinite': False}
  for value, sign in ((0.79, '<'), (0.85, ''), (0.91, '>')):
    one = part | {'coverage': value}
    text = prediction_sets.coverage_text(
      {'coverage': value, 'parts': {'all': one}}
    )
    assert text == f'{sign}{value:.3f} [0.800, 0.900]'
  full = {'coverage': 1.0, 'parts': {'all': part | {'infinite': True}}}
  assert prediction_sets.coverage_text(full) == 'all'


def test_sets_of_everything_have_no_worst_cases(evaluated):
  sets = copy.deepcopy(evaluated['generations']['Tea']['sets'])
  part = sets['held_out']['expr']['lac']['0.9']['parts']['all']
  part['infinite'] = True
  rows = dict(prediction_sets.worst({'Tea': sets}).sections[0].rows)
  assert [cell.value for cell in rows['EXPR, lac']] == [None] * 3
  assert rows['EXPR, aps'][0]


def test_results_of_before_have_no_such_tables(evaluated):
  tea = {
    k: v for k, v in evaluated['generations']['Tea'].items() if k != 'sets'
  }
  before = prediction_sets.of_generations({'generations': {'Tea': tea}})
  assert prediction_sets.tables(before) == []
  assert prediction_sets.section(before) == []


def test_a_stack_has_the_usual_sets_of_its_members(run, logits):
  prediction = run.predictions(members=2)
  clips = {'val': run.dataset.val, 'test': run.dataset.test}
  found = coverage_generation.of_stack(prediction, clips, 'test', 5, BINS, [1])
  one = {key: {name: x[1:] for name, x in logits[key].items()} for key in clips}
  whole = coverage_generation.checked(
    SCHEMA,
    coverage_generation.Side(clips['val'], one['val']),
    coverage_generation.Side(clips['test'], one['test']),
    5,
    BINS,
  )
  for key in ('held_out', 'halves'):
    assert found[key] == {
      task: {method: whole[key][task][method]} for task, method in USUAL.items()
    }
  assert (found['other_labels'], found['notes']) == ([], [])
  rows = prediction_sets.coverage({'a': found, 'b': None}, 'thresholds')
  assert [len(section.rows) for section in rows.sections] == [3, 3]
  assert rows.sections[0].rows[1][0] == 'a: EXPR, lac'


def test_a_stack_without_numbers_says_why(run):
  broken = run.predictions(members=2)
  clips = {'val': run.dataset.val, 'test': run.dataset.test}
  broken.logits['val']['va'][1, 3, 0] = np.nan
  found = coverage_generation.of_stack(broken, clips, 'test', 5, BINS)
  assert found['held_out'] is None
  assert set(found['halves']) == set(USUAL)
  table = prediction_sets.coverage({'Tea': found})
  assert 'no prediction sets by the validation set: Tea' in table.note
  broken.logits['test']['va'][1, 3, 0] = np.nan
  found = coverage_generation.of_stack(broken, clips, 'test', 5, BINS)
  assert prediction_sets.section({'Tea': found}) == []
  assert len(found['notes']) == 2


def test_labels_of_two_kinds_are_named(run):
  value, mask = run.dataset.test.targets['expr']
  soft = run.dataset.test.targets | {
    'expr': tasks.Target(0.9 * value + np.float32(0.1 / 7), mask)
  }
  other = dataclasses.replace(run.dataset.test, targets=soft)
  found = coverage_generation.other_labels(SCHEMA, run.dataset.val, other)
  assert found == ['expr']


def test_halves_share_nobody_and_leave_nobody_out(run, logits):
  pairs = list(
    coverage_generation.halves(SCHEMA, run.dataset.test, logits['test'], 3)
  )
  assert [b.title for _, b, *_ in pairs] == ['au', 'expr', 'va']
  for a, b, *_ in pairs:
    whole = one(run, b.task)
    assert not set(a.groups) & set(b.groups)
    assert sorted([*a.index, *b.index]) == sorted(whole.index)
  again = coverage_generation.halves(
    SCHEMA, run.dataset.test, logits['test'], 3
  )
  np.testing.assert_array_equal(next(again)[0].index, pairs[0][0].index)


def test_frames_without_a_label_are_in_no_number(run, logits):
  """Masked labels may be anything."""
  test = one(run, AU)
  probs = uncertainty.probabilities(AU, test.pick(logits['test']))
  fitted = conformal_sets.fit(
    AU, 'units', probs, test.target, test.groups, (0.8,)
  )
  value, mask = test.target
  wrong = Labels(
    AU,
    False,
    test.index,
    tasks.Target(np.where(mask > 0, value, 1 - value), mask),
    test.groups,
  )
  found = [
    coverage.measure(x, 'units', probs, fitted, 0.8) for x in (test, wrong)
  ]
  assert found[0] == found[1]


def test_the_worst_subjects_are_named():
  groups = np.repeat(['a', 'b', 'c', 'd'], [5, 6, 4, 8])
  hit = np.concatenate([np.ones(5), np.zeros(6), np.zeros(4), np.full(8, 0.5)])
  target = tasks.Target(np.zeros((23, 7)), np.ones(23))
  of = Labels(EXPR, False, np.arange(23), target, groups)
  found = coverage_apart.worst(of, hit)
  assert [x['subject'] for x in found] == ['b', 'd', 'a']  # 'c' has few frames
  assert [x['coverage'] for x in found] == [0, 0.5, 1]
  assert mean(hit, groups) == pytest.approx((1 + 0 + 0 + 0.5) / 4)


def test_every_frame_has_its_subject(run):
  clips = run.dataset.test
  assert subjects(clips).shape == (clips.frame_mask.size,)
  assert subjects(clips)[2] == subjects(clips)[3] == clips.subject_id[1]


def test_sets_are_made_without_class_weights(run, logits):
  shift = {'au': np.linspace(-2, 2, 12), 'expr': np.linspace(-3, 0, 7)}
  prediction = run.predictions(members=2)
  found, _ = evaluate(
    SCHEMA, [prediction], run.dataset, seed=5, priors={'Tea': shift}
  )
  val, test = (prior.correct(SCHEMA, logits[k], shift) for k in ('val', 'test'))
  pairs = {
    'held_out': coverage_generation.held_out(
      SCHEMA, run.dataset.val, val, run.dataset.test, test
    ),
    'halves': coverage_generation.halves(SCHEMA, run.dataset.test, test, 5),
  }
  for key, pair in pairs.items():
    expected = coverage_generation.evaluate(pair, bin_values=BINS)
    assert found['generations']['Tea']['sets'][key] == expected, key


def test_units_are_counted_by_their_own_state(run):
  """Where every unit is said to be present, those that are not are missed."""
  test = one(run, AU)
  said = np.ones(test.target.value.shape, np.int8)
  for hit in coverage.hits(test, 'units', said):
    unit, state = hit.part.split('/')
    value = test.target.value[hit.index, AU.labels.index(unit)]
    assert (value == (state == 'present')).all()
    assert (hit.held == (state == 'present')).all()


def test_shares_count_as_where_thresholds_were_fitted():
  """People of several frames with ten votes each: by_class holds its promise."""
  rng = np.random.default_rng(0)
  people, length, classes = 600, 8, 4
  task = tasks.expr_task(('a', 'b', 'c', 'd'))
  truth = rng.dirichlet(np.full(classes, 0.5), (people, length))
  votes = rng.multinomial(10, truth) / 10
  groups = np.repeat(np.arange(people).astype(str), length)

  def frames(who):
    rows = np.isin(groups, np.arange(people)[who].astype(str))
    share = votes.reshape(-1, classes)[rows]
    target = tasks.Target(share, np.ones(len(share)))
    of = Labels(task, False, np.arange(len(share)), target, groups[rows])
    return of, truth.reshape(1, -1, classes)[:, rows]

  (fit, p), (test, q) = frames(slice(0, 300)), frames(slice(300, None))
  fitted = conformal_sets.fit(
    task, 'by_class', p, fit.target, fit.groups, (0.9,)
  )
  found = coverage.measure(test, 'by_class', q, fitted, 0.9)
  for part in found['parts'].values():
    low, high = part['band']
    assert low <= part['coverage'] <= high
  # Of a frame it is the share of its votes, as of sets without parts.
  made = conformal_sets.sets(task, 'by_class', q, fitted, 0.9)
  held = (made * test.target.value).sum(-1)
  by_frame = mean(held, test.groups)
  weighed = sum(
    x['coverage'] * len(test.groups[test.target.value.argmax(-1) == i])
    for i, x in enumerate(found['by_class'].values())
  )
  assert weighed / len(test.groups) == pytest.approx(by_frame, abs=0.02)


@pytest.mark.parametrize('kind', ['ends', 'centres'])
def test_labels_are_inside_the_cell_of_their_bin(kind):
  """Tenths are the ends of twenty bins, whose values rounding has moved."""
  bins = tasks.bin_values(20, kind)
  ends = conformal_scores.edges(bins)
  task = dataclasses.replace(VA, labels=('valence',))
  value = np.arange(-1000, 1001)[:, None] / 1000
  number = calibration.bin_index(value, bins, 'nearest')
  names = np.arange(len(value)).astype(str)
  target = tasks.Target(value, np.ones_like(value))
  of = Labels(task, False, np.arange(len(value)), target, names)
  made = np.stack([ends[number], ends[number + 1]], -1)
  (hit,) = coverage.hits(of, 'mass', made)
  assert hit.held.all()
  (hit,) = coverage.hits(of, 'mass', made + 0.11)
  assert not hit.held.any()


def test_frames_are_told_apart_by_the_size_of_their_sets():
  groups = np.array(['a', 'b', 'c', 'd'])
  hit = np.array([1.0, 0.0, 1.0, np.nan])
  target = tasks.Target(np.zeros((4, 7)), np.ones(4))
  of = Labels(EXPR, False, np.arange(4), target, groups)
  found = coverage_apart.by_size(of, np.array([1, 1, 3, 3]), hit)
  rows = [(x['size'], x['coverage'], x['frames']) for x in found]
  assert rows == [(1, 0.5, 2), (3, 1, 1)]
  of = Labels(AU, False, np.arange(4), target, groups)
  found = coverage_apart.by_size(of, np.array([0, 0.25, 0.3, 1]), hit)
  rows = [(x['size'], x['coverage'], x['frames']) for x in found]
  assert rows == [(0, 1, 1), (0.25, 0, 1), (0.5, 1, 1)]


def test_probabilities_of_units_are_counted_by_both_states():
  unit, rng = tasks.au_task(('AU1',)), np.random.default_rng(0)
  share = np.float32(rng.choice([0, 0.25, 1], (60, 1)))
  groups = np.repeat(np.arange(20), 3).astype(str)
  mask = np.ones_like(share)
  of = Labels(unit, False, np.arange(60), tasks.Target(share, mask), groups)
  assert of.soft
  assert of.methods == ('units',)
  made = rng.choice([-1, 0, 1], (60, 1))
  found = {hit.part: hit for hit in coverage.hits(of, 'units', made)}
  for state, name in enumerate(('absent', 'present')):
    hit = found[f'AU1/{name}']
    mass = share[:, 0] if state else 1 - share[:, 0]
    held = np.isin(made[:, 0], (-1, state))
    expected = []
    for who in np.unique(groups):
      mine = (groups == who) & (mass > 0)
      if mine.any():
        expected.append((mass[mine] @ held[mine], mass[mine].sum(), mine.sum()))
    inside, whole, count = np.transpose(expected)
    value = mean(hit.held, groups[hit.index], hit.mass)
    assert value == pytest.approx(
      (inside / count).sum() / (whole / count).sum()
    )
