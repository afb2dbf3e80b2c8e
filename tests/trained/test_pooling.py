"""One temperature for the mean of the members, in the weights."""

import dataclasses

import numpy as np
import pytest
import scipy.special

import emojax
from emojax import cli, experiments, tasks
from emojax.evaluation.coverage_labels import Labels
from emojax.evaluation.frames import labelled, pick
from emojax.trained import (
  card,
  front_matter,
  guarantees,
  pooling,
  recalibrating,
)
from emojax.trained import folder as release
from emojax.trained import run as runs
from emojax.trained.model import Model
from emojax.trained.recalibrating import Known
from emojax.trained.writing import ExportError
from emojax.uncertainty import prior


@pytest.fixture(scope='module', autouse=True)
def _quick(quick):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(pooling, 'PEOPLE', 10)  # so many that are drawn in a second
    yield


@pytest.fixture(scope='module')
def clips(run_path):
  """More people than the run has to validate on."""
  config = runs.open_run(run_path).config
  config.data.val_clips = 150
  return experiments.trained(config.experiment).held_out(config)['val']


@pytest.fixture(scope='module')
def pooled(exported, clips, tmp_path_factory):
  out = tmp_path_factory.mktemp('pooled') / 'model'
  with pytest.MonkeyPatch.context() as patch:
    known = Known(clips, guarantees.VALIDATION)
    patch.setattr(recalibrating, '_known', lambda *_: known)
    arguments = ['calibrate', str(exported), '--pool', '--out', str(out)]
    assert cli.main(arguments) == 0
  return out


def nll(probs, target):
  """Of expressions, as scikit-learn has it, for soft labels too."""
  kept = target.mask > 0
  return -(target.value[kept] * np.log(probs[kept])).sum(-1).mean()


def of_expressions(model, logits, clips):
  frames = labelled(model.schema[1], clips)
  shift = model.prior.get('expr', 0)
  return pick(logits['expr'], frames.index), shift, frames.target


def temperatures(model, clips):
  logits = model.logits(clips.image)
  return logits, pooling.fit(model, [logits], clips)


def test_the_mean_is_at_its_lowest_nll(exported, clips):
  model = emojax.load(exported)
  assert [task.name for task in model.schema] == ['au', 'expr', 'va']
  logits, found = temperatures(model, clips)
  assert found.keys() == {'au', 'expr'}
  assert found['au'].shape == (len(model.schema[0].labels),)
  assert (found['au'] != 1).any()
  members, shift, target = of_expressions(model, logits, clips)

  def at(t):
    probs = scipy.special.softmax((np.float64(members) - shift) / t, -1)
    return nll(probs.mean(0), target)

  grid = np.exp(np.linspace(np.log(1e-2), np.log(1e2), 2001))
  best = grid[np.argmin([at(t) for t in grid])]
  assert found['expr'] == pytest.approx(best, rel=0.01)


def drawn(task, truth, rng, people):
  """Labels of what is true, by people."""
  label = np.eye(5)[
    [rng.choice(5, p=p) for p in scipy.special.softmax(truth, -1)]
  ]
  target = tasks.Target(label, np.ones(len(label)))
  groups = rng.permutation(np.arange(len(label)) % people).astype(str)
  return Labels(task, False, np.arange(len(label)), target, groups)


def test_members_that_are_right_alone_are_sharpened_together():
  """Each has probabilities that are true, of noise of its own."""
  rng = np.random.default_rng(0)
  truth = rng.normal(size=(4000, 5)) * 2
  task = tasks.Task('expr', 'categorical', tuple('abcde'))
  labels = drawn(task, truth, rng, 500)
  logits = truth + rng.normal(size=(4, 4000, 5))
  found = pooling._fit(labels, [logits], np.zeros(5))
  alone = [pooling._fit(labels, [one[None]], np.zeros(5)) for one in logits]
  assert found < min(alone) - 0.1
  both = pooling._fit(labels, [logits[:2], logits[2:]], np.zeros(5))
  assert both == pytest.approx(float(found), rel=1e-3)  # views are members, too


def test_few_people_do_not_change_what_is_right():
  """Where 1 is the truth it is mostly kept, and hardly left for less."""
  rng = np.random.default_rng(0)
  task = tasks.Task('expr', 'categorical', tuple('abcde'))
  found = []
  for _ in range(40):
    truth = rng.normal(size=(400, 5)) * 2
    labels = drawn(task, truth, rng, 100)
    found.append(float(pooling._fit(labels, [truth[None]], np.zeros(5))))
  found = np.array(found)
  assert (found == 1).mean() > 0.5
  assert (abs(found - 1) < 0.3).all()


def test_what_labels_do_not_tell_stays(exported, clips):
  """Units without labels, and such as are always there."""
  model = emojax.load(exported)
  task, (value, mask) = model.schema[0], clips.targets['au']
  value, mask = np.array(value), np.array(np.broadcast_to(mask, value.shape))
  mask[..., 3], value[..., 5] = 0, 1
  logits, before = temperatures(model, clips)
  targets = {**clips.targets, task.name: tasks.Target(value, mask)}
  found = pooling.fit(
    model, [logits], dataclasses.replace(clips, targets=targets)
  )
  assert found['au'][3] == found['au'][5] == 1
  kept = [i for i in range(12) if i not in (3, 5)]
  np.testing.assert_allclose(found['au'][kept], before['au'][kept])
  np.testing.assert_allclose(found['expr'], before['expr'])


def test_labels_of_few_people_or_of_another_kind_are_refused(
  exported, clips, monkeypatch
):
  model = emojax.load(exported)
  logits = model.logits(clips.image)
  monkeypatch.setattr(pooling, 'PEOPLE', 1000)
  with pytest.raises(ExportError, match='for 1000 people at least'):
    pooling.fit(model, [logits], clips)
  monkeypatch.setattr(pooling, 'PEOPLE', 10)
  said = model.metadata['conformal']['calibration']
  monkeypatch.setitem(said, 'soft', ['expr'])
  with pytest.raises(
    ExportError, match='on votes for expr, and these data have maj'
  ):
    pooling.fit(model, [logits], clips)
  nothing = {
    task.name: tasks.Target(v.value, np.zeros_like(v.mask))
    for task, v in ((t, clips.targets[t.name]) for t in model.schema)
  }
  with pytest.raises(ExportError, match='no frame has a label'):
    pooling.fit(model, [logits], dataclasses.replace(clips, targets=nothing))


def test_models_of_votes_are_pooled_on_votes():
  """Where the data have majorities as labels, and votes beside them."""
  task = tasks.Task('expr', 'categorical', ('a', 'b'))
  share = tasks.Target(np.array([[0.7, 0.3]]), np.ones(1))
  hard = tasks.Target(np.array([[1.0, 0.0]]), np.ones(1))
  index, names = np.zeros(1, int), np.array(['x'])
  both = [
    Labels(task, False, index, hard, names),
    Labels(task, True, index, share, names),
  ]
  assert pooling._of_kind(both, ['expr']) is both[1]
  assert pooling._of_kind(both, []) is both[0]
  with pytest.raises(
    ExportError, match='on labels for expr, and these data have vo'
  ):
    pooling._of_kind(both[1:], [])


def test_answers_are_those_of_divided_logits(exported, pooled, clips):
  one, other = emojax.load(exported), emojax.load(pooled)
  logits, found = temperatures(one, clips)
  output = other.predict(clips.image)
  for task in one.schema:
    corrected = prior.correct(one.schema, logits, one.prior)[task.name]
    if task.name == 'va':  # as it was
      np.testing.assert_array_equal(
        other.logits(clips.image)['va'], logits['va']
      )
      continue
    scaled = corrected / found[task.name]
    probs = (
      scipy.special.expit(scaled)
      if task.kind == 'binary'
      else scipy.special.softmax(scaled, -1)
    )
    np.testing.assert_allclose(output.members[task.name], probs, atol=1e-5)
  again = pooling.fit(other, [other.logits(clips.image)], clips)
  for values in again.values():
    np.testing.assert_allclose(values, 1, rtol=0.01)
  arrays = release.read_arrays(pooled, other.metadata)
  half = {name: np.full_like(v, 0.5) for name, v in found.items()}
  _, twice = pooling.sharpened(other, arrays, half, 'others')
  for name, said in twice['pooled'].items():
    np.testing.assert_allclose(said['by'], found[name] / 2, rtol=1e-6)
    assert said['on'][1] == 'others'


def test_the_card_says_by_how_much(exported, pooled):
  metadata = release.read_metadata(pooled)
  text = (pooled / release.CARD).read_text()
  by = metadata['pooled']['expr']['by']
  assert (
    f'- `expr`: logits are divided by {by:.3f}, in the weights: the temperature of '
    'the mean of the 2 members, fitted on the validation set ('
  ) in text
  assert ', divided like them) from the logits' in text
  before = (exported / release.CARD).read_text()
  assert front_matter.read(before)['model-index']
  assert not front_matter.read(text).keys() & {'model-index', 'metrics'}
  assert f'{card.NUMBERS}\n\n{card.DIVIDED}\n' in text
  assert card.DIVIDED not in before
  assert card.recalibrated(text, metadata, pooled=True) == text
  assert guarantees.POOLED in metadata['conformal']['calibration']['notes']
  other = release.read_metadata(exported)
  assert other['temperatures'] != metadata['temperatures']
  assert other['conformal'] != metadata['conformal']


def test_a_mean_that_is_as_sure_as_it_may_be_stays(pooled, clips, monkeypatch):
  """And whoever asked is told."""
  known = Known(clips, guarantees.VALIDATION)
  model = emojax.load(pooled)
  arrays = release.read_arrays(pooled, model.metadata)
  ones = {'au': np.ones(12), 'expr': np.ones(())}
  monkeypatch.setattr(pooling, 'fit', lambda *_: ones)
  kept, said, changed = recalibrating._pooled(model, arrays, known)
  assert not changed
  np.testing.assert_equal(kept, arrays)
  assert said['pooled'] == model.metadata['pooled']
  notes = [n for n in said['notes'] if n.startswith(pooling.STAY)]
  assert [n.removeprefix(pooling.STAY).split()[0] for n in notes] == [
    'au',
    'expr',
  ]
  again = Model(said, model.weights())
  assert (
    recalibrating._pooled(again, arrays, known)[1]['notes'] == said['notes']
  )


def test_both_views_are_averaged_as_in_answers(exported, clips):
  plain = emojax.load(exported)
  model = Model({**plain.metadata, 'flip': True}, plain.weights())
  views = [
    plain.logits(image) for image in (clips.image, clips.image[..., ::-1, :])
  ]
  members, shift, _ = of_expressions(plain, views[0], clips)
  mirrored = of_expressions(plain, views[1], clips)[0]
  probs = pooling._answer(plain.schema[1], [members, mirrored], shift, 1.0)
  expected = pick(model.predict(clips.image).members['expr'], labelled(
    plain.schema[1], clips).index).mean(0)  # fmt: skip
  np.testing.assert_allclose(probs, expected, atol=1e-5)


def test_one_member_has_no_mean(exported, clips):
  model = emojax.load(exported)
  alone = {**model.metadata, 'members': model.metadata['members'][:1]}
  weights = {
    name: array[:1]
    for name, array in release.flat_names(
      {**model.weights()['model_state'], 'params': model.weights()['params']}
    ).items()
  }
  single = Model(alone, release.tree(weights))
  with pytest.raises(ExportError, match='no mean to calibrate'):
    pooling.fit(single, [single.logits(clips.image)], clips)


def test_networks_without_a_last_layer_of_their_own_are_refused(exported):
  model = emojax.load(exported)
  metadata = model.metadata
  arrays = release.read_arrays(exported, metadata)
  found = {'expr': np.asarray(0.5)}
  twice = {
    **arrays,
    'params/other_expr/kernel': arrays['params/expr/kernel'],
    'params/other_expr/bias': arrays['params/expr/bias'],
  }
  with pytest.raises(ExportError, match='2 layers that could be the last one'):
    pooling.sharpened(model, twice, found, 'x')


def test_dividing_a_layer_must_divide_the_logits(exported, monkeypatch):
  model = emojax.load(exported)
  arrays = release.read_arrays(exported, model.metadata)
  monkeypatch.setattr(pooling, '_last_layer', lambda *_: [])
  with pytest.raises(ExportError, match='does not divide its logits'):
    pooling.sharpened(model, arrays, {'expr': np.asarray(0.5)}, 'x')
