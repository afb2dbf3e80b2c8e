"""A small tree in the layout of Aff-Wild2 and what is prepared from it."""

import pathlib
import sys

import pytest

from emojax.data import affwild2_writer
from emojax.data.prepare import command as prepare

# The trees of the readers' tests serve here as well.
sys.path.append(str(pathlib.Path(__file__).parent / 'readers'))

SETTINGS = {
  'size': 32,
  'audio': 'log_mel',
  'workers': 1,
  'segment_frames': 16,
  'min_shard_frames': 40,
  'options': {'fps': 30},
}


@pytest.fixture(scope='session')
def affwild2_tree(tmp_path_factory):
  out = tmp_path_factory.mktemp('tree') / 'affwild2'
  return affwild2_writer.write_tree(out, 8, 50, seed=1, size=32, workers=1)


@pytest.fixture(scope='session')
def affwild2_store(affwild2_tree, tmp_path_factory):
  out = tmp_path_factory.mktemp('store') / 'affwild2'
  return prepare.prepare('affwild2', affwild2_tree, out, **SETTINGS)
