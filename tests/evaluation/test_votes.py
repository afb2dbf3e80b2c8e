"""Statistics against votes, each against its definition or another library."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import scipy.special
import scipy.stats
from synthetic_run import Run

from emojax import tasks, uncertainty
from emojax.evaluation import context as contexts
from emojax.evaluation import evaluate, intervals, judge, resampling, votes
from emojax.metrics import calibration, ood, selective
from emojax.uncertainty import temperature

SCHEMA = (tasks.expr_task(tasks.FERPLUS),)


def voted(clips, seed=0):
  """Clips with ten votes a frame, some for "unknown"."""
  rng = np.random.default_rng(seed)
  posterior = np.float64(clips.truth['expr'])
  posterior /= posterior.sum(-1, keepdims=True)
  full = np.concatenate(
    [0.9 * posterior, np.full((*posterior.shape[:-1], 2), 0.05)], -1
  )
  drawn = np.float32(rng.multinomial(10, full))
  return dataclasses.replace(clips, votes=drawn, truth=None)


def with_votes(run: Run):
  """The run's data with votes for its test clips."""
  return dataclasses.replace(run.dataset, test=voted(run.dataset.test))


@pytest.fixture(scope='module')
def run():
  run = Run(SCHEMA, clips=300, length=1)
  for clips in (*run.sets.values(), *run.dataset.ood.values()):
    clips.frame_mask[:] = 1
  return run


@pytest.fixture(scope='module')
def dataset(run):
  return with_votes(run)


@pytest.fixture(scope='module')
def judged(run, dataset):
  context = contexts.make(SCHEMA, dataset, 0, None, None)
  found = judge.Judge(context, replicates=200)
  found.add(run.predictions('Tea', scale=3, passes=4))
  found.add(run.predictions('Stu1', scale=1, seed=1))
  return found


def test_shares_leave_out_what_names_no_class():
  ballots = np.array([[3, 1, 6], [0, 0, 10], [0, 5, 0]], np.float32)
  share, kept = votes.shares(ballots, 2)
  np.testing.assert_allclose(share, [[0.75, 0.25], [0, 1]])
  assert kept.tolist() == [0, 2]


def test_against_scipy(judged, run):
  sample = judged.sample
  logits = run.predictions('Tea').logits['test']['expr'].reshape(3, -1, 8)
  probs = scipy.special.softmax(np.float64(logits[:, judged.index]), -1)
  doubt = uncertainty.decompose(probs)
  found = votes.against_votes(sample, probs.mean(0), doubt)
  relative = scipy.special.rel_entr(sample.votes, probs.mean(0)).sum(-1)
  np.testing.assert_allclose(found['vote/kl'][0], relative.mean(), atol=1e-6)
  entropy = np.round(scipy.stats.entropy(sample.votes, axis=-1), 9)
  np.testing.assert_allclose(
    found['vote/nll'][0], (relative + entropy).mean(), atol=1e-6
  )
  for kind in ('total', 'aleatoric', 'epistemic'):
    x = getattr(doubt, kind)
    for name, oracle in (
      ('spearman', scipy.stats.spearmanr),
      ('pearson', scipy.stats.pearsonr),
    ):
      value = found[f'vote/{name}/{kind}'][0]
      np.testing.assert_allclose(value, oracle(x, entropy)[0])


def test_hard_labels_and_foreign_sets_as_elsewhere(judged, run, dataset):
  probs = scipy.special.softmax(
    np.float64(run.predictions('Tea').logits['test']['expr'][:1, :, 0]), -1
  )
  target, kept = dataset.test.targets['expr'], judged.index
  value, mask = target.value[kept, 0], target.mask[kept, 0]
  doubt = uncertainty.decompose(probs[:, kept])
  found = votes.against_labels(judged.sample, probs[0, kept], doubt)
  arguments = probs[0, kept], value, mask
  expected = {
    'hard/nll': calibration.categorical_nll(*arguments),
    'hard/brier': calibration.brier_categorical(*arguments),
    'hard/ece': calibration.categorical_reliability(*arguments).error(),
  }
  labelled = mask > 0
  right = (probs[0, kept].argmax(-1) == value.argmax(-1))[labelled]
  curve = selective.rejection_curve(right, doubt.total[labelled])
  expected |= {
    'hard/acc': right.mean(),
    'hard/rejection_area': curve.area,
    'hard/acc_kept': curve.at(0.2),
  }
  assert found.keys() == expected.keys()
  for key, value in expected.items():
    assert found[key][0] == pytest.approx(value, abs=2e-6), key
  foreign = uncertainty.decompose(np.full((1, 300, 8), 1 / 8))
  aucs = votes.against_outside(judged.sample, doubt, {'noise': foreign})
  assert list(aucs) == ['ood/noise/total']
  auroc = ood.detect(doubt.total, foreign.total).auroc
  assert aucs['ood/noise/total'][0] == pytest.approx(auroc)


def test_rows(judged):
  assert list(judged.rows) == [
    'Tea single',
    'Tea ensemble',
    'Tea single + TS',
    'Tea ensemble + TS',
    'Tea single + MC dropout',
    'Stu1 single',
    'Stu1 ensemble',
    'Stu1 single + TS',
    'Stu1 ensemble + TS',
  ]
  single, ensemble = judged.rows['Tea single'], judged.rows['Tea ensemble']
  assert (single['models'], ensemble['models']) == (3, 1)
  assert ensemble['std'] is None
  assert 'vote/spearman/epistemic' in ensemble['mean']
  assert 'vote/spearman/epistemic' not in single['mean']
  assert 'ood/noise/epistemic' in judged.rows['Tea single + MC dropout']['mean']
  for row in judged.rows.values():
    for key, (low, high) in row['interval'].items():
      assert low <= high
      assert low <= row['mean'][key] <= high, key
  json.dumps(judged.results(), allow_nan=False)


def test_ensembles_average_probabilities(judged, run):
  logits = run.predictions('Tea', scale=3, passes=4).logits['test']['expr']
  probs = scipy.special.softmax(np.float64(logits[:, judged.index, 0]), -1)
  nll = calibration.categorical_nll(
    probs.mean(0), judged.sample.votes, np.ones(len(judged.index))
  )
  assert judged.rows['Tea ensemble']['mean']['vote/nll'] == pytest.approx(nll)


def test_temperatures_come_from_the_validation_set(judged, run):
  row = judged.rows['Tea single + TS']
  prediction = run.predictions('Tea', scale=3, passes=4)
  target = run.dataset.val.targets['expr']
  expected = [
    temperature.fit(SCHEMA[0], one, target) for one in prediction.logits['val']['expr']
  ]  # fmt: skip
  np.testing.assert_allclose(row['temperatures'], expected, atol=1e-6)
  for key in ('vote/nll', 'hard/nll', 'hard/ece'):
    assert row['mean'][key] < judged.rows['Tea single']['mean'][key]
  accuracy = [judged.rows[r]['mean']['hard/acc'] for r in judged.rows][:3:2]
  assert accuracy[0] == accuracy[1]


def test_temperatures_of_votes_beat_those_of_labels_by_votes(run, dataset):
  val = voted(run.dataset.val, seed=1)
  both = dataclasses.replace(dataset, val=val)
  found = judge.Judge(contexts.make(SCHEMA, both, 0, None, None), replicates=3)
  tea = run.predictions('Tea', scale=3)
  found.add(tea)
  assert list(found.rows) == [
    f'Tea {kind}{suffix}'
    for suffix in ('', ' + TS', ' + TS on votes')
    for kind in ('single', 'ensemble')
  ]
  share, kept = votes.shares(val.votes[:, 0], 8)
  logits = np.float64(tea.logits['val']['expr'][:, kept, 0])
  fitted = found.rows['Tea single + TS on votes']['temperatures']
  for one, best in zip(logits, fitted, strict=True):
    kl = [
      -(share * scipy.special.log_softmax(one / t, -1)).sum(-1).mean()
      for t in (best, 0.98 * best, 1.02 * best)
    ]
    assert kl[0] == min(kl)
  labels = found.rows['Tea single + TS']['temperatures']
  assert not np.allclose(fitted, labels, rtol=0.01)


def test_differences_are_paired(judged):
  found = {
    (d['row'], d['rival'], d['statistic']): d
    for d in judged.results()['differences']
  }
  one = found['Stu1 single', 'Tea single', 'vote/nll']
  rows = judged.rows
  expected = (
    rows['Stu1 single']['mean']['vote/nll']
    - rows['Tea single']['mean']['vote/nll']
  )
  assert one['difference'] == pytest.approx(expected)
  assert one['interval'][0] < one['difference'] < one['interval'][1] < 0
  # The same faces are in both: the interval is narrower than either mean's.
  width = np.ptp(rows['Tea single']['interval']['vote/nll'])
  assert np.ptp(one['interval']) < 1.5 * width
  rivals = {d['rival'] for d in found.values() if d['row'] == 'Stu1 single'}
  assert rivals == {'Tea single', 'Tea single + TS', 'Tea single + MC dropout'}
  assert not any(d['row'].startswith('Tea') for d in found.values())


def test_predictions_that_are_not_finite_are_refused(judged):
  probs = np.full((2, len(judged.index), 8), 1 / 8)
  foreign = {'noise': np.full((2, 300, 8), 1 / 8)}
  for name, values in (('the test set', probs), ('noise', foreign['noise'])):
    values[1, 3] = np.nan
    with pytest.raises(ValueError, match=f'predictions of {name}; the model'):
      votes.statistics(judged.sample, probs, foreign)
    values[1, 3] = 1 / 8
  assert votes.statistics(judged.sample, probs, foreign)


def test_members_are_left_out_of_ensembles(judged, run, dataset):
  tea = run.predictions('Tea', scale=3, passes=4)
  without = judged.without['Tea ensemble']['vote/kl']
  for member in range(3):
    rest = dataclasses.replace(
      tea,
      logits={
        key: {task: np.delete(x, member, 0) for task, x in heads.items()}
        for key, heads in tea.logits.items()
      },
      epochs=[0, 0],
      mc={},
    )
    context = contexts.make(SCHEMA, dataset, 0, None, None)
    few = judge.Judge(context, replicates=3)
    few.add(rest)
    expected = few.rows['Tea ensemble']['mean']['vote/kl']
    assert without[member] == pytest.approx(expected)
    single = judged.without['Tea single']['vote/kl'][member]
    expected = few.rows['Tea single']['mean']['vote/kl']
    assert single == pytest.approx(expected)


def test_passes_of_one_member_are_no_members(run, dataset):
  """What dropout varies says nothing of other networks."""
  context = contexts.make(SCHEMA, dataset, 0, None, None)
  one = judge.Judge(context, replicates=5)
  one.add(run.predictions('Tea', 1, passes=4))
  one.add(run.predictions('Stu1', 1, seed=1))
  assert set(map(len, one.without.values())) == {0}
  found = one.results()['differences']
  assert found
  assert {d['error'] for d in found} == {None}


def test_identical_generations_are_rarely_told_apart():
  """Members differ by more than the choice of images explains."""
  rng, trials, members, images = np.random.default_rng(0), 400, 4, 60
  counts = resampling.draws(0, images, 100)
  wrong = by_images = 0
  for _ in range(trials):
    hard = rng.normal(size=images)
    replicates, without = {}, {}
    for row in ('Tea single', 'Stu1 single'):
      skill = 0.2 * rng.normal(size=(members, 1))
      noise = 0.3 * rng.normal(size=(members, images))
      every = [
        {'x': resampling.mean(counts, values)}
        for values in hard + skill + noise
      ]
      _, replicates[row] = judge.summarise(every)
      without[row] = judge.without_model(every)
    (one,) = judge.differences(
      replicates,
      without,
      lambda *values: intervals.members_and_images(*values, images),
    )
    low, high = one['interval']
    wrong += not low <= 0 <= high
    gap = replicates['Stu1 single']['x'] - replicates['Tea single']['x']
    low, high = resampling.interval(gap)
    by_images += not low <= 0 <= high
  assert wrong <= scipy.stats.binom.ppf(0.9995, trials, 0.05)
  assert by_images > 0.3 * trials  # the intervals that these have replaced


def test_curves(judged):
  curve = judged.curves['Tea single']
  assert len(curve['rejected']) == len(curve['accuracy'])
  first = judged.rows['Tea single']['mean']['hard/acc']
  assert curve['accuracy'][0] == pytest.approx(first, abs=1e-5)
  assert (np.diff(curve['vote_entropy']) >= 0).all()
  assert curve['entropy'][-1] > curve['entropy'][0]


def test_evaluate_judges_where_there_are_votes(run, dataset, monkeypatch):
  monkeypatch.setattr(judge, 'REPLICATES', 20)
  prediction = run.predictions('Tea', members=2)
  results, curves = evaluate(SCHEMA, [prediction], dataset)
  again, _ = evaluate(SCHEMA, [prediction], dataset)
  assert results['votes'] == again['votes']
  assert results['votes']['faces'] == 300
  assert results['votes']['labelled'] < 300
  assert list(curves['votes']) == list(results['votes']['rows'])
  results, curves = evaluate(SCHEMA, [prediction], run.dataset)
  assert results['votes'] is None
  assert curves['votes'] == {}


def test_votes_without_a_task_for_them(run, dataset):
  narrow = dataclasses.replace(dataset.test, votes=dataset.test.votes[..., :5])
  wrong = dataclasses.replace(dataset, test=narrow)
  with pytest.raises(ValueError, match=r"5 columns fit none.*'expr'"):
    evaluate(SCHEMA, [run.predictions()], wrong)


@pytest.mark.parametrize('faces', [1, 2, 7, 300])
def test_strata_are_ordered_groups_of_all(faces):
  rng = np.random.default_rng(faces)
  share, _ = votes.shares(rng.multinomial(6, [0.7, 0.2, 0.1], faces), 3)
  groups = votes.strata(share, 3)
  assert len(groups) == 4
  assert sorted(np.concatenate(groups)) == list(range(faces))
  entropies = [np.round(votes.entropy(share[one]), 9) for one in groups]
  assert (share[groups[0]].max(1) == 1).all()
  disputed = [one for one in entropies[1:] if len(one)]
  assert all((one > 0).all() for one in disputed)
  for low, high in itertools.pairwise(disputed):
    assert low.max() < high.min()
  if faces == 300:
    # With entropies of their own, groups differ by one image at most.
    plain = votes.strata(rng.dirichlet(np.ones(3), faces), 3)
    assert [len(one) for one in plain] == [0, 100, 100, 100]
  # Nobody disagrees.
  assert [len(one) for one in votes.strata(np.eye(3), 3)] == [3, 0, 0, 0]
