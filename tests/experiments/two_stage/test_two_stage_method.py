"""The objective of teachers and students on features, and the report's parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from emojax import tasks
from emojax.engine import methods
from emojax.experiments.two_stage import method, report
from emojax.losses import two_stage as losses
from emojax.models.cnn_rnn import CNNRNN
from emojax.report import table, verdicts

SCHEMA = (tasks.expr_task(), tasks.va_task())
OWN = losses.own_labels(SCHEMA, [('expr',), ('va',)])
B, LENGTH, SIZE = 4, 3, 2


@pytest.fixture(scope='module')
def of():
  return method.two_stage(
    CNNRNN(SCHEMA, SIZE, 3),
    SCHEMA,
    method.feature_inputs(2 * SIZE),
    supervised=OWN,
    options=losses.PAPER,
    bin_values=tasks.bin_values(),
    schedule=methods.step_decay(1, 1.0),
  )


def batch(teachers=0, seed=0):
  rng = np.random.default_rng(seed)
  targets = tasks.empty_targets(SCHEMA, (B, LENGTH))
  targets['expr'].value[:] = np.eye(7)[rng.integers(0, 7, (B, LENGTH))]
  targets['expr'].mask[:2] = 1
  targets['va'].value[:] = rng.uniform(-1, 1, (B, LENGTH, 2))
  targets['va'].mask[2:] = 1
  teacher = None
  if teachers:
    shape = (B, LENGTH, teachers)
    teacher = {
      t.name: rng.normal(size=(*shape, t.num_outputs)).astype(np.float32)
      for t in SCHEMA
    }
  mask = np.ones((B, LENGTH), np.float32)
  features = rng.normal(size=(B, LENGTH, 2 * SIZE)).astype(np.float32)
  return {
    'inputs': {'image': features},
    'targets': method.batch_targets(targets, mask, teacher),
  }


def test_loss_is_that_of_the_outputs(of):
  params, model_state = of.init(jax.random.key(0))
  data = batch()
  loss, aux = jax.jit(of.objective)(
    params,
    model_state,
    data,
    jax.random.key(1),
    {'learning_rate': jnp.float32(1)},
  )
  outputs = jax.jit(of.predict)(params, model_state, data['inputs'])
  written = jax.jit(
    lambda *given: losses.two_stage_loss(
      *given, SCHEMA, OWN, bin_values=tasks.bin_values()
    )
  )
  hard, mask = data['targets']['hard'], data['targets']['frame_mask']
  want, parts = written(outputs, hard, mask)
  np.testing.assert_allclose(loss, want, rtol=1e-5)
  assert set(aux['losses']) == {'total', 'expr', 'va'} == set(of.loss_names)
  np.testing.assert_allclose(aux['losses']['va'], parts['va'], rtol=1e-5)


def test_every_student_has_a_teacher_of_its_own(of):
  params, model_state = of.init(jax.random.key(0))
  objective = jax.jit(of.objective)

  def loss(data, number):
    hparams = {'learning_rate': jnp.float32(1), 'teacher': jnp.int32(number)}
    key = jax.random.key(1)
    return objective(params, model_state, data, key, hparams)[0]

  both = batch(teachers=2)
  for number in range(2):
    alone = batch(teachers=2)
    alone['targets']['teacher'] = {
      name: np.repeat(value[:, :, number : number + 1], 2, axis=2)
      for name, value in both['targets']['teacher'].items()
    }
    np.testing.assert_allclose(loss(both, number), loss(alone, 0), rtol=1e-6)
  assert abs(loss(both, 0) - loss(both, 1)) > 1e-3


def row(*values):
  members = [{'total': value, 'expr/score': value} for value in values]
  return {
    'members': members,
    'mean': {key: float(np.mean(values)) for key in members[0]},
    'std': {key: float(np.std(values, ddof=1)) for key in members[0]},
  }


def verdict(*arguments, **options):
  (found,) = verdicts.decide([report.compare(*arguments, **options)])
  return found.verdict


def test_findings_need_a_difference_beyond_the_seeds():
  low, high, wide = row(1.0, 1.1, 0.9), row(2.0, 2.1, 1.9), row(0.0, 4.0, 2.0)
  keys = ['total', 'expr/score']
  assert verdict('', high, low, keys, '') == 'yes'
  assert verdict('', low, high, keys, '') == 'no'
  assert verdict('', wide, low, keys, '') == 'unclear'
  exact = {**low, 'exact': True}  # one network: only the other one spreads
  found = report.compare('', high, exact, ['total'], '')
  assert verdict('', high, exact, ['total'], '') == 'yes'
  assert 'total +1.000 ± 0.248' in found.here


def test_students_are_compared_with_their_own_teachers():
  teachers, students = row(1.0, 2.0, 3.0), row(1.1, 2.12, 3.11)
  arguments = students, teachers, ['total'], ''
  assert verdict('', *arguments) == 'unclear'
  found = report.compare('', *arguments, paired=True)
  assert verdict('', *arguments, paired=True) == 'yes'
  expected = scipy.stats.ttest_rel([1.1, 2.12, 3.11], [1.0, 2.0, 3.0])
  low, high = expected.confidence_interval()
  assert f'total {(low + high) / 2:+.3f} ± {(high - low) / 2:.3f}' in found.here


def test_tables_put_the_paper_beside_this_run():
  columns = {'EXPR': 'expr/score'}
  study = report.Study('T', {'ours': row(0.1, 0.2)}, {'a': (0.5,)}, columns)
  text = table.to_markdown(report.make_table(study))
  assert '| ours | 0.150 ± 0.071 | 0.150 ± 0.071 |' in text
  assert '| a | 0.500 | – |' in text


def test_label_smoothing_is_that_of_smoothed_labels():
  def objective(smoothing):
    return method.two_stage(
      CNNRNN(SCHEMA, SIZE, 3),
      SCHEMA,
      method.feature_inputs(2 * SIZE),
      supervised=OWN,
      options=losses.PAPER._replace(label_smoothing=smoothing),
      bin_values=tasks.bin_values(),
      schedule=methods.step_decay(1, 1.0),
    )

  smooth, plain = objective(0.3), objective(0.0)
  params, state = plain.init(jax.random.key(0))
  data = batch()
  hard = data['targets']['hard']
  value, mask = hard['expr']
  soft = tasks.Target(0.7 * value + 0.3 / 7, mask)
  by_hand = {
    **data,
    'targets': {**data['targets'], 'hard': {**hard, 'expr': soft}},
  }
  args = jax.random.key(1), {'learning_rate': jnp.float32(1)}
  found = jax.jit(smooth.objective)(params, state, data, *args)[0]
  expected = jax.jit(plain.objective)(params, state, by_hand, *args)[0]
  np.testing.assert_allclose(found, expected, rtol=1e-6)
