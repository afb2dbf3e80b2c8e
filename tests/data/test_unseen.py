"""Classes that no training frame shows."""

import numpy as np

from emojax import tasks
from emojax.data import unseen
from emojax.experiments.distillation import contents

SCHEMA = tasks.ABAW2021
AU, EXPR, VA = SCHEMA


def targets():
  """One clip of two frames that show every class but those that tests take."""
  made = tasks.empty_targets(SCHEMA, (len(EXPR.labels), 2))
  made['au'].value[:], made['au'].mask[:] = 1, 1
  made['expr'].value[:] = np.eye(len(EXPR.labels))[:, None]
  made['expr'].mask[:] = 1
  return made


def test_all_are_shown():
  assert unseen.unseen(SCHEMA, targets()) == []


def test_a_class_whose_frames_are_masked():
  made = targets()
  made['expr'].mask[2] = 0
  assert unseen.unseen(SCHEMA, made) == [f'expr {EXPR.labels[2]}']
  made['expr'].mask[2, 1] = 1  # one frame is enough
  assert unseen.unseen(SCHEMA, made) == []


def test_action_units_never_present_or_never_labelled():
  made = targets()
  made['au'].value[..., 1] = 0
  made['au'].mask[..., 3] = 0
  expected = [f'au {AU.labels[1]}', f'au {AU.labels[3]}']
  assert unseen.unseen(SCHEMA, made) == expected


def test_soft_labels_count():
  made = targets()
  made['expr'].value[2] = 0
  made['expr'].value[0, 0, 2] = 0.1
  assert unseen.unseen(SCHEMA, made) == []


def test_the_report_says_so():
  results = {
    'dataset': 'x',
    'split': 'test',
    'labelled_frames': {},
    'num_frames': 1,
    'generations': {},
    'unseen': ['expr fear', 'au AU7'],
  }
  facts = dict(
    contents._facts(contents.Contents(results, {}, [], {}, None, None, {}))
  )
  assert facts[unseen.TITLE] == 'expr fear, au AU7'
  assert unseen.facts({}) == []
