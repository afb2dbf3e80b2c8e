"""Files that are whole or not there."""

import pytest

from emojax.host import files


def test_a_file_in_a_new_folder(tmp_path):
  path = tmp_path / 'new' / 'file'
  with files.replacing(path) as part:
    part.write_text('whole')
    assert not path.exists()
  assert path.read_text() == 'whole'
  assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_the_old_one(tmp_path):
  path = tmp_path / 'file'
  path.write_text('old')
  with pytest.raises(TypeError), files.replacing(path) as part:
    part.write_text(b'no text')
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_leaves_is_hidden_and_marked(tmp_path):
  with files.replacing(tmp_path / 'file') as part:
    assert part.name.startswith('.')
    assert part.name.endswith(files.UNFINISHED)
    part.touch()
