"""Labels by name: never by position, and never silently."""

import numpy as np
import pytest

from emojax import tasks
from emojax.data.relabel import SchemaMismatchError, relabel, selected_outputs


def classes(labels, *numbers):
  """Hard targets of one task: frames of these classes, the last one masked."""
  value = np.eye(len(labels), dtype=np.float32)[[numbers]]
  mask = np.ones((1, len(numbers)), np.float32)
  mask[0, -1] = 0
  return {'expr': tasks.Target(value, mask)}


@pytest.mark.parametrize('source', [tasks.FER2013, tasks.RAFDB, tasks.EXPW])
def test_classes_keep_their_names(source):
  found = (tasks.expr_task(source),)
  wanted = (tasks.expr_task(tasks.AFFWILD2),)
  targets, schema, notes = relabel(classes(source, *range(7), 0), found, wanted)
  names = np.array(tasks.AFFWILD2)[targets['expr'].value[0].argmax(-1)]
  assert names.tolist() == [*source, source[0]]
  assert targets['expr'].mask.tolist() == [[1] * 7 + [0]]
  assert schema == wanted
  assert notes == ('expr: classes were reordered by name',)


def test_fewer_classes_than_the_model_has():
  wanted = (tasks.expr_task(tasks.AFFECTNET),)
  targets, schema, notes = relabel(
    classes(tasks.FER2013, 4, 4), (tasks.expr_task(tasks.FER2013),), wanted
  )
  assert targets['expr'].value.shape == (1, 2, 8)
  assert tasks.AFFECTNET[targets['expr'].value[0, 0].argmax()] == 'sadness'
  assert (schema, notes) == (wanted, ('the data have no contempt',))


def test_soft_labels_lose_the_share_of_ignored_classes():
  found = (tasks.expr_task(tasks.FERPLUS),)
  soft = np.zeros((1, 2, 8), np.float32)
  soft[0, 0, [0, 7]] = 0.75, 0.25
  soft[0, 1, [1, 7]] = 0.25, 0.75  # most votes are for contempt
  targets = {'expr': tasks.Target(soft, np.ones((1, 2), np.float32))}
  wanted = (tasks.expr_task(tasks.AFFWILD2),)
  with pytest.raises(SchemaMismatchError, match='contempt'):
    relabel(targets, found, wanted)
  made, _, notes = relabel(targets, found, wanted, ['contempt'])
  assert made['expr'].value[0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]
  assert made['expr'].mask.tolist() == [[1, 0]]
  assert notes == ('1 frames of contempt were left out',)


def test_known_classes_can_be_left_out_too():
  found = (tasks.expr_task(tasks.FER2013),)
  targets = classes(tasks.FER2013, 0, 6, 6)
  made, _, _ = relabel(targets, found, found, ['neutral'])
  assert made['expr'].mask.tolist() == [[1, 0, 0]]


def test_action_units_by_name_and_only_those_in_common():
  found, wanted = (tasks.au_task(tasks.AU8),), (tasks.au_task(tasks.AU12),)
  rng = np.random.default_rng(0)
  value = rng.integers(0, 2, (3, 2, 8)).astype(np.float32)
  mask = rng.integers(0, 2, (3, 2, 8)).astype(np.float32)
  made = relabel({'au': tasks.Target(value, mask)}, found, wanted)
  common = made.schema[0].labels
  assert common == ('AU1', 'AU2', 'AU4', 'AU6', 'AU12', 'AU15', 'AU25')
  for i, name in enumerate(common):
    column = tasks.AU8.index(name)
    np.testing.assert_array_equal(
      made.targets['au'].value[..., i], value[..., column]
    )
    np.testing.assert_array_equal(
      made.targets['au'].mask[..., i], mask[..., column]
    )
  assert made.notes[0] == 'au: the model does not predict AU20'
  assert made.notes[1].startswith('au: the data do not label AU7')
  index = selected_outputs(wanted[0], made.schema[0])
  assert [tasks.AU12[i] for i in index] == list(common)


def test_outputs_of_one_dimension():
  task = tasks.va_task(5)
  kept = tasks.Task('va', 'binned', ('arousal',), 5)
  assert selected_outputs(task, kept).tolist() == [5, 6, 7, 8, 9]
  assert selected_outputs(task, task).tolist() == list(range(10))


def test_missing_tasks_are_masked():
  found = (tasks.expr_task(tasks.AFFWILD2),)
  targets = classes(tasks.AFFWILD2, 1, 2)
  made = relabel(targets, found, tasks.ABAW2021)
  assert made.schema == tasks.ABAW2021
  assert made.targets['au'].mask.shape == (1, 2, 12)
  assert not made.targets['va'].mask.any()
  np.testing.assert_array_equal(
    made.targets['expr'].value, targets['expr'].value
  )


@pytest.mark.parametrize(
  ('found', 'message'),
  [
    (tasks.expr_task(tasks.CIFAR10), 'nothing that the model predicts'),
    (tasks.Task('other', 'binary', ('x',)), 'nothing that the model predicts'),
    (tasks.Task('expr', 'binary', tasks.AFFWILD2), 'binary in the data'),
  ],
)
def test_what_cannot_be_compared(found, message):
  targets = {found.name: tasks.empty_targets((found,), (1, 1))[found.name]}
  with pytest.raises(SchemaMismatchError, match=message):
    relabel(targets, (found,), (tasks.expr_task(tasks.AFFWILD2),))
