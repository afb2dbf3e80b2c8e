"""A small tree in the layout of Aff-Wild2 and what is prepared from it."""

import pathlib
import sys

import pytest
from stored import SETTINGS

from emojax.data import affwild2_writer
from emojax.data.prepare import command as prepare

# The trees of the readers' tests serve here as well.
sys.path.append(str(pathlib.Path(__file__).parent / 'readers'))


@pytest.fixture(scope='session')
def affwild2_tree(tmp_path_factory):
  out = tmp_path_factory.mktemp('tree') / 'affwild2'
  return affwild2_writer.write_tree(out, 8, 50, seed=1, size=32, workers=1)


@pytest.fixture(scope='session')
def affwild2_store(affwild2_tree, tmp_path_factory):
  out = tmp_path_factory.mktemp('store') / 'affwild2'
  return prepare.prepare('affwild2', affwild2_tree, out, **SETTINGS)
