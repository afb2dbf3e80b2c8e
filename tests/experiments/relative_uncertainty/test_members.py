"""Members: noise levels, repetitions, their labels."""

import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from emojax import tasks
from emojax.experiments.relative_uncertainty import members

TASK = tasks.expr_task()


def config(rates=(0.0, 0.2), stored=False, size=4):
  return ConfigDict(
    {
      'seed': 5,
      'data': {'name': 'embedded'},
      'noise': {'rates': rates, 'stored': stored},
      'ensemble': {'size': size},
    }
  )


def dataset(values):
  target = tasks.Target(values, np.ones(values.shape[:2], np.float32))
  train = types.SimpleNamespace(targets={'expr': target})
  return types.SimpleNamespace(train=train, name='some faces')


def hard(count=50):
  classes = np.random.default_rng(0).integers(0, 7, count)
  return np.eye(7, dtype=np.float32)[classes][:, None]


def test_levels_by_repetitions():
  values = hard()
  found = members.from_config(config(), dataset(values), TASK)
  assert found.levels == ('0 %', '20 %')
  assert found.repetitions == 2
  assert list(found.of_level('20 %')) == [2, 3]
  assert found.noisy.tolist() == [False, False, True, True]
  np.testing.assert_array_equal(found.clean, values[:, 0].argmax(-1))
  assert found.flipped.sum(1).tolist() == [0, 0, 10, 10]
  assert (found.labels[2] != found.labels[3]).any()


def test_repetitions_do_not_depend_on_the_levels():
  data = dataset(hard())
  few = members.from_config(config(), data, TASK)
  many = members.from_config(config((0.0, 0.1, 0.2), size=6), data, TASK)
  np.testing.assert_array_equal(few.labels[2:], many.labels[4:])


def test_no_repetition_has_the_noise_of_another_seed():
  data = dataset(hard())
  drawn = []
  for seed in (0, 1, 2):
    chosen = config((0.5,), size=3)
    chosen.seed = seed
    drawn += [
      row.tobytes() for row in members.from_config(chosen, data, TASK).labels
    ]
  assert len(set(drawn)) == 9


def test_stored_noise_is_one_more_level():
  found = members.from_config(
    config((0.5,), stored=True, size=2), dataset(hard()), TASK
  )
  assert found.levels == ('50 %', 'stored')
  np.testing.assert_array_equal(found.labels[1], found.clean)


def test_members_that_cannot_be_shared_evenly():
  with pytest.raises(
    ValueError, match=r'size=5 members cannot be shared evenly'
  ):
    members.from_config(config(size=5), dataset(hard()), TASK)


@pytest.mark.parametrize('rates', [(0.2, 0.0), (0.0, 0.0)])
def test_rates_out_of_order(rates):
  with pytest.raises(ValueError, match='give every rate once, lowest first'):
    members.from_config(config(rates), dataset(hard()), TASK)


def test_soft_labels_are_refused():
  values = np.full((3, 1, 7), 1 / 7, np.float32)
  with pytest.raises(ValueError, match='has distributions as labels'):
    members.from_config(config(), dataset(values), TASK)


def test_clips_are_refused():
  values = np.repeat(hard(4), 2, axis=1)
  with pytest.raises(ValueError, match=r'config.data.clip_length=1'):
    members.from_config(config(), dataset(values), TASK)
