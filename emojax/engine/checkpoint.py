"""Checkpoints by Orbax: atomic, newest two kept, damaged ones passed over.

A checkpoint is two items that appear together: the arrays, and their digests,
which are checked whenever the arrays are read (`digests.py`). Those of former
versions have the arrays only; they are read unchecked, with a note.
"""

import errno
import logging
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from emojax.engine import digests
from emojax.host import processes

PyTree = Any
ARRAYS, DIGESTS = 'arrays', 'digests'  # items, and folders of a checkpoint
FORMER = 'default'  # item of checkpoints without digests


class CheckpointError(RuntimeError):
  """A checkpoint could not be written or read; says which, and what to do."""


class Checkpoints:
  """The rolling checkpoints of a run.

  A checkpoint's step is the number of epochs behind it. What is restored is
  whole and without padding, so a run may resume on another number of devices
  or processes. Of several processes, all call these methods; each writes the
  parts of the arrays that its own devices hold.

  Args:
    folder: Where they are; made when missing.
    keep: Checkpoints to keep; older ones are the fallback if the newest one
      turns out to be damaged.
  """

  def __init__(self, folder: pathlib.Path, keep: int = 2):
    self.folder = pathlib.Path(folder).absolute()
    self._keep = keep
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      enable_async_checkpointing=False,
      cleanup_tmp_directories=True,
    )
    with _explained(f'cannot open {self.folder}'):
      self._manager = ocp.CheckpointManager(self.folder, options=options)

  def save(self, step: int, tree: PyTree):
    """Writes a checkpoint; the previous ones stay as they are if that fails."""
    with _explained(f'cannot write checkpoint {step} in {self.folder}'):
      if step in self._manager.all_steps():
        self._manager.delete(step)  # Orbax refuses to overwrite
      self._manager.save(step, args=_to_save(tree), force=True)

  def restore_latest(self, template: PyTree) -> tuple[int, PyTree] | None:
    """Returns (step, tree) of the newest readable checkpoint, None without any.

    Damaged ones that are newer than that are deleted. If none is readable but
    none has been thrown away yet, the one before the oldest is the start.

    Args:
      template: Tree of arrays or shapes of the same structure.

    Raises:
      CheckpointError: If as many checkpoints as are kept cannot be read.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    for i, step in enumerate(steps):
      try:
        tree = self._restore(step, template)
      except jax.errors.JaxRuntimeError:  # a process has died, not the file
        raise
      except Exception as error:  # Orbax raises many kinds for damaged files.
        tree = None
        logging.warning(
          'checkpoint %s of %s cannot be read (%s: %s); trying the one before',
          step,
          self.folder,
          type(error).__name__,
          _first_line(error),
        )
      if not processes.any_of(tree is None):
        self._delete(steps[:i])
        return step, tree
    if len(steps) >= self._keep:
      raise CheckpointError(
        f'none of the checkpoints {steps} in {self.folder} can be read: move '
        'that folder away to train this generation again (finished generations '
        'are kept elsewhere)'
      )
    self._delete(steps)
    return None

  def _delete(self, steps: list[int]):
    for step in steps:
      self._manager.delete(step)

  def _restore(self, step: int, template: PyTree) -> PyTree:
    # Every process reads whole arrays, whichever devices they were saved from.
    arrays = jax.tree.map(
      lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), template
    )
    folder = self.folder / str(step)
    if (folder / FORMER).is_dir():
      tree = _read_former(folder / FORMER, arrays)
    else:
      _check_items(folder)
      tree = _checked(self._manager.restore(step, args=_to_restore(arrays)))
    return jax.tree.map(_without_padding, tree, template)

  def close(self):
    """Releases the manager's resources."""
    self._manager.close()


def _without_padding(found: np.ndarray, template) -> np.ndarray:
  """Drops the members that only filled up the devices of another mesh."""
  if found.shape == template.shape:
    return found
  if found.shape[1:] != template.shape[1:] or len(found) < len(template):
    raise ValueError(f'shape {found.shape}, expected {template.shape}')
  return found[: len(template)]


def _to_save(tree: PyTree) -> ocp.args.Composite:
  found = ocp.args.JsonSave(digests.of_tree(tree))
  return ocp.args.Composite(
    **{ARRAYS: ocp.args.StandardSave(tree), DIGESTS: found}
  )


def _to_restore(template: PyTree | None) -> ocp.args.Composite:
  return ocp.args.Composite(
    **{
      ARRAYS: ocp.args.StandardRestore(template),
      DIGESTS: ocp.args.JsonRestore(),
    }
  )


def _check_items(folder: pathlib.Path):
  """Raises ValueError unless all that `_to_save` writes is there."""
  for item in (ARRAYS, DIGESTS):
    if not (folder / item).is_dir():
      raise ValueError(f'its folder {item!r} is missing')


def _checked(items) -> PyTree:
  """The arrays of a checkpoint; raises ValueError unless they are as saved."""
  tree, expected = items[ARRAYS], items[DIGESTS]
  if wrong := digests.differing(tree, expected):
    raise ValueError(
      f'{len(wrong)} arrays are not as they were saved, {wrong[0]} among them'
    )
  return tree


def _read_former(path: pathlib.Path, template: PyTree | None) -> PyTree:
  logging.warning(
    '%s was written by a former version, without digests: it is read unchecked',
    path,
  )
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(path, template)


def save_tree(path: pathlib.Path, tree: PyTree):
  """Writes one finished pytree atomically, e.g. a generation's weights."""
  path = pathlib.Path(path).absolute()
  with _explained(f'cannot write {path}'), _checkpointer() as checkpointer:
    checkpointer.save(path, args=_to_save(tree), force=True)
  processes.wait_until_visible(path)


def load_tree(path: pathlib.Path, template: PyTree | None = None) -> PyTree:
  """Reads what `save_tree` wrote, as NumPy arrays.

  Raises:
    CheckpointError: If it is missing, damaged, or not as it was saved.
  """
  path = pathlib.Path(path).absolute()
  if not path.exists():
    raise CheckpointError(f'{path} does not exist; was the run finished?')
  with _explained(f'cannot read {path}'):
    if (path / '_METADATA').exists():
      tree = _read_former(path, template)
    else:
      _check_items(path)
      with _checkpointer() as checkpointer:
        items = checkpointer.restore(path, args=_to_restore(template))
      tree = _checked(items)
  return jax.tree.map(np.asarray, tree)


def _checkpointer() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


class _explained:
  """Turns whatever goes wrong inside into a `CheckpointError` that explains."""

  def __init__(self, what: str):
    self.what = what

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    if error is None or not isinstance(error, Exception):
      return False
    if processes.is_lost(error):
      raise processes.lost(error) from error
    reason = f'{kind.__name__}: {_first_line(error)}'
    if getattr(error, 'errno', None) == errno.ENOSPC or (
      'No space left' in str(error)
    ):
      reason = 'the disk is full: free some space and run the command again'
    raise CheckpointError(f'{self.what}: {reason}') from error


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [''])[0][:300]
