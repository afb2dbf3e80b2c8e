"""Whatever is done to a file: the right answer, or one line that names it.

Every mutation of `mutations.py` meets every artefact of `artefacts.py`, several
times with other random numbers. What each fault must say is tested beside the
modules; here is asserted that nothing else than the allowed ends comes about.
"""

import os
import pathlib
import random
import shutil

import artefacts
import mutations
import numpy as np
import pytest

from emojax.engine.checkpoint import CheckpointError

# Errors that say by their message what is wrong with which file.
CLEAR = (ValueError, OSError, CheckpointError)
MAX_MESSAGE = 2000
# More of the same, for a night: EMOJAX_ATTACK_SEEDS=1000.
SEEDS = range(int(os.environ.get('EMOJAX_ATTACK_SEEDS', 2)))
# Other data: legal, if nothing says what there was before (`Artefact.shuffles`).
UNTOLD = ('swapped', 'missing', 'an empty folder')

# Orbax leaves futures behind when it cannot read a file.
pytestmark = [
  pytest.mark.slow,
  pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]


@pytest.fixture(scope='module')
def whole(small, tmp_path_factory):
  """Makes an artefact once; returns it with what it says when it is whole."""
  made = {}

  def get(kind):
    if kind not in made:
      root = tmp_path_factory.mktemp(kind)
      artefact = artefacts.MAKERS[kind](root)
      made[kind] = artefact, artefact.read(artefact.folder)
    return made[kind]

  return get


def allowed(read, folder: pathlib.Path, right) -> str:
  """Reads a folder; asserts that it ends as it may, and that nothing is written.

  Args:
    read: Reads the folder.
    folder: What was made of it by a mutation.
    right: Whether what was read is no wrong answer.

  Returns:
    'right', or the message of the error.
  """
  before = snapshot(folder)
  try:
    found = read(folder)
  except CLEAR as error:
    text, kind = str(error), type(error).__name__
  else:
    assert right(found), 'a wrong answer'
    return 'right'
  assert '\n' not in text.strip(), text
  assert all(c.isprintable() for c in text), repr(text)
  assert str(folder) in text, f'{kind} names no file: {text}'
  assert len(text) < MAX_MESSAGE, text
  assert snapshot(folder) == before
  return text


def snapshot(folder: pathlib.Path) -> dict[str, bytes | None]:
  return {
    str(path): path.read_bytes() if path.is_file() else None
    for path in folder.rglob('*')
  }


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('mutation', mutations.MUTATIONS)
@pytest.mark.parametrize('kind', artefacts.MAKERS)
def test_any_damage_of_any_file(whole, tmp_path, kind, mutation, seed):
  artefact, expected = whole(kind)
  folder = tmp_path / artefact.folder.name
  shutil.copytree(artefact.folder, folder)
  rng = random.Random(f'{kind} {mutation} {seed}')
  if mutations.MUTATIONS[mutation](folder, rng) is None:
    pytest.skip('no such file here')
  artefact.forge(folder)

  def right(found):
    told = not artefact.shuffles or mutation not in UNTOLD
    return not told or artefact.right(found, expected)

  allowed(artefact.read, folder, right)


@pytest.mark.parametrize('text', ['[]', 'null', '1', '"x"', '{}', '[' * 10**5])
def test_predictions_whose_header_is_another(whole, tmp_path, text):
  """In an archive whose checksums are right."""
  artefact, _ = whole('run')
  folder = shutil.copytree(artefact.folder, tmp_path / 'run')
  path = folder / 'predictions' / 'Tea.npz'
  with np.load(path) as found:
    arrays = {**found, 'header': np.array(text)}
  np.savez(path, **arrays)
  text = allowed(artefact.read, folder, lambda found: False)
  assert 'Tea.npz is whole, but cannot be used' in text
