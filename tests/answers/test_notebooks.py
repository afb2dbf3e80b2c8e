"""The notebooks of the documentation run from the first cell to the last."""

import json
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / 'docs' / 'notebooks'


@pytest.mark.slow
@pytest.mark.parametrize('name', ['photo', 'video', 'votes'])
def test_notebooks_run(name, tmp_path, monkeypatch):
  """As a reader runs them, with the model that they name."""
  nbclient = pytest.importorskip('nbclient', reason='needs emojax[notebooks]')
  nbformat = pytest.importorskip('nbformat', reason='needs emojax[notebooks]')
  pytest.importorskip('ipykernel', reason='needs emojax[notebooks]')
  monkeypatch.setenv('IPYTHONDIR', str(tmp_path / 'ipython'))
  root = str(FOLDER.parents[1])
  monkeypatch.setenv('PYTHONPATH', root)
  book = nbformat.read(FOLDER / f'{name}.ipynb', 4)
  client = nbclient.NotebookClient(
    book, timeout=600, resources={'metadata': {'path': str(tmp_path)}}
  )
  client.execute()  # raises CellExecutionError


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.ipynb')), ids=str)
def test_notebooks_are_committed_without_outputs(path):
  for cell in json.loads(path.read_text())['cells']:
    assert not cell.get('outputs')
    assert cell.get('execution_count') is None
