"""Checkpoints: atomic, and never the end of a run if one of them is damaged."""

import errno
import logging
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from emojax.engine import checkpoint, digests

# Orbax leaves coroutines behind when it cannot read a file.
pytestmark = pytest.mark.filterwarnings(
  'ignore::pytest.PytestUnraisableExceptionWarning'
)


def tree(value: float):
  """The kinds of arrays that a member's state has, filled with a number."""
  return {
    'params': {'kernel': np.full((3, 4), value, np.float32)},
    'key': np.full((3, 2), value, np.uint32),
    'step': np.full(3, value, np.int32),
    'best': (np.full(3, value, np.float16), np.full(3, value > 1, bool)),
  }


def assert_same(found, expected):
  def check(x, y):
    assert type(x) is np.ndarray
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)

  jax.tree.map(check, found, expected)


@pytest.fixture
def checkpoints(tmp_path):
  manager = checkpoint.Checkpoints(tmp_path / 'running')
  yield manager
  manager.close()


def payload(folder: pathlib.Path) -> list[pathlib.Path]:
  """The files of a checkpoint that hold its arrays."""
  return [path for path in folder.rglob('d/*') if path.is_file()]


def truncate(folder: pathlib.Path):
  for path in payload(folder):
    os.truncate(path, path.stat().st_size // 2)


def flip(folder: pathlib.Path):
  for path in payload(folder):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def lose(folder: pathlib.Path):
  for path in payload(folder):
    path.unlink()


def lose_digests(folder: pathlib.Path):
  shutil.rmtree(folder / 'digests')


def lose_metadata(folder: pathlib.Path):
  (folder / 'arrays' / '_METADATA').unlink()


DAMAGES = [truncate, flip, lose, lose_metadata, lose_digests]


def test_restores_values_types_and_structure(checkpoints):
  checkpoints.save(7, tree(3))
  step, found = checkpoints.restore_latest(tree(0))
  assert step == 7
  assert_same(found, tree(3))


def test_template_may_be_shapes(checkpoints):
  checkpoints.save(1, tree(3))
  shapes = jax.eval_shape(lambda: tree(0))
  assert_same(checkpoints.restore_latest(shapes)[1], tree(3))


def test_none_without_any(checkpoints):
  assert checkpoints.restore_latest(tree(0)) is None


def test_newest_two_are_kept(checkpoints):
  for step in range(1, 6):
    checkpoints.save(step, tree(step))
  assert sorted(os.listdir(checkpoints.folder)) == ['4', '5']


def test_saving_a_step_again_replaces_it(checkpoints):
  checkpoints.save(4, tree(1))
  checkpoints.save(4, tree(2))
  assert_same(checkpoints.restore_latest(tree(0))[1], tree(2))


@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_newest_falls_back(tmp_path, caplog, damage):
  with checkpoint_at(tmp_path) as manager:
    manager.save(1, tree(1))
    manager.save(2, tree(2))
  damage(tmp_path / '2')
  with (
    checkpoint_at(tmp_path) as manager,
    caplog.at_level(logging.WARNING, 'root'),
  ):
    step, found = manager.restore_latest(tree(0))
    assert step == 1
    assert_same(found, tree(1))
    assert 'checkpoint 2' in caplog.text
    assert 'trying the one before' in caplog.text
    # The epoch is trained again, and its checkpoint takes the place.
    manager.save(2, tree(22))
    assert_same(manager.restore_latest(tree(0))[1], tree(22))


@pytest.mark.parametrize('damage', DAMAGES)
def test_all_damaged_says_what_to_do(tmp_path, damage):
  with checkpoint_at(tmp_path) as manager:
    manager.save(1, tree(1))
    manager.save(2, tree(2))
  damage(tmp_path / '1')
  damage(tmp_path / '2')
  with checkpoint_at(tmp_path) as manager:
    with pytest.raises(checkpoint.CheckpointError) as error:
      manager.restore_latest(tree(0))
    assert '[2, 1]' in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert 'move that folder away' in str(error.value)
    # Nothing is deleted that may still be of use.
    assert sorted(os.listdir(tmp_path)) == ['1', '2']


class checkpoint_at:
  """Opens a manager as a process of its own would."""

  def __init__(self, path):
    self.path = path

  def __enter__(self):
    self.manager = checkpoint.Checkpoints(self.path)
    return self.manager

  def __exit__(self, *_):
    self.manager.close()


def test_a_full_disk_keeps_the_previous_one(checkpoints, monkeypatch):
  checkpoints.save(1, tree(1))

  def full(*_, **__):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patch:
    # Orbax writes arrays by threads of its own; this is where they start.
    patch.setattr(ocp.type_handlers.NumpyHandler, 'serialize', full)
    with pytest.raises(checkpoint.CheckpointError) as error:
      checkpoints.save(2, tree(2))
  assert 'cannot write checkpoint 2' in str(error.value)
  assert 'the disk is full: free some space' in str(error.value)
  step, found = checkpoints.restore_latest(tree(0))
  assert step == 1
  assert_same(found, tree(1))
  checkpoints.save(2, tree(2))
  assert_same(checkpoints.restore_latest(tree(0))[1], tree(2))


@pytest.mark.parametrize(
  ('error', 'message'),
  [
    (ValueError('RESOURCE_EXHAUSTED: No space left on device'), 'disk is full'),
    (PermissionError(errno.EACCES, 'denied'), 'PermissionError'),
    (RuntimeError(), 'RuntimeError'),
  ],
)
def test_other_failures_keep_their_reason(
  checkpoints, monkeypatch, error, message
):
  def fail(*_, **__):
    raise error

  monkeypatch.setattr(checkpoints._manager, 'save', fail)
  with pytest.raises(checkpoint.CheckpointError, match=message):
    checkpoints.save(1, tree(1))


def test_folder_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('in the way')
  with pytest.raises(checkpoint.CheckpointError, match='cannot open'):
    checkpoint.Checkpoints(tmp_path / 'file' / 'running')


KILLED = """
import os, sys
import numpy as np
from emojax.engine import checkpoint, digests
manager = checkpoint.Checkpoints(sys.argv[1])
manager.save(1, {'x': np.ones(3, np.float32)})
rename = os.rename
os.rename = os.replace = lambda *_: os.kill(os.getpid(), 9)
import pathlib
pathlib.Path.rename = pathlib.Path.replace = os.rename
manager.save(2, {'x': np.zeros(3, np.float32)})
"""


def test_killed_before_the_last_rename_leaves_the_previous_one(tmp_path):
  process = subprocess.run(
    [sys.executable, '-c', KILLED, tmp_path], capture_output=True, text=True
  )
  assert process.returncode == -9, process.stderr
  assert len(os.listdir(tmp_path)) > 1  # what was being written is there
  with checkpoint_at(tmp_path) as manager:
    step, found = manager.restore_latest({'x': np.zeros(3, np.float32)})
    manager.save(2, found)
  assert step == 1
  np.testing.assert_array_equal(found['x'], np.ones(3))
  # Orbax sweeps away what was unfinished in a thread, before the next save.
  assert sorted(os.listdir(tmp_path)) == ['1', '2']


def test_one_tree_round_trip(tmp_path):
  checkpoint.save_tree(tmp_path / 'Tea', tree(5))
  assert_same(checkpoint.load_tree(tmp_path / 'Tea', tree(0)), tree(5))


def test_one_tree_without_a_template(tmp_path):
  weights = {'params': {'kernel': np.arange(6, dtype=np.float32)}}
  checkpoint.save_tree(tmp_path / 'Tea', weights)
  assert_same(checkpoint.load_tree(tmp_path / 'Tea'), weights)


def test_one_tree_is_replaced(tmp_path):
  checkpoint.save_tree(tmp_path / 'Tea', tree(5))
  checkpoint.save_tree(tmp_path / 'Tea', tree(6))
  assert_same(checkpoint.load_tree(tmp_path / 'Tea', tree(0)), tree(6))
  assert os.listdir(tmp_path) == ['Tea']


def test_tree_that_is_missing(tmp_path):
  with pytest.raises(checkpoint.CheckpointError, match='was the run finished'):
    checkpoint.load_tree(tmp_path / 'Tea')


def test_tree_that_is_damaged(tmp_path):
  checkpoint.save_tree(tmp_path / 'Tea', tree(5))
  truncate(tmp_path / 'Tea')
  with pytest.raises(checkpoint.CheckpointError, match='cannot read'):
    checkpoint.load_tree(tmp_path / 'Tea', tree(0))


# No bit changes in silence.


def flip_bit(path: pathlib.Path, rng):
  data = bytearray(path.read_bytes())
  data[rng.integers(len(data))] ^= 1 << rng.integers(8)
  path.write_bytes(data)


def noise() -> dict:
  """Arrays that do not compress, and one that Orbax writes without checksums."""
  rng = np.random.default_rng(0)
  return {
    'kernel': rng.normal(size=(3, 4000)).astype(np.float32),
    'key': rng.integers(0, 1 << 32, (3, 2), np.uint32),
    'score': rng.normal(size=3).astype(np.float32),
  }


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p.relative_to(folder) for p in folder.rglob('*') if p.is_file())


def same(found, expected) -> bool:
  return jax.tree.structure(found) == jax.tree.structure(expected) and all(
    x.dtype == y.dtype and x.tobytes() == y.tobytes() and x.shape == y.shape
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected))
  )


@pytest.fixture(scope='module')
def rolling(tmp_path_factory):
  """A folder with a whole checkpoint 1 of ones, and 2 of noise."""
  path = tmp_path_factory.mktemp('rolling') / 'run'
  with checkpoint_at(path) as manager:
    manager.save(1, jax.tree.map(np.ones_like, noise()))
    manager.save(2, noise())
  return path


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  path = tmp_path_factory.mktemp('finished') / 'Tea'
  checkpoint.save_tree(path, noise())
  return path


FLIPS = [
  pytest.param(seeds, marks=[] if seeds.start == 0 else pytest.mark.slow)
  for seeds in (range(40), range(40, 160))
]


@pytest.mark.parametrize('seeds', FLIPS)
def test_a_flipped_bit_of_a_rolling_checkpoint(rolling, tmp_path, seeds):
  """It falls back to the one before, or restores what was saved."""
  noticed = 0
  for seed in seeds:
    path = shutil.copytree(rolling, tmp_path / str(seed))
    names = files_of(path / '2')
    flip_bit(path / '2' / names[seed % len(names)], np.random.default_rng(seed))
    with checkpoint_at(path) as manager:
      step, found = manager.restore_latest(noise())
    expected = noise() if step == 2 else jax.tree.map(np.ones_like, noise())
    assert same(found, expected), names[seed % len(names)]
    noticed += step == 1
    shutil.rmtree(path)
  assert noticed > len(seeds) / 4


def loaded(path, template):
  """The arrays, or the message of the error."""
  try:
    return checkpoint.load_tree(path, template)
  except checkpoint.CheckpointError as error:
    return str(error)


@pytest.mark.parametrize('seeds', FLIPS)
def test_a_flipped_bit_of_finished_weights(finished, tmp_path, seeds):
  """An error that names them, or the weights; with and without a template."""
  noticed = 0
  for seed in seeds:
    path = shutil.copytree(finished, tmp_path / str(seed))
    names = files_of(path)
    flip_bit(path / names[seed % len(names)], np.random.default_rng(seed))
    for template in (None, noise()):
      found = loaded(path, template)
      noticed += isinstance(found, str)
      if isinstance(found, str):
        assert str(path) in found
      else:
        assert same(found, noise()), names[seed % len(names)]
    shutil.rmtree(path)
  assert noticed > len(seeds) / 2


def test_digests_that_are_lost_are_noticed(finished, tmp_path):
  path = shutil.copytree(finished, tmp_path / 'Tea')
  shutil.rmtree(path / 'digests')
  with pytest.raises(
    checkpoint.CheckpointError, match=r"folder 'digests' is mis"
  ):
    checkpoint.load_tree(path)


def test_weights_without_digests_are_read_with_a_note(tmp_path, caplog):
  """As former versions wrote them."""
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / 'Tea', noise())
  with caplog.at_level(logging.WARNING, 'root'):
    assert same(checkpoint.load_tree(tmp_path / 'Tea'), noise())
  assert 'it is read unchecked' in caplog.text


def test_a_run_goes_on_from_checkpoints_without_digests(tmp_path, caplog):
  with ocp.CheckpointManager(tmp_path) as manager:
    manager.save(1, args=ocp.args.StandardSave(noise()))
  with (
    checkpoint_at(tmp_path) as manager,
    caplog.at_level(logging.WARNING, 'root'),
  ):
    step, found = manager.restore_latest(noise())
    assert step == 1
    assert same(found, noise())
    assert 'it is read unchecked' in caplog.text
    newer = jax.tree.map(lambda x: x + x, noise())
    manager.save(2, newer)
    step, found = manager.restore_latest(noise())
    assert step == 2
    assert same(found, newer)
  with checkpoint_at(tmp_path) as manager:
    assert same(manager.restore_latest(noise())[1], newer)


def test_digests_tell_rows_types_and_shapes_apart():
  x = np.arange(6, dtype=np.int32).reshape(2, 3)
  others = [x[::-1], x.reshape(3, 2), x.view(np.uint32), x[:, ::-1], x[:0]]
  found = {digests.of_tree({'x': y})['x'] for y in [x, *others]}
  assert len(found) == len(others) + 1
  assert digests.differing({'x': x, 'z': x}, digests.of_tree({'x': x})) == ['z']
  assert (
    digests.differing({'x': jax.numpy.asarray(x)}, digests.of_tree({'x': x}))
    == []
  )
  scalar = {'a': np.float16(1), 'b': (np.zeros(3, bool), np.zeros((3, 0)))}
  assert sorted(digests.of_tree(scalar)) == ['a', 'b/0', 'b/1']
