"""Tests of the predictions file."""

import numpy as np
import pytest

from emojax import tasks
from emojax.evaluation import Predictions

SCHEMA = tasks.ABAW2021


def make(schema=SCHEMA, members=3, mc=True):
  rng = np.random.default_rng(0)

  def draw(*shape):
    return {
      task.name: rng.normal(size=(*shape, task.num_outputs)).astype(np.float32)
      for task in schema
    }

  return Predictions(
    name='Tea',
    schema=schema,
    logits={'val': draw(members, 4, 2), 'ood/digits': draw(members, 5, 2)},
    epochs=[2, 0, 1][:members],
    mc={'val': draw(members, 6, 4, 2)} if mc else {},
  )


@pytest.mark.parametrize('mc', [True, False])
def test_save_and_load_give_the_same_arrays(tmp_path, mc):
  written = make(mc=mc)
  path = tmp_path / 'predictions' / 'Tea.npz'
  written.save(path)
  read = Predictions.load(path, SCHEMA)
  assert read.name == 'Tea'
  assert read.schema == SCHEMA
  assert read.epochs == [2, 0, 1]
  assert sorted(read.logits) == ['ood/digits', 'val']
  assert sorted(read.mc) == (['val'] if mc else [])
  for name, heads in written.logits.items():
    for task, value in heads.items():
      np.testing.assert_array_equal(read.logits[name][task], value)
  for task, value in written.mc.get('val', {}).items():
    np.testing.assert_array_equal(read.mc['val'][task], value)


def test_save_replaces_and_leaves_no_partial_file(tmp_path):
  path = tmp_path / 'Tea.npz'
  make(mc=True).save(path)
  make(mc=False).save(path)
  assert Predictions.load(path).mc == {}
  assert [p.name for p in tmp_path.iterdir()] == ['Tea.npz']


def test_load_rejects_other_labels(tmp_path):
  path = tmp_path / 'Tea.npz'
  make().save(path)
  with pytest.raises(ValueError, match='label schema differs'):
    Predictions.load(path, tasks.ABAW2020)


def test_load_rejects_other_files(tmp_path):
  path = tmp_path / 'other.npz'
  np.savez(path, a=np.zeros(3))
  with pytest.raises(ValueError, match='not written by'):
    Predictions.load(path)


def test_wrong_shape_names_set_and_task():
  heads = make().logits['val'] | {'va': np.zeros((3, 4, 2, 39), np.float32)}
  with pytest.raises(ValueError, match=r"logits\['val'\]\['va'\].*39"):
    Predictions('Tea', SCHEMA, {'val': heads}, [0, 0, 0])


def test_missing_task_is_an_error():
  heads = make().logits['val']
  heads.pop('au')
  with pytest.raises(
    ValueError, match=r"its schema has \['au', 'expr', 'va'\]"
  ):
    Predictions('Tea', SCHEMA, {'val': heads}, [0, 0, 0])


def test_member_count_must_match_epochs():
  with pytest.raises(ValueError, match='M = 2'):
    Predictions('Tea', SCHEMA, make().logits, [0, 0])
