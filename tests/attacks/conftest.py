"""The artefacts of the sweep, made once, and the small network by name."""

import pathlib
import sys

import pytest
import small_run

from emojax import models

# The trees of the readers' tests serve here as well.
sys.path.append(str(pathlib.Path(__file__).parent.parent / 'data' / 'readers'))


@pytest.fixture(scope='module')
def small():
  """The small network by the name that its files have."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.MODELS, 'small', small_run.small)
    yield
