"""Numbers of one small run, so that no change of them goes unnoticed.

The weights come from NumPy's generator: how layers draw theirs is free to
change. Where a change of the numbers is meant, run this file and say in the
commit message why:

  PYTHONPATH=tests/engine python tests/engine/test_golden.py
"""

import functools
import pprint

import jax
import numpy as np
import pytest
import toy

from emojax.engine import methods

EPOCHS = 6
LOGS = (
  'loss/total',
  'loss/au',
  'loss/expr',
  'loss/va',
  'val/total',
  'task_weight/au',
)


def drawn(params, model_state):
  """Weights that do not depend on any initialiser of the package."""
  rng = np.random.default_rng(0)
  fresh = jax.tree.map(
    lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), params
  )
  return fresh, model_state


def summary(state, logs, soft):
  """A few numbers of two members, by name."""
  values = {key: logs[key][:, [0, 2, -1]] for key in LOGS}
  leaves = jax.tree.leaves(state.params)
  values['norm'] = np.sqrt(sum((x**2).reshape(2, -1).sum(1) for x in leaves))
  values |= {f'soft {key}': value[3, 1] for key, value in soft.items()}
  return values


@functools.cache
def run():
  """Teachers and one generation of students of the small problem."""
  make = functools.partial(toy.method, pretrained=drawn)
  trainer = toy.trainer(members=2, epochs=EPOCHS, method=make)
  teachers = toy.generation(members=2, rate=0.03)
  *_, soft = found = toy.train(trainer, teachers)
  targets = methods.distillation_targets(toy.SCHEMA, soft, teachers.targets)
  students = teachers._replace(
    number=1, groups=[np.arange(30)], clips_per_group=6, targets=targets
  )
  return {
    'Tea': summary(*found),
    'Stu1': summary(*toy.train(trainer, students)),
  }


GOLDEN = {
  'Tea': {
    'loss/au': [[0.69141, 0.633263, 0.625768], [0.724499, 0.62577, 0.595654]],
    'loss/expr': [
      [1.221743, 0.878898, 0.968565],
      [1.303827, 0.951167, 0.946398],
    ],
    'loss/total': [
      [1.228267, 0.79573, 0.910375],
      [1.230402, 0.797312, 0.90248],
    ],
    'loss/va': [[1.771648, 0.875029, 1.078603], [1.66288, 0.814999, 1.16539]],
    'norm': [6.445653, 6.391231],
    'soft au': [0.582871, 0.685615],
    'soft expr': [0.190853, 0.498067, 0.31108],
    'soft va': [0.440521, 0.366309],
    'task_weight/au': [
      [0.333333, 0.333333, 0.25],
      [0.333333, 0.333333, 0.333333],
    ],
    'val/total': [
      [1.344978, 1.997362, 2.259423],
      [1.403044, 1.910646, 2.326594],
    ],
  },
  'Stu1': {
    'loss/au': [[0.683088, 0.668487, 0.668496], [0.682192, 0.668774, 0.669285]],
    'loss/expr': [
      [0.067601, 0.032895, 0.028538],
      [0.079215, 0.035922, 0.031103],
    ],
    'loss/total': [
      [0.772342, 0.35037, 0.338664],
      [0.746989, 0.378965, 0.448023],
    ],
    'loss/va': [[1.566336, 0.349728, 0.318957], [1.47956, 0.432199, 0.351186]],
    'norm': [6.348676, 6.462236],
    'soft au': [0.594078, 0.728746],
    'soft expr': [0.181281, 0.487571, 0.331148],
    'soft va': [0.592364, 0.548509],
    'task_weight/au': [
      [0.333333, 0.333333, 0.333333],
      [0.333333, 0.333333, 0.537244],
    ],
    'val/total': [
      [1.367451, 1.708055, 1.928573],
      [1.30725, 1.604292, 1.857357],
    ],
  },
}


@pytest.mark.parametrize('name', ['Tea', 'Stu1'])
def test_numbers_are_those_of_before(name, users_programs):
  found = run()[name]
  assert set(found) == set(GOLDEN[name])
  for key, value in GOLDEN[name].items():
    np.testing.assert_allclose(
      found[key], value, rtol=1e-4, atol=1e-4, err_msg=key
    )


if __name__ == '__main__':
  rounded = jax.tree.map(lambda x: np.float64(x).round(6).tolist(), run())
  pprint.pprint(rounded, sort_dicts=False)
