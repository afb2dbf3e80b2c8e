"""Columns and rows: what the model says, face by face, and nothing else."""

import time

import numpy as np
import pytest
import stand_in

from emojax import tasks
from emojax.answers import columns, options, rows
from emojax.answers.columns import Layout

LIMITS = rows.Limits(0.9, 0.3, 0.05, 24, 0.6)


def face(**changes):
  said = {
    'number': 0,
    'track': np.nan,
    'box': np.float32([1, 2, 30, 40]),
    'score': 0.5,
    'sharpness': 1.0,
    'profile': np.nan,
  }
  return rows.Face(**(said | changes))


def made(model, seen, limits=LIMITS):
  rng = np.random.default_rng(0)
  count = sum(len(s.faces) for s in seen)
  image = rng.integers(0, 256, (16, 32, 32, 3)).astype(np.uint8)
  output = model.predict(image, batch=16)
  kept = rows.pick(output, np.arange(count))
  layout = Layout(model.schema)
  return layout, kept, rows.block(layout, model, seen, kept, limits)


SEEN = (
  rows.Seen('a', 0, 0.0, (face(), face(number=1, track=7.0))),
  rows.Seen('a', 1, 0.04, ()),
  rows.Seen('b', 0, 0.0, (face(),)),
)


def test_a_frame_without_a_face_is_a_row_of_nothing(model):
  layout, _, found = made(model, SEEN)
  assert found['file'].tolist() == ['a', 'a', 'a', 'b']
  assert found['frame'].tolist() == [0, 0, 1, 0]
  np.testing.assert_array_equal(found['face'], [0, 1, np.nan, 0])
  empty = {
    c.name: found[c.name][2] for c in layout.columns if c not in columns.PLACE
  }
  assert not any(v == v and v for v in empty.values())  # NaN, '' or False


@pytest.mark.parametrize('schema', [stand_in.VOTES, tasks.ABAW2021])
def test_the_numbers_are_those_of_the_output(schema):
  model = stand_in.Model(schema)
  layout, output, found = made(model, SEEN)
  here = ~np.isnan(found['face'])
  assert set(found) == set(layout.names)
  for task in schema:
    for i, label in enumerate(task.labels):
      name = layout.label(task, label)
      if task.kind == 'binned':
        np.testing.assert_array_equal(found[name][here], output.values[label])
        continue
      probs = output.probabilities[task.name][:, i]
      np.testing.assert_array_equal(found[name][here], probs)
      spread = output.members[task.name][..., i].std(0)
      np.testing.assert_array_equal(found[f'{name}_sd'][here], spread)
    for kind, values in output.uncertainty[task.name]._asdict().items():
      np.testing.assert_array_equal(found[f'{task.name}_{kind}'][here], values)


def test_answers_of_units_and_expressions():
  model = stand_in.Model(tasks.ABAW2021)
  layout, output, found = made(model, SEEN)
  au, expr = tasks.ABAW2021[:2]
  names = np.array(expr.labels)[output.probabilities['expr'].argmax(-1)]
  here = ~np.isnan(found['face'])
  assert found['answer'][here].tolist() == names.tolist()
  present = output.probabilities['au'] > 0.5
  units = ['+'.join(np.array(au.labels)[row]) for row in present]
  assert found['au_answer'][here].tolist() == units
  assert layout.answer(expr) == 'answer'


def test_quantiles_are_those_of_a_large_sample():
  rng = np.random.default_rng(0)
  values = tasks.bin_values()
  probs = rng.dirichlet(np.ones(20), 5).astype(np.float32)
  found = rows.quantiles(probs, values, (0.05, 0.5, 0.95))
  for i, p in enumerate(probs):
    total = np.cumsum(p.astype(float) / p.sum(dtype=float))
    for mass, value in zip((0.05, 0.5, 0.95), found):
      assert value[i] == values[np.searchsorted(total, mass)]
  assert np.isnan(rows.quantiles(np.full((1, 20), np.nan), values, (0.5,))[0])


def test_reasons(model):
  seen = (
    rows.Seen(
      'a', 0, 0.0,
      (
        face(),
        face(sharpness=0.01),
        face(box=np.float32([0, 0, 9, 9]), profile=0.9),
      ),
    ),
  )  # fmt: skip
  limits = rows.Limits(1.0, 1.0, 0.05, 24, 0.6)
  _, _, found = made(model, seen, limits)
  assert found['reason'].tolist() == ['', 'blurred', 'small;profile']
  assert found['unsure'].tolist() == [False, True, True]
  # Nothing is below these limits.
  _, _, found = made(model, seen, rows.Limits(-1, -1, 0, 0, 1))
  assert found['reason'].tolist() == ['foreign'] * 3
  assert found['unsure'].all()


def test_an_output_that_is_not_finite_is_no_answer(model):
  _, output, _ = made(model, SEEN)
  output.probabilities['expr'][1] = np.nan
  output.uncertainty['mean'].total[1] = np.nan
  found = rows.block(Layout(model.schema), model, SEEN, output, LIMITS)
  assert found['answer'][1] == ''
  assert found['unsure'][1]


def test_labels_that_repeat_name_their_task():
  twice = (
    tasks.Task('a', 'categorical', ('neutral', 'q')),
    tasks.Task('b', 'binary', ('neutral', 'file')),
  )
  names = Layout(twice).names
  assert len(set(names)) == len(names)
  assert {'a.neutral', 'b.neutral', 'b.file', 'q', 'file'} <= set(names)
  same = tasks.Task('a', 'binary', ('p', 'p_sd'))
  with pytest.raises(ValueError, match="two columns 'p_sd'"):
    _ = Layout((same,)).columns


def test_every_column_has_a_meaning():
  layout = Layout(tasks.ABAW2021)
  text = columns.dictionary(layout.columns, 'Title')
  for column in layout.columns:
    assert column.meaning
    assert f'| `{column.name}` | {column.kind} |' in text


@pytest.mark.parametrize(
  ('said', 'words'),
  [
    ({'every': 0}, '--every 0'),
    ({'every': 1.5}, '--every 1.5'),
    ({'start': 3, 'stop': 3}, 'no time is between'),
    ({'start': -1}, '--from -1'),
    ({'stop': float('nan')}, '--to nan'),
    ({'crops': True, 'boxes': 'x'}, 'changes nothing beside --crops'),
    ({'crops': True, 'min_score': 0.5}, 'changes nothing beside --crops'),
    ({'boxes': 'x', 'detector': 'y'}, 'exclude each other'),
    ({'crop_rule': 'x'}, 'expected one of fer2013'),
    ({'unsure_share': 0.1, 'unsure_above': 0.1}, 'exclude each other'),
    ({'coverage': 1.0}, '--coverage 1.0'),
    ({'max_profile': 2}, '--max-profile 2'),
    ({'favour_rare': 1.5}, '--favour-rare 1.5'),
    ({'favour_rare': True}, '--favour-rare True'),
    ({'min_face': True}, '--min-face True'),
    ({'evry': 2}, 'did you mean every'),
    ({'crops': 'no'}, "--crops 'no': expected True or False"),
    ({'crops': 1}, '--crops 1: expected True or False'),
    ({'temperature': None}, '--temperature None'),
    ({'tiles': 'yes'}, "--tiles 'yes'"),
    ({'every': True}, '--every True'),
    ({'every': '2'}, '--every 2'),
    ({'detector': 3}, '--detector of type int'),
    ({'boxes': 3}, '--boxes of type int'),
    ({'detector': print, 'min_score': 0.5}, 'beside a function'),
    ({'detector': print, 'boxes': [[1, 2, 3, 4]]}, 'exclude each other'),
    ({'foreign_share': 0.1, 'foreign_above': 0.1}, '--foreign-above exclude'),
  ],
)
def test_options_that_cannot_be_meant(said, words):
  with pytest.raises(options.OptionError) as error:
    options.named(said)
  assert words in str(error.value)


def test_numbers_of_numpy_are_numbers():
  asked = options.named(
    {
      'every': np.int64(2),
      'start': np.float32(0.5),
      'crops': np.True_,
    }
  )
  assert asked == options.Options(every=2, start=0.5, crops=True)
  assert {type(v) for v in (asked.every, asked.start)} == {int, float}
  assert asked.crops is True


def test_a_model_without_thresholds_asks_for_limits(model):
  model.metadata['thresholds']['uncertainty'] = {}
  with pytest.raises(options.OptionError, match='--unsure-above'):
    options.limits(options.Options(), model)
  asked = options.Options(unsure_above=0.5, foreign_above=0.1)
  assert options.limits(asked, model).unsure == 0.5


def test_answer_sets_are_those_of_the_model(model, monkeypatch):
  """Of faces with finite numbers; the others have none."""
  asked = []

  def sets(output, coverage):
    asked.append(coverage)
    probs = output.probabilities['expr']
    assert np.isfinite(probs).all()
    return {'expr': probs > 0.1}

  _, output, _ = made(model, SEEN)
  output.probabilities['expr'][1] = np.nan
  monkeypatch.setattr(model, 'sets', sets, raising=False)
  layout = Layout(model.schema, columns.Sets(0.8, frozenset({'expr'})))
  found = rows.block(layout, model, SEEN, output, LIMITS)
  labels = np.array(model.schema[0].labels)
  expected = [
    '|'.join(labels[probs > 0.1]) for probs in output.probabilities['expr']
  ]
  assert found['answer_set'].tolist() == [expected[0], '', '', expected[2]]
  assert expected[0]
  assert asked == [0.8]


def test_rare_classes_are_favoured_as_by_the_model(model, monkeypatch):
  """Answers alone; frames that are not finite have none."""
  labels = np.array(model.schema[0].labels)
  _, output, _ = made(model, SEEN)
  output.probabilities['expr'][1] = np.nan
  plain = rows.block(Layout(model.schema), model, SEEN, output, LIMITS)
  asked = []

  def favoured(task, probs, power):
    asked.append((task.name, power))
    return -probs  # the least likely

  monkeypatch.setattr(model, 'favoured', favoured, raising=False)
  layout = Layout(model.schema, favour_rare=0.3)
  found = rows.block(layout, model, SEEN, output, LIMITS)
  least = labels[output.probabilities['expr'].argmin(-1)]
  assert found['answer'].tolist() == [least[0], '', '', least[2]]
  assert asked == [('expr', 0.3)]
  for name in found.keys() - {'answer'}:
    np.testing.assert_array_equal(found[name], plain[name])
  (meaning,) = (c.meaning for c in layout.columns if c.name == 'answer')
  assert 'beside its share of the labels to the power of 0.3' in meaning


def test_models_that_do_not_know_which_classes_are_rare(model):
  from emojax.answers import run

  asked = options.Options(favour_rare=0.5)
  with pytest.raises(options.OptionError, match='`emojax calibrate`'):
    run.layout_of(model, asked)
  model.metadata['thresholds']['prevalence'] = {'expr': {}}
  assert run.layout_of(model, asked).favour_rare == 0.5
  model.schema = tuple(t for t in model.schema if t.kind != 'categorical')
  with pytest.raises(options.OptionError, match='the model has no classes'):
    run.layout_of(model, asked)


def test_sets_that_a_model_has_not(model):
  from emojax.answers import run

  assert run.layout_of(model, options.Options()).sets is None
  with pytest.raises(options.OptionError, match='has no answer sets'):
    run.layout_of(model, options.Options(coverage=0.9))
  model.metadata['conformal'] = {
    'coverages': [0.8, 0.9],
    'calibration': {},
    'tasks': {'expr': {}},
  }
  assert run.layout_of(model, options.Options()).sets.coverage == 0.9
  eighty = options.Options(coverage=0.8)
  assert run.layout_of(model, eighty).sets.coverage == 0.8
  with pytest.raises(options.OptionError, match=r'has 0\.8, 0\.9'):
    run.layout_of(model, options.Options(coverage=0.7))
  # Sets of scaled predictions would not hold what they promise.
  scaled = options.Options(temperature=True)
  assert run.layout_of(model, scaled).sets is None
  with pytest.raises(options.OptionError, match='leave out one of them'):
    run.layout_of(model, options.Options(coverage=0.8, temperature=True))
  # Nor do thresholds of uncertainty mark what they say.
  with pytest.raises(options.OptionError, match='give --unsure-above'):
    options.limits(scaled, model)
  own = options.Options(temperature=True, unsure_above=0.5, foreign_above=0.1)
  assert options.limits(own, model).unsure == 0.5


def test_only_tasks_that_were_calibrated_have_sets(model):
  """A validation set need not label every task, or any."""
  from emojax.answers import run

  other = tasks.Task('age', 'categorical', ('young', 'old'))
  model.schema = (*model.schema, other)
  said = {'coverages': [0.9], 'calibration': {}, 'tasks': {'age': {}}}
  model.metadata['conformal'] = said
  names = run.layout_of(model, options.Options()).names
  assert 'age_answer_set' in names
  assert 'answer_set' not in names
  said['tasks'] = {}
  assert run.layout_of(model, options.Options()).sets is None
  with pytest.raises(options.OptionError, match='has no answer sets'):
    run.layout_of(model, options.Options(coverage=0.9))


def test_the_shipped_model_says_sets_of_votes():
  """Its labels are shares of votes, so that sets do not promise majorities."""
  import emojax
  from emojax.answers import run

  model = emojax.load('ferplus')
  layout = run.layout_of(model, options.Options())
  assert layout.sets == columns.Sets(0.9, of_votes=frozenset({'expr'}))
  column = next(c for c in layout.columns if c.name == 'answer_set')
  assert "at least 90% of the annotators' votes" in column.meaning
  # The same model, were its labels single ones.
  del model.metadata['conformal']['calibration']['soft']
  layout = run.layout_of(model, options.Options())
  column = next(c for c in layout.columns if c.name == 'answer_set')
  assert 'at least 90% of such sets hold the label' in column.meaning


def test_pick_leaves_nothing_behind(model):
  output = model.predict(np.zeros((3, 32, 32, 3), np.uint8), batch=3)
  output = output._replace(learned=np.arange(3.0))
  assert rows.pick(output, [2]).learned.tolist() == [2]


@pytest.mark.parametrize('kind', [np.float16, np.float32, np.float64])
def test_numbers_of_few_bits_are_the_decimals_they_were_made_of(kind):
  asked = options.Options(coverage=kind(0.9), unsure_share=kind(0.05))
  assert (asked.coverage, asked.unsure_share) == (0.9, 0.05)


def test_labels_are_no_formulas():
  """Classes that folders or strangers named: in headers and cells alike."""
  labels = ('=1+1', '-1', '+', '@x', 'a=b')
  schema = (
    tasks.Task('expr', 'categorical', labels),
    tasks.Task('au', 'binary', ('-2', 'p')),
  )
  layout = Layout(schema)
  assert not [name for name in layout.names if name[0] in '=+-@']
  assert {'expr.=1+1', 'expr.-1', 'a=b', 'au.-2'} < set(layout.names)
  layout, _, found = made(stand_in.Model(schema), SEEN)
  shown = {columns.written(schema[0], label) for label in labels}
  here = ~np.isnan(found['face'])
  assert set(found['answer'][here]) <= shown
  joined = rows._joined(schema[1], np.array([[True, True], [False, True]]), '+')
  assert joined == ['au.-2+p', 'p']


def test_columns_of_many_labels_are_soon_made():
  labels = tuple(f'label {i}' for i in range(tasks.MAX_LABELS))
  schema = tuple(
    tasks.Task(name, 'categorical', labels) for name in ('a', 'b', 'c')
  )
  start = time.process_time()
  layout = Layout(schema)
  assert len(layout.columns) > 3 * len(labels)
  assert time.process_time() - start < 2  # minutes, if each were counted anew
