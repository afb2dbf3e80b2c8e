"""Evaluation against scikit-learn and against what must hold."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
import synthetic_run

from emojax import tasks
from emojax.evaluation import evaluate


@pytest.fixture(scope='module')
def run():
  return synthetic_run.Run(clips=20, length=3)


@pytest.fixture(scope='module')
def predictions(run):
  return [
    run.predictions('Tea', noise=1.0, scale=1.5, passes=2, seed=1),
    run.predictions('Stu1', noise=0.4, seed=2),
  ]


@pytest.fixture(scope='module')
def evaluated(run, predictions):
  return evaluate(run.schema, predictions, run.dataset, seed=3)


def frames(run, predictions, task):
  """Probabilities [M, F, ...], labels and mask of the valid frames."""
  clips = run.dataset.test
  valid = clips.frame_mask > 0
  logits = tasks.split_logits(task, predictions.logits['test'][task.name])
  logits = np.float64(logits)[:, valid]
  probs = scipy.special.expit(logits)
  if task.kind != 'binary':
    probs = scipy.special.softmax(logits, -1)
  value, mask = clips.targets[task.name]
  return probs, value[valid], mask[valid] > 0


def test_au_metrics_are_those_of_scikit_learn(run, predictions, evaluated):
  task = run.schema[0]
  probs, value, mask = frames(run, predictions[0], task)
  tea = evaluated[0]['generations']['Tea']
  for found, p in [
    *zip(tea['members'], probs),
    (tea['ensemble'], probs.mean(0)),
  ]:
    f1, nll = [], []
    for i, label in enumerate(task.labels):
      y, q = value[:, i][mask[:, i]], p[:, i][mask[:, i]]
      f1.append(sklearn.metrics.f1_score(y, q > 0.5))
      nll.append(sklearn.metrics.log_loss(y, q))
      assert found[f'au/nll/{label}'] == pytest.approx(nll[-1], abs=1e-5)
    accuracy = np.mean((p > 0.5)[mask] == value[mask])
    assert found['au/f1'] == pytest.approx(np.mean(f1), abs=1e-5)
    assert found['au/acc'] == pytest.approx(accuracy, abs=1e-5)
    assert found['au/nll'] == pytest.approx(np.mean(nll), abs=1e-5)
    score = 0.5 * np.mean(f1) + 0.5 * accuracy
    assert found['au/score'] == pytest.approx(score, abs=1e-5)


def test_expr_metrics_are_those_of_scikit_learn(run, predictions, evaluated):
  probs, value, mask = frames(run, predictions[0], run.schema[1])
  y = value[mask].argmax(-1)
  tea = evaluated[0]['generations']['Tea']
  for found, p in [
    *zip(tea['members'], probs),
    (tea['ensemble'], probs.mean(0)),
  ]:
    q = p[mask]
    f1 = sklearn.metrics.f1_score(y, q.argmax(-1), average='macro')
    accuracy = sklearn.metrics.accuracy_score(y, q.argmax(-1))
    nll = -np.mean(np.log(q[np.arange(len(y)), y]))
    assert found['expr/score'] == pytest.approx(
      0.67 * f1 + 0.33 * accuracy, abs=1e-5
    )
    assert found['expr/nll'] == pytest.approx(nll, abs=1e-5)


def test_va_metrics(run, predictions, evaluated):
  probs, value, mask = frames(run, predictions[0], run.schema[2])
  tea = evaluated[0]['generations']['Tea']
  expected = probs.mean(0) @ np.linspace(-1, 1, 20)
  for i, label in enumerate(('valence', 'arousal')):
    x, y = expected[:, i][mask[:, i]], value[:, i][mask[:, i]]
    error = sklearn.metrics.mean_squared_error(y, x) ** 0.5
    both = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    ccc = 2 * np.cov(x, y, ddof=0)[0, 1] / both
    assert tea['ensemble'][f'va/rmse/{label}'] == pytest.approx(error, abs=1e-5)
    assert tea['ensemble'][f'va/ccc/{label}'] == pytest.approx(ccc, abs=1e-4)


def test_mean_and_deviation_are_over_members(evaluated):
  tea = evaluated[0]['generations']['Tea']
  totals = [member['total'] for member in tea['members']]
  assert len(totals) == 3
  assert tea['single_mean']['total'] == pytest.approx(np.mean(totals))
  assert tea['single_std']['total'] == pytest.approx(np.std(totals, ddof=1))
  for member in tea['members']:
    parts = (member[f'{name}/score'] for name in ('au', 'expr', 'va'))
    assert member['total'] == pytest.approx(sum(parts))


def test_ensemble_nll_is_below_the_mean_of_its_members(evaluated):
  for run in evaluated[0]['generations'].values():
    for key in ('au/nll', 'expr/nll', 'va/nll/valence'):
      assert run['ensemble'][key] < run['single_mean'][key]


def test_mc_dropout_scores_the_mean_of_the_passes(run, predictions, evaluated):
  logits = np.float64(predictions[0].mc['test']['expr'])
  valid = run.dataset.test.frame_mask > 0
  probs = scipy.special.softmax(logits, -1).mean(1)[:, valid]
  value, mask = (x[valid] for x in run.dataset.test.targets['expr'])
  y = value[mask > 0].argmax(-1)
  found = evaluated[0]['generations']['Tea']['mc']
  assert found['passes'] == 2
  for member, p in zip(found['members'], probs):
    nll = -np.mean(np.log(p[mask > 0][np.arange(len(y)), y]))
    assert member['expr/nll'] == pytest.approx(nll, abs=1e-5)
  assert evaluated[0]['generations']['Stu1']['mc'] is None


def test_temperature_scaling_helps_overconfident_teachers(evaluated):
  found = evaluated[0]['generations']['Tea']['ts']
  for key in ('au/nll', 'expr/nll'):
    assert (
      found['test_time']['mean'][key] < found['test_time']['uncalibrated'][key]
    )
    teacher = evaluated[0]['generations']['Tea']['single_mean'][key]
    assert found['val']['mean'][key] < teacher
  assert np.array(found['val']['temperatures']['au']).shape == (3, 12)
  assert np.all(np.array(found['test_time']['temperatures']['expr']) > 1)
  assert not any(key.startswith('va/') for key in found['test_time']['mean'])


def test_ood_auroc_is_that_of_scikit_learn(run, predictions, evaluated):
  def epistemic(logits, keep):
    parts = []
    for task in run.schema:
      x = np.float64(tasks.split_logits(task, logits[task.name]))[:, keep]
      p = scipy.special.softmax(x, -1)
      if task.kind == 'binary':
        p = np.stack([scipy.special.expit(x), scipy.special.expit(-x)], -1)
      total = scipy.stats.entropy(p.mean(0), axis=-1)
      part = total - scipy.stats.entropy(p, axis=-1).mean(0)
      part /= np.log(p.shape[-1])
      parts.append(part if task.kind == 'categorical' else part.mean(-1))
    return np.mean(parts, 0)

  valid = run.dataset.test.frame_mask > 0
  foreign = run.dataset.ood['noise'].frame_mask > 0
  inside = epistemic(predictions[1].logits['test'], valid)
  outside = epistemic(predictions[1].logits['ood/noise'], foreign)
  labels = np.repeat([0, 1], [len(inside), len(outside)])
  wanted = sklearn.metrics.roc_auc_score(labels, np.append(inside, outside))
  found = evaluated[0]['generations']['Stu1']['ood']['noise']
  assert found['ensemble/epistemic'] == pytest.approx(wanted, abs=1e-4)
  roc = evaluated[1]['roc']['Stu1']['noise']
  assert roc['auc'] == found['ensemble/epistemic']
  assert np.trapezoid(roc['tpr'], roc['fpr']) == pytest.approx(wanted, abs=1e-2)
  assert 'mc/epistemic' in evaluated[0]['generations']['Tea']['ood']['noise']


def test_posterior_itself_has_no_excess(run):
  perfect = run.predictions('Tea', members=2, noise=0)
  results, _ = evaluate(run.schema, [perfect], run.dataset)
  truth = results['generations']['Tea']['truth']
  for kind in ('single_mean', 'ensemble'):
    for task in ('au', 'expr', 'va'):
      distances = truth[kind][task]
      for key in ('kl', *(k for k in distances if k.startswith('excess'))):
        assert distances[key] == pytest.approx(0, abs=1e-5)
      assert distances['spearman_total'] == pytest.approx(1, abs=1e-3)
  best = results['optimum']['metrics']
  assert results['generations']['Tea']['ensemble']['total'] == pytest.approx(
    best['total'], abs=1e-4
  )


def test_optimal_nll_is_the_entropy_of_the_posterior():
  run = synthetic_run.Run(clips=300, length=4, missing=0)
  results, _ = evaluate(
    run.schema, [run.predictions(members=1, noise=2.0)], run.dataset
  )
  optimum = results['optimum']
  for name in ('au', 'expr'):
    nll = optimum['metrics'][f'{name}/nll']
    assert nll == pytest.approx(optimum['entropy'][name], abs=0.05)
  truth = results['generations']['Tea']['truth']['ensemble']
  for name in ('au', 'expr'):
    # The excess on the drawn labels estimates the expected one.
    assert truth[name]['excess_nll'] == pytest.approx(
      truth[name]['kl'], rel=0.2
    )


def test_results_are_json_and_deterministic(run, predictions, evaluated):
  again = evaluate(run.schema, iter(predictions), run.dataset, seed=3)
  for first, second in zip(evaluated, again):
    text = json.dumps(first, allow_nan=False)
    assert text == json.dumps(second, allow_nan=False)
    assert json.loads(text) == first
  other = evaluate(run.schema, predictions, run.dataset, seed=4)[0]
  assert (
    other['generations']['Tea']['ts'] != again[0]['generations']['Tea']['ts']
  )


def test_masked_labels_and_padding_do_not_matter(run):
  schema = run.schema[:2]
  tea = _only([run.predictions(noise=1.0, seed=1)], schema)
  clips = run.dataset.test
  padding = clips.frame_mask == 0
  targets = {}
  for name, (value, mask) in clips.targets.items():
    hidden = (mask == 0) if value.ndim == mask.ndim else (mask == 0)[..., None]
    junk = np.where(hidden | padding[..., None], 1 - value, value)
    labelled = np.where(
      padding.reshape(*padding.shape, *[1] * (mask.ndim - 2)), 1, mask
    )
    targets[name] = tasks.Target(junk, np.float32(labelled))
  assert not np.array_equal(targets['au'].value, clips.targets['au'].value)
  assert not np.array_equal(targets['au'].mask, clips.targets['au'].mask)
  changed = dataclasses.replace(
    run.dataset, test=dataclasses.replace(clips, targets=targets)
  )
  assert evaluate(schema, tea, changed) == evaluate(schema, tea, run.dataset)


def _only(predictions, schema):
  """The same predictions without the tasks that the schema lacks."""
  names = [task.name for task in schema]
  return [
    type(p)(
      p.name,
      schema,
      {k: {n: v[n] for n in names} for k, v in p.logits.items()},
      p.epochs,
    )
    for p in predictions
  ]


@pytest.mark.parametrize(
  'schema',
  [
    (tasks.au_task(tasks.AU8),),
    (tasks.expr_task(tasks.FERPLUS),),
    (tasks.va_task(),),
  ],
)
def test_one_task_alone(schema):
  run = synthetic_run.Run(schema, clips=12, length=1, truth=False)
  results, curves = evaluate(schema, [run.predictions()], run.dataset)
  tea = results['generations']['Tea']
  prefixes = {key.split('/')[0] for key in tea['ensemble']}
  assert prefixes == {schema[0].name, 'total'}
  assert tea['ensemble']['total'] == tea['ensemble'][f'{schema[0].name}/score']
  assert tea['truth'] is None
  assert results['optimum'] is None
  assert curves['entropy']['Tea'] == {}
  assert list(curves['reliability']['Tea']['single']) == [schema[0].name]
  json.dumps([results, curves], allow_nan=False)


def test_task_without_labels_is_left_out(run, predictions):
  clips = run.dataset.test
  value, mask = clips.targets['va']
  targets = clips.targets | {'va': tasks.Target(value, np.zeros_like(mask))}
  dataset = dataclasses.replace(
    run.dataset, test=dataclasses.replace(clips, targets=targets)
  )
  results, _ = evaluate(run.schema, predictions, dataset)
  assert [task['name'] for task in results['schema']] == ['au', 'expr']
  ensemble = results['generations']['Tea']['ensemble']
  assert ensemble['total'] == pytest.approx(
    ensemble['au/score'] + ensemble['expr/score']
  )


def without_labels(run, split, **missing):
  """The data set without the labels of some columns, whose values are junk."""
  clips = getattr(run.dataset, split)
  targets = dict(clips.targets)
  for name, columns in missing.items():
    value, mask = (x.copy() for x in targets[name])
    value[..., columns], mask[..., columns] = np.nan, 0
    targets[name] = tasks.Target(value, mask)
  changed = dataclasses.replace(clips, targets=targets)
  return dataclasses.replace(run.dataset, **{split: changed})


def test_labels_without_frames_are_in_no_mean_and_named(
  run, predictions, evaluated
):
  dataset = without_labels(run, 'test', au=[2, 5], va=[1])
  results, curves = evaluate(run.schema, predictions, dataset, seed=3)
  json.dumps([results, curves], allow_nan=False)
  assert results['left_out'] == {'au': ['AU4', 'AU10'], 'va': ['arousal']}
  assert evaluated[0]['left_out'] == {}
  for name, found in results['generations'].items():
    assert 'au: 2 of 12 labels have no labelled frame' in found['notes'][0]
    assert 'va: 1 of 2 labels' in found['notes'][1]
    whole = evaluated[0]['generations'][name]
    assert whole['notes'] == []
    rows = [
      *zip(found['members'], whole['members']),
      (found['ensemble'], whole['ensemble']),
      (found['single_mean'], whole['single_mean']),
    ]
    for one, before in rows:
      labels = [a for a in tasks.AU12 if a not in ('AU4', 'AU10')]
      for kind in ('f1', 'nll'):
        expected = np.mean([before[f'au/{kind}/{label}'] for label in labels])
        assert one[f'au/{kind}'] == pytest.approx(expected, rel=1e-5)
        assert one.get(f'au/{kind}/AU4') is None
      assert one['va/ccc/arousal'] is None
      assert one['va/score'] == one['va/ccc/valence']
      assert one['total'] is not None


@pytest.mark.slow
def test_temperatures_do_without_labels_without_frames(run, predictions):
  scored = without_labels(run, 'test', au=[2])
  found = evaluate(run.schema, predictions, scored, seed=3)[0]
  whole = evaluate(run.schema, predictions, run.dataset, seed=3)[0]
  for kind in ('test_time', 'val'):
    one, before = (x['generations']['Tea']['ts'][kind] for x in (found, whole))
    for rows in ('mean', 'ensemble'):
      others = [before[rows][f'au/nll/{a}'] for a in tasks.AU12 if a != 'AU4']
      assert one[rows]['au/nll'] == pytest.approx(np.mean(others), rel=0.05)
      assert one[rows].get('au/nll/AU4') is None
  fitted = without_labels(run, 'val', au=[2])
  found = evaluate(run.schema, predictions, fitted, seed=3)[0]
  tea = found['generations']['Tea']
  assert tea['notes'] == [
    'au: 1 of 12 labels have no labelled validation frame and are not scaled by '
    'a temperature fitted there: AU4'
  ]
  fitted = np.array(tea['ts']['val']['temperatures']['au'])
  expected = np.array(
    whole['generations']['Tea']['ts']['val']['temperatures']['au']
  )
  np.testing.assert_array_equal(fitted[:, 2], 1)
  keep = np.arange(12) != 2
  np.testing.assert_array_equal(fitted[:, keep], expected[:, keep])


@pytest.mark.parametrize('junk', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
  ('kind', 'where'),
  [('logits', 'test'), ('logits', 'ood/noise'), ('mc', 'test')],
)
def test_predictions_that_are_not_finite_are_refused(run, junk, kind, where):
  tea = run.predictions('Tea', passes=2)
  values = getattr(tea, kind)[where]['au']
  values[1, ..., 3, 1, 4] = junk
  message = (
    f"Tea: {kind} of 'au' in '{where}' are NaN or infinite "
    r'\(of member 1 in 1 of 59 frames\): it has diverged'
  )
  with pytest.raises(ValueError, match=message):
    evaluate(run.schema, [tea], run.dataset)


def test_padding_may_be_anything(run):
  clean, tea = run.predictions(passes=2), run.predictions(passes=2)
  padding = run.dataset.test.frame_mask == 0
  assert padding.any()
  for heads in (*tea.logits.values(), *tea.mc.values()):
    for values in heads.values():
      values[..., padding, :] = np.nan
  first, second = (evaluate(run.schema, [p], run.dataset) for p in (clean, tea))
  assert first == second


def test_unlabelled_test_set_means_validation(run, predictions):
  clips = run.dataset.test
  targets = tasks.empty_targets(run.schema, clips.frame_mask.shape)
  dataset = dataclasses.replace(
    run.dataset, test=dataclasses.replace(clips, targets=targets)
  )
  results, _ = evaluate(run.schema, predictions, dataset)
  assert results['split'] == 'val'
  # Temperatures fitted on the scored frames would be no evaluation.
  assert results['generations']['Tea']['ts']['val'] is None


def test_errors_name_what_is_missing(run, predictions):
  with pytest.raises(ValueError, match='no predictions were given'):
    evaluate(run.schema, [], run.dataset)
  with pytest.raises(ValueError, match="expected 'test' or 'val'"):
    evaluate(run.schema, predictions, run.dataset, split='train')
  tea = run.predictions()
  tea.logits.pop('ood/noise')
  with pytest.raises(ValueError, match="Tea: no predictions of 'ood/noise'"):
    evaluate(run.schema, [tea], run.dataset)


def test_a_single_member_has_no_spread_and_no_epistemic_part(run):
  results, _ = evaluate(run.schema, [run.predictions(members=1)], run.dataset)
  tea = results['generations']['Tea']
  assert tea['single_std']['total'] is None
  assert tea['uncertainty']['mean']['epistemic'] == pytest.approx(0, abs=1e-6)
  assert tea['single_mean'] == tea['ensemble']
  assert tea['without_member'] == {'ensemble': [], 'ood': {'noise': []}}


def test_ensembles_without_each_member(run, predictions, evaluated):
  """As when the other members alone are evaluated."""
  found = evaluated[0]['generations']['Tea']['without_member']
  tea = predictions[0]
  assert len(found['ensemble']) == len(found['ood']['noise']) == 3
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
    few, _ = evaluate(run.schema, [rest], run.dataset, temperature=False)
    few = few['generations']['Tea']
    for key, value in few['ensemble'].items():
      assert found['ensemble'][member][key] == pytest.approx(value), key
    auroc = few['ood']['noise']['ensemble/epistemic']
    assert found['ood']['noise'][member] == pytest.approx(auroc)
    # One member has no epistemic uncertainty to tell foreign frames by.
    assert few['without_member']['ood'] == {'noise': []}
    assert len(few['without_member']['ensemble']) == 2
