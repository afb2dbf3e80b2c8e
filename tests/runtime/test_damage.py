"""What is said of files that cannot be read: never 'damaged' of what is whole."""

import ast
import pathlib
import re

import numpy as np
import pytest

import emojax
from emojax.engine.checkpoint import CheckpointError
from emojax.runtime import damage


@pytest.fixture
def path(tmp_path):
  np.savez(tmp_path / 'a.npz', values=np.arange(1000.0))
  return tmp_path / 'a.npz'


def said(path, key='values', **options):
  """The error of reading one array of a file."""

  def read():
    with damage.explained(path, **options), open(path, 'rb') as raw:
      with np.load(raw) as file:
        return file[key]

  with pytest.raises(CheckpointError) as caught:
    read()
  assert '\n' not in str(caught.value)
  assert 'delete' not in str(caught.value)
  return str(caught.value)


def changed(data: bytes, field: int) -> bytes:
  """One bit of the archive's list of files is another: byte 8 is the lowest of the
  flags, which says that a password is needed, byte 10 that of the compression."""
  found = bytearray(data)
  found[data.index(b'PK\x01\x02') + field] ^= 1
  return bytes(found)


@pytest.mark.parametrize(
  'kind', ['cut', 'empty', 'flipped', 'other', 'password', 'compression']
)
def test_damage_is_named_with_the_remedy(path, kind):
  data = path.read_bytes()
  flipped = bytearray(data)
  flipped[len(data) // 2] ^= 1
  texts = {
    'cut': data[:-50],
    'empty': b'',
    'flipped': flipped,
    'other': b'PK no',
  }
  texts |= {'password': changed(data, 8), 'compression': changed(data, 10)}
  path.write_bytes(texts[kind])
  text = said(path)
  assert text.startswith(f'{path} is damaged (')
  assert text.endswith('move it away and give the same command again to make '
                       'it anew')  # fmt: skip


def test_what_is_whole_is_not_called_damaged(path):
  text = said(path, 'others')
  assert 'is whole, but cannot be used as what a run wrote (KeyError' in text
  assert not any(word in text for word in ('damaged', 'move'))


def test_a_missing_file_names_what_marks_it_as_finished(path):
  text = said(path.with_name('b.npz'), marker=path)
  assert text.startswith(f'{path.with_name("b.npz")} is missing: move {path} ')


def test_other_errors_pass(path):
  with pytest.raises(ZeroDivisionError), damage.explained(path):
    1 / 0  # noqa: B018


def said_in(path):
  """Texts of a module that are no docstrings."""
  tree = ast.parse(path.read_text())
  docstrings = {
    id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
  }
  for node in ast.walk(tree):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
      if id(node) not in docstrings:
        yield node.value


def test_no_message_asks_to_delete():
  package = pathlib.Path(emojax.__file__).parent
  asked = [
    (str(path), text)
    for path in package.rglob('*.py')
    for text in said_in(path)
    if re.search(r'\b[Dd]elete|\brm -r', text)
  ]
  assert asked == []
