"""A store and an exported model of a former version still open (`tests/former`)."""

import json
import pathlib
import tarfile

import numpy as np
import pytest
from former import make

import emojax
from emojax.data.clips import pipeline
from emojax.data.store.stored import Store
from emojax.trained import folder as release

FORMER = sorted(pathlib.Path(make.__file__).parent.glob('*.tar.gz'))


@pytest.fixture(scope='module', params=FORMER, ids=lambda path: path.name)
def former(request, tmp_path_factory):
  """The files of one version, unpacked."""
  path = tmp_path_factory.mktemp('former')
  with tarfile.open(request.param) as tar:
    tar.extractall(path)  # our own file; Python 3.11.2 has no filters
  return path


@pytest.fixture(scope='module')
def expected(former):
  """What that version has read and predicted."""
  return json.loads((former / 'expected.json').read_text())


def test_there_is_a_former_version():
  assert FORMER


def test_a_store_reads_as_it_did(former, expected):
  store = Store(former / 'store')
  assert sorted(store.splits) == sorted(expected['store'])
  for split, then in expected['store'].items():
    clips = pipeline.open_clips(store, split, image_size=8, channels=3)
    taken = clips.take(np.arange(len(clips)))
    assert taken.clip_id.tolist() == then['names']
    assert taken.image.sum((1, 2, 3, 4)).tolist() == then['pixels']
    for name, labels in then['labels'].items():
      value = taken.targets[name].value[:, 0]
      assert value.argmax(-1).tolist() == labels


@pytest.mark.slow
def test_a_model_predicts_as_it_did(former, expected):
  model = emojax.load(former / 'model')
  output = model.predict(make.images())
  assert set(output.members) == set(expected['probabilities'])
  for name, then in expected['probabilities'].items():
    np.testing.assert_allclose(output.members[name], then, atol=1e-5)
  total = output.uncertainty['mean'].total
  np.testing.assert_allclose(total, expected['uncertainty'], atol=1e-5)
  assert model.prior == {}  # it knew of none
  assert output.learned is None
  assert set(model.answers(output)) == {task.name for task in model.schema}
  assert model.unsure(output).shape == total.shape


def test_a_model_that_was_changed_since_is_refused(former, tmp_path):
  for path in (former / 'model').iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  weights = tmp_path / release.WEIGHTS
  data = bytearray(weights.read_bytes())
  data[-1] ^= 1
  weights.write_bytes(bytes(data))
  with pytest.raises(release.ModelError, match='is damaged'):
    emojax.load(tmp_path)
