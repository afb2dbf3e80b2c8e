"""The method of "How to add" (docs/design.md), as its reader adds it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
USED = """
import jax, jax.numpy as jnp, numpy as np, optax, runpy, types
from emojax.experiments.relative_uncertainty import (
  figures, learners, read_outs, setup, trained
)
from emojax.runtime import overrides

config = runpy.run_path('configs/relative_uncertainty.py')['get_config']('tiny')
config.methods = ('baseline', 'gce')
overrides.check(config, {'methods'})
setup.check_methods(config)
made = setup.learner_from_config(config, 'gce')
assert trained.network_for(config, 'gce').read_out == 'gce'
assert [s.name for s in trained.stacks(config)] == ['baseline', 'gce']
logits = jnp.float32([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
found = read_outs.read_out('gce')(
  {'expr': logits, 'features': logits}, types.SimpleNamespace(name='expr')
)
np.testing.assert_array_equal(found['expr'], logits)
assert figures.method_style('gce')['label'] == 'GCE'
labels = jnp.int32([0, 1])
batch = learners.Batch({'logits': logits}, labels, None, None, {})
def loss(q):
  return learners.generalised_cross_entropy(q).learn(batch).loss
entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
np.testing.assert_allclose(loss(1e-3), entropy.mean(), rtol=2e-3)
share = jax.nn.softmax(logits)[jnp.arange(2), labels]
np.testing.assert_allclose(loss(1.0), (1 - share).mean(), rtol=1e-6)
print('used')
"""


def documented() -> str:
  """The diff of docs/design.md."""
  text = (ROOT / 'docs' / 'design.md').read_text()
  (found,) = re.findall(r'```diff\n(.*?)```', text, re.DOTALL)
  return found


def apply(diff: str, folder: pathlib.Path):
  """Applies a diff by the lines around its changes, wherever these are now."""
  for part in re.split(r'^--- a/.*\n', diff, flags=re.MULTILINE)[1:]:
    name, *hunks = re.split(r'^@@.*\n', part, flags=re.MULTILINE)
    path = folder / name.strip().removeprefix('+++ b/')
    text = path.read_text()
    for hunk in hunks:
      lines = [line or ' ' for line in hunk.splitlines()]
      old, new = (
        ''.join(f'{line[1:]}\n' for line in lines if line[0] in kinds)
        for kinds in (' -', ' +')
      )
      assert text.count(old) == 1, f'{path}: not once there:\n{old}'
      text = text.replace(old, new)
    path.write_text(text)


@pytest.mark.slow
def test_the_documented_method_is_all_that_it_takes(tmp_path):
  for name in ('emojax', 'configs'):
    ignored = shutil.ignore_patterns('__pycache__', 'weights')
    shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
  apply(documented(), tmp_path)
  environment = {**os.environ, 'PYTHONPATH': str(tmp_path)}
  done = subprocess.run(
    [sys.executable, '-c', USED],
    cwd=tmp_path,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.stdout == 'used\n', done.stderr
