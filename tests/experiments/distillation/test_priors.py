"""Which weights a run's generations are corrected by, and where they are kept."""

import json

import numpy as np
import pytest
import small_run

from emojax import losses, tasks, uncertainty
from emojax.data import load
from emojax.engine import methods
from emojax.experiments.distillation import priors
from emojax.uncertainty import prior

SCHEMA = tasks.ABAW2021
BINS = tasks.bin_values()


@pytest.fixture(scope='module')
def targets():
  return load.from_config(small_run.config().data).train.targets


def of(targets, **changes):
  config = small_run.config(generations=2, **changes)
  return priors.of_generations(config, SCHEMA, targets)


def test_students_have_their_teachers_bias(targets):
  tea, first, second = of(targets)
  weights = losses.positive_weights(*targets['au'])
  np.testing.assert_allclose(tea['au'], np.log(weights), rtol=1e-6)
  weights = losses.class_weights(*targets['expr'])
  expected = prior.log_weights(SCHEMA[1], weights)
  np.testing.assert_array_equal(tea['expr'], expected)
  assert np.abs(tea['au']).max() > 0.5
  assert np.abs(tea['expr']).max() > 0.5
  for students in (first, second):
    for name in ('au', 'expr'):
      np.testing.assert_array_equal(students[name], tea[name])
  assert 'va' not in tea


def test_students_with_weights_of_their_own_multiply_the_odds_again(targets):
  """Eq. 9 as printed."""
  tea, first, second = of(targets, loss__reweight_students=True)
  np.testing.assert_allclose(first['au'], 2 * tea['au'])
  np.testing.assert_allclose(second['au'], 3 * tea['au'])
  np.testing.assert_array_equal(second['expr'], tea['expr'])


def test_students_of_corrected_teachers_need_no_correction(targets):
  tea, *students = of(targets, loss__correct_teachers=True)
  assert prior.changes(tea)
  assert not any(prior.changes(one) for one in students)
  changes = {'loss__correct_teachers': True, 'loss__reweight_students': True}
  tea, first, second = of(targets, **changes)
  for students in (first, second):  # their own weights, once
    np.testing.assert_array_equal(students['au'], tea['au'])
    assert not students['expr'].any()


def test_milder_weights_need_a_milder_correction(targets):
  (full, *_), (half, *_) = (
    of(targets, **changes) for changes in ({}, {'loss__weight_power': 0.5})
  )
  for name in ('au', 'expr'):
    assert full[name].any()
    np.testing.assert_allclose(half[name], full[name] / 2, atol=1e-6)


def test_without_weights_there_is_nothing_to_correct(targets):
  for one in of(targets, loss__reweight=False):
    assert not prior.changes(one)


def test_runs_from_before_these_settings(targets):
  config = small_run.config(generations=1)
  del config.loss.correct_teachers, config.loss.reweight_students
  del config.loss.weight_power
  found = priors.of_generations(config, SCHEMA, targets)
  assert prior.changes(found[0])
  np.testing.assert_array_equal(found[0]['au'], found[1]['au'])


def test_soft_labels_of_corrected_teachers():
  """Corrected before they become probabilities, whose mean is no logit."""
  rng = np.random.default_rng(0)
  shift = {
    'au': prior.log_weights(SCHEMA[0], np.linspace(1, 9, 12)),
    'expr': prior.log_weights(SCHEMA[1], np.arange(1, 8)),
  }
  honest = {t.name: rng.normal(size=(5, t.num_outputs)) for t in SCHEMA}
  biased = {k: np.float32(x + shift.get(k, 0)) for k, x in honest.items()}
  found = priors.soft_labels(SCHEMA, shift, BINS)(biased)
  for task in SCHEMA[:2]:
    expected = uncertainty.probabilities(task, honest[task.name])
    np.testing.assert_allclose(found[task.name], expected, atol=1e-6)
  plain = methods.soft_labels(SCHEMA, biased, BINS)
  np.testing.assert_array_equal(found['va'], plain['va'])
  assert np.abs(found['au'] - plain['au']).max() > 0.1


def test_files(targets, tmp_path):
  assert priors.read(tmp_path, SCHEMA) is None
  written = dict(zip(('Tea', 'Stu1', 'Stu2'), of(targets)))
  priors.write(tmp_path, SCHEMA, written)
  found = priors.read(tmp_path, SCHEMA)
  assert found.keys() == written.keys()
  for name, one in written.items():
    for task, values in one.items():
      np.testing.assert_array_equal(found[name][task], values)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'Expecting value'),
    ('[' * 100_000, 'recursion'),
    ('[]', "of format 'emojax-priors-1'"),
    ('{"format": "emojax-priors-9", "generations": {}}', 'of format'),
    ('{"format": "emojax-priors-1"}', 'generations: expected an object'),
    (
      json.dumps({'format': priors.FORMAT, 'generations': {'Tea': {'x': {}}}}),
      r'generations\.Tea\.x: there is no such task',
    ),
  ],
)
def test_files_of_no_use(tmp_path, text, message):
  (tmp_path / priors.FILE).write_text(text)
  with pytest.raises(ValueError, match=message) as error:
    priors.read(tmp_path, SCHEMA)
  assert str(tmp_path / priors.FILE) in str(error.value)
  assert 'move it away' in str(error.value)
