"""A page of drawn weights, and ONNX Runtime Web where it is at hand."""

import pathlib
import sys

import pytest

ANSWERS = pathlib.Path(__file__).parents[1] / 'answers'
if str(ANSWERS) not in sys.path:
  sys.path.append(str(ANSWERS))


@pytest.fixture(scope='session')
def runtime_files():
  """The files of ONNX Runtime Web, of the cache or the registry."""
  from emojax.trained.exporting import ExportError
  from emojax.web import runtime

  try:
    return runtime.load()
  except ExportError as error:
    pytest.skip(f'needs the npm package of the runtime: {error}')
