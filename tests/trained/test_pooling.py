"""One temperature for the mean of the members, in the weights."""

import dataclasses

import numpy as np
import pytest
import scipy.special

import emojax
from emojax import cli, experiments, tasks
from emojax.evaluation.frames import labelled, pick
from emojax.trained import folder as release
from emojax.trained import guarantees, pooling, recalibrating
from emojax.trained import run as runs
from emojax.trained.model import Model
from emojax.trained.recalibrating import Known
from emojax.trained.writing import ExportError
from emojax.uncertainty import prior


@pytest.fixture(scope='module', autouse=True)
def _quick(quick):
  pass


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
  members, shift, target = of_expressions(model, logits, clips)

  def at(t):
    probs = scipy.special.softmax((np.float64(members) - shift) / t, -1)
    return nll(probs.mean(0), target)

  grid = np.exp(np.linspace(np.log(1e-2), np.log(1e2), 2001))
  best = grid[np.argmin([at(t) for t in grid])]
  assert found['expr'] == pytest.approx(best, rel=0.01)


def test_members_that_are_right_alone_are_sharpened_together():
  """Each has probabilities that are true, of noise of its own."""
  rng = np.random.default_rng(0)
  truth = rng.normal(size=(4000, 5)) * 2
  label = np.eye(5)[
    [rng.choice(5, p=p) for p in scipy.special.softmax(truth, -1)]
  ]
  task = tasks.Task('expr', 'categorical', tuple('abcde'))
  logits = truth + rng.normal(size=(4, 4000, 5))
  target = tasks.Target(label, np.ones(4000))
  found = pooling._categorical(task, [logits], np.zeros(5), target)
  alone = [
    pooling._categorical(task, [one[None]], np.zeros(5), target)
    for one in logits
  ]
  assert found < min(alone) - 0.1
  both = pooling._categorical(
    task, [logits[:2], logits[2:]], np.zeros(5), target
  )
  assert both == pytest.approx(float(found), rel=1e-3)  # views are members, too


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


def test_the_card_says_by_how_much(exported, pooled):
  metadata = release.read_metadata(pooled)
  (au, expr) = (n for n in metadata['notes'] if 'in the weights' in n)
  assert au.startswith('au: logits are divided by ')
  assert expr.endswith(
    'the temperature of the mean of the 2 members, fitted on the validation set'
  )
  assert expr in (pooled / release.CARD).read_text()
  before = release.read_metadata(exported)
  assert before['temperatures'] != metadata['temperatures']
  assert before['conformal'] != metadata['conformal']


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
