"""Prediction sets of exported models: those of direct computations, or an error."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from test_hostile_models import copy, forge, put, refused  # noqa: F401

import emojax
from emojax import tasks, uncertainty
from emojax.data.clips import evaluation_sets
from emojax.evaluation import coverage_labels
from emojax.trained import exporting, guarantees
from emojax.trained import folder as release
from emojax.trained import run as runs
from emojax.uncertainty import conformal, conformal_sets, prior, routing
from emojax.uncertainty.conformal_examples import METHODS, parts


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


@pytest.fixture(scope='module')
def run(run_path):
  return runs.open_run(run_path)


@pytest.fixture
def model(exported):
  return emojax.load(exported)


@pytest.fixture(scope='module')
def output(exported, run):
  clips = evaluation_sets.open_split(run.config.data, 'test').clips
  return emojax.load(exported).predict(clips.image[:6], batch=6)


def fitted(run, task, method, coverage):
  """Directly from the run's predictions of its validation clips."""
  clips = run.validation()
  logits = prior.correct(
    run.schema, run.predictions('Stu1').logits['val'], run.priors()['Stu1']
  )
  one = next(
    x for x in coverage_labels.labels(run.schema, clips) if x.task == task
  )
  probs = uncertainty.probabilities(task, one.pick(logits))
  bins = np.linspace(-1, 1, 20, dtype=np.float32)
  arguments = one.target, one.groups, (coverage,), bins
  return conformal_sets.fit(task, method, probs, *arguments)


def test_thresholds_are_of_corrected_validation_predictions(run, model):
  said = model.metadata['conformal']
  assert said['calibration']['subjects'] == 3  # 12 clips
  assert said['votes'] == {}
  assert said['calibration']['soft'] == []
  for task in run.schema:
    methods = [m for m in METHODS[task.kind] if m != 'vote_classes']
    assert list(said['tasks'][task.name]) == methods
    for method in methods:
      found = guarantees.from_json(
        said['tasks'][task.name][method], said['coverages']
      )
      expected = fitted(run, task, method, 0.8)
      assert tuple(found) == parts(task, method)
      for name in found:
        limit = found[name].thresholds[0.8]
        assert limit == pytest.approx(expected[name].thresholds[0.8])
        assert found[name].groups == expected[name].groups


def test_three_subjects_promise_nothing_and_the_card_says_so(
  model, output, exported
):
  found = model.sets(output, 0.9)
  assert found['expr'].all()
  assert all((state == 'unsure').all() for state in found['au'].values())
  np.testing.assert_array_equal(found['va']['valence'][0], [[-1, 1]] * 2)
  text = (exported / release.CARD).read_text()
  assert '90% (needs 9 subjects: everything)' in text
  assert 'calibrated on 3 people' in text
  assert 'too few subjects for a promise at every coverage' in text


def test_the_card_says_what_is_to_be_expected_of_the_rarest_state(model):
  made = with_thresholds(model).metadata
  units = made['conformal']['tasks']['au']['units']
  units['AU4/present'] |= {'groups': 10}
  (line,) = [x for x in guarantees.card_lines(made) if '(`joint`)' in x]
  low, high = conformal.band(10, 0.9)
  assert 'the rarest one, `AU4/present`, of 10 people: ' in line
  assert f'90% ({low:.1%} to {high:.1%} to be expected)' in line
  assert '95% (needs 19 subjects: everything)' in line


def with_thresholds(model, seed=0):
  """The model with thresholds of 40 made-up subjects."""
  rng, made = np.random.default_rng(seed), {}
  for task in model.schema:
    made[task.name] = {
      method: {
        name: {
          'groups': 40,
          'thresholds': np.sort(rng.uniform(0.2, 0.9, 3)).tolist(),
        }
        for name in parts(task, method)
      }
      for method in METHODS[task.kind]
      if method != 'vote_classes'
    }
  model.metadata['conformal'] |= {'tasks': made}
  return model


def test_sets_are_those_of_the_pure_functions(model, output):
  said = with_thresholds(model).metadata['conformal']
  for task in model.schema:
    for method in said['tasks'][task.name]:
      found = model.sets(output, 0.9, {task.name: method})[task.name]
      limits = guarantees.from_json(
        said['tasks'][task.name][method], said['coverages']
      )
      expected = conformal_sets.sets(
        task, method, output.members[task.name], limits, 0.9, model.bin_values
      )
      if task.kind == 'categorical':
        np.testing.assert_array_equal(found, expected)
        continue
      assert list(found) == list(task.labels)
      for i, values in enumerate(found.values()):
        if task.kind == 'binary':
          names = np.array(['absent', 'present', 'unsure'])
          np.testing.assert_array_equal(values, names[expected[..., i]])
        else:
          np.testing.assert_allclose(values, expected[..., i, :], atol=1e-6)


def test_sets_have_the_axes_of_the_images(model, run):
  with_thresholds(model)
  clips = evaluation_sets.open_split(run.config.data, 'test').clips
  one = model.sets(model.predict(clips.image[0, 0]))
  assert one['expr'].shape == (7,)
  assert one['au']['AU1'].shape == ()
  assert one['va']['arousal'].shape == (2,)


def test_what_is_asked_for_may_have_any_precision(model, output):
  for coverage in (np.float32(0.9), np.float64(0.9)):
    found = model.sets(output, coverage)
    for name, expected in model.sets(output, 0.9).items():
      jax.tree.map(np.testing.assert_array_equal, found[name], expected)
  for coverage in ('0.9', None, True, np.nan, np.array([0.9]), 0.9001):
    with pytest.raises(
      release.ModelError, match=r'has thresholds of 0\.8, 0\.9'
    ):
      model.sets(output, coverage)
  with pytest.raises(release.ModelError, match='expected a name for'):
    model.sets(output, 0.9, {'expr': ['lac']})


def test_more_coverage_makes_larger_sets(model, output):
  with_thresholds(model)
  sizes = [model.sets(output, c)['expr'].sum() for c in (0.8, 0.9, 0.95)]
  assert sizes == sorted(sizes)
  assert sizes[0] < sizes[-1]


def test_other_predictions_than_those_calibrated_have_no_sets(model, output):
  image = np.zeros((1, 32, 32, 3), np.uint8)
  scaled = model.predict(image, temperature=True)
  with pytest.raises(release.ModelError, match='temperature=False, samples=0'):
    model.sets(scaled)
  with pytest.raises(release.ModelError, match='temperature=False, samples=0'):
    model.unsure(scaled)
  assert model.sets(model.predict(image))
  with pytest.raises(release.ModelError, match='without temperatures'):
    model.sets(output._replace(calibrated=False))


def test_models_of_before_say_to_export_again(copy, output):  # noqa: F811
  forge(copy, put(('conformal',), ...))
  model = emojax.load(copy)
  with pytest.raises(
    release.ModelError, match='export it again, with the data'
  ):
    model.sets(output)


def test_without_validation_data_there_are_no_sets(run_path, tmp_path, output):
  out = exporting.export(
    runs.open_run(run_path), tmp_path / 'm', validate=False
  )
  with pytest.raises(release.ModelError, match='export it again'):
    emojax.load(out).sets(output)
  assert 'new people' not in (out / release.CARD).read_text()


def test_what_is_asked_and_not_there_is_named(model, output):
  with pytest.raises(release.ModelError, match=r'thresholds of 0.8, 0.9, 0.95'):
    model.sets(output, 0.85)
  with pytest.raises(release.ModelError, match="there is no task 'pose'"):
    model.sets(output, 0.9, {'pose': 'lac'})
  with pytest.raises(release.ModelError, match='has lac, aps, raps, by_class'):
    model.sets(output, 0.9, {'expr': 'units'})
  with pytest.raises(release.ModelError, match='no prediction sets for votes'):
    model.sets(output, 0.9, votes=True)
  del model.metadata['conformal']['tasks']['va']
  assert set(model.sets(output)) == {'au', 'expr'}
  with pytest.raises(release.ModelError, match='no validation frame has such'):
    model.sets(output, 0.9, {'va': 'mass'})


def test_outputs_that_overflow_have_no_sets(model, output):
  probs = output.probabilities | {
    'expr': np.full_like(output.probabilities['expr'], np.nan)
  }
  with pytest.raises(release.ModelError, match='no finite output of expr'):
    model.sets(output._replace(probabilities=probs))


THRESHOLDS = ('conformal', 'tasks', 'expr', 'lac', 'all', 'thresholds')


@pytest.mark.parametrize(
  ('path', 'value', 'words'),
  [
    (('conformal',), None, 'conformal: expected an object'),
    (('conformal',), {}, 'conformal: expected coverages, calibration'),
    (('conformal', 'more'), 1, 'conformal: expected coverages'),
    (('conformal', 'coverages'), [], 'conformal.coverages: expected numbers'),
    (('conformal', 'coverages'), [0.8, 1.0], 'coverages: expected numbers'),
    (('conformal', 'coverages'), [0.9, 0.8, 0.95], 'expected them to ascend'),
    (('conformal', 'coverages'), [0.8, 0.9], 'thresholds: expected 2 numbers'),
    (('conformal', 'calibration'), 3, 'calibration: expected an object'),
    (
      ('conformal', 'calibration', 'subjects'),
      -1,
      'subjects: expected a whole',
    ),
    (
      ('conformal', 'calibration', 'subjects'),
      True,
      'subjects: expected a who',
    ),
    (('conformal', 'calibration', 'selected_on'), 1, 'expected true or false'),
    (('conformal', 'calibration', 'split'), 1, 'split: expected a text'),
    (('conformal', 'calibration', 'soft'), 'expr', 'soft: expected names of'),
    (('conformal', 'calibration', 'notes'), [1], 'notes: expected sentences'),
    (('conformal', 'calibration', 'data'), 1, 'data: expected a text'),
    (('conformal', 'tasks'), [], 'conformal.tasks: expected an object'),
    (('conformal', 'tasks', 'pose'), {}, 'tasks.pose: there is no such task'),
    (
      ('conformal', 'tasks', 'au', 'lac'),
      {},
      'au.lac: there is no such method',
    ),
    (
      ('conformal', 'votes', 'au'),
      {'lac': {}},
      'expected none for such a task',
    ),
    (('conformal', 'tasks', 'expr', 'lac'), {}, 'expr.lac: expected all'),
    (
      ('conformal', 'tasks', 'va', 'mass', 'arousal'),
      ...,
      'expected valence, a',
    ),
    (THRESHOLDS, [0.1, 0.2], 'lac.all.thresholds: expected 3 numbers or null'),
    (THRESHOLDS, [0.1, 0.2, '0'], 'expected finite numbers or null'),
    (THRESHOLDS, [0.1, 0.2, 1e999], 'is no number'),
    (THRESHOLDS, [0.1, 0.2, True], 'expected finite numbers or null'),
    (THRESHOLDS, [0.3, 0.2, 0.4], 'expected them not to descend'),
    (THRESHOLDS, [None, 0.2, 0.4], 'expected them not to descend'),
    (
      ('conformal', 'tasks', 'va', 'cqr', 'valence', 'thresholds'),
      [None, 0.2, 0.4],
      'null is infinity',
    ),
  ],
)
def test_thresholds_of_no_use(copy, path, value, words):  # noqa: F811
  forge(copy, put(path, value))
  refused(copy, words)


def test_exports_are_equal_whatever_the_order_of_clips(run):
  """Thresholds depend on who is calibrated on, not on their order."""
  clips = run.validation()
  logits = run.predictions('Stu1').logits['val']
  order = np.random.default_rng(0).permutation(len(clips))
  bins = np.linspace(-1, 1, 20, dtype=np.float32)
  a = guarantees.fit(run.schema, logits, clips, bins)
  logits = {name: x[:, order] for name, x in logits.items()}
  b = guarantees.fit(run.schema, logits, clips.take(order), bins)
  assert json.dumps(a) == json.dumps(b)


def test_soft_labels_are_said(run):
  clips = run.validation()
  value, mask = clips.targets['expr']
  soft = clips.targets | {'expr': tasks.Target(0.9 * value + 0.1 / 7, mask)}
  clips = dataclasses.replace(clips, targets=soft)
  logits = run.predictions('Stu1').logits['val']
  bins = np.linspace(-1, 1, 20, dtype=np.float32)
  said = guarantees.fit(run.schema, logits, clips, bins)
  assert said['calibration']['soft'] == ['expr']
  text = '\n'.join(guarantees.card_lines({'conformal': said}))
  assert 'the truth of `expr` is one vote, drawn at random' in text
  value, mask = clips.targets['au']
  soft = clips.targets | {'au': tasks.Target(0.8 * value + 0.1, mask)}
  clips = dataclasses.replace(clips, targets=soft)
  said = guarantees.fit(run.schema, logits, clips, bins)
  assert said['calibration']['soft'] == ['au', 'expr']
  assert list(said['tasks']['au']) == ['units']
  text = '\n'.join(guarantees.card_lines({'conformal': said}))
  assert 'the truth of `au` is drawn by the probabilities' in text


def test_who_names_nobody_counts_pictures_as_people(run):
  """Windows of videos that nobody is named in, too; not the frames of somebody."""
  clips = run.validation()
  logits = run.predictions('Stu1').logits['val']
  bins = np.linspace(-1, 1, 20, dtype=np.float32)

  def notes(**names):
    names = {name: np.array(every, np.str_) for name, every in names.items()}
    changed = dataclasses.replace(clips, **names)
    return guarantees.notes(
      {'conformal': guarantees.fit(run.schema, logits, changed, bins)}
    )

  videos = [f'clips/{i}.mp4' for i in range(len(clips))]
  windows = [f'{name}/00001' for name in videos]
  assert notes(clip_id=videos, subject_id=videos) == [guarantees.NAMELESS]
  assert notes(clip_id=windows, subject_id=videos) == [guarantees.NAMELESS]
  people = [f'person{i // 2}' for i in range(len(clips))]
  assert notes(clip_id=windows, subject_id=people) == []
  below = [f'{who}/{name}' for who, name in zip(people, videos, strict=True)]
  assert notes(clip_id=below, subject_id=people) == []
  # One name does not speak for the others.
  some = [*people[:2], *videos[2:]]
  said = (
    f'{len(clips) - 2} of {len(clips)} pictures or clips name nobody, so that'
  )
  (note,) = notes(clip_id=windows, subject_id=some)
  assert note.startswith(said)


def test_votes_have_sets_of_their_own(run):
  clips = run.validation()
  rng = np.random.default_rng(0)
  shape = (*clips.frame_mask.shape, 10)
  clips = dataclasses.replace(
    clips,
    votes=np.float32(rng.integers(0, 4, shape)),
    subject_id=clips.clip_id,
  )
  logits = run.predictions('Stu1').logits['val']
  bins = np.linspace(-1, 1, 20, dtype=np.float32)
  said = guarantees.fit(run.schema, logits, clips, bins)
  assert list(said['votes']) == ['expr']
  assert list(said['votes']['expr']) == list(coverage_labels.VOTE_METHODS)
  for method in coverage_labels.VOTE_METHODS:
    part = said['votes']['expr'][method]['all']
    assert part['groups'] == len(clips)
    assert (part['thresholds'][2] is None) == (
      conformal.fewest(0.95) > len(clips)
    )


def test_routes_are_by_the_thresholds_of_the_validation_frames(run, model):
  clips = run.validation()
  logits = prior.correct(
    run.schema, run.predictions('Stu1').logits['val'], run.priors()['Stu1']
  )
  probs = {
    task.name: uncertainty.probabilities(task, logits[task.name])
    for task in run.schema
  }
  doubt, _ = uncertainty.multitask_uncertainty(probs, run.schema)
  inside = clips.frame_mask > 0
  limits = routing.Thresholds(
    np.quantile(doubt.aleatoric[inside], 0.8),
    np.quantile(doubt.epistemic[inside], 0.95),
  )
  output = model.predict(clips.image)
  expected = routing.route(
    output.uncertainty['mean'].aleatoric,
    output.uncertainty['mean'].epistemic,
    limits,
  )
  found = model.route(output)
  assert found.shape == clips.frame_mask.shape
  np.testing.assert_array_equal(found, expected)
  assert set(found[inside]) == set(routing.ROUTES)
  rejected = model.route(output, reject=0.2)[inside] == 'reject'
  assert rejected.mean() == pytest.approx(0.2, abs=2 / inside.sum())
  of_total = model.route(output, kind='total', task='expr')
  assert of_total.shape == found.shape


def test_routes_that_a_model_cannot_have_are_refused(model, output):
  no_share = r"no threshold for task 'mean', 'epistemic', share 0\.3"
  with pytest.raises(release.ModelError, match=no_share):
    model.route(output, reject=0.3)
  with pytest.raises(release.ModelError, match=r'there are the shares 0\.01, '):
    model.route(output, reject=0.3)
  with pytest.raises(release.ModelError, match='there are the tasks '):
    model.route(output, task='age')
  with pytest.raises(release.ModelError, match='expected the name of a task'):
    model.route(output, task=['mean'])
  with pytest.raises(release.ModelError, match="expected 'aleatoric' or"):
    model.route(output, kind='epistemic')
  with pytest.raises(release.ModelError, match='samples=0'):
    model.route(output._replace(calibrated=False))
  for kinds in model.metadata['thresholds']['uncertainty'].values():
    del kinds['aleatoric']  # as models of before
  release.check_metadata(model.metadata)
  with pytest.raises(release.ModelError, match="ask for kind='total'"):
    model.route(output)
  assert (
    model.route(output, kind='total').shape == output.values['valence'].shape
  )
  model.metadata['thresholds']['uncertainty'] = {}
  with pytest.raises(release.ModelError, match='without validation data'):
    model.route(output)


def test_a_single_network_has_no_routes(run, tmp_path, output):
  single = exporting.export(run, tmp_path / 'one', members=[0])
  with pytest.raises(release.ModelError, match='does not disagree with itself'):
    emojax.load(single).route(output)


def test_frames_without_an_answer_are_rejected(model, output):
  doubt = output.uncertainty['mean']
  broken = doubt._replace(epistemic=np.full_like(doubt.epistemic, np.nan))
  changed = output._replace(uncertainty={**output.uncertainty, 'mean': broken})
  assert (model.route(changed) == 'reject').all()
