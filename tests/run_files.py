"""Compares the folders of two runs that should be the same."""

import json
import pathlib

import numpy as np

from emojax.engine import checkpoint


def results(folder: pathlib.Path) -> str:
  """results.json without what is measured by the clock, as text."""
  values = json.loads((folder / 'results.json').read_text())
  del values['timings']
  return json.dumps(values)


def assert_same_run(found: pathlib.Path, expected: pathlib.Path):
  """Everything that a run computes is equal byte for byte."""
  assert results(found) == results(expected)
  for name in ('metrics.jsonl', 'curves.json'):
    assert (found / name).read_text() == (expected / name).read_text(), name
  files = sorted(p.name for p in (expected / 'predictions').iterdir())
  assert sorted(p.name for p in (found / 'predictions').iterdir()) == files
  for name in files:
    with (
      np.load(found / 'predictions' / name) as a,
      np.load(expected / 'predictions' / name) as b,
    ):
      assert a.files == b.files
      for key in a.files:
        np.testing.assert_array_equal(a[key], b[key], err_msg=f'{name} {key}')
  assert_same_weights(found / 'checkpoints', expected / 'checkpoints')


def assert_same_weights(found: pathlib.Path, expected: pathlib.Path, names=()):
  present = sorted(p.name for p in expected.iterdir())
  assert sorted(p.name for p in found.iterdir()) == present  # and no litter
  for name in names or set(present) - {'running'}:
    a, b = (checkpoint.load_tree(p / name) for p in (found, expected))
    np.testing.assert_equal(a, b)
